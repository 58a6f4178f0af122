"""Text that is not ours: what any machine with our virtual environment has, always in the same order.

Descriptions of installed packages, their Markdown and reStructuredText, and the docstrings of two large
libraries; no licences, no duplicates, mixed by the hash of the content.
"""

import ast
import hashlib
import re
import sysconfig
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

DOC_BYTES_MIN = 500
DOC_BYTES_MAX = 40_000  # so that no single changelog is the corpus
DOCSTRING_PACKAGES = ("sklearn", "scipy", "numpy")
DOCSTRING_BYTES = 3_000_000
_NOT_PROSE = re.compile(r"licen|copying|notice|authors", re.IGNORECASE)


def write_corpus(folder: Path, given: Path | None) -> int:
    """Fill `folder` with documents, from `given` if there is one; returns their bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    found = _from_folder(given) if given else _from_environment()
    contents: dict[bytes, tuple[str, bytes]] = {}
    for name, text in found:
        content = text.encode("utf-8", "replace")
        contents.setdefault(hashlib.sha256(content).digest(), (name, content))
    for number, digest in enumerate(sorted(contents)):
        name, content = contents[digest]
        (folder / f"{number:05d}-{name}").write_bytes(content)
    return sum(len(content) for _, content in contents.values())


def large_markdown(folder: Path, size_bytes: int) -> str:
    """One Markdown document of that size, made of the corpus' own: each becomes a section."""
    parts: list[str] = []
    size = 0
    for path in sorted(folder.glob("*.md")):
        text = f"# {path.stem}\n\n{path.read_text(encoding='utf-8').strip()}\n\n"
        parts.append(text)
        size += len(text.encode())
        if size >= size_bytes:
            break
    return "".join(parts).encode()[:size_bytes].decode("utf-8", "ignore").rstrip() + "\n"


def write_bulk(folder: Path, corpus: Path, size_bytes: int) -> int:
    """Documents of that size together: the corpus again and again, each copy's paragraphs made distinct."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = sorted(path for path in corpus.iterdir() if path.is_file())
    size = copy = 0
    while True:
        for path in paths:
            paragraphs = path.read_text(encoding="utf-8").split("\n\n")
            text = "\n\n".join(f"{part} ({copy}.{i})" for i, part in enumerate(paragraphs))
            (folder / f"{copy:03d}-{path.name}").write_text(text, encoding="utf-8")
            size += len(text.encode())
            if size >= size_bytes:
                return size
        copy += 1


def write_small_files(folder: Path, count: int, per_folder: int = 100) -> None:
    """Many small, distinct documents."""
    for number in range(count):
        path = folder / f"part-{number // per_folder:04d}" / f"note-{number:06d}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# Note {number}\n\nThis is the note with the number {number}.\n")


def _from_folder(given: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(given.rglob("*")):
        if path.suffix in {".md", ".rst", ".txt"} and path.is_file() and not _NOT_PROSE.search(path.name):
            yield from _document(path.name, path.read_text(encoding="utf-8", errors="replace"))


def _from_environment() -> Iterator[tuple[str, str]]:
    site = Path(sysconfig.get_path("purelib"))
    for path in sorted(site.glob("*.dist-info/METADATA")):
        if path.parent.name.startswith("reindex"):
            continue
        message = message_from_bytes(path.read_bytes())
        suffix = "rst" if "rst" in message.get("Description-Content-Type", "rst") else "md"
        body = message.get_payload()
        yield from _document(f"{path.parent.stem}.{suffix}", body if isinstance(body, str) else "")
    for path in sorted([*site.rglob("*.md"), *site.rglob("*.rst")]):
        if not _NOT_PROSE.search(str(path.relative_to(site))):
            yield from _document(path.name, path.read_text(encoding="utf-8", errors="replace"))
    yield from _docstrings(site)


def _docstrings(site: Path) -> Iterator[tuple[str, str]]:
    size = 0
    for package in DOCSTRING_PACKAGES:
        for path in sorted((site / package).rglob("*.py")):
            if "tests" in path.parts or size >= DOCSTRING_BYTES:
                continue
            text = "\n\n".join(_docstrings_of(path))
            size += len(text)
            name = ".".join(path.relative_to(site).with_suffix("").parts)
            yield from _document(f"{name}.rst", text)


def _docstrings_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            title = path.stem if isinstance(node, ast.Module) else node.name
            if text and len(text) > 100:
                yield f"{title}\n{'=' * len(title)}\n\n{text}"


def _document(name: str, text: str) -> Iterator[tuple[str, str]]:
    text = text.replace("\r\n", "\n").strip()
    if len(text) >= DOC_BYTES_MIN:
        yield name, text[:DOC_BYTES_MAX] + "\n"
