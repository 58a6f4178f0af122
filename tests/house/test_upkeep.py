"""What an index costs that is edited all day: upkeep comes by need, and what nobody can reach goes."""

from collections import Counter

from doubles import UPKEEP, House, paragraphs, watched
from reindex.maintenance import VERSIONS_MAX
from reindex.stores.manifests import versions_on_disk


def edit(house, revision):
    """One edit and its run; how often each step of upkeep was taken."""
    calls = Counter()
    house.write(f"d{revision % 5}.md", paragraphs(*range(100 + revision, 104 + revision)))
    with watched(lambda where: calls.update([where.removeprefix("before ")]), UPKEEP):
        house.sync()
    return calls


def files_of_table(house):
    return sum(path.is_file() for path in (house.data_dir / "lance").rglob("*"))


def test_no_upkeep_that_can_do_nothing(tmp_path):
    """Within the readers' grace nothing can be pruned: then it must not be tried with every saved file."""
    house = House(tmp_path)
    for revision in range(VERSIONS_MAX // 2 + 2):
        edit(house, revision)
    before = files_of_table(house), len(versions_on_disk(house.data_dir, "g1"))
    calls = sum((edit(house, 50 + revision) for revision in range(6)), Counter())
    assert calls["prune"] <= 1
    assert calls["optimise"] <= 1
    assert len(versions_on_disk(house.data_dir, "g1")) - before[1] <= 6 * 2 + 8
    assert files_of_table(house) - before[0] <= 6 * 10 + 60
