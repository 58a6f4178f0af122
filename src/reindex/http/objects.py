"""The JSON objects that only the API makes; all others come from the daemon as the commands print them."""

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime

from starlette.responses import Response

from reindex.search import SearchResult
from reindex.tasks import Task


def json_response(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """One object. ASCII, so that a file name of any bytes passes."""
    content = json.dumps(value, allow_nan=False).encode("ascii")
    return Response(content, status, headers, "application/json")


def search_object(found: SearchResult) -> dict[str, object]:
    """The object of `reindex query --json`. Where the model took no part, `degraded_reason` says why."""
    value: dict[str, object] = {
        "generation": found.generation,
        "version": found.version,
        "model": found.model,
        "degraded": bool(found.degraded),
        "took_ms": found.took_ms,
        "hits": [asdict(hit) for hit in found.hits],
    }
    if found.degraded:
        value["degraded_reason"] = found.degraded
    if found.behind is not None:
        age_s = round(found.behind.age_s(time.time()), 3)
        value["behind"] = {"documents": found.behind.documents, "age_s": age_s}
    return value


def task_object(task: Task) -> dict[str, object]:
    """A task as it stands. A thread may be working on it."""
    state = task.state  # first: when it is over, all else stands
    return {
        "id": task.id,
        "command": task.command,
        "options": dict(task.options),
        "state": state.value,
        "created_at": _moment(task.created_at),
        "started_at": _moment(task.started_at),
        "ended_at": _moment(task.ended_at),
        "progress": asdict(task.progress),
        "messages": list(task.messages),
        "result": task.result,
        "exit_code": task.exit_code,
        "error": task.error,
    }


def _moment(timestamp: float | None) -> str | None:
    """As ISO 8601 in UTC, to the millisecond: most tasks take less than a second."""
    if timestamp is None:
        return None
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
