"""CocoIndex 1.0 as its LanceDB example has it: local files, RecursiveSplitter, one embedding for each chunk
(the engine groups them), rows declared to a LanceDB table. Its own state is a file; it needs no server.
"""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any

import common

os.environ.setdefault("COCOINDEX_DISABLE_USAGE_TRACKING", "1")

import cocoindex as coco
import numpy as np
from cocoindex.connectors import lancedb, localfs
from cocoindex.ops.sentence_transformers import SentenceTransformerEmbedder
from cocoindex.ops.text import RecursiveSplitter
from cocoindex.resources.chunk import Chunk
from cocoindex.resources.file import FileLike
from cocoindex.resources.id import IdGenerator
from numpy.typing import NDArray

CHUNK_CHARACTERS = 550
DATABASE = coco.ContextKey[lancedb.LanceAsyncConnection]("database")
EMBEDDER = coco.ContextKey[SentenceTransformerEmbedder]("embedder")
SPLITTER = RecursiveSplitter()


class CountingModel:
    """Stands where the loaded model stands in CocoIndex's own embedder, which groups the texts before it."""

    def __init__(self, model: Any, encoder: common.Encoder) -> None:
        self._model = model
        self._encoder = encoder

    def encode(self, texts: list[str], **options: Any) -> NDArray[np.float32]:
        if self._model is None:
            return self._encoder.hashed(texts)
        self._encoder.count(texts)
        return self._model.encode(texts, **options)

    def get_sentence_embedding_dimension(self) -> int:
        return common.DIMENSIONS


def embedder(encoder: common.Encoder) -> SentenceTransformerEmbedder:
    """CocoIndex's own embedder, at its default batch size; by hashes, only its model is another."""
    made = SentenceTransformerEmbedder(common.model_directory())
    made._model = CountingModel(made._get_model() if encoder.by_model else None, encoder)  # type: ignore[assignment]  # noqa: SLF001
    return made


@dataclass
class Row:
    id: int
    filename: str
    chunk_start: int
    chunk_end: int
    text: str
    embedding: Annotated[NDArray, EMBEDDER]


@coco.fn
async def process_chunk(
    chunk: Chunk, filename: PurePath, id_gen: IdGenerator, table: lancedb.TableTarget[Row]
) -> None:
    table.declare_row(
        row=Row(
            id=await id_gen.next_id(chunk.text),
            filename=str(filename),
            chunk_start=chunk.start.char_offset,
            chunk_end=chunk.end.char_offset,
            text=chunk.text,
            embedding=await coco.use_context(EMBEDDER).embed(chunk.text),
        )
    )


@coco.fn(memo=True)
async def process_file(file: FileLike, table: lancedb.TableTarget[Row]) -> None:
    text = await file.read_text()
    chunks = SPLITTER.split(text, chunk_size=CHUNK_CHARACTERS, chunk_overlap=0, language="markdown")
    await coco.map(process_chunk, chunks, file.file_path.path, IdGenerator(), table)


@coco.fn
async def app_main(docs: Path) -> None:
    table = await lancedb.mount_table_target(
        DATABASE,
        table_name="documents",
        table_schema=await lancedb.TableSchema.from_class(Row, primary_key=["id"]),
    )
    await coco.mount_each(process_file, localfs.walk_dir(docs, recursive=True).items(), table)


class CocoIndex:
    def __init__(self, encoder: common.Encoder) -> None:
        self._embedder = embedder(encoder)

    def open(self, docs: Path, work: Path) -> "Folder":
        return Folder(docs, work, self._embedder)


class Folder:
    def __init__(self, docs: Path, work: Path, made: SentenceTransformerEmbedder) -> None:
        context = coco.ContextProvider()
        environment = coco.Environment(
            coco.Settings(db_path=work / "cocoindex.db"), name=work.parent.name, context_provider=context
        )
        connection = asyncio.run_coroutine_threadsafe(
            lancedb.connect_async(str(work / "lancedb")), environment.event_loop
        ).result()
        context.provide(DATABASE, connection)
        context.provide(EMBEDDER, made)
        config = coco.AppConfig(name="documents", environment=environment)
        self._app = coco.App(config, app_main, docs=docs)

    def sync(self) -> None:
        self._app.update_blocking()


if __name__ == "__main__":
    common.main(CocoIndex)
