"""The parser process under the real command line: killed, hung, interrupted, and orphaned."""

import os
import random
import signal
from pathlib import Path

import pytest

from doubles import House, paragraphs
from processes import LIMIT_S, wait_until

HOSTILE_LIBRARY = Path(__file__).parent.parent / "doors" / "hostile_library"


def children(pid):
    """Whichever thread of the process started them."""
    try:
        return [
            int(c) for each in Path(f"/proc/{pid}/task").glob("*/children") for c in each.read_text().split()
        ]
    except OSError:
        return []


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def is_parsing(pid):
    """It reads documents by now: the kernel knows it as the command line that we gave it."""
    try:
        return b"parsers.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def parser_of(process):
    """The parser's process id, once there is one."""
    found = []

    def is_there():
        found[:] = [child for child in children(process.pid) if is_parsing(child)]
        return found or process.poll() is not None

    wait_until(is_there, "the parser process")
    assert found, process.communicate()
    return found[0]


def use_hostile_library(place):
    path = [str(HOSTILE_LIBRARY), os.environ.get("PYTHONPATH", "")]
    place.environment["PYTHONPATH"] = os.pathsep.join(filter(None, path))


def answers(pid):
    """How many documents it has answered: its writes, but for the two of its start."""
    try:
        counts = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    except OSError:
        return 0
    return int(counts["syscw"]) - 2


def test_kills_of_the_parser_lose_no_document(empty_place):
    """Each process answers at least one document: two kills of the same one in a row would fail it."""
    place = empty_place
    for number in range(300):
        place.write(f"{number}.txt", paragraphs(number, number + 1))
    process = place.start("sync", "--json")
    chooser = random.Random(7)
    killed = set()
    wanted = 1
    while process.poll() is None and len(killed) < 8:
        for pid in children(process.pid):
            if is_parsing(pid) and answers(pid) >= wanted:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
                wanted = chooser.randint(1, 30)
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, (out, err)
    assert len(killed) == 8
    House(place.folder, data_dir=place.folder / ".reindex").check()


def test_a_document_that_hangs_fails_alone(empty_place):
    place = empty_place
    use_hostile_library(place)
    place.environment["REINDEX_PARSING__TIMEOUT_S"] = "2"
    place.write("a.md", "hang")
    place.write("b.md", "die SIGSEGV")
    place.write("c.txt", "all is well")
    answer = place.run("sync", "--json")
    assert answer.code == 5
    assert (answer.json["documents"]["added"], answer.json["documents"]["failed"]) == (1, 2)
    assert "failed: docs:a.md: the markdown parser took longer than 2 s (parsing.timeout_s)" in answer.err
    assert "failed: docs:b.md: the markdown parser died, in 2 attempts: it died of SIGSEGV" in answer.err
    again = place.run("sync", "--json", timeout_s=LIMIT_S)
    assert (again.code, again.json["documents"]["failed"]) == (5, 2)
    del place.environment["PYTHONPATH"], place.environment["REINDEX_PARSING__TIMEOUT_S"]
    assert place.run("jobs", "retry", "--json").json["documents"] == 2
    healed = place.run("sync", "--json")
    assert (healed.code, healed.json["documents"]["added"]) == (0, 2)


@pytest.mark.parametrize(
    ("ending", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["Ctrl-C", "kill -9"]
)
def test_nothing_is_left_when_the_command_ends(empty_place, ending, code):
    place = empty_place
    use_hostile_library(place)
    place.write("a.md", "hang")
    process = place.start("sync", "--json")
    parser = parser_of(process)
    if ending == signal.SIGINT:
        os.kill(parser, signal.SIGINT)  # as a terminal does: to both
    process.send_signal(ending)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, err
    assert b"Traceback" not in err
    wait_until(lambda: not is_alive(parser), "the end of the parser")
