"""The page: one file, that asks the same API as everyone."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from starlette.responses import Response

from reindex.http.api import Api, Call


async def page(api: Api, call: Call) -> Response:
    """The file, with a policy that lets nothing run but its own script."""
    del api, call
    content, policy = _page()
    return Response(content, headers={"Content-Security-Policy": policy}, media_type="text/html")


@cache
def _page() -> tuple[bytes, str]:
    content = files("reindex.http").joinpath("page.html").read_bytes()
    policy = [
        "default-src 'none'",
        f"script-src {_hash(content, b'script')}",
        f"style-src {_hash(content, b'style')}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    return content, "; ".join(policy)


def _hash(content: bytes, element: bytes) -> str:
    """Of the one inline element of that name, as a policy names it."""
    (inside,) = re.findall(rb"<%b>(.*?)</%b>" % (element, element), content, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(inside).digest()).decode('ascii')}'"
