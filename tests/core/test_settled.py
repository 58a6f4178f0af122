"""The digest of a source's files: the same for the same files, another for any others."""

from hypothesis import given
from hypothesis import strategies as st

from reindex.core.settled import digest_of
from reindex.model import FileStat

PATHS = st.text(st.characters(blacklist_characters="\0"), min_size=1).map(
    lambda path: path.encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")
)
TIMES = st.integers(-(2**70), 2**70)
STATS = st.builds(FileStat, st.integers(0, 2**63), TIMES, TIMES, st.integers(0, 2**64 - 1), st.integers(0, 3))
FILES = st.dictionaries(PATHS, STATS, max_size=4)


@given(FILES, FILES)
def test_it_is_the_same_for_the_same_files_only(files, others):
    again = {path[:1] + path[1:]: FileStat(*map(int, map(str, stat))) for path, stat in files.items()}
    assert digest_of(again) == digest_of(files)
    assert (digest_of(files) == digest_of(others)) == (list(files.items()) == list(others.items()))


@given(FILES.filter(bool), st.data())
def test_every_number_counts(files, data):
    path = data.draw(st.sampled_from(sorted(files)))
    number = data.draw(st.sampled_from(FileStat._fields))
    stat = files[path]
    other = stat._replace(**{number: getattr(stat, number) + data.draw(st.sampled_from([-1, 1, 2**32]))})
    assert digest_of(files | {path: other}) != digest_of(files)
