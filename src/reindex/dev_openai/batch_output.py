"""Running the requests of a batch, and writing its two files, a few lines at a time."""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO

from reindex.dev_openai.batch_faults import (
    Dropped,
    Duplicated,
    Garbled,
    LineFails,
    NoOutput,
    TruncatedOutput,
    Unknown,
)
from reindex.dev_openai.batches import Batch, Status
from reindex.dev_openai.bill import Bill, Lane
from reindex.dev_openai.embedder import Embedder
from reindex.dev_openai.embedding_answer import Item, answer
from reindex.dev_openai.embedding_request import EmbeddingRequest, read_request
from reindex.dev_openai.files import Files
from reindex.dev_openai.options import Options
from reindex.dev_openai.refusals import (
    BATCH_CANCELLED,
    BATCH_EXPIRED,
    INVALID,
    Refusal,
    rate_limited,
    server_error,
)

_GROUP = 64  # lines that are embedded at once
_SEED = 20261  # the order of the lines is arbitrary, and the same in each run
_NOT_RUN = {
    Status.EXPIRED: ("batch_expired", BATCH_EXPIRED),
    Status.CANCELLED: ("batch_cancelled", BATCH_CANCELLED),
}


@dataclass(slots=True)
class _Line:
    index: int  # in the input file, from 0
    custom_id: str
    request: EmbeddingRequest | None = None
    refusal: Refusal | None = None

    @property
    def text(self) -> str:
        return self.request.texts[0] if self.request is not None else ""


