"""Asks without a pause until the file `stop` is there, and counts every answer that is not whole.

The folder's index has documents of the same number of chunks, fewer than `k` in all, each chunk saying its
document's revision.
Those whose names begin with `d` are always there; others come and go.
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from doubles import House, check_whole
from reindex.search import SearchMode


def main(folder, documents, chunks, data_dir, k):
    house = House(folder, data_dir=folder / data_dir)
    reader = house.reader()
    counts = {"answers": 0, "errors": [], "short": 0, "doubled": 0, "mixed": 0, "torn": 0}
    versions, generations = set(), set()
    while not (folder / "stop").exists():
        for mode in (SearchMode.TEXT, SearchMode.VECTOR):
            try:
                found = reader.search("revision", k=k, mode=mode)
                reader.with_snapshot(check_whole)
            except AssertionError:
                counts["torn"] += 1
                continue
            except Exception as error:
                counts["errors"].append(f"{type(error).__name__}: {error}")
                continue
            by_path = defaultdict(list)
            for hit in found.hits:
                by_path[hit.path].append(hit)
            counts["answers"] += 1
            constant = sum(path.startswith("d") for path in by_path)
            counts["short"] += constant < documents or any(len(h) < chunks for h in by_path.values())
            counts["doubled"] += any(len(hits) > chunks for hits in by_path.values())
            counts["mixed"] += any(
                len({re.search(r"revision (\d+)", hit.text)[1] for hit in hits}) > 1
                for hits in by_path.values()
            )
            versions.add((found.generation, found.version))
            generations.add(found.generation)
        if counts["answers"] == 2:
            print("ready", flush=True)
    about = {"versions": len(versions), "generations": sorted(generations)}
    print(json.dumps(counts | about), flush=True)


main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
