"""The one table of routes: what can be asked, with which options, and what comes back. The router and the
OpenAPI document are made from it.
"""

from starlette.responses import Response

from reindex.http import handlers, page, streams
from reindex.http.api import Api, Call
from reindex.http.commands import COMMANDS, submitting
from reindex.http.fields import Field, FieldKind
from reindex.http.objects import json_response
from reindex.http.openapi import document
from reindex.http.route import Route, number_field
from reindex.search import SearchMode

QUERY_CHARACTERS_MAX = 8000
K_MAX = 1000
WAIT_MAX_S = 60
_TEXT = "text/plain"


_SEARCH = (
    Field("query", FieldKind.TEXT, "What to look for.", is_required=True, maximum=QUERY_CHARACTERS_MAX),
    Field("k", FieldKind.INTEGER, "How many hits.", default=10, minimum=1, maximum=K_MAX),
    Field("mode", FieldKind.TEXT, "How to search.", default="hybrid", choices=tuple(SearchMode)),
    Field("source", FieldKind.TEXT, "Only this source.", maximum=1000),
    Field("path_prefix", FieldKind.TEXT, "Only paths that begin so.", maximum=4096),
    number_field("generation", "Another generation than the live one."),
)
_PATH = Field("path", FieldKind.TEXT, "A file: why it is, or is not, found.", minimum=1, maximum=8192)
_DIFF = (
    number_field("a", "A generation.", is_required=True),
    number_field("b", "Another one.", is_required=True),
    Field("query", FieldKind.TEXTS, "Questions; none: those of the probe file.", maximum=100),
)
_WAITING = (
    Field(
        "wait",
        FieldKind.NUMBER,
        "Seconds to wait until it has changed or is over.",
        minimum=0,
        maximum=WAIT_MAX_S,
    ),
    Field("since", FieldKind.INTEGER, "Wait for a revision later than this one.", minimum=0),
)
_VERBOSE = Field("verbose", FieldKind.FLAG, "Also each component.", default=False)
_LAST_ID = Field("last_event_id", FieldKind.TEXT, "As the header Last-Event-ID.", maximum=100)


async def _openapi(api: Api, call: Call) -> Response:
    del api, call
    return json_response(document(ROUTES))


ROUTES: tuple[Route, ...] = (
    Route("GET", "/", "A page to search on.", page.page, "text/html"),
    Route("GET", "/v1/search", "Search the index.", handlers.search, "Search", _SEARCH),
    Route("POST", "/v1/search", "Search the index.", handlers.search, "Search", _SEARCH),
    Route("GET", "/v1/status", "How the index stands, or one file.", handlers.status, "Status", (_PATH,)),
    Route("GET", "/v1/jobs", "Jobs and dead letters.", handlers.jobs, "Jobs"),
    Route("GET", "/v1/generations", "All generations.", handlers.generations, "Generations"),
    Route("GET", "/v1/generations/diff", "What two answer differently.", handlers.diff, "Difference", _DIFF),
    *(
        Route("POST", command.path, command.about, submitting(command), "Task", command.fields, 202)
        for command in COMMANDS
    ),
    Route("GET", "/v1/jobs/{job}", "One job or dead letter.", handlers.job, "Job"),
    Route("GET", "/v1/tasks", "Tasks, newest first.", handlers.tasks, "Tasks"),
    Route("GET", "/v1/tasks/{task}", "One task.", handlers.task, "Task", _WAITING),
    Route(
        "GET", "/v1/events", "What happens, as it happens.", streams.events, "text/event-stream", (_LAST_ID,)
    ),
    Route("GET", "/livez", "Does the daemon make progress?", handlers.livez, _TEXT, (_VERBOSE,)),
    Route("GET", "/readyz", "Can it answer?", handlers.readyz, _TEXT, (_VERBOSE,)),
    Route("GET", "/healthz", "The same as /livez.", handlers.livez, _TEXT, (_VERBOSE,)),
    Route("GET", "/metrics", "For Prometheus.", handlers.metrics, _TEXT),
    Route("GET", "/openapi.json", "This document.", _openapi, "Document"),
)
