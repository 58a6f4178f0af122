"""Every point at which a run may end: around each commit of ledger and cache, each file that is replaced,
each Lance commit and each request. Counted in one run, chosen by number in another.
"""

from contextlib import ExitStack, contextmanager
from unittest import mock

from doubles import Crash
from reindex.embedders.openai_batch import OpenAIBatches
from reindex.embedders.openai_realtime import OpenAIEmbedder
from reindex.stores import identity_file, pointer
from reindex.stores.index import GenerationTable
from reindex.stores.sqlite import Database

_DOING = {"sending": "sending a file", "fetching": "fetching a file", "asking": "asking for a batch"}


class Points:
    """The names of those that were reached; at number `at` the run ends. What a process that is dead does
    after that, in tidying up, ends in the same way: nothing more is committed or asked.
    """

    def __init__(self, at=None):
        self.at, self.names, self.is_dead = at, [], False

    def reached(self, name):
        if self.is_dead:
            raise Crash(name)
        self.names.append(name)
        if self.at == len(self.names) - 1:
            self.is_dead = True
            raise Crash(name)

    def around(self, name, call):
        """The call, with a point before and after it."""

        def wrapper(*arguments, **options):
            self.reached(f"before {name(arguments)}")
            result = call(*arguments, **options)
            self.reached(f"after {name(arguments)}")
            return result

        return wrapper


@contextmanager
def reaching(points):
    """While entered, the points of this process are those."""
    plain = Database.transaction

    @contextmanager
    def transaction(database):
        if database._connection.in_transaction:
            yield
            return
        name = f"the commit of {database._path.stem}"
        with plain(database):
            yield
            points.reached(f"before {name}")
        points.reached(f"after {name}")

    methods = [
        (identity_file, "replace_file", lambda given: given[0].name),
        (pointer, "replace_file", lambda given: given[0].name),
        (GenerationTable, "apply", lambda _: "the commit of the table"),
        (OpenAIBatches, "_ask", lambda given: _DOING.get(given[1].split()[0], given[1])),
        (OpenAIEmbedder, "embed_with_usage", lambda _: "embeddings"),
    ]
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(Database, "transaction", transaction))
        for owner, method, name in methods:
            around = points.around(name, getattr(owner, method))
            stack.enter_context(mock.patch.object(owner, method, around))
        yield points


def run_until(at, run):
    """Whether the run was ended at that point; it ends there."""
    with reaching(Points(at)):
        try:
            run()
        except Crash:
            return True
    return False


def points_of(run):
    """The names of the points that a run reaches."""
    with reaching(Points()) as points:
        run()
    return points.names
