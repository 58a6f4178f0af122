"""Every setting of reindex on one page: its key, type, default, limits and meaning.

The parser, the JSON schema and the file that `reindex init` writes are all derived from these classes (by
`settings_entries`); to add a setting, add a field here. Annotations must stay real objects (no `from
__future__ import annotations`).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypedDict, Unpack

NOT_SETTINGS = frozenset({"REINDEX_CONFIG", "REINDEX_TOKEN"})
"""Environment variables that begin with REINDEX_ and are no settings. Any other unknown one is an error."""


PRICES_OF = "May 2026"
PRICES_USD = {  # of a million tokens, real-time; the Batch API takes half
    "text-embedding-3-small": 0.02,
    "text-embedding-3-large": 0.13,
    "text-embedding-ada-002": 0.10,
}


class Limits(TypedDict, total=False):
    """What a field's metadata may say beside its `doc`."""

    min: float
    max: float
    pattern: str  # a regular expression for the whole string
    allowed: str  # the pattern in words
    may_hold_password: bool  # an address: the password in it is masked wherever it is shown
    is_secret: bool  # all of it is
    may_be_path: bool  # a string that is a path when it begins with ".", "/" or "~"
    example: str | float  # what `init` writes where there is no default
    fine_tuning: bool  # `init` writes it as a comment


def _about(doc: str, **limits: Unpack[Limits]) -> dict[str, object]:
    return {"doc": doc, **limits}


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """A folder whose files are the documents. Write one [[sources]] for each."""

    name: str = field(
        metadata=_about(
            "the source's name in answers and filters",
            pattern=r"[A-Za-z0-9._-]+",
            allowed="made of A-Z a-z 0-9 . _ -",
            example="docs",
        )
    )
    path: Path = field(metadata=_about("its folder", example="data"))
    include: tuple[str, ...] = field(
        default=(), metadata=_about("globs; none: every format the parser knows")
    )
    exclude: tuple[str, ...] = field(
        default=(), metadata=_about("on top of the default ignores, .gitignore and .reindexignore")
    )
    max_file_mb: float = field(default=20, metadata=_about("a larger file is ignored", min=0.001))


@dataclass(frozen=True, slots=True)
class ParsingSettings:
    """What one document may take. One that takes more fails alone; the others go on."""

    timeout_s: float = field(
        default=60, metadata=_about("to parse one document; each 5 MB of it add as much again", min=0.1)
    )
    memory_mb: int = field(
        default=4096, metadata=_about("for the process that parses; 0: no limit (Linux only)", min=0)
    )
    max_text_mb: float = field(default=256, metadata=_about("what may come out of one document", min=0.001))


@dataclass(frozen=True, slots=True)
class ChunkingSettings:
    """How a document is cut. A change here makes a new generation."""

    max_tokens: int = field(
        default=256, metadata=_about("of one chunk, special tokens and prompt included", min=8)
    )
    overlap_tokens: int = field(default=0, metadata=_about("repeated from the chunk before", min=0))


