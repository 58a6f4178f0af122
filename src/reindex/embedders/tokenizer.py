"""How models count: a model's own tokenizer, and an estimate for models whose tokenizer is not here."""

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

_BATCH_CHARS_MAX = 1 << 17  # the library takes some hundred bytes for each token of a batch
_REMEMBERED_MAX = 1 << 16  # texts whose count is kept: about 8 MB
_ADDITIVE = frozenset({"BertPreTokenizer"})  # white space parts words and counts nothing


class ModelTokenizer:
    """A `tokenizer.json` read by the tokenizers library. Safe to use from several threads.

    `special_tokens` is what the model adds to each text, and no count includes.
    """

    def __init__(self, path: Path | str) -> None:
        from tokenizers import Tokenizer  # 30 ms, paid only where text is counted

        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()  # the file may carry both, and every count would be wrong
        self._tokenizer.no_padding()
        self.special_tokens: int = self._tokenizer.num_special_tokens_to_add(False)
        self.additive: bool = type(self._tokenizer.pre_tokenizer).__name__ in _ADDITIVE

        self._remembered: dict[bytes, int] = {}

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text. Counts are remembered: an edit leaves most paragraphs as they were."""
        counts: list[int] = []
        first = chars = 0
        for index, text in enumerate(texts):
            if chars and chars + len(text) > _BATCH_CHARS_MAX:
                counts.extend(self._count(texts[first:index]))
                first, chars = index, 0
            chars += len(text) + 1
        return counts + self._count(texts[first:])

    def _count(self, texts: Sequence[str]) -> list[int]:  # one batch
        keys = [blake2b(text.encode("utf-8", "replace"), digest_size=16).digest() for text in texts]
        known = self._remembered
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        encodings = self._tokenizer.encode_batch_fast(list(missing.values()), add_special_tokens=False)
        new = dict(zip(missing, map(len, encodings), strict=True))
        counts = [new[key] if key in new else known[key] for key in keys]
        if len(known) + len(new) > _REMEMBERED_MAX:  # another thread may still read the old one
            known = {}
        known.update(new)
        self._remembered = known
        return counts

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where each token stands in the text, in characters."""
        offsets: list[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets


class EstimateTokenizer:
    """A deterministic estimate for OpenAI's models: it leans to counting too many, since a text over
    the limit is refused, and four characters a token counts too few for code.

    Checked against cl100k_base on prose, code, base64 and 14 scripts: 1.08 to 1.76 times its count, 1.24
    on English.
    """

    special_tokens = 0
    additive = False
    # in this order: what looks like base64 or hex, by character; words in steps; digits by three; white
    # space that counts; the space before alphabets that merge with nothing; runs of one mark; letters of
    # other alphabets, by character; syllables and ideographs by two, three tokens for both; the rest, such
    # as emoji, four tokens a character
    _PIECE = re.compile(
        r"[A-Za-z0-9](?=[A-Za-z0-9]{19})|[A-Z]?[a-z]{1,6}|[A-Z]{1,2}|[0-9]{1,3}|[ \t]*\n\s*|[ \t]{2,}"
        r"| (?=[\u0370-\u03ff\u0590-\u07ff])|([!-/:-@\[-`{-~])\1{0,3}|[\u0080-\u07ff]|[\u0800-\uffff]{1,2}"
        r"|[\U00010000-\U0010ffff]|[\x00-\x08\x0e-\x1f\x7f]"
    )

    def count(self, texts: Sequence[str]) -> list[int]:
        """Estimated tokens of each text."""
        return [sum(weight for _, _, weight in self._pieces(text)) for text in texts]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """The places of the estimated tokens: those of one character share its place."""
        return [(start, end) for start, end, weight in self._pieces(text) for _ in range(weight)]

    def _pieces(self, text: str) -> Iterator[tuple[int, int, int]]:
        for match in self._PIECE.finditer(text):
            start, end = match.span()
            first = text[start]
            yield start, end, 1 if first < "\u0800" else end - start + 1 if first <= "\uffff" else 4
