"""A model in its own process: the same vectors, and what dies, hangs or lies there is an error here."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from processes import wait_until
from reindex.app import App
from reindex.embedders import beside
from reindex.embedders.beside import ModelProcess
from reindex.embedders.catalog import recipe_for
from reindex.embedders.local import LocalEmbedder, LocalOptions
from reindex.errors import EmbeddingError, ModelError
from reindex.settings import Settings

HOSTILE_MODEL = str(Path(__file__).parent / "hostile_model")
TEXTS = ["a river", "", "日本語の文", "a lone \udc80 surrogate", "word " * 400]


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """With an encoder that is kept, so that only the first test waits for it to be made."""
    folder = tmp_path_factory.mktemp("models")
    return App(Settings(data_dir=folder), folder)


@pytest.fixture(scope="module")
def recipe(app):
    return recipe_for(app.settings, app.catalog(None))


@pytest.fixture
def pool(app):
    pool = app.model_processes(niceness=3)
    yield pool
    pool.close()


@pytest.fixture
def real(pool, recipe):
    return pool.embedder(recipe)


@pytest.fixture
def hostile(real, monkeypatch):
    monkeypatch.syspath_prepend(HOSTILE_MODEL)
    monkeypatch.setattr(beside, "WORKER", "hostile_worker")
    return real


def state_of(pid):
    """The letter of /proc; Z when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def is_alive(pid):
    return state_of(pid) not in {"Z", "X"}


def failure(process, *texts, kind=EmbeddingError):
    with pytest.raises(kind) as caught:
        process.embed(texts)
    assert process.embed(["innocent"]).shape == (1, 384), "the next texts are embedded"
    return caught.value


def test_it_embeds_as_this_process_does(real, app, recipe):
    assert real.pid is None, "nothing is started before the first texts"
    here = LocalEmbedder(app._find_model(recipe), recipe.space, LocalOptions(app.data_dir))
    sane = [text for text in TEXTS if text.isprintable()]
    assert np.array_equal(real.embed(sane), here.embed(sane))
    assert real.embed(sane).dtype == np.float32
    assert real.embed([]).shape == (0, 384)
    many = [f"text {number} of many" for number in range(300)]
    assert np.array_equal(real.embed(many), here.embed(many)), "more than a pipe holds"
    pid = real.pid
    with pytest.raises(EmbeddingError) as there_said:
        real.embed(TEXTS)
    with pytest.raises(EmbeddingError) as here_said:
        here.embed(TEXTS)
    assert there_said.value.message == here_said.value.message
    assert real.pid == pid, "a refusal costs no process"


def test_a_model_that_is_gone(tmp_path, recipe):
    pool = App(Settings(data_dir=tmp_path), tmp_path).model_processes(0)
    process = pool.embedder(recipe)
    model = replace(process._orders.model, directory=tmp_path / "gone")
    process._orders = replace(process._orders, backend="onnx", model=model)
    with pytest.raises(ModelError, match="can't be run by onnxruntime") as caught:
        process.embed(["text"])
    assert caught.value.hint.startswith("Use [embedding] backend")
    pool.close()


@pytest.mark.parametrize(
    ("order", "cause"),
    [
        ("die SIGSEGV", "died, in 2 attempts: it died of SIGSEGV"),
        ("die SIGKILL", "died, in 2 attempts: it died of SIGKILL"),
        ("end 0", "it ended with code 0"),
        ("bug words", "it ended with code 1"),
        ("lose", "it sent what no model's process sends"),
        ("infinite", "a vector that is not finite"),
        ("short", "a vector that is not of unit length"),
        ("scribble " + "ff" * 64, "it sent what no model's process sends"),
        ("answer 0 1 384 1536000000", "it sent what no model's process sends"),
        ("answer 0 1 383 1532", "it sent what no model's process sends"),
        ("answer 9 0 0 0", "it sent what no model's process sends"),
        ("answer 0 0 0 0", "it sent what no model's process sends"),
    ],
)
def test_a_model_that_dies_or_lies(hostile, order, cause):
    error = failure(hostile, order)
    assert cause in error.message
    assert error.hint


def test_what_the_model_says_comes_through(hostile):
    error = failure(hostile, "refuse these words\nand more")
    assert (error.message, error.hint) == ("these words\nand more", "a hint")
    error = failure(hostile, "lack of a model", kind=ModelError)
    assert (error.message, error.hint) == ("of a model", "a hint")
    told = []
    hostile._say = told.append
    assert hostile.embed(["tell one", "tell two"]).shape == (2, 384)
    assert told == ["one", "two"]
    assert hostile.embed(["chatter"]).shape == (1, 384), "what a library prints is not an answer"


def test_a_death_that_was_not_the_texts_fault(hostile, tmp_path):
    assert hostile.embed([f"die_once {tmp_path / 'marker'}"]).shape == (1, 384)


def test_a_process_that_was_killed_between_texts(hostile):
    for _ in range(3):
        hostile.embed(["text"])
        os.kill(hostile.pid, signal.SIGKILL)
    assert hostile.embed(["text"]).shape == (1, 384)


