"""What a client is told of a failure inside, and what the log."""

import logging
import re
from http import HTTPStatus

import pytest

from reindex.errors import (
    ConfigError,
    DiskError,
    EmbeddingError,
    LockedError,
    ModelError,
    NothingIndexedError,
    ParseError,
    StoreError,
)
from reindex.tasks import TooManyTasksError
from serving import Searches, make_surface, refused, serving


@pytest.mark.parametrize(
    ("error", "status", "kind", "exit_code"),
    [
        (ConfigError("m", "h"), 422, "config", 2),
        (NothingIndexedError("nothing indexed yet: run sync", "reindex sync"), 404, "nothing-indexed", 1),
        (ModelError("m", "h"), 503, "model", 1),
        (EmbeddingError("m", "h"), 503, "embedding", 1),
        (LockedError("m", "h"), 409, "locked", 4),
        (StoreError("m", "h"), 503, "store", 1),
        (DiskError("m", "h"), 503, "disk", 1),
        (TooManyTasksError("m", "h"), 429, "too-many-tasks", 1),
        (ParseError("m", "h"), 500, "parse", 1),
    ],
)
def test_failures_keep_their_words_and_exit_code(error, status, kind, exit_code):
    searches = Searches()
    searches.error = error
    with serving(make_surface(search=searches)) as client:
        answer = client.get("/v1/search?query=x")
        assert refused(answer, status) == {
            "type": f"urn:reindex:{kind}",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": error.message,
            "hint": error.hint,
            "exit_code": exit_code,
        }
        assert ("Retry-After" in answer.headers) is (status in {429, 503})


def test_a_full_queue_of_tasks_is_said():
    with serving() as client:
        answers = [client.post("/v1/sync") for _ in range(101)]
        assert {answer.status for answer in answers[:100]} == {202}
        refused(answers[100], 429)


def test_a_bug_is_logged_and_not_told(caplog):
    def broken():
        raise RuntimeError("the inside of it")

    with serving(make_surface(status=broken)) as client:
        problem = refused(client.get("/v1/status"), 500)
        assert "inside of it" not in str(problem)
        assert client.get("/v1/jobs").status == 200
    assert "the inside of it" in caplog.text
    assert "GET /v1/status failed" in caplog.text


def test_one_record_for_each_request_without_what_was_looked_for(caplog):
    caplog.set_level(logging.DEBUG, "reindex.http")
    with serving() as client:
        client.get("/v1/search?query=private+words")
        client.get("/nowhere/%0a%1b[31m")
    records = [record for record in caplog.records if getattr(record, "event", "") == "request"]
    found = [(r.method, r.path, r.status, r.client) for r in records]
    assert found == [
        ("GET", "/v1/search", 200, "127.0.0.1"),
        ("GET", "/nowhere/%0a%1b[31m", 404, "127.0.0.1"),
    ]
    assert all(record.duration_ms >= 0 for record in records)
    assert not re.search("private", caplog.text)
