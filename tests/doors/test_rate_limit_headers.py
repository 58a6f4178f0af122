"""What headers of a provider say about waits and limits, and what makes no sense in them."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_double import headers_of
from reindex.embedders.rate_limit_headers import (
    WAIT_MAX_S,
    allowances,
    asked_wait_s,
    duration_s,
    exhausted_wait_s,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("1d", 86_400),
        ("8.64s", 8.64),
        ("500us", 0.0005),
        ("0", 0),
        ("60", 60),
        ("0.5", 0.5),
        (" 2m59.56s ", 179.56),
        (None, None),
        ("", None),
        ("soon", None),
        ("-1s", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1s!", None),
        ("1730000000000", None),
        ("9" * 400 + "s", None),
    ],
)
def test_durations(text, seconds):
    found = duration_s(text)
    assert found is None if seconds is None else found == pytest.approx(seconds)


@given(st.text(max_size=12))
def test_no_duration_makes_trouble(text):
    found = duration_s(text)
    assert found is None or 0 <= found <= WAIT_MAX_S


MOMENT = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "9"}, 9),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "86400"}, 86_400),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "1e400"}, WAIT_MAX_S),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
        ({"retry-after": format_datetime(MOMENT + timedelta(hours=5), usegmt=True)}, 5 * 3600),
        ({"retry-after": format_datetime(MOMENT - timedelta(hours=5), usegmt=True)}, 0),
        (
            {
                "retry-after": format_datetime(MOMENT + timedelta(hours=2), usegmt=True),
                "date": format_datetime(MOMENT + timedelta(hours=1), usegmt=True),
            },
            3600,
        ),
    ],
)
def test_what_is_asked_to_wait(headers, seconds):
    assert asked_wait_s(headers, MOMENT.timestamp()) == seconds


def test_without_retry_after_the_limits_tell():
    tokens, requests = headers_of(1000, 400, "36s"), headers_of(60, 0, "60s", "requests")
    assert exhausted_wait_s(tokens) == pytest.approx(36)
    assert exhausted_wait_s(requests) == pytest.approx(1)
    assert exhausted_wait_s(tokens | requests) == pytest.approx(36)
    assert exhausted_wait_s({}) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        headers_of("many", 3, "1s"),
        headers_of(10, "few", "1s"),
        headers_of(10, 3, "later"),
        headers_of(0, 0, "1s"),
        headers_of("nan", 0, "1s"),
        {"x-ratelimit-remaining-tokens": "3"},
    ],
)
def test_headers_that_say_nothing_or_nonsense_are_left_out(headers):
    assert allowances(headers, 0.0) == {}
