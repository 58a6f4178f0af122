"""The parser process: what hangs, dies, grows or lies fails its document alone, and outlives nobody."""

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes import wait_until
from reindex.errors import ParseError, ParserUnavailableError
from reindex.model import Block, BlockKind
from reindex.parsers import process as process_module
from reindex.parsers.frames import (
    REPLY,
    FrameError,
    Outcome,
    blocks_from_bytes,
    blocks_to_bytes,
    words_from_bytes,
)
from reindex.parsers.process import ParserProcess
from reindex.parsers.registry import parse_document
from reindex.processes import parent_side
from reindex.settings import ParsingSettings

HOSTILE_LIBRARY = str(Path(__file__).parent / "hostile_library")
DATA = Path(__file__).parents[2] / "data"
INNOCENT = ("b.txt", b"all is well")


@pytest.fixture
def hostile(monkeypatch):
    """A parser process whose Markdown library does what documents say."""
    monkeypatch.syspath_prepend(HOSTILE_LIBRARY)
    with ParserProcess(ParsingSettings(timeout_s=20, memory_mb=256)) as parser:
        yield parser


def within(parser, timeout_s):
    """The same with another time limit."""
    return ParserProcess(ParsingSettings(timeout_s=timeout_s, memory_mb=256))


def failure(parser, text, path="a.md"):
    with pytest.raises(ParseError) as caught:
        parser.parse(path, text.encode())
    assert caught.value.hint
    assert parser.parse(*INNOCENT) == parse_document(*INNOCENT), "the next document is parsed"
    return caught.value.message


