"""LlamaIndex's IngestionPipeline as its documentation has it: SimpleDirectoryReader with file names as ids,
SentenceSplitter, a document store with upserts and deletes, persisted after each run, and LanceDB.

One fault is mended, or no update would go through: `LanceDBVectorStore.delete` puts the document's id in
double quotes, which LanceDB reads as the name of a column.
"""

from pathlib import Path

import common
import lancedb
from llama_index.core import SimpleDirectoryReader
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.vector_stores.lancedb import LanceDBVectorStore

CHUNK_TOKENS = 150


class HashEmbedding(BaseEmbedding):
    _encoder: common.Encoder

    def __init__(self, encoder: common.Encoder) -> None:
        super().__init__(model_name="hash")
        self._encoder = encoder

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._encoder.hashed(texts).tolist()

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    _get_query_embedding = _get_text_embedding

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def model_embedding(encoder: common.Encoder) -> BaseEmbedding:
    """LlamaIndex's own, at its default batch size; the texts are noted on their way."""
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    class Counting(HuggingFaceEmbedding):
        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            encoder.count(texts)
            return super()._get_text_embeddings(texts)

    return Counting(model_name=common.model_directory(), device="cpu")


class MendedLanceDB(LanceDBVectorStore):
    def delete(self, ref_doc_id: str, **_: object) -> None:
        self.table.delete(f"{self.doc_id_key} = '" + ref_doc_id.replace("'", "''") + "'")


class LlamaIndex:
    def __init__(self, encoder: common.Encoder) -> None:
        self._embedding = model_embedding(encoder) if encoder.by_model else HashEmbedding(encoder)

    def open(self, docs: Path, work: Path) -> "Folder":
        return Folder(docs, work, self._embedding)


class Folder:
    def __init__(self, docs: Path, work: Path, embedding: BaseEmbedding) -> None:
        self._docs = docs
        self._storage = work / "pipeline_storage"
        self._pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(chunk_size=CHUNK_TOKENS, chunk_overlap=0), embedding],
            docstore=SimpleDocumentStore(),
            docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
            vector_store=MendedLanceDB(connection=lancedb.connect(work / "lancedb"), table_name="documents"),
        )
        if self._storage.exists():
            self._pipeline.load(str(self._storage))

    def sync(self) -> None:
        reader = SimpleDirectoryReader(str(self._docs), recursive=True, filename_as_id=True)
        self._pipeline.run(documents=reader.load_data())
        self._pipeline.persist(str(self._storage))


if __name__ == "__main__":
    common.main(LlamaIndex)
