"""The numbers for Prometheus, and that they follow its conventions."""

import re

from prometheus_client.parser import text_string_to_metric_families

from reindex.errors import ModelError
from reindex.http.metrics import Numbers
from serving import Searches, make_surface, serving

NUMBERS = Numbers(
    build_info={"version": "1.2", "python": "3.11"},
    documents=5,
    chunks=50,
    pending_changes=2,
    failed_documents=1,
    held_documents=3,
    index_lag_s=1.5,
    is_paused=True,
    generation=4,
    last_success_at=1000.5,
    watch_overflows=6,
    reconciles=7,
    reconciles_s=8.5,
    embedding_tokens=900,
    batch_jobs={"submitted": 2, "failed": 1},
    errors={"provider": 3},
)
EXPECTED = """\
reindex_build_info{python="3.11",version="1.2"} 1.0
reindex_documents 5.0
reindex_chunks 50.0
reindex_pending_changes 2.0
reindex_failed_documents 1.0
reindex_held_documents 3.0
reindex_index_lag_seconds 1.5
reindex_paused 1.0
reindex_generation 4.0
reindex_last_success_timestamp_seconds 1000.5
reindex_batch_jobs{state="submitted"} 2.0
reindex_batch_jobs{state="failed"} 1.0
reindex_watch_overflows_total 6.0
reindex_embedding_tokens_total 900.0
reindex_errors_total{kind="provider"} 3.0
reindex_reconcile_duration_seconds_count 7.0
reindex_reconcile_duration_seconds_sum 8.5
"""


def scrape(client):
    answer = client.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return answer.body.decode()


def test_every_number_is_told_under_its_name():
    with serving(make_surface(numbers=lambda: NUMBERS)) as client:
        lines = scrape(client).splitlines()
    for line in EXPECTED.splitlines():
        assert line in lines


def test_searches_are_counted_by_outcome_and_timed():
    searches = Searches()
    with serving(make_surface(search=searches)) as client:
        for _ in range(3):
            client.get("/v1/search?query=x")
        searches.error = ModelError("m")
        client.get("/v1/search?query=x")
        lines = scrape(client).splitlines()
    assert 'reindex_searches_total{outcome="answered"} 3.0' in lines
    assert 'reindex_searches_total{outcome="failed"} 1.0' in lines
    assert "reindex_search_duration_seconds_count 3.0" in lines
    assert 'reindex_search_duration_seconds_bucket{le="+Inf"} 3.0' in lines


def test_numbers_that_fail_are_a_problem_and_not_a_crash(caplog):
    def broken():
        raise RuntimeError("no numbers")

    with serving(make_surface(numbers=broken)) as client:
        assert client.get("/metrics").status == 500
        assert client.get("/v1/status").status == 200


def test_they_follow_the_conventions():
    with serving(make_surface(numbers=lambda: NUMBERS)) as client:
        families = list(text_string_to_metric_families(scrape(client)))
    names = [family.name for family in families]
    assert len(names) == len(set(names)) >= 17
    for family in families:
        name = family.name
        assert re.fullmatch(r"reindex_[a-z][a-z_]*[a-z]", name), name
        assert family.documentation.endswith("."), name
        assert not re.search(r"_(ms|milliseconds|minutes|hours|kb|mb|megabytes|percent)(_|$)", name), name
        assert not re.search(r"_(gauge|counter|histogram|summary|created)$", name), name
        has_total = {sample.name.endswith("_total") for sample in family.samples}
        assert has_total == {family.type == "counter"}, name
        if family.type in {"histogram", "summary"} or "duration" in name or "lag" in name:
            assert name.endswith("_seconds"), name
        for sample in family.samples:
            assert sample.labels.keys() <= {"version", "python", "state", "kind", "outcome", "le"}, sample
