"""The JSON objects that only the API makes; all others come from the daemon as the commands print them."""

import json
from dataclasses import asdict
from datetime import UTC, datetime

from starlette.responses import Response

from reindex.tasks import Task


def json_response(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """One object. ASCII, so that a file name of any bytes passes."""
    content = json.dumps(value, allow_nan=False).encode("ascii")
    return Response(content, status, headers, "application/json")


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