def test_a_model_that_hangs_or_is_stopped(hostile, monkeypatch):
    monkeypatch.setattr(beside, "LOAD_LIMIT_S", 1.0)
    monkeypatch.setattr(beside, "ANSWER_LIMIT_S", 1.0)
    assert "did not answer to 2 texts in time" in failure(hostile, "hang", "text").message
    pid = hostile.pid
    os.kill(pid, signal.SIGSTOP)
    assert "did not answer to 1 texts in time" in failure(hostile, "x" * 10).message
    assert not is_alive(pid)


def test_no_process_can_be_started(hostile, monkeypatch):
    monkeypatch.setattr(beside, "WORKER", "no_such_module")
    with pytest.raises(EmbeddingError, match=r"died, in 2 attempts: it ended with code 1"):
        hostile.embed(["text"])
    monkeypatch.setattr(beside, "WORKER", "hostile_worker")
    assert hostile.embed(["text"]).shape == (1, 384), "it is tried again"


def test_the_process_is_less_urgent_and_the_first_to_go(hostile):
    assert hostile.embed(["nice"])[0].argmax() == os.nice(0) + 3
    assert Path(f"/proc/{hostile.pid}/oom_score_adj").read_text().strip() == "500"
    os.kill(hostile.pid, signal.SIGINT)
    pid = hostile.pid
    assert hostile.embed(["text"]).shape == (1, 384)
    assert hostile.pid == pid, "Ctrl-C is the parent's to answer"


def test_it_ends_when_it_is_idle_and_begins_again(pool, hostile):
    assert pool.close_if_idle(time.monotonic() + 1000, 60) == 0, "there is none"
    hostile.embed(["text"])
    pid = hostile.pid
    assert pool.pids == (pid,)
    assert pool.close_if_idle(time.monotonic() + 59, 60) == 0
    assert is_alive(pid)
    assert pool.close_if_idle(time.monotonic() + 61, 60) == 1
    assert not is_alive(pid)
    assert pool.pids == ()
    assert hostile.embed(["text"]).shape == (1, 384)


def test_it_is_not_ended_at_work(hostile):
    thread = threading.Thread(target=lambda: failure(hostile, "die SIGSTOP"))
    hostile.embed(["text"])
    pid = hostile.pid
    thread.start()
    wait_until(lambda: state_of(pid) == "T", "the stop")
    assert not hostile.close_if_idle(time.monotonic() + 1000, 60)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: hostile.pid not in {None, pid}, "the second attempt")
    second = hostile.pid
    wait_until(lambda: state_of(second) == "T", "the stop of the second")
    os.kill(second, signal.SIGKILL)
    thread.join()


def test_close_ends_it_at_work(pool, hostile):
    hostile.embed(["text"])
    pid, raised = hostile.pid, []

    def embed():
        with pytest.raises(EmbeddingError, match="was closed") as caught:
            hostile.embed(["hang"])
        raised.append(caught.value)

    thread = threading.Thread(target=embed)
    thread.start()
    wait_until(hostile._lock.locked, "the texts to be sent")
    pool.close()
    thread.join()
    assert raised
    assert not is_alive(pid)
    with pytest.raises(EmbeddingError, match="was closed"):
        hostile.embed(["text"])


def test_a_pool_has_one_process_for_each_space(pool, recipe):
    assert pool.embedder(recipe) is pool.embedder(recipe)
    pool.close()
    assert pool.embedder(recipe).is_closed


def test_nothing_is_left_open(hostile):
    hostile.embed(["text"])
    before = len(os.listdir("/proc/self/fd"))
    for order in ("die SIGKILL", "scribble ff", "refuse words", "lack of it"):
        with pytest.raises((EmbeddingError, ModelError)):
            hostile.embed([order])
    hostile.embed(["text"])
    assert len(os.listdir("/proc/self/fd")) == before


PARENT = """
import sys
from pathlib import Path
from reindex.app import App
from reindex.embedders import beside
from reindex.embedders.catalog import recipe_for
from reindex.settings import Settings
beside.WORKER = "hostile_worker"
folder = Path(sys.argv[1])
app = App(Settings(data_dir=folder), folder)
process = app.model_processes(0).embedder(recipe_for(app.settings, app.catalog(None)))
process.embed(["text"])
print(process.pid, flush=True)
process.embed([sys.argv[2]])
"""


@pytest.mark.parametrize("order", ["hang", "die SIGSTOP"])
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM], ids=lambda s: s.name)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the end of its input ends it")
def test_nothing_outlives_its_parent(order, ending, tmp_path):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path, order],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([HOSTILE_MODEL, *sys.path])},
        stdout=subprocess.PIPE,
    )
    pid = int(parent.stdout.readline())
    assert is_alive(pid)
    parent.send_signal(ending)
    parent.communicate()
    wait_until(lambda: not is_alive(pid), "the end of the child")


def test_one_that_is_forgotten_leaves_no_process(hostile):
    process = ModelProcess(hostile._orders)
    process.embed(["text"])
    pid = process.pid
    del process
    wait_until(lambda: not is_alive(pid), "the end of the child")
