"""From the table of routes to an application: requests are read within limits, errors become problems."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as Routing
from starlette.types import ASGIApp

from reindex.errors import ExitCode, ReindexError
from reindex.http.address import Address
from reindex.http.api import Api, Call
from reindex.http.fields import body_values, query_values
from reindex.http.guard import Guard
from reindex.http.problems import Refusal, bug_response, error_response, refusal_response
from reindex.http.route import Route
from reindex.http.routes import ROUTES

BODY_BYTES_MAX = 65_536
BODY_S = 10.0

logger = logging.getLogger("reindex.http")


def build_application(api: Api, address: Address, token: str) -> ASGIApp:
    """All routes behind the guard."""
    paths: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method] = route
    application = Starlette(
        routes=[
            Routing(path, _endpoint(api, by_method), methods=list(by_method))
            for path, by_method in paths.items()
        ],
        exception_handlers={HTTPException: _not_served},
    )
    application.router.redirect_slashes = False  # a redirect would repeat the Host that was sent
    return Guard(application, address, token)


def _endpoint(api: Api, by_method: Mapping[str, Route]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        route = by_method["GET" if request.method == "HEAD" else request.method]
        try:
            return await route.handler(api, Call(request, await _values(route, request)))
        except Refusal as refusal:
            return refusal_response(refusal)
        except ReindexError as error:
            return error_response(error)
        except asyncio.CancelledError:  # the server's time to stop is over
            return refusal_response(Refusal(503, "the daemon stops", "Ask again when it runs."))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception:
            logger.exception("%s %s failed", route.method, route.path, extra={"event": "bug"})
            return bug_response()

    return endpoint


async def _values(route: Route, request: Request) -> dict[str, object]:
    """All options of a request, checked."""
    in_path = {}
    for field in route.path_fields:
        text = str(request.path_params[field.name])
        pattern = r"d?[0-9]{1,18}" if field.name == "job" else r"[0-9]{1,15}"
        if not re.fullmatch(pattern, text):
            raise Refusal(404, f"there is no such {field.name}", exit_code=ExitCode.USAGE)
        in_path[field.name] = text if field.name == "job" else int(text)
    if route.method == "GET":
        return query_values(route.fields, request.scope["query_string"]) | in_path
    if request.scope["query_string"]:
        raise Refusal(422, "options belong into the body, as JSON", exit_code=ExitCode.USAGE)
    body = await _body(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and kind != "application/json":
        raise Refusal(415, "the body must be JSON", "Send `Content-Type: application/json`.")
    return body_values(route.fields, body) | in_path


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > BODY_BYTES_MAX:
                    raise Refusal(
                        413, f"a body may have {BODY_BYTES_MAX} bytes", headers={"Connection": "close"}
                    )
    except TimeoutError:
        raise Refusal(
            408, f"the body took more than {BODY_S:.0f} s", headers={"Connection": "close"}
        ) from None
    return bytes(body)


async def _not_served(_: Request, error: Exception) -> Response:
    """No such path, or not by this method."""
    assert isinstance(error, HTTPException), "it is registered for nothing else"
    hints = {404: "`GET /openapi.json` lists what there is.", 405: "The header Allow says how."}
    detail = {404: "there is no such path", 405: "not by this method"}.get(error.status_code, error.detail)
    hint = hints.get(error.status_code, "")
    return refusal_response(
        Refusal(error.status_code, detail, hint, headers=dict(error.headers) if error.headers else None)
    )
