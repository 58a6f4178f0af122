"""Search over HTTP of a real index: the answer is the one that the command and the Python API give."""

import asyncio

import pytest

from doubles import House
from reindex.objects import query_object
from reindex.search import SearchMode
from reindex.stores.snapshot import Filter
from serving import make_surface, serving

ODD = b"odd-\x80.md"


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def searching(house):
    """A surface over the index. (The daemon's own search is asynchronous throughout.)"""

    async def search(request):
        limits = Filter(request.source, request.path_prefix)
        return await asyncio.to_thread(house.reader().search, request.query, request.k, request.mode, limits)

    return make_surface(search=search)


def without_time(value):
    assert value.pop("took_ms") >= 0
    return value


def test_it_answers_as_the_command_does(house):
    house.write("guide/a.md", "# Guide\n\nThe kettle boils <script>alert(1)</script> water.\n")
    house.write(ODD, "# Odd\n\nA kettle with a name of other bytes.\n")
    house.write("other.md", "# Other\n\nNothing of the kind.\n")
    house.sync()
    with serving(searching(house)) as client:
        for options in (
            {"query": "kettle"},
            {"query": "kettle", "mode": "text", "k": 1},
            {"query": "kettle", "mode": "vector"},
            {"query": "kettle", "path_prefix": "guide/"},
            {"query": "kettle", "path_prefix": "odd-\udc80"},
            {"query": "kettle", "source": "none"},
            {"query": ""},
        ):
            limits = Filter(options.get("source"), options.get("path_prefix"))
            found = house.reader().search(
                options["query"], options.get("k", 10), SearchMode(options.get("mode", "hybrid")), limits
            )
            answer = client.post("/v1/search", options)
            assert answer.status == 200, answer.body
            assert without_time(answer.json) == without_time(query_object(found)), options
        assert {hit["path"] for hit in client.get("/v1/search?query=kettle&mode=text").json["hits"]} == {
            "guide/a.md",
            "odd-\udc80.md",
        }


def test_before_the_first_sync_it_says_what_the_command_says(house):
    with serving(searching(house)) as client:
        answer = client.get("/v1/search?query=x")
        assert (answer.status, answer.json["detail"], answer.json["exit_code"]) == (
            404,
            "nothing indexed yet: run sync",
            1,
        )