def state_of(pid):
    """The letter of /proc; Z when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def is_alive(pid):
    return state_of(pid) not in {"Z", "X"}


def test_it_parses_as_this_process_does():
    documents = {path: path.read_bytes() for path in sorted(DATA.rglob("*")) if path.is_file()}
    assert len(documents) > 50
    with ParserProcess(ParsingSettings()) as parser:
        assert parser.pid is None, "nothing is started before the first document"
        for path, content in documents.items():
            assert parser.parse(str(path), content) == parse_document(str(path), content)
        first = parser.pid
        assert parser.parse("empty.md", b"") == ()
        assert parser.pid == first, "one process for all"
    assert not is_alive(first)


def test_what_is_wrong_with_a_document_is_said_as_before(hostile):
    assert failure(hostile, "{", "a.ipynb").startswith("broken notebook: Expecting property name")
    pid = hostile.pid
    assert failure(hostile, "a\0b", "a.txt").startswith("binary content")
    assert hostile.pid == pid, "a refusal costs no process"


def test_a_parser_that_hangs(hostile):
    with within(hostile, 1) as parser:
        message = failure(parser, "hang")
    assert message == "the markdown parser took longer than 1 s (parsing.timeout_s)"


def test_a_process_that_is_stopped(hostile):
    with within(hostile, 1) as parser:
        parser.parse(*INNOCENT)
        pid = parser.pid
        os.kill(pid, signal.SIGSTOP)
        assert "took longer than 1 s" in failure(parser, "words")
        assert not is_alive(pid)
        assert parser.parse("large.txt", b"x" * 1_000_000), "more than a pipe holds"
        os.kill(parser.pid, signal.SIGSTOP)
        assert "took longer" in failure(parser, "x" * 1_000_000, "large.txt")


@pytest.mark.parametrize(
    ("order", "cause"),
    [
        ("die SIGSEGV", "died, in 2 attempts: it died of SIGSEGV"),
        ("die SIGKILL", "it died of SIGKILL"),
        ("end 0", "it ended with code 0"),
        ("end 3", "it ended with code 3"),
        ("fill 2000", "needed more than 256 MB of memory (parsing.memory_mb)"),
        ("unknown_verb", "parser failed: AttributeError"),
        ("scribble " + "ff" * 64, "it sent what no parser process sends"),
        ("scribble " + REPLY.pack(1, 0, 0, 2**60).hex(), "it sent what no parser process sends"),
        ("scribble " + REPLY.pack(77, 0, 0, 0).hex(), "it sent what no parser process sends"),
        ("scribble " + (REPLY.pack(1, 0, 0, 8) + b"\xff" * 8).hex(), "fewer blocks than announced"),
    ],
)
def test_a_parser_that_dies_or_lies(hostile, order, cause):
    assert cause in failure(hostile, order)


def test_what_a_library_prints_is_not_an_answer(hostile):
    assert hostile.parse("a.md", b"chatter")
    assert hostile.parse("a.md", b"interrupt"), "Ctrl-C is the parent's to answer"


@pytest.mark.parametrize("order", ["die_once", "fill_once"])
def test_a_death_that_was_not_the_documents_fault(hostile, tmp_path, order):
    assert hostile.parse("a.md", f"{order} {tmp_path / 'marker'}".encode())


def test_a_process_that_was_killed_between_documents(hostile):
    for _ in range(3):
        hostile.parse(*INNOCENT)
        os.kill(hostile.pid, signal.SIGKILL)
    assert hostile.parse("a.md", b"words")


def test_more_text_than_a_document_may_give():
    with ParserProcess(ParsingSettings(max_text_mb=0.1)) as parser:
        assert parser.parse("a.txt", b"x" * 99_000)
        message = failure(parser, "x" * 101_000, "a.txt")
        assert message == "the plain parser made more than 0.1 MB of text (parsing.max_text_mb)"
        assert "made more than" in failure(parser, "x\n\n" * 10_000, "a.txt"), "blocks cost memory too"
        names = ",".join(f"a long name of column {number}" for number in range(20))
        values = ",".join("1" * 20) + "\n"
        assert "made more than" in failure(parser, names + "\n" + values * 1000, "a.csv")


def test_a_process_that_keeps_much_memory_is_replaced(monkeypatch):
    with ParserProcess(ParsingSettings()) as parser:
        parser.parse(*INNOCENT)
        first = parser.pid
        monkeypatch.setattr(process_module, "KEPT_BYTES_MAX", 1_000_000)
        assert parser.parse(*INNOCENT)
        assert parser.pid is None
        monkeypatch.undo()
        assert parser.parse(*INNOCENT)
        assert parser.pid not in {None, first}


def test_no_process_can_be_started(monkeypatch):
    monkeypatch.setattr(process_module, "START_WAIT_S", 0.001)
    parser = ParserProcess(ParsingSettings())
    with mock.patch.object(subprocess, "Popen", side_effect=BlockingIOError(11, "try again")) as popen:
        with pytest.raises(ParserUnavailableError, match=r"can't be started.*try again"):
            parser.parse(*INNOCENT)
        assert popen.call_count == process_module.START_ATTEMPTS
    monkeypatch.setattr(parent_side, "_BOOTSTRAP", "raise SystemExit(7)")
    with pytest.raises(ParserUnavailableError, match="ended with code 7"):
        parser.parse(*INNOCENT)
    monkeypatch.undo()
    assert parser.parse(*INNOCENT), "it is tried again"
    parser.close()
    with pytest.raises(ParserUnavailableError):
        parser.parse(*INNOCENT)


def test_a_failed_start_leaves_nothing_open(monkeypatch):
    monkeypatch.setattr(process_module, "START_WAIT_S", 0.0)
    monkeypatch.setattr(parent_side, "_BOOTSTRAP", "raise SystemExit(7)")
    before = os.listdir("/proc/self/fd")
    with ParserProcess(ParsingSettings()) as parser, pytest.raises(ParserUnavailableError):
        parser.parse(*INNOCENT)
    monkeypatch.undo()
    with ParserProcess(ParsingSettings()) as parser:
        parser.parse(*INNOCENT)
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_an_interrupted_wait_leaves_no_answer_behind(hostile):
    """Ctrl-C while a document is parsed: the next document must not get that one's blocks."""

    def interrupt(_signal, _frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        hostile.parse(*INNOCENT)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            hostile.parse("a.md", b"hang")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert hostile.parse(*INNOCENT) == parse_document(*INNOCENT)


def test_close_from_another_thread_ends_a_parser_that_hangs(hostile):
    hostile.parse(*INNOCENT)
    pid, raised = hostile.pid, []

    def parse():
        with pytest.raises(ParserUnavailableError) as caught:
            hostile.parse("a.md", b"hang")
        raised.append(caught.value)

    thread = threading.Thread(target=parse)
    thread.start()
    wait_until(hostile._lock.locked, "the document to be sent")
    hostile.close()
    thread.join()
    assert raised
    assert not is_alive(pid)


def test_a_process_of_one_thread_serves_the_next_one(hostile):
    pids = []

    def parse():
        hostile.parse("a.md", b"words")
        pids.append(hostile.pid)

    for _ in range(3):
        thread = threading.Thread(target=parse)
        thread.start()
        thread.join()
    assert len(set(pids)) == 1


PARENT = """
import sys
from reindex.parsers.process import ParserProcess
from reindex.settings import ParsingSettings
parser = ParserProcess(ParsingSettings())
parser.parse("a.txt", b"x")
print(parser.pid, flush=True)
parser.parse("a.md", sys.argv[1].encode())
print("parsed", flush=True)
"""


@pytest.mark.parametrize("order", ["hang", "die SIGSTOP"])
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the alarm ends it, after the time limit")
def test_nothing_outlives_its_parent(order, ending):
    path = os.pathsep.join([HOSTILE_LIBRARY, *sys.path])
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, order],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    busy = {"hang": "R", "die SIGSTOP": "T"}[order]
    wait_until(lambda: state_of(pid) == busy, "the hang")
    parent.send_signal(ending)
    parent.communicate()
    wait_until(lambda: not is_alive(pid), "the end of the child")