@dataclass(frozen=True, slots=True)
class OpenAISettings:
    """Any server that speaks this API. $OPENAI_API_KEY is the key, never in this file."""

    base_url: str = field(
        default="",
        metadata=_about(
            "the server's address; \"\": the SDK's own",
            pattern=r"(https?://\S+)?",
            allowed='an http:// or https:// address, or ""',
            may_hold_password=True,
        ),
    )
    lane: Literal["auto", "realtime", "batch"] = field(
        default="auto", metadata=_about("auto: batch for a large backlog, realtime for the rest")
    )
    batch_min_chunks: int = field(
        default=2000, metadata=_about("auto: a backlog of at least this goes by batch", min=0)
    )
    batch_max_wait_s: float = field(default=900, metadata=_about("a batch is sealed at this age", min=0))
    budget_usd_per_day: float = field(
        default=0, metadata=_about("no more is spent in a day (UTC) on documents; 0: none", min=0)
    )
    price_usd: float | None = field(
        default=None,
        metadata=_about(
            f"of a million tokens, real-time; absent: OpenAI's of {PRICES_OF}",
            min=0,
            example=0.02,
            fine_tuning=True,
        ),
    )
    batch_price_usd: float | None = field(
        default=None,
        metadata=_about("the same by batch; absent: half of it", min=0, example=0.01, fine_tuning=True),
    )
    has_batch: bool = field(
        default=True, metadata=_about("the server has /v1/files and /v1/batches", fine_tuning=True)
    )
    has_base64: bool = field(
        default=True,
        metadata=_about("the server knows encoding_format = base64 (a fifth of the bytes)", fine_tuning=True),
    )
    send_dimensions: bool = field(
        default=True,
        metadata=_about(
            "ask the server for set `dimensions`; false: its vectors are cut here",
            fine_tuning=True,
        ),
    )
    max_inputs_per_request: int = field(
        default=2048,
        metadata=_about("many compatible servers take 10 to 32", min=1, max=2048, fine_tuning=True),
    )
    max_tokens_per_request: int = field(
        default=300_000,
        metadata=_about("summed over its texts, as the server counts", min=1, fine_tuning=True),
    )
    max_tokens_per_input: int = field(
        default=8192, metadata=_about("what the model reads of one text", min=8, fine_tuning=True)
    )
    timeout_s: float = field(default=60, metadata=_about("of one request", min=0.1, fine_tuning=True))
    retries_max: int = field(
        default=4, metadata=_about("of one request after a passing failure", min=0, fine_tuning=True)
    )
    retry_wait_max_s: float = field(
        default=120,
        metadata=_about(
            "the longest wait between them; for a longer one the run ends",
            min=0,
            fine_tuning=True,
        ),
    )
    batch_max_inputs: int = field(
        default=50_000, metadata=_about("texts of one batch", min=1, max=50_000, fine_tuning=True)
    )
    batch_max_mb: float = field(
        default=190, metadata=_about("of its input file", min=0.01, max=200, fine_tuning=True)
    )
    batch_queue_tokens: int = field(
        default=0,
        metadata=_about(
            "enqueued at a time, by the account's tier; 0: learned from the server's refusal",
            min=0,
            fine_tuning=True,
        ),
    )
    batch_poll_s: float = field(
        default=5,
        metadata=_about(
            "between two looks at open batches; it grows to a minute", min=0.01, fine_tuning=True
        ),
    )
    batch_grace_s: float = field(
        default=120,
        metadata=_about(
            "until a batch that may not have been created is sent again",
            min=0,
            fine_tuning=True,
        ),
    )
    batch_stuck_s: float = field(
        default=3600,
        metadata=_about(
            "past its window, until a batch that does not end is cancelled", min=0, fine_tuning=True
        ),
    )
    attempts_max: int = field(
        default=3,
        metadata=_about("of a text whose answers are lost or wrong, then it fails", min=1, fine_tuning=True),
    )


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    """The model that turns text into vectors. Another model makes a new generation."""

    provider: Literal["local", "openai"] = field(default="local", metadata=_about("where the model runs"))
    model: str = field(
        default="all-MiniLM-L6-v2",
        metadata=_about(
            "a directory, an installed model package, or a hub name",
            pattern=r"\S(.*\S)?",
            allowed="a name or a path",
            may_be_path=True,
        ),
    )
    dimensions: int = field(default=0, metadata=_about("0: the model's own", min=0))
    backend: Literal["auto", "torch", "onnx"] = field(
        default="auto",
        metadata=_about("runs a local model (same vectors)"),
    )
    precision: Literal["fp32", "int8"] = field(
        default="fp32",
        metadata=_about("int8: another space, quicker, finds less"),
    )
    threads: int = field(default=0, metadata=_about("of a local model; 0: one for each core", min=0))
    query_prompt: str | None = field(
        default=None,
        metadata=_about(
            'put before a query; absent: the model\'s own; "": none', example="query: ", fine_tuning=True
        ),
    )
    document_prompt: str | None = field(
        default=None,
        metadata=_about(
            'put before a chunk; absent: the model\'s own; "": none', example="passage: ", fine_tuning=True
        ),
    )
    batch_tokens: int = field(
        default=1024, metadata=_about("token budget of one encoder call", min=1, fine_tuning=True)
    )
    window_chunks: int = field(
        default=2000, metadata=_about("chunks applied and published at once", min=1, fine_tuning=True)
    )
    cache_max_gb: float = field(
        default=0, metadata=_about("limit of the vector cache; 0: none", min=0, fine_tuning=True)
    )
    openai: OpenAISettings = field(default_factory=OpenAISettings)


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The tables that are searched, and their upkeep."""

    vector_index_min_rows: int = field(
        default=20000, metadata=_about("below it, a search looks at every row (exact)", min=1)
    )
    keep_generations: int = field(default=2, metadata=_about("the live one included", min=1))
    reader_grace_s: float = field(
        default=300,
        metadata=_about("how long a replaced version or table stays readable", min=0, fine_tuning=True),
    )
    optimize_unindexed_rows: int = field(
        default=5000,
        metadata=_about("upkeep when so many rows are outside the indices", min=1, fine_tuning=True),
    )
    optimize_small_fragments: int = field(
        default=24,
        metadata=_about(
            "upkeep when a table has so many small files; over 50,000 rows more",
            min=2,
            fine_tuning=True,
        ),
    )


@dataclass(frozen=True, slots=True)
class DaemonSettings:
    """`reindex run` and `reindex start`."""

    http: str = field(
        default="127.0.0.1:7700",
        metadata=_about(
            'also the search service; "" turns it off',
            pattern=r"((\[[0-9A-Za-z:.%]+\]|[^\s:/\[\]]+):[0-9]{1,5})?",
            allowed='"host:port", or ""',
        ),
    )
    settle_ms: float = field(
        default=50, metadata=_about("quiet time before a single saved file is taken", min=0)
    )
    reconcile_s: float = field(default=900, metadata=_about("a full scan at least this often", min=0.1))
    poll_s: float = field(
        default=30,
        metadata=_about(
            "between two looks at folders that tell of no changes, as network shares",
            min=0.1,
            fine_tuning=True,
        ),
    )
    token: str = field(
        default="",
        metadata=_about(
            "what a client has to show; needed for another address than this machine's own",
            pattern=r"[!-~]*",
            allowed="printable, without spaces",
            is_secret=True,
            example="${REINDEX_TOKEN}",
            fine_tuning=True,
        ),
    )
    searches_max: int = field(
        default=64,
        metadata=_about("under way at a time; above it, a client is told to wait", min=1, fine_tuning=True),
    )
    model_idle_s: float = field(
        default=600,
        metadata=_about("a model's process ends after so long without work", min=0.1, fine_tuning=True),
    )
    stop_s: float = field(
        default=10,
        metadata=_about(
            "after being asked to stop, until what is under way is cut off", min=0, fine_tuning=True
        ),
    )
    log_level: Literal["debug", "info", "warning", "error"] = field(
        default="info", metadata=_about("what is logged: this and all above it", fine_tuning=True)
    )


@dataclass(frozen=True, slots=True)
class PromotionSettings:
    """The gate that a new generation passes before it goes live."""

    queries: Path | None = field(
        default=None, metadata=_about("TOML of probe queries with the documents they should find")
    )
    min_recall: float = field(default=0, metadata=_about("at k=10, on those probes", min=0, max=1))


@dataclass(frozen=True, slots=True)
class Settings:
    """All of config.toml. As loaded, every path in it is absolute."""

    data_dir: Path = field(default=Path(".reindex"), metadata=_about("ledger, cache, LanceDB, lock, logs"))
    sources: tuple[SourceSettings, ...] = ()
    parsing: ParsingSettings = field(default_factory=ParsingSettings)
    chunking: ChunkingSettings = field(default_factory=ChunkingSettings)
    embedding: EmbeddingSettings = field(default_factory=EmbeddingSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    daemon: DaemonSettings = field(default_factory=DaemonSettings)
    promotion: PromotionSettings = field(default_factory=PromotionSettings)
