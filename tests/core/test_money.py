"""Money as a person reads it."""

import pytest

from reindex.core.money import dollars


@pytest.mark.parametrize(
    ("usd", "shown"),
    [
        (0.0, "$0.0000"),
        (12.5, "$12.5000"),
        (0.01, "$0.0100"),
        (0.0099999, "$0.0100"),
        (0.0005, "$0.00050"),
        (6e-6, "$0.0000060"),
        (1e-8, "$0.000000010"),
        (0.1 + 0.2 - 0.3, "$0.0000"),
    ],
)
def test_dollars(usd, shown):
    assert dollars(usd) == shown