class Execution:
    """One run of one batch, in one thread."""

    def __init__(self, batch: Batch, files: Files, embedder: Embedder, bill: Bill, options: Options) -> None:
        assert batch.contents is not None, "it was validated"
        self._batch, self._contents = batch, batch.contents
        self._files, self._embedder, self._bill, self._options = files, embedder, bill, options

    def run(self, share: float, ending: Callable[[], Status]) -> None:
        """Run that share of the lines, until `ending` is something else than COMPLETED; publish both files.
        What was not run is in the error file when the batch expired or was cancelled.
        """
        order = list(range(len(self._contents.offsets)))
        random.Random(_SEED + self._batch.number).shuffle(order)  # noqa: S311 - not for secrets
        most = int(len(order) * share)
        done = 0
        paths = self._files.new_path(), self._files.new_path()
        with ExitStack() as stack:
            source = stack.enter_context(self._contents.path.open("rb"))
            output, errors = (stack.enter_context(path.open("wb")) for path in paths)
            while done < most:
                if share >= 1 and ending() is not Status.COMPLETED:
                    break
                group = [self._read(source, index) for index in order[done : min(done + _GROUP, most)]]
                self._run_group(group, output, errors)
                done += len(group)
            self._write_unknown(output)
            self._write_not_run(source, errors, order[done:], ending())
        truncation = self._fault(TruncatedOutput)
        if truncation is not None:
            with paths[0].open("rb+") as cut:
                cut.truncate(int(paths[0].stat().st_size * truncation.share))
        self._batch.output_file_id = None if self._fault(NoOutput) else self._publish(paths[0], "output")
        self._batch.error_file_id = self._publish(paths[1], "error")

    def _publish(self, path: Any, what: str) -> str | None:
        if path.stat().st_size == 0:
            path.unlink()
            return None
        name = f"{self._batch.id}_{what}.jsonl"
        return self._files.publish(path, name, "batch_output", self._batch.output_expires_s).id

    def _read(self, source: BinaryIO, index: int) -> _Line:
        source.seek(self._contents.offsets[index])
        parsed = json.loads(source.readline())
        line = _Line(index, parsed["custom_id"])
        try:
            line.request = read_request(parsed["body"], self._options)
        except Refusal as refusal:
            line.refusal = refusal
        for fault in self._faults(LineFails):
            if fault.lines.chooses(index, line.text):
                line.refusal = _refusal(fault.status, self._contents.model)
        return line

    def _run_group(self, group: Sequence[_Line], output: BinaryIO, errors: BinaryIO) -> None:
        for line in group:
            if line.refusal is not None:
                errors.write(_line(line.custom_id, line.refusal.status, line.refusal.body()))
                self._batch.failed += 1
        good = [line for line in group if line.refusal is None]
        for line, items in self._embed(good):
            assert line.request is not None, "it was not refused"
            self._write(line, line.request, items, output)

    def _embed(self, lines: Sequence[_Line]) -> Iterator[tuple[_Line, Sequence[Item]]]:
        by_dimensions: dict[int, list[_Line]] = {}
        for line in lines:
            assert line.request is not None, "it was not refused"
            by_dimensions.setdefault(line.request.dimensions, []).append(line)
        for dimensions, alike in by_dimensions.items():
            inputs = [(line.index, text) for line in alike if line.request for text in line.request.texts]
            items = iter(
                self._embedder.items(
                    self._contents.model,
                    [text for _, text in inputs],
                    dimensions,
                    self._batch.faults,
                    [index for index, _ in inputs],
                )
            )
            for line in alike:
                yield line, [next(items) for _ in (line.request.texts if line.request else ())]

    def _write(self, line: _Line, request: EmbeddingRequest, items: Sequence[Item], output: BinaryIO) -> None:
        dropped = [fault for fault in self._faults(Dropped) if fault.lines.chooses(line.index, line.text)]
        if all(fault.is_billed for fault in dropped):
            self._bill.book(Lane.BATCH, request.model, request.dimensions, request.texts, request.tokens)
            self._batch.tokens += sum(request.tokens)
        self._batch.completed += 1
        if dropped:
            return
        content = _line(line.custom_id, 200, answer(request, items, self._batch.faults))
        if any(fault.lines.chooses(line.index, line.text) for fault in self._faults(Garbled)):
            content = content[: len(content) // 2] + b"\n"
        output.write(content)
        if any(fault.lines.chooses(line.index, line.text) for fault in self._faults(Duplicated)):
            output.write(content)

    def _write_unknown(self, output: BinaryIO) -> None:
        for fault in self._faults(Unknown):
            for number in range(fault.count):
                text = f"nobody asked for this {number}"
                request = read_request({"model": self._contents.model, "input": text}, self._options)
                items = self._embedder.items(request.model, request.texts, request.dimensions)
                output.write(_line(f"unknown-{secrets.token_hex(8)}", 200, answer(request, items)))

    def _write_not_run(
        self, source: BinaryIO, errors: BinaryIO, indices: Sequence[int], ending: Status
    ) -> None:
        if ending not in _NOT_RUN:
            return
        code, message = _NOT_RUN[ending]
        for index in indices:
            source.seek(self._contents.offsets[index])
            error = {"code": code, "message": message}
            errors.write(_not_run(json.loads(source.readline())["custom_id"], error))

    def _faults(self, kind: type[Any]) -> list[Any]:
        return [fault for fault in self._batch.faults if isinstance(fault, kind)]

    def _fault(self, kind: type[Any]) -> Any:
        return next(iter(self._faults(kind)), None)


def _line(custom_id: str, status: int, body: dict[str, Any]) -> bytes:
    """An answer of the endpoint, good or bad."""
    response = {"status_code": status, "request_id": secrets.token_hex(16), "body": body}
    return _dump({"custom_id": custom_id, "response": response, "error": None})


def _not_run(custom_id: str, error: dict[str, Any]) -> bytes:
    """A request that never reached the endpoint."""
    return _dump({"custom_id": custom_id, "response": None, "error": error})


def _dump(line: dict[str, Any]) -> bytes:
    return json.dumps({"id": f"batch_req_{secrets.token_hex(16)}", **line}).encode() + b"\n"


def _refusal(status: int, model: str) -> Refusal:
    if status == 429:
        return rate_limited(1.0, model)
    if status >= 500:
        return server_error(status)
    return Refusal(status, "This request was refused because it was asked for.", type=INVALID)
