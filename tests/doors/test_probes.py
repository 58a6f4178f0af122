"""The probe file, as people write it."""

import pytest

from reindex.errors import ConfigError
from reindex.model import DocumentName
from reindex.probes import Probe, documents_by_name, named_documents, read_probes


def probes_of(tmp_path, text):
    path = tmp_path / "probes.toml"
    path.write_text(text)
    return read_probes(path)


@pytest.mark.parametrize(
    "text",
    [
        '[[probe]]\nquery = "a b"\ndocuments = ["x.md", "y.md"]',
        '[[questions]]\ndocuments = ["x.md", "y.md"]\nquery = "a b"',
        '"a b" = ["x.md", "y.md"]',
        '[probes]\n"a b" = ["x.md", "y.md"]',
    ],
)
def test_every_form_is_the_same_probe(tmp_path, text):
    assert probes_of(tmp_path, text) == [Probe("a b", ("x.md", "y.md"))]


def test_one_document_may_stand_alone(tmp_path):
    assert probes_of(tmp_path, '[[probe]]\nquery = "a"\ndocument = "x.md"') == [Probe("a", ("x.md",))]
    assert probes_of(tmp_path, '"a" = "x.md"') == [Probe("a", ("x.md",))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no probes"),
        ("x = [", "no TOML"),
        ('[[probe]]\nquery = " "\ndocuments = ["a"]', "probe 1 .* no query"),
        ('"a" = ["x.md"]\n"b" = []', "probe 2 .* no documents"),
        ('"a" = 3', "no documents"),
        ('[[probe]]\nquery = "a"\ndocuments = [3]', "no documents"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        probes_of(tmp_path, text)


def test_a_document_by_its_path_or_with_its_source():
    known = documents_by_name([DocumentName("docs", "a/b.md"), DocumentName("more", "a/b.md")])
    assert named_documents(Probe("q", ("a/b.md",)), known) == {"docs:a/b.md", "more:a/b.md"}
    for text in ("docs:a/b.md", "docs/a/b.md"):
        assert named_documents(Probe("q", (text,)), known) == {"docs:a/b.md"}
    assert named_documents(Probe("q", ("b.md",)), known) == set()
