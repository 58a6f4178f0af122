import pytest

from openai_standin import StandIn
from provider_house import ProviderHouse


@pytest.fixture
def openai():
    with StandIn() as standin:
        yield standin


@pytest.fixture
def house(tmp_path, openai):
    return ProviderHouse(tmp_path, openai)
