"""The writing commands: each takes its options, becomes a task, and is done by the daemon's own thread."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from starlette.responses import Response

from reindex.errors import ConfigError
from reindex.http.api import Api, Call
from reindex.http.fields import Field, FieldKind
from reindex.http.objects import json_response, task_object

_WAIT_MAX_S = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Command:
    """A command and where it is posted to. The task's options are the fields by name, what stands in the
    path, and `fixed`.
    """

    name: str
    path: str
    about: str
    fields: tuple[Field, ...] = ()
    fixed: Mapping[str, object] = field(default_factory=dict)


_FORCE = Field("force", FieldKind.FLAG, "Whatever the gate says.", default=False)
_WAIT = Field("wait", FieldKind.NUMBER, "Seconds to wait for work in flight.", minimum=0, maximum=_WAIT_MAX_S)

COMMANDS = (
    Command(
        "sync",
        "/v1/sync",
        "Bring the index up to date with the documents.",
        (
            Field("accept_deletes", FieldKind.FLAG, "Believe a mass deletion that is held.", default=False),
            _WAIT,
            Field("now", FieldKind.FLAG, "Use the fast lane for everything.", default=False),
        ),
    ),
    Command(
        "rebuild",
        "/v1/rebuild",
        "Make the index anew beside the live one, prove it, and switch to it.",
        (
            Field(
                "model", FieldKind.TEXT, "Another model than the configuration's.", minimum=1, maximum=4096
            ),
            Field(
                "provider",
                FieldKind.TEXT,
                "Another provider than the configuration's.",
                choices=("local", "openai"),
            ),
            Field("fresh", FieldKind.FLAG, "Embed everything again, whatever the cache has.", default=False),
            Field(
                "no_promote", FieldKind.FLAG, "Stop when it is ready and the gate was asked.", default=False
            ),
            Field(
                "abandon",
                FieldKind.FLAG,
                "Drop the generation that was begun, and do no more.",
                default=False,
            ),
            _WAIT,
        ),
    ),
    Command(
        "promote",
        "/v1/generations/{generation}/promote",
        "Bring a generation up to date, ask the gate, and send readers to it.",
        (_FORCE,),
    ),
    Command(
        "rollback",
        "/v1/rollback",
        "Send readers back to the generation before, at once; then bring that one up to date.",
        (_FORCE,),
    ),
    Command("drop", "/v1/generations/{generation}/drop", "Give up a generation that is not searched."),
    Command("gc", "/v1/gc", "Remove what no reader can reach any more."),
    Command("retry", "/v1/jobs/retry", "Try all failed jobs and dead letters again.", fixed={"job": None}),
    Command("cancel", "/v1/jobs/{job}/cancel", "Give up a job."),
    Command("retry", "/v1/jobs/{job}/retry", "Try a failed job or a dead letter again."),
    Command("pause", "/v1/pause", "Index nothing until told to resume. Search goes on."),
    Command("resume", "/v1/resume", "Index again."),
)


def submitting(command: Command) -> Callable[[Api, Call], Awaitable[Response]]:
    """The handler of a command."""

    async def submit(api: Api, call: Call) -> Response:
        options = {**call.values, **command.fixed}
        if command.name == "rebuild":
            _check_abandon(options)
        task = api.surface.tasks.submit(command.name, options)
        value = task_object(task) | {"revision": api.surface.events.revision(task.id)}
        return json_response(value, 202, {"Location": f"/v1/tasks/{task.id}"})

    return submit


def _check_abandon(options: Mapping[str, object]) -> None:
    if options["abandon"] and any(options[name] for name in ("model", "provider", "fresh", "no_promote")):
        raise ConfigError("--abandon goes with no other option", "Leave the others out.")
