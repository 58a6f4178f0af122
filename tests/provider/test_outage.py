"""A provider that can't be used keeps nothing from being published that does not need it."""

import pytest

from provider_house import prose
from reindex.dev_openai.refusals import no_money, rate_limited, server_error
from reindex.errors import OutageError


@pytest.mark.parametrize(
    "refusal", [server_error(503), rate_limited(7200), no_money()], ids=["5xx", "429", "402"]
)
def test_what_needs_no_provider_is_published_all_the_same(house, openai, refusal):
    house.with_openai(lane="realtime", retries_max=0)
    for number in range(4):
        house.write(f"{number}.md", prose(number))
    house.sync()
    rule = openai.fault("embeddings", refusal, times=None)
    house.write("new.md", prose(10))
    house.write("copy.md", prose(1))
    (house.docs / "2.md").unlink()
    (house.docs / "3.md").rename(house.docs / "moved.md")
    with pytest.raises(OutageError):
        house.sync()
    found = house.verify()
    assert (found.missing, found.stale, found.extra) == (1, 0, 0)
    assert rule.met <= 2
    openai.clear_faults()
    report = house.sync()
    assert report.documents.added == 1
    assert house.verify().ok
    house.check_paid_once()
