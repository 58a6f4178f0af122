"""`/v1/embeddings` and `/v1/models`."""

from __future__ import annotations

import json

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reindex.dev_openai.bill import Lane
from reindex.dev_openai.embedding_answer import answer
from reindex.dev_openai.embedding_request import EmbeddingRequest, parse_object, read_request
from reindex.dev_openai.refusals import unknown_model
from reindex.dev_openai.service import Service

_CREATED = 1_705_953_180


async def create_embeddings(request: Request) -> Response:
    """Embed, in a thread."""
    service: Service = request.app.state.service
    wanted = read_request(parse_object(await request.body()), service.options)
    headers = service.limiter.admit(wanted.model, sum(wanted.tokens))
    content = await run_in_threadpool(_embed, service, wanted, request.state.faults)
    return Response(content, media_type="application/json", headers={**headers, "openai-model": wanted.model})


def _embed(service: Service, wanted: EmbeddingRequest, faults: tuple[object, ...]) -> bytes:
    items = service.embedder.items(wanted.model, wanted.texts, wanted.dimensions, faults)
    service.bill.book(Lane.REALTIME, wanted.model, wanted.dimensions, wanted.texts, wanted.tokens)
    return json.dumps(answer(wanted, items, faults)).encode()


async def list_models(request: Request) -> Response:
    """All of them."""
    service: Service = request.app.state.service
    return JSONResponse({"object": "list", "data": [_model(name) for name in service.options.models]})


async def retrieve_model(request: Request) -> Response:
    """One of them."""
    service: Service = request.app.state.service
    name = request.path_params["name"]
    if name not in service.options.models:
        raise unknown_model(name)
    return JSONResponse(_model(name))


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _CREATED, "owned_by": "system"}