def test_an_app_that_is_forgotten_leaves_no_process():
    parser = ParserProcess(ParsingSettings())
    parser.parse(*INNOCENT)
    pid = parser.pid
    del parser
    wait_until(lambda: not is_alive(pid), "the end of the child")


def test_the_limits_of_the_process(hostile):
    hostile.parse(*INNOCENT)
    limits = Path(f"/proc/{hostile.pid}/limits").read_text()
    address_space = int(next(line for line in limits.splitlines() if "address space" in line).split()[3])
    assert 256 << 20 < address_space < 512 << 20
    assert "Max core file size        0" in limits
    assert resource.getrlimit(resource.RLIMIT_AS)[0] in {-1, resource.RLIM_INFINITY}, "ours are as they were"


# --- frames

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
BLOCKS = st.lists(
    st.builds(
        lambda kind, text, first, more, level, title: Block(kind, text, first, first + more, level, title),
        st.sampled_from(BlockKind),
        TEXTS,
        st.integers(1, 2**31),
        st.integers(0, 2**31),
        st.integers(0, 6),
        TEXTS,
    ),
    max_size=8,
)


@given(BLOCKS)
def test_blocks_come_through(blocks):
    assert list(blocks_from_bytes(blocks_to_bytes(blocks, 1 << 20))) == blocks


@given(BLOCKS, st.integers(0, 400), st.integers(0, 255), st.integers(0, 5))
def test_damaged_frames_are_blocks_or_an_error(blocks, at, value, cut):
    content = bytearray(blocks_to_bytes(blocks, 1 << 20))
    content[at % len(content)] = value
    try:
        found = blocks_from_bytes(content[: len(content) - cut])
    except FrameError:
        return
    assert all(isinstance(block.kind, BlockKind) and block.line_start <= block.line_end for block in found)


@given(st.binary(max_size=64))
def test_any_bytes_are_blocks_or_an_error(content):
    words_from_bytes(content)
    try:
        blocks_from_bytes(content)
    except FrameError as error:
        assert str(error)


def test_no_more_than_is_allowed_is_packed():
    block = Block(BlockKind.PARAGRAPH, "é" * 50, 1, 1)
    assert len(blocks_to_bytes([block], 132)) == 132
    assert blocks_to_bytes([block], 131) is None
    assert blocks_to_bytes([block] * 10, 132) is None
    assert set(Outcome) == set(range(4))
