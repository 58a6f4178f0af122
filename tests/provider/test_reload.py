"""A provider's address that is changed under a running daemon."""

import pytest

from openai_standin import StandIn
from served import served

__all__ = ["served"]

CONFIG = """\
[[sources]]
name = "docs"
path = "docs"

[embedding]
provider = "openai"
model = "text-embedding-3-small"
dimensions = 64

[embedding.openai]
base_url = "{base_url}"
lane = "realtime"

[daemon]
http = "127.0.0.1:0"
settle_ms = 20
"""


@pytest.fixture
def other():
    with StandIn() as standin:
        yield standin


def test_questions_too_go_to_the_new_address(served, openai, other):
    served.is_real = True  # the product as it is, for the provider is no double of ours
    served.environment["OPENAI_API_KEY"] = openai.key
    served.config.write_text(CONFIG.format(base_url=openai.base_url))
    served.up()
    assert served.get("/v1/search?query=lantern&mode=vector")["hits"]
    asked = openai.requests()["embeddings"]
    served.config.write_text(CONFIG.format(base_url=other.base_url))
    assert served.run("reload").code == 0
    assert served.get("/v1/search?query=meadow&mode=vector")["hits"]
    assert (openai.requests()["embeddings"], other.requests()["embeddings"]) == (asked, 1)
