"""One question to a running daemon, for what needs no more than an object and can do without the answer."""

import http.client
import json
from urllib.parse import urlsplit

from reindex.presence import Presence

_LIMIT_S = 5.0
_ANSWER_BYTES_MAX = 10_000_000


def ask(presence: Presence, path: str, token: str) -> dict[str, object] | None:
    """The JSON object at `path`; None where the daemon has no address, does not answer, or refuses."""
    parts = urlsplit(presence.url)
    if not parts.hostname:
        return None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_LIMIT_S)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        value = json.loads(answer.read(_ANSWER_BYTES_MAX)) if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return value if isinstance(value, dict) else None
