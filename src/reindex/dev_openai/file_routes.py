"""`/v1/files`."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from reindex.dev_openai.files import LIST_MAX, File, read_expiry
from reindex.dev_openai.refusals import Refusal, no_route
from reindex.dev_openai.service import Service
from reindex.dev_openai.uploads import Upload, receive_upload

_PIECE = 256 * 1024
_PURPOSES = frozenset({"assistants", "batch", "evals", "fine-tune", "user_data", "vision"})
_NUMBER = re.compile(r"\d{1,6}")


async def create_file(request: Request) -> Response:
    """Take an upload. Its content is not looked at."""
    service = batch_service(request)
    path = service.files.new_path()
    try:
        upload = await receive_upload(
            request.headers.get("content-type", ""), request.stream(), path, service.options.file_bytes_max
        )
        expires_s = _check(upload)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    file = service.files.publish(path, upload.filename, upload.fields["purpose"], expires_s)
    return JSONResponse(file.to_json())


def _check(upload: Upload) -> int | None:
    purpose = upload.fields.get("purpose", "")
    if not upload.path.exists():
        raise Refusal(400, "'file' is a required property")
    if purpose not in _PURPOSES:
        raise Refusal(400, f"'{purpose}' is not one of {sorted(_PURPOSES)} - 'purpose'", param="purpose")
    if purpose == "batch" and not upload.filename.endswith(".jsonl"):
        raise Refusal(400, "Invalid file format for Batch API. Must be .jsonl")
    seconds, anchor = upload.fields.get("expires_after[seconds]"), upload.fields.get("expires_after[anchor]")
    return None if seconds is None and anchor is None else read_expiry(seconds, anchor, "expires_after")


async def list_files(request: Request) -> Response:
    """A page of them, newest first unless asked otherwise."""
    service = batch_service(request)
    query = request.query_params
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise Refusal(
            400, f"Invalid value: '{order}'. Supported values are: 'asc' and 'desc'.", param="order"
        )
    page, has_more = service.files.page(
        purpose=query.get("purpose", ""),
        after=query.get("after", ""),
        limit=read_limit(request, LIST_MAX, LIST_MAX),
        is_ascending=order == "asc",
    )
    return list_answer([file.to_json() for file in page], has_more=has_more)


async def retrieve_file(request: Request) -> Response:
    """One of them."""
    return JSONResponse(batch_service(request).files.get(request.path_params["id"]).to_json())


async def delete_file(request: Request) -> Response:
    """It goes at once."""
    file_id = request.path_params["id"]
    batch_service(request).files.delete(file_id)
    return JSONResponse({"id": file_id, "object": "file", "deleted": True})


async def file_content(request: Request) -> Response:
    """The bytes, from disk."""
    return _Content(batch_service(request).files.get(request.path_params["id"]))


def batch_service(request: Request) -> Service:
    """The service, if it has batches. Raises Refusal."""
    service: Service = request.app.state.service
    if not service.options.has_batches:
        raise no_route(request.method, request.url.path)
    return service


def read_limit(request: Request, default: int, most: int) -> int:
    """The page's length that is asked for. Raises Refusal."""
    text = request.query_params.get("limit", str(default))
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise Refusal(
            400,
            f"Invalid 'limit': expected an integer between 1 and {most}, but got '{text}'.",
            param="limit",
        )
    return int(text)


def list_answer(rows: list[dict[str, object]], *, has_more: bool) -> Response:
    """A page, as the API shows it."""
    first_id, last_id = (rows[0]["id"], rows[-1]["id"]) if rows else (None, None)
    return JSONResponse(
        {"object": "list", "data": rows, "first_id": first_id, "last_id": last_id, "has_more": has_more}
    )


class _Content(Response):
    """A file that is sent piece by piece."""

    def __init__(self, file: File) -> None:
        super().__init__(media_type="application/octet-stream")
        self._file = file
        self._size = file.path.stat().st_size
        self.headers["content-length"] = str(self._size)
        self.headers["content-disposition"] = f'attachment; filename="{file.filename}"'

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        sent = 0
        was_fetched = self._file.is_fetched
        try:
            is_more = True
            while is_more:
                piece = await run_in_threadpool(_read_at, self._file.path, sent)
                sent += len(piece)
                is_more = bool(piece) and sent < self._size
                self._file.is_fetched = was_fetched or not is_more  # before the client can know
                await send({"type": "http.response.body", "body": piece, "more_body": is_more})
        except BaseException:
            self._file.is_fetched = was_fetched
            raise


def _read_at(path: Path, offset: int) -> bytes:
    with path.open("rb") as content:
        content.seek(offset)
        return content.read(_PIECE)
