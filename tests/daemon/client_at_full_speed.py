"""Asks a daemon without a pause until the file `stop` is there, and counts every answer that is not whole.

All documents have the same number of chunks, each saying its document's revision, and an answer has all of
them. Those whose names begin with `d` are always there; others come and go.
"""

import http.client
import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

MODES = ("text", "vector", "hybrid")


def main(url, folder, documents, chunks, k):
    counts = {"answers": 0, "errors": [], "degraded": 0, "short": 0, "torn": 0}
    seen = defaultdict(set)  # "generation.version" -> what was answered from it
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=180)
    while not (folder / "stop").exists():
        for mode in MODES:
            try:
                # (the question differs, so that the model is asked as well)
                question = f"revision {counts['answers'] % 50}"
                connection.request("GET", f"/v1/search?query={question.replace(' ', '+')}&k={k}&mode={mode}")
                answer = connection.getresponse()
                content = answer.read()
                if answer.status != 200:
                    raise ValueError(content.decode())
                found = json.loads(content)
            except Exception as error:
                counts["errors"].append(f"{mode}: {type(error).__name__}: {error}")
                connection.close()
                continue
            counts["answers"] += 1
            counts["degraded"] += found["degraded"]
            revisions = defaultdict(list)
            for hit in found["hits"]:
                revisions[hit["path"]].append(int(re.search(r"revision (\d+)", hit["text"])[1]))
            lacks_one = sum(path.startswith("d") for path in revisions) < documents
            counts["short"] += lacks_one or any(len(each) < chunks for each in revisions.values())
            counts["torn"] += any(len(set(e)) > 1 or len(e) > chunks for e in revisions.values())
            all_of_it = {path: each[0] for path, each in revisions.items()}
            seen[f"{found['generation']}.{found['version']}"].add(json.dumps(all_of_it, sort_keys=True))
        if counts["answers"] == len(MODES):
            print("ready", flush=True)
    print(json.dumps(counts | {"seen": {name: sorted(each) for name, each in seen.items()}}), flush=True)


main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
