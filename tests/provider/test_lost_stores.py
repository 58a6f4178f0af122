"""What a store loses while its batches are under way: the ledger, or what it learned since a copy was made,
the cache, an input file; and what else may stand between a batch and its end: a process, another key.
"""

import subprocess

import pytest

from openai_standin import StandIn
from processes import Place
from provider_house import ProviderHouse, prose
from reindex.attending import remove_uploads
from reindex.dev_openai.refusals import server_error
from reindex.embedders import openai_batch
from reindex.stores.identity_file import read_identity

GRACE_S = 60


@pytest.fixture
def openai():
    with StandIn() as standin:
        standin.options.hold.add("in_progress")
        yield standin


@pytest.fixture
def house(tmp_path, openai):
    made = ProviderHouse(tmp_path, openai, batch_grace_s=GRACE_S)
    for number in range(3):
        made.write(f"{number}.md", prose(number))
    return made


def lose(house, name):
    for suffix in ("", "-wal", "-shm"):
        (house.data_dir / (name + suffix)).unlink(missing_ok=True)


def keep(house, name):
    """A copy to go back to."""
    return {path.name: path.read_bytes() for path in house.data_dir.glob(name + "*")}


def put_back(house, kept, name):
    lose(house, name)
    for each, content in kept.items():
        (house.data_dir / each).write_bytes(content)


def pass_time(house, seconds=GRACE_S + 1):
    house.clock.ahead_s += seconds
    house.openai.advance(seconds)


def check(house, batches):
    """All is indexed, and for no more than so many batches."""
    assert house.verify().ok
    house.check_vectors()
    house.check_paid_once()
    assert house.openai.requests()["batches.create"] == batches
    assert not house.openai.orphans()


def settle(house):
    """Until nothing is under way; the first runs follow each other at once."""
    for round_ in range(8):
        report = house.sync()
        if not report.chunks.in_flight and not report.documents.pending:
            return
        if round_ > 1:
            house.openai.finish_all()
        pass_time(house, GRACE_S / 2)
    raise AssertionError(house.jobs())


@pytest.mark.parametrize("lag_s", [0, 5])
@pytest.mark.parametrize("lane", ["batch", "realtime"])
def test_a_lost_ledger_finds_its_batches_before_anything_is_sent(house, openai, lag_s, lane):
    openai.options.listing_lag_s = lag_s
    house.sync()
    lose(house, "ledger.sqlite")
    house.with_openai(lane=lane)
    before = openai.requests()
    report = house.sync()
    assert report.documents.pending == 3
    for route in ("batches.create", "embeddings"):
        assert openai.requests()[route] == before[route]
    settle(house)
    check(house, batches=1)


def test_a_ledger_lost_in_an_outage_sends_nothing_after_it_either(house, openai):
    house.sync()
    lose(house, "ledger.sqlite")
    rule = openai.fault("batches.list", server_error(503), times=None)
    for _ in range(2):
        with pytest.raises(Exception, match="listing batches"):
            house.sync()
    assert rule.met
    openai.clear_faults()
    settle(house)
    check(house, batches=1)


def test_a_ledger_lost_with_its_input_files_gone_reads_the_results(house, openai):
    house.sync()
    openai.finish_all()
    lose(house, "ledger.sqlite")
    for file in openai.files("batch"):
        openai.service.files.discard(file.id)
    settle(house)
    check(house, batches=1)


def test_a_ledger_from_before_the_batch_was_gathered(house, openai):
    house.with_openai(lane="auto")
    house.write("first.md", "# First\n\nby the fast lane\n")
    house.with_openai(batch_min_chunks=2000)
    (house.docs / "0.md").rename(house.docs.parent / "0.md")
    house.sync()
    kept = keep(house, "ledger.sqlite")
    (house.docs.parent / "0.md").rename(house.docs / "0.md")
    house.with_openai(lane="batch")
    house.sync()
    put_back(house, kept, "ledger.sqlite")
    assert house.sync().documents.pending == 1
    settle(house)
    check(house, batches=1)


def test_a_ledger_from_when_the_batch_was_gathered_and_not_sent(house, openai):
    """It knows the job, and not that it was sent; nor the texts that came after."""
    rule = openai.fault("files.create", server_error(503), times=None)
    with pytest.raises(Exception, match="sending"):
        house.sync()
    assert rule.met
    kept = keep(house, "ledger.sqlite")
    openai.clear_faults()
    house.sync()
    assert [job.state for job in house.jobs()] == ["submitted"]
    put_back(house, kept, "ledger.sqlite")
    settle(house)
    check(house, batches=1)


def test_a_ledger_from_when_the_batch_was_under_way(house, openai):
    house.sync()
    kept = keep(house, "ledger.sqlite")
    openai.finish_all()
    house.sync()
    put_back(house, kept, "ledger.sqlite")
    settle(house)
    check(house, batches=1)


def test_a_cache_lost_while_a_batch_is_under_way(house, openai):
    house.sync()
    lose(house, "cache.sqlite")
    settle(house)
    check(house, batches=1)


@pytest.mark.parametrize("damage", ["cut", "flip", "delete"])
def test_a_torn_input_file_is_gathered_again(house, openai, damage):
    openai.fault("files.create", server_error(503))
    with pytest.raises(Exception, match="sending"):
        house.sync()
    (path,) = (house.data_dir / "batches").glob("*.input.jsonl")
    content = path.read_bytes()
    half = len(content) // 2
    if damage == "cut":
        path.write_bytes(content[:half])
    elif damage == "flip":
        path.write_bytes(content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :])
    else:
        path.unlink()
    settle(house)
    check(house, batches=1)


def test_two_processes_at_once_send_one_batch(house, openai, tmp_path):
    (tmp_path / "config.toml").write_text(
        f'data_dir = "index"\n[[sources]]\nname = "docs"\npath = "docs"\n[chunking]\nmax_tokens = 32\n'
        f'[embedding]\nprovider = "openai"\nmodel = "text-embedding-3-small"\ndimensions = 256\n'
        f'[embedding.openai]\nbase_url = "{openai.base_url}"\nlane = "batch"\n'
    )
    place = Place(tmp_path, {"OPENAI_API_KEY": openai.key})
    processes = [place.start("sync", "--json", real_model=True) for _ in range(2)]
    codes = []
    for process in processes:
        assert isinstance(process, subprocess.Popen)
        process.communicate(timeout=120)
        codes.append(process.returncode)
    assert set(codes) <= {0, 4}, codes
    assert 0 in codes
    settle(house)
    check(house, batches=1)


def test_uploads_are_not_swept_while_batches_may_be_unknown(house, openai):
    """The input file is where an adopted batch's texts are learned from."""
    openai.options.hold.add("in_progress")
    house.sync()
    (house.data_dir / "ledger.sqlite").unlink()
    with house.app.writer("gc", lambda _: None) as writer:
        remove_uploads(house.app, writer)
    assert openai.requests()["files.delete"] == 0
    assert len(openai.files("batch")) == 1


def test_uploads_are_swept_page_by_page(house, openai, monkeypatch):
    monkeypatch.setattr(openai_batch, "PAGE", 2)
    house.write("a.md", prose(0))
    house.sync()
    (needed,) = openai.files("batch")
    store = read_identity(house.data_dir).store
    with openai.client() as client:
        for number in range(5):
            client.files.create(file=(f"{store}.9{number}.jsonl", b"{}"), purpose="batch")
    with house.app.writer("gc", lambda _: None) as writer:
        remove_uploads(house.app, writer)
    assert [file.id for file in openai.files("batch")] == [needed.id]
