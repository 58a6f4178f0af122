"""Where each key of a TOML text stands: `tomllib` gives values without their lines."""

import re
import tomllib

KeyPath = tuple[str | int, ...]
"""A key with the tables around it; an int is a place in an array: ("sources", 0, "path")."""

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[\s,]|#[^\n]*)*")  # a comma only ever stands between values
_KEY_PART = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_SCALAR = re.compile(
    r'''"""(?:\\.|[^\\])*?"""(?:"{0,2})'''  # up to two quotes may stand before the closing three
    r"""|'''.*?'''(?:'{0,2})"""
    r"""|"(?:\\.|[^"\\])*"|'[^']*'|[^,\]}#\n]+""",
    re.DOTALL,
)


class KeyLines:
    """The line of every table, key and array element of a text that `tomllib` accepts."""

    def __init__(self, text: str) -> None:
        self._lines = _Scanner(text).scan()

    def line(self, path: KeyPath) -> int:
        """The line (from 1) where `path` is written, or else the nearest table around it; 1 at worst."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)


class _Scanner:
    """Walks the text once. Whatever does not look like TOML ends the walk: what was noted so far stays."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[KeyPath, int] = {}
        self._last_element: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self._skip(_BLANK):
            before = self._at
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._assignment(table)
            if self._at == before:
                break
        return self._lines

    def _header(self) -> KeyPath:
        start = self._at
        brackets = 2 if self._text.startswith("[[", start) else 1
        self._at += brackets
        key = self._key()
        self._at += brackets
        if brackets == 2:
            array = self._inside(key[:-1]) + key[-1:]
            self._last_element[array] = self._last_element.get(array, -1) + 1
        path: KeyPath = ()
        for part in key:
            path += (part,)
            self._note(path, start)
            path = self._inside_last(path)
            self._note(path, start)
        return path

    def _inside(self, key: KeyPath) -> KeyPath:
        path: KeyPath = ()
        for part in key:
            path = self._inside_last((*path, part))
        return path

    def _inside_last(self, path: KeyPath) -> KeyPath:
        return (*path, self._last_element[path]) if path in self._last_element else path

    def _assignment(self, table: KeyPath) -> None:
        start, path = self._at, table
        for part in self._key():
            path += (part,)
            self._note(path, start)
        self._at += len("=")
        self._value(path)

    def _key(self) -> KeyPath:
        parts: list[str] = []
        while self._skip(_SPACE) and (match := _KEY_PART.match(self._text, self._at)):
            part = match.group()
            parts.append(tomllib.loads(f"key = {part}")["key"] if part[0] in "\"'" else part)
            self._at = match.end()
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                break
            self._at += len(".")
        return tuple(parts)

    def _value(self, path: KeyPath) -> None:
        self._skip(_BLANK)
        opening = self._text[self._at : self._at + 1]
        if opening and opening in "[{":
            self._at += 1
            self._elements(path, closing="]" if opening == "[" else "}")
        elif match := _SCALAR.match(self._text, self._at):
            self._at = match.end()

    def _elements(self, path: KeyPath, closing: str) -> None:
        """The rest of an array or inline table, its closing bracket included."""
        number = 0
        while self._skip(_BLANK):
            before = self._at
            if self._text.startswith(closing, self._at):
                self._at += 1
                return
            if closing == "}":
                self._assignment(path)
            else:
                self._note((*path, number), self._at)
                self._value((*path, number))
                number += 1
            if self._at == before:
                return

    def _skip(self, pattern: re.Pattern[str]) -> bool:
        """Whether there is text left after it."""
        if match := pattern.match(self._text, self._at):
            self._at = match.end()
        return self._at < len(self._text)

    def _note(self, path: KeyPath, at: int) -> None:
        self._lines.setdefault(path, self._text.count("\n", 0, at) + 1)
