"""Which files of a source are documents, and if one is not, the rule that says so.

Lowest first: our default rules, the ignore files from the source's folder downwards (`.reindexignore` over
`.gitignore` in one folder), the configuration. What lies in an ignored folder stays ignored.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from reindex.errors import ConfigError
from reindex.sources.rules import Rule, Ruleset, cached_ruleset
from reindex.sources.wildmatch import to_regex

IGNORE_FILES = (".reindexignore", ".gitignore")  # the first one wins

DEFAULT_RULES = (
    *(".git", ".hg", ".svn"),
    *("node_modules/", "__pycache__/", ".venv/", "venv/", ".tox/"),
    *(".mypy_cache/", ".ruff_cache/", ".pytest_cache/", "dist/", "build/", "target/", ".idea/", ".vscode/"),
    *(".DS_Store", "Thumbs.db", "*~", ".#*", "#*#", "*.sw?", "*.tmp", "*.part", "*.crdownload", "*.download"),
    *(
        "4913",
        ".~lock.*",
        "~$*",
        "*___jb_tmp___",
        "*___jb_old___",
        ".goutputstream-*",
        ".fuse_hidden*",
        ".nfs*",
    ),
)
"""What version control, tools and editors leave beside documents (`.syncthing.*.tmp` is a `*.tmp`).

`!build/` in a `.reindexignore` lifts a default rule. Those of version control hold always, or the common `*`,
`!*/`, `!*.md` would index `.git`; and a `.gitignore` lifts none: it speaks of what is committed, not of
documents.
"""

DEFAULT_STARTS = frozenset(rule[0] for rule in DEFAULT_RULES if "*" in rule[1:])
"""A default rule may be about how these names go on."""

_UNLIFTABLE = frozenset({".git", ".hg", ".svn"})


@dataclass(frozen=True, slots=True)
class Ignored:
    """A file or folder is not indexed; `reason` is the rule, for a person to read."""

    reason: str


class IgnoreRules:
    """The rules of one source.

    `include` and `exclude` are gitignore globs relative to the source's folder. A glob that names a suffix or
    a whole name (`**/*.md`, `docs/NOTES`) asks for those files; another one (`docs/`, `docs/**`) for the
    files there that a parser knows. No `include`: every file that a parser knows.
    """

    def __init__(
        self,
        include: Sequence[str],
        exclude: Sequence[str],
        known_suffixes: frozenset[str],
        known_names: frozenset[str],
    ) -> None:
        for glob in (*include, *exclude):
            _refuse_braces(glob)
        self.exclude = Ruleset(exclude, has_comments=False) if exclude else None
        self._known_suffixes = known_suffixes
        self._known_names = known_names
        self._includes_all = not include
        asked = [_include_glob(glob) for glob in include]
        self._asked_suffixes = tuple(glob.suffix for glob in asked if glob.suffix)
        self.plain_suffixes = _plain(known_suffixes.union(self._asked_suffixes))
        self.taken_suffixes = frozenset(self._asked_suffixes) if include else known_suffixes
        self.sure_suffixes = self.plain_suffixes & self.taken_suffixes
        self._asked = _any_of([glob.exact for glob in asked if glob.exact and not glob.suffix])
        self._places = _any_of([glob.place for glob in asked if glob.place])

    def root(self) -> "FolderRules":
        """The rules in the source's own folder, its ignore files not yet read."""
        return FolderRules(self, "", ())

    def not_wanted(self, name: str, path: str) -> str:
        """Why `include` or the parsers leave this file out; empty when they take it."""
        if not self._includes_all:
            if name.endswith(self._asked_suffixes) or (
                self._asked is not None and self._asked.fullmatch(path)
            ):
                return ""
            if self._places is None or not self._places.fullmatch(path):
                return "config include: no glob matches"
        dot = name.rfind(".")
        if (dot >= 0 and name[dot:].lower() in self._known_suffixes) or name in self._known_names:
            return ""
        return f"no parser for {name[dot:]}" if dot >= 0 else "no parser for a name without a suffix"


