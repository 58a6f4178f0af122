"""The stand-in, and the real SDK as its client."""

import pytest

from openai_standin import StandIn


@pytest.fixture
def standin():
    with StandIn() as standin:
        yield standin


@pytest.fixture
def client(standin):
    return standin.client()
