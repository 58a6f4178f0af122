"""The rules of one ignore file, with git's reading of its lines, and the last one that matches a path."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from reindex.sources.wildmatch import to_regex

_RULESETS_KEPT = 1024  # compiled ignore files kept from scan to scan


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of an ignore file; `line` counts from 1, `text` is the line as written."""

    line: int
    text: str
    expression: str
    ending: str  # what the name in every match ends in; empty: it isn't known
    is_negated: bool
    is_folder_only: bool
    is_name_only: bool


class Ruleset:
    """The rules on `lines`. A path is tried by at most two expressions, however many rules there are.

    `has_comments`: whether a line that starts with `#` is one, as in a file, or a rule, as in the
    configuration.
    """

    def __init__(self, lines: Iterable[str], *, has_comments: bool = True) -> None:
        numbered = [
            (number, line) for number, line in enumerate(lines, 1) if not (has_comments and line[:1] == "#")
        ]
        rules = [rule for number, line in numbered if (rule := _parse(number, line))]
        endings = {rule.ending for rule in rules if not rule.is_folder_only}
        # Nearly every name is passed by this one test:
        self._file_endings = None if "" in endings else tuple(endings)
        self._folder_names = _LastMatch(rule for rule in rules if rule.is_name_only)
        self._folder_paths = _LastMatch(rule for rule in rules if not rule.is_name_only)
        self._file_names = _LastMatch(rule for rule in rules if rule.is_name_only and not rule.is_folder_only)
        self._file_paths = _LastMatch(
            rule for rule in rules if not rule.is_name_only and not rule.is_folder_only
        )

    def last_match(self, name: str, path: str, *, is_folder: bool) -> Rule | None:
        """The rule that decides: the last one that matches. `path` starts at the ignore file's folder."""
        if not is_folder and self._file_endings is not None and not name.endswith(self._file_endings):
            return None
        names, paths = (
            (self._folder_names, self._folder_paths) if is_folder else (self._file_names, self._file_paths)
        )
        by_name, by_path = names.find(name), paths.find(path)
        if by_name is None or by_path is None:
            return by_name or by_path
        return by_name if by_name.line > by_path.line else by_path


@lru_cache(maxsize=_RULESETS_KEPT)
def cached_ruleset(text: str) -> Ruleset:
    """The same text is compiled once, from scan to scan."""
    return Ruleset(text.split("\n"))


class _LastMatch:
    """All rules in one expression, the last one first: the group that matched is the rule that decides."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = sorted(rules, key=lambda rule: -rule.line)
        self._expression: re.Pattern[str] | None = None

    def find(self, subject: str) -> Rule | None:
        if not self._rules:
            return None
        if self._expression is None:
            self._expression = re.compile("|".join(f"({rule.expression})" for rule in self._rules), re.DOTALL)
        match = self._expression.fullmatch(subject)
        return None if match is None or match.lastindex is None else self._rules[match.lastindex - 1]


def _parse(number: int, line: str) -> Rule | None:
    """None: an empty line, or a pattern that can match nothing."""
    line = _without_trailing_spaces(line.removesuffix("\r"))
    is_negated = line.startswith("!")
    pattern = line[is_negated:]
    is_folder_only = pattern.endswith("/")
    pattern = pattern.removesuffix("/")
    is_name_only = "/" not in pattern
    expression = to_regex(pattern.removeprefix("/"))
    if not pattern or expression is None:
        return None
    literal = pattern.rpartition("/")[2].removeprefix("*")
    ending = literal if re.search(r"[*?\[\\]", literal) is None else ""
    return Rule(number, line, expression, ending, is_negated, is_folder_only, is_name_only)


def _without_trailing_spaces(line: str) -> str:
    """Spaces at the end don't count, except one behind a backslash."""
    stripped = line.rstrip(" ")
    backslashes = len(stripped) - len(stripped.rstrip("\\"))
    return f"{stripped} " if backslashes % 2 and stripped != line else stripped
