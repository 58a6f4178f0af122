"""Reading a multipart upload from its stream onto disk."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from reindex.dev_openai.refusals import Refusal

_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_NAME = re.compile(rb'[; ]name="((?:[^"\\]|\\.)*)"')
_FILENAME = re.compile(rb'filename="((?:[^"\\]|\\.)*)"')
_HEAD_MAX = 16_384
_FIELD_MAX = 65_536


@dataclass(slots=True)
class Upload:
    """The fields of a form, and its file: at `path`, with its own name ("" if there was none)."""

    path: Path
    filename: str = ""
    fields: dict[str, str] = field(default_factory=dict)


class _Parts:
    """A stream as bytes to be taken up to a mark."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._held = bytearray()

    async def more(self) -> bool:
        """Hold more of the stream, if there is any."""
        async for chunk in self._stream:
            self._held += chunk
            if chunk:
                return True
        return False

    async def is_last(self) -> bool:
        """Behind a boundary: whether dashes say that it was the last, not a line end. Raises Refusal."""
        while len(self._held) < 2:
            if not await self.more():
                raise _broken()
        ending = bytes(self._held[:2])
        del self._held[:2]
        if ending not in {b"\r\n", b"--"}:
            raise _broken()
        return ending == b"--"

    async def until(self, mark: bytes, most: int) -> bytes:
        """What stands before `mark`, which goes too. Raises Refusal."""
        pieces = [piece async for piece in self.pieces_until(mark)]
        if sum(map(len, pieces)) > most:
            raise _broken()
        return b"".join(pieces)

    async def pieces_until(self, mark: bytes) -> AsyncIterator[bytes]:
        """The same, piece by piece."""
        while True:
            place = self._held.find(mark)
            if place >= 0:
                piece = bytes(self._held[:place])
                del self._held[: place + len(mark)]
                yield piece
                return
            safe = len(self._held) - len(mark) + 1
            if safe > 0:
                piece = bytes(self._held[:safe])
                del self._held[:safe]
                yield piece
            if not await self.more():
                raise _broken()


async def receive_upload(
    content_type: str, stream: AsyncIterator[bytes], path: Path, bytes_max: int
) -> Upload:
    """The form, its file written to `path`. Raises Refusal: no form, cut off, or over `bytes_max`."""
    match = _BOUNDARY.search(content_type)
    if match is None or "multipart/form-data" not in content_type.lower():
        raise _broken()
    mark = b"\r\n--" + match[1].strip().encode("latin-1")
    parts = _Parts(stream)
    upload = Upload(path)
    await parts.until(mark[2:], _HEAD_MAX)
    while not await parts.is_last():
        head = await parts.until(b"\r\n\r\n", _HEAD_MAX)
        name, filename = _NAME.search(b" " + head), _FILENAME.search(head)
        if name is None:
            raise _broken()
        if filename is None:
            upload.fields[name[1].decode()] = (await parts.until(mark, _FIELD_MAX)).decode()
        else:
            upload.filename = filename[1].decode(errors="replace")
            with path.open("wb") as target:
                await _copy(parts, mark, target, bytes_max)
    return upload


async def _copy(parts: _Parts, mark: bytes, target: BinaryIO, bytes_max: int) -> None:
    size = 0
    async for piece in parts.pieces_until(mark):
        size += len(piece)
        if size > bytes_max:
            raise Refusal(
                413, f"File is too large. Maximum size for batch input is {bytes_max} bytes.", param="file"
            )
        target.write(piece)


def _broken() -> Refusal:
    return Refusal(400, "Could not parse multipart form")
