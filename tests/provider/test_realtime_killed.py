"""A run that is killed while a real-time answer is on its way: what may be paid twice is counted."""

import pytest

from doubles import Crash
from provider_house import prose
from reindex.embedders import openai_realtime
from reindex.stores.booking_rows import Outcome


def test_an_answer_that_a_killed_run_never_saw_is_counted(house, openai, monkeypatch):
    house.with_openai(lane="realtime")
    for number in range(3):
        house.write(f"{number}.md", prose(number))

    def killed(*_):
        raise Crash("the answer is there, and nobody reads it")

    with monkeypatch.context() as context:
        context.setattr(openai_realtime, "read_partly", killed)
        with pytest.raises(Crash):
            house.sync()
    sent = len(openai.bill()) - 1  # and the canary
    assert sent > 0
    house.settle()
    assert house.verify().ok
    assert house.booked(Outcome.AGAIN_LOST) == sent
    assert len(openai.billed_twice(except_texts=("reindex canary 1",))) == sent
