"""One function for each route that reads: options to an answer. What writes is in `commands`."""

import asyncio
import functools

from starlette.responses import Response

from reindex.errors import ExitCode
from reindex.http.api import Api, Call
from reindex.http.metrics import CONTENT_TYPE
from reindex.http.objects import json_response, task_object
from reindex.http.problems import Refusal
from reindex.http.surface import Health, SearchRequest
from reindex.objects import query_object
from reindex.search import SearchMode
from reindex.tasks import Task


async def search(api: Api, call: Call) -> Response:
    """The best chunks."""
    values = call.values
    source, path_prefix, generation = values["source"], values["path_prefix"], values["generation"]
    request = SearchRequest(
        query=str(values["query"]),
        k=call.number("k"),
        mode=SearchMode(str(values["mode"])),
        source=str(source) if source is not None else None,
        path_prefix=str(path_prefix) if path_prefix is not None else None,
        generation=call.number("generation") if generation is not None else None,
    )
    return json_response(query_object(await api.searching.search(request)))


async def status(api: Api, call: Call) -> Response:
    """Of the index, or of one file."""
    path = call.values["path"]
    if path is None:
        return json_response(await api.in_thread(api.surface.status))
    return json_response(await api.in_thread(lambda: api.surface.document_status(str(path))))


async def jobs(api: Api, call: Call) -> Response:
    """All jobs and dead letters."""
    del call
    return json_response(await api.in_thread(api.surface.jobs))


async def job(api: Api, call: Call) -> Response:
    """One of them."""
    number = str(call.values["job"])
    found = await api.in_thread(lambda: api.surface.job(number))
    if found is None:
        raise Refusal(
            404, f"there is no job {number}", "`reindex jobs list` shows them.", exit_code=ExitCode.USAGE
        )
    return json_response(found)


async def generations(api: Api, call: Call) -> Response:
    """All generations."""
    del call
    return json_response(await api.in_thread(api.surface.generations))


async def diff(api: Api, call: Call) -> Response:
    """Of two generations' answers."""
    queries = call.values["query"] or []
    assert isinstance(queries, list), "it was checked"
    compare = functools.partial(api.surface.diff, call.number("a"), call.number("b"), queries)
    return json_response(await api.in_thread(compare))


async def tasks(api: Api, call: Call) -> Response:
    """All tasks that are remembered, newest first."""
    del call
    return json_response({"tasks": [_task_object(api, found) for found in api.surface.tasks.all()]})


async def task(api: Api, call: Call) -> Response:
    """One task: at once, or when it has changed."""
    number, wait_s = call.number("task"), call.values["wait"]
    found = api.surface.tasks.get(number)
    if found is None:
        raise Refusal(404, f"there is no task {number}", "`GET /v1/tasks` shows those that are remembered.")
    events = api.surface.events
    since = call.values["since"]
    seen = since if isinstance(since, int) else events.revision(number)
    deadline = asyncio.get_running_loop().time() + (wait_s if isinstance(wait_s, float) else 0.0)
    while not found.is_over and not events.is_closed and events.revision(number) <= seen:
        left_s = deadline - asyncio.get_running_loop().time()
        if left_s <= 0 or await call.request.is_disconnected():
            break
        await events.wait(left_s)
    return json_response(_task_object(api, found))


async def livez(api: Api, call: Call) -> Response:
    """Does it make progress? A supervisor restarts it otherwise."""
    health = api.surface.health()
    return _health_response(health, is_well=health.is_alive, is_verbose=bool(call.values["verbose"]))


async def readyz(api: Api, call: Call) -> Response:
    """Can it answer?"""
    health = api.surface.health()
    return _health_response(health, is_well=health.is_ready, is_verbose=bool(call.values["verbose"]))


async def metrics(api: Api, call: Call) -> Response:
    """For Prometheus."""
    del call
    return Response(await api.in_thread(api.metrics.render), headers={"Content-Type": CONTENT_TYPE})


def _task_object(api: Api, found: Task) -> dict[str, object]:
    revision = api.surface.events.revision(found.id)  # first: a later change is then seen by who waits for it
    return task_object(found) | {"revision": revision}


def _health_response(health: Health, *, is_well: bool, is_verbose: bool) -> Response:
    lines = []
    if is_verbose:
        lines = [
            f"[{'+' if ok else '-'}]{name} {'ok' if ok else 'failed'}{': ' if text else ''}{text}"
            for name, (ok, text) in health.components.items()
        ]
    content = "\n".join([*lines, "ok" if is_well else "failed"]) + "\n"
    return Response(
        content.encode("utf-8", "backslashreplace"), 200 if is_well else 503, media_type="text/plain"
    )
