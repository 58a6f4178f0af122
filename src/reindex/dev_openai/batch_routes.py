"""`/v1/batches`."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from reindex.dev_openai.embedding_request import parse_object
from reindex.dev_openai.file_routes import batch_service, list_answer, read_limit

_PAGE, _PAGE_MAX = 20, 100


async def create_batch(request: Request) -> Response:
    """Take one on: whether its file is a good one shows later."""
    service = batch_service(request)
    batch = service.batches.create(parse_object(await request.body()))
    return JSONResponse(service.batches.shown(batch))


async def list_batches(request: Request) -> Response:
    """A page of them, newest first."""
    service = batch_service(request)
    limit = read_limit(request, _PAGE, _PAGE_MAX)
    page, has_more = service.batches.page(request.query_params.get("after", ""), limit)
    return list_answer([service.batches.shown(batch) for batch in page], has_more=has_more)


async def retrieve_batch(request: Request) -> Response:
    """One of them."""
    service = batch_service(request)
    batch = service.batches.get(request.path_params["id"])
    return JSONResponse(service.batches.shown(batch))


async def cancel_batch(request: Request) -> Response:
    """Begin to cancel it."""
    service = batch_service(request)
    batch = service.batches.get(request.path_params["id"])
    service.batches.cancel(batch)
    return JSONResponse(service.batches.shown(batch))
