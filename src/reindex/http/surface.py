"""What a daemon gives to its HTTP API: values and functions, and nothing of how they are made."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from reindex.http.events import Events
from reindex.http.metrics import Numbers
from reindex.search import SearchMode, SearchResult
from reindex.tasks import Tasks


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """A question, checked: 1 <= k <= 1000. `generation` None asks the live one."""

    query: str
    k: int = 10
    mode: SearchMode = SearchMode.HYBRID
    source: str | None = None
    path_prefix: str | None = None
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the daemon makes progress, whether it can answer, and each part by name: is it well, and what
    there is to say of it.
    """

    is_alive: bool
    is_ready: bool
    components: Mapping[str, tuple[bool, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Surface:
    """All that the API stands on. Each may raise any ReindexError.

    `search` runs on the API's event loop. `health` is called there too: it must be quick and never wait.
    Every other function is called in one of a few threads, several at a time.
    """

    search: Callable[[SearchRequest], Awaitable[SearchResult]]
    status: Callable[[], Mapping[str, object]]
    document_status: Callable[[str], Mapping[str, object]]
    """By a path as `reindex status PATH` takes it."""
    jobs: Callable[[], Mapping[str, object]]
    job: Callable[[str], Mapping[str, object] | None]
    """A job ("7") or a dead letter ("d3")."""
    generations: Callable[[], Mapping[str, object]]
    diff: Callable[[int, int, list[str]], Mapping[str, object]]
    """Two generations and questions (none: those of the probe file)."""
    tasks: Tasks
    events: Events
    health: Callable[[], Health]
    numbers: Callable[[], Numbers]