@dataclass(frozen=True, slots=True)
class FolderRules:
    """The rules inside one folder.

    `prefix` is its path with a slash at the end (empty for the source's own folder), `stack` its ignore files
    and those above it, the winning one first.
    """

    rules: IgnoreRules
    prefix: str
    stack: tuple["_IgnoreFile", ...]

    def with_ignore_files(self, contents: Mapping[str, str]) -> "FolderRules":
        """The same, with the folder's own ignore files: name to text."""
        own = tuple(
            _IgnoreFile(
                self.prefix + name,
                self.prefix,
                cached_ruleset(contents[name]),
                lifts=name == ".reindexignore",
            )
            for name in IGNORE_FILES
            if name in contents
        )
        return FolderRules(self.rules, self.prefix, own + self.stack)

    def enter(self, name: str) -> "FolderRules":
        """The rules one folder further down, its ignore files not yet read."""
        return FolderRules(self.rules, f"{self.prefix}{name}/", self.stack)

    @property
    def sure_suffixes(self) -> frozenset[str]:
        """Files with these suffixes are documents, unless their name begins with one of `DEFAULT_STARTS`."""
        has_rules = self.stack or self.rules.exclude is not None
        return frozenset() if has_rules else self.rules.sure_suffixes

    def folder(self, name: str) -> Ignored | None:
        """The rule that keeps us out of a folder in this one."""
        return self._by_rules(name, _default_ruleset().last_match(name, name, is_folder=True), is_folder=True)

    def file(self, name: str) -> Ignored | None:
        """The rule that keeps a regular file in this folder from being a document."""
        rules = self.rules
        suffix = name[name.rfind(".") :]
        default = None
        if suffix not in rules.plain_suffixes or name[0] in DEFAULT_STARTS:
            if name in IGNORE_FILES:
                return Ignored("an ignore file is not a document")
            default = _default_ruleset().last_match(name, name, is_folder=False)
        if default is not None or self.stack or rules.exclude is not None:
            ignored = self._by_rules(name, default, is_folder=False)
            if ignored is not None:
                return ignored
        reason = "" if suffix in rules.taken_suffixes else rules.not_wanted(name, self.prefix + name)
        return Ignored(reason) if reason else None

    def _by_rules(self, name: str, default: Rule | None, *, is_folder: bool) -> Ignored | None:
        exclude = self.rules.exclude
        if exclude is not None:
            rule = exclude.last_match(name, self.prefix + name, is_folder=is_folder)
            if rule is not None and not rule.is_negated:
                return Ignored(f"config exclude: {rule.text}")
        for ignore_file in self.stack:
            rule = ignore_file.rules.last_match(
                name, (self.prefix + name)[len(ignore_file.base) :], is_folder=is_folder
            )
            if rule is None:
                continue
            if not rule.is_negated:
                return Ignored(f"{ignore_file.path}:{rule.line}: {rule.text}")
            if ignore_file.lifts and default is not None and default.text not in _UNLIFTABLE:
                return None
            break
        return None if default is None else Ignored(f"default rule: {default.text}")


@dataclass(frozen=True, slots=True)
class _IgnoreFile:
    path: str
    base: str  # its folder, with a slash at the end
    rules: Ruleset
    lifts: bool  # whether its `!` rules lift default rules


@cache
def _default_ruleset() -> Ruleset:
    return Ruleset(DEFAULT_RULES, has_comments=False)


def _plain(suffixes: Iterable[str]) -> frozenset[str]:
    """Those suffixes that no default rule is about, unless by how a name starts (`DEFAULT_STARTS`)."""
    rules = [rule for rule in DEFAULT_RULES if rule[-1] not in "/*"]
    return frozenset(
        suffix
        for suffix in suffixes
        if not any(fnmatchcase(suffix, rule) or rule.endswith(suffix) for rule in rules)
    )


@dataclass(frozen=True, slots=True)
class _IncludeGlob:
    suffix: str = ""  # `**/*.md` and `*.md`: the whole test
    exact: str = ""  # the expression of the files that it asks for by name
    place: str = ""  # the expression of everything at and below what it matches


def _include_glob(glob: str) -> _IncludeGlob:
    simple = re.fullmatch(r"(?:\*\*/)?\*(\.[^*?\[\]\\/]+)", glob)
    if simple is not None:
        return _IncludeGlob(suffix=simple[1])
    if glob.startswith("!"):
        raise ConfigError(f"include can't negate: {glob!r}", "Put what to leave out into exclude.")
    body = glob.rstrip("/")
    is_anchored = "/" in body
    expression = to_regex(body.removeprefix("/"))
    if not body or expression is None:
        raise ConfigError(f"include: {glob!r} matches nothing", "It is a glob as in a .gitignore: **/*.md")
    if not is_anchored:
        expression = f"(?:.*/)?{expression}"
    last = body.rpartition("/")[2]
    if glob.endswith("/"):
        return _IncludeGlob(place=f"{expression}/.+")
    if re.search(r"\.[^*]+\Z", last):
        return _IncludeGlob(exact=expression)
    is_whole_name = re.search(r"[*?\[\\]", last) is None
    return _IncludeGlob(exact=expression if is_whole_name else "", place=f"{expression}(?:/.+)?")


def _any_of(expressions: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{one})" for one in expressions), re.DOTALL) if expressions else None


def _refuse_braces(glob: str) -> None:
    """`*.{md,txt}` would match nothing, in silence."""
    if re.search(r"(?<!\\)\{[^}]*,", glob):
        raise ConfigError(
            f"braces are not expanded in a glob: {glob!r}", 'Write one glob each: "**/*.md", "**/*.txt"'
        )
