"""LangChain's `index()` as its documentation has it: DirectoryLoader, a recursive splitter by characters,
SQLRecordManager on SQLite, and the LanceDB vector store.

`cleanup="full"` is the mode for a whole folder: it alone removes what is gone. `mode="append"` is not the
store's default, but with the default ("overwrite") each batch of 100 replaces the table.
"""

from pathlib import Path

import common
import lancedb
from langchain_classic.indexes import SQLRecordManager
from langchain_community.document_loaders import DirectoryLoader, TextLoader
from langchain_community.vectorstores import LanceDB
from langchain_core.embeddings import Embeddings
from langchain_core.indexing import index
from langchain_text_splitters import RecursiveCharacterTextSplitter

CHUNK_CHARACTERS = 550


class HashEmbeddings(Embeddings):
    def __init__(self, encoder: common.Encoder) -> None:
        self._encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._encoder.hashed(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def model_embeddings(encoder: common.Encoder) -> Embeddings:
    """LangChain's own, at its default batch size; the texts are noted on their way."""
    from langchain_huggingface import HuggingFaceEmbeddings

    class Counting(HuggingFaceEmbeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            encoder.count(texts)
            return super().embed_documents(texts)

    return Counting(model_name=common.model_directory(), model_kwargs={"device": "cpu"})


class LangChain:
    def __init__(self, encoder: common.Encoder) -> None:
        self._embeddings = model_embeddings(encoder) if encoder.by_model else HashEmbeddings(encoder)

    def open(self, docs: Path, work: Path) -> "Folder":
        return Folder(docs, work, self._embeddings)


class Folder:
    def __init__(self, docs: Path, work: Path, embeddings: Embeddings) -> None:
        self._docs = docs
        self._records = SQLRecordManager("lancedb/documents", db_url=f"sqlite:///{work / 'records.sqlite'}")
        self._records.create_schema()
        connection = lancedb.connect(work / "lancedb")
        self._store = LanceDB(
            connection=connection, embedding=embeddings, table_name="documents", mode="append"
        )
        self._splitter = RecursiveCharacterTextSplitter(chunk_size=CHUNK_CHARACTERS, chunk_overlap=0)

    def sync(self) -> None:
        loader = DirectoryLoader(
            str(self._docs),
            glob="**/*",
            loader_cls=TextLoader,
            loader_kwargs={"encoding": "utf-8"},
        )
        chunks = self._splitter.split_documents(loader.load())
        index(chunks, self._records, self._store, cleanup="full", source_id_key="source")


if __name__ == "__main__":
    common.main(LangChain)
