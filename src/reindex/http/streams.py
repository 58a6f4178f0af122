"""Server-sent events (`GET /v1/events`): what happens from now on, or from where a client was cut off."""

from collections.abc import AsyncIterator

from starlette.responses import Response, StreamingResponse

from reindex.http.api import Api, Call
from reindex.http.events import Event, Events, Missed
from reindex.http.problems import Refusal

STREAMS_MAX = 32
HEARTBEAT_S = 15.0
_RETRY_MS = 2000
_MEDIA = "text/event-stream"
_HEADERS = {"Connection": "close", "X-Accel-Buffering": "no"}


async def events(api: Api, call: Call) -> Response:
    """A stream that ends when the client goes, is too slow, or the daemon stops."""
    if call.request.method == "HEAD":
        return Response(media_type=_MEDIA)
    if api.streams >= STREAMS_MAX:
        raise Refusal(503, f"{STREAMS_MAX} clients follow events already", "Ask for what you need instead.")
    last_id = call.values["last_event_id"] or call.request.headers.get("last-event-id")
    position = api.surface.events.position(str(last_id) if last_id else None)  # before the first byte goes
    return StreamingResponse(_stream(api, position), media_type=_MEDIA, headers=_HEADERS)


async def _stream(api: Api, position: int | Missed) -> AsyncIterator[str]:
    events = api.surface.events
    api.streams += 1
    try:
        yield f"retry: {_RETRY_MS}\n\n"
        if isinstance(position, Missed) or isinstance(events.after(position), Missed):
            position = _present(events)
            yield _notice(
                events, position, "reset", "events were missed: look at the present state, then go on"
            )
        async for text in _from(events, position):
            yield text
    finally:
        api.streams -= 1


async def _from(events: Events, position: int) -> AsyncIterator[str]:
    while True:
        found = events.after(position)
        if isinstance(found, Missed):
            yield _notice(events, position, "cut", "too slow: come again and go on from the present state")
            return
        if found:
            position = found[-1].number
            yield "".join(_frame(events, event) for event in found)
        elif events.is_closed:
            yield _notice(events, position, "end", "the daemon stops")
            return
        else:
            is_quiet = not await events.wait(HEARTBEAT_S)
            if is_quiet:
                yield ": still here\n\n"


def _present(events: Events) -> int:
    position = events.position(None)
    assert isinstance(position, int), "the present is always known"
    return position


def _frame(events: Events, event: Event) -> str:
    return f"id: {events.event_id(event.number)}\nevent: {event.kind}\ndata: {event.data}\n\n"


def _notice(events: Events, position: int, kind: str, reason: str) -> str:
    """An event that only this client gets, and that is not remembered."""
    return f'id: {events.event_id(position)}\nevent: {kind}\ndata: {{"reason": "{reason}"}}\n\n'
