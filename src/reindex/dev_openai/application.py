"""The addresses of the server, behind the gate."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reindex.dev_openai import batch_routes, control_routes, embedding_routes, file_routes
from reindex.dev_openai.connections import Connections
from reindex.dev_openai.gate import Gate, is_known
from reindex.dev_openai.refusals import Refusal, no_route, wrong_method
from reindex.dev_openai.service import Service

_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]


def build_gate(service: Service, connections: Connections, *, has_control: bool) -> Gate:
    """The application for uvicorn. `has_control`: with `/dev/...`."""
    routes = [
        Route("/v1/embeddings", embedding_routes.create_embeddings, methods=["POST"]),
        Route("/v1/models", embedding_routes.list_models, methods=["GET"]),
        Route("/v1/models/{name:path}", embedding_routes.retrieve_model, methods=["GET"]),
        Route("/v1/files", file_routes.create_file, methods=["POST"]),
        Route("/v1/files", file_routes.list_files, methods=["GET"]),
        Route("/v1/files/{id}", file_routes.retrieve_file, methods=["GET"]),
        Route("/v1/files/{id}", file_routes.delete_file, methods=["DELETE"]),
        Route("/v1/files/{id}/content", file_routes.file_content, methods=["GET"]),
        Route("/v1/batches", batch_routes.create_batch, methods=["POST"]),
        Route("/v1/batches", batch_routes.list_batches, methods=["GET"]),
        Route("/v1/batches/{id}", batch_routes.retrieve_batch, methods=["GET"]),
        Route("/v1/batches/{id}/cancel", batch_routes.cancel_batch, methods=["POST"]),
    ]
    if has_control:
        routes += control_routes.ROUTES
    application = Starlette(
        routes=[*routes, Route("/{path:path}", _nothing_here, methods=_METHODS)],
        exception_handlers={Refusal: _refused},
    )
    application.state.service = service
    return Gate(application, service, connections)


async def _nothing_here(request: Request) -> Response:
    method, path = request.method, request.url.path
    raise wrong_method(method, path) if is_known(path) else no_route(method, path)


async def _refused(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, Refusal), "it is registered for them"
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers())
