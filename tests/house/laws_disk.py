"""What a folder of documents goes through: every operation on files that needs no watcher to be seen."""

import json
import os
import shutil
from contextlib import suppress

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from doubles import paragraphs

FOLDERS = ("", "d/", "d/e/", "f/")
NOT_UTF8 = os.fsdecode(b"caf\xe9.md")
ODD = (NOT_UTF8, "two\nlines 'q\".md", "日本.md", "x" * 252 + ".md")
NAMES = ("a.md", "A.md", "b.md", "c.txt", "n.ipynb", *ODD)
PATHS = tuple(folder + name for folder in FOLDERS for name in NAMES)
TEXTS = st.lists(st.integers(0, 25), max_size=12).map(lambda numbers: paragraphs(*numbers))
LITTER = ("a.md~", "4913", "a.md___jb_tmp___", ".#a.md", "notes.tmp", "picture.png")
WAYS = {"move": os.rename, "copy": shutil.copy2, "link": os.link}
BROKEN = {".md": b"a NUL \0 in it", ".txt": b"\0", ".ipynb": b"{ no notebook"}
ROOTS = st.sampled_from(["docs", "more"])


class DiskRules:
    """Works on `folder`, which has the roots `docs` and `more`, and `outside`, which no source has."""

    @initialize(texts=st.lists(st.tuples(st.sampled_from(PATHS[:3]), TEXTS), max_size=3))
    def begin(self, texts):
        for path, text in texts:
            self.put("docs", path, text)

    # What they work with.

    def files(self):
        found = []
        for root in ("docs", "more"):
            for folder, _, names in os.walk(self.folder / root):
                paths = (
                    self.folder / root / folder / name
                    for name in names
                    if name in NAMES or name == "inner.md"
                )
                found += [path for path in paths if path.is_file() and not path.is_symlink()]
        return sorted(found)

    def chosen(self, data):
        files = self.files()
        return data.draw(st.sampled_from(files)) if files else None

    def make_room(self, path):
        """What is in the way, a file for a folder or a folder for a file, goes."""
        for parent in reversed(path.relative_to(self.folder).parents):
            if not (self.folder / parent).is_dir():
                (self.folder / parent).unlink(missing_ok=True)
        remove(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def put(self, root, path, text):
        content = notebook(text) if path.endswith("ipynb") else text
        self.make_room(self.folder / root / path).write_text(content)

    # Saving.

    @rule(root=ROOTS, path=st.sampled_from(PATHS), text=TEXTS)
    def write(self, root, path, text):
        self.put(root, path, text)

    @rule(data=st.data(), at=st.integers(0, 12), number=st.integers(26, 60))
    def edit_a_paragraph(self, data, at, number):
        path = self.chosen(data)
        if path is not None and path.suffix != ".ipynb":
            path.write_bytes(edited(path.read_bytes(), at, number))

    @rule(data=st.data(), at=st.integers(0, 12), number=st.integers(26, 60), way=st.integers(0, 4))
    def save_as_editors_do(self, data, at, number, way):
        """By rename over the file; by a backup beside it; by two renames; in place; by a hard link."""
        path = self.chosen(data)
        if path is None or path.suffix == ".ipynb" or len(os.fsencode(path.name)) > 200:
            return
        content, temporary = edited(path.read_bytes(), at, number), path.with_name("save.tmp")
        if way == 0:
            temporary.write_bytes(content)
            temporary.replace(path)
        elif way == 1:
            backup = path.with_name(path.name + "~")
            path.rename(backup)
            path.write_bytes(content)
            backup.unlink()
        elif way == 2:
            path.with_name("x___jb_tmp___").write_bytes(content)
            path.rename(path.with_name("x___jb_old___"))
            path.with_name("x___jb_tmp___").rename(path)
            path.with_name("x___jb_old___").unlink()
        elif way == 3:
            with path.open("r+b") as file:
                file.truncate(0)
                file.flush()
                file.write(content)
        else:
            os.link(path, temporary)
            temporary.write_bytes(content)
            temporary.unlink()

    @rule(data=st.data())
    def edit_and_put_the_time_back(self, data):
        """The same size at the same mtime."""
        path = self.chosen(data)
        if path is not None and path.suffix == ".md":
            stat, content = path.stat(), path.read_bytes()
            path.write_bytes(content.replace(b"nothing", b"NOTHING").replace(b"Para", b"PARA"))
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    @rule(data=st.data(), text=TEXTS)
    def append(self, data, text):
        path = self.chosen(data)
        if path is not None:
            self.saved.append(path.read_bytes())
            with path.open("ab") as file:
                file.write(b"\n" + text.encode())

    @rule(data=st.data(), share=st.sampled_from([0.0, 0.5, 0.99]))
    def cut(self, data, share):
        path = self.chosen(data)
        if path is not None:
            self.saved.append(path.read_bytes())
            os.truncate(path, int(path.stat().st_size * share))

    @rule(data=st.data(), mode=st.sampled_from([0o600, 0o444, 0o755]))
    def touch_or_chmod(self, data, mode):
        path = self.chosen(data)
        if path is not None:
            path.touch()
            path.chmod(mode)

    @rule(data=st.data())
    def put_back_what_was(self, data):
        path = self.chosen(data)
        if path is not None and self.saved:
            path.write_bytes(data.draw(st.sampled_from(self.saved)))

    @rule(root=ROOTS, path=st.sampled_from(PATHS))
    def break_a_file(self, root, path):
        target = self.folder / root / path
        if target.is_file() and not target.is_symlink():
            self.saved.append(target.read_bytes())
        self.make_room(target).write_bytes(BROKEN[target.suffix])

    # Names.

    @rule(data=st.data(), root=ROOTS, to=st.sampled_from(PATHS), way=st.sampled_from([*WAYS]))
    def move_or_copy(self, data, root, to, way):
        path, target = self.chosen(data), self.folder / root / to
        if path is None or path == target or target.is_relative_to(path) or path.is_relative_to(target):
            return
        self.make_room(target)
        WAYS[way](path, target)

    @rule(data=st.data())
    def exchange(self, data):
        one, other = self.chosen(data), self.chosen(data)
        if one is not None and one != other and one.suffix == other.suffix:
            one.rename(self.folder / "between")
            other.rename(one)
            (self.folder / "between").rename(other)

    @rule(
        before=st.sampled_from(["docs/d", "docs/f", "docs/d/e", "more/d", "outside/d"]),
        after=st.sampled_from(["docs/d", "docs/f", "docs/g", "docs/f/h", "more/d", "outside/d", "outside/x"]),
        is_copy=st.booleans(),
    )
    def move_a_folder(self, before, after, is_copy):
        """Also into a source, out of one, and from one to another."""
        old, new = self.folder / before, self.folder / after
        if not old.is_dir() or old.is_symlink() or new.is_relative_to(old) or old.is_relative_to(new):
            return
        self.make_room(new)
        if is_copy:
            shutil.copytree(old, new, symlinks=True, ignore=other_than_files)
        else:
            old.rename(new)

    @rule(data=st.data(), is_folder=st.booleans())
    def delete(self, data, is_folder):
        path = self.chosen(data)
        if path is None:
            return
        self.saved.append(path.read_bytes())
        if is_folder and path.parent.parent != self.folder:
            shutil.rmtree(path.parent)
        else:
            path.unlink()

    @rule(data=st.data(), text=TEXTS)
    def swap_a_file_for_a_folder(self, data, text):
        path = self.chosen(data)
        if path is not None:
            path.unlink()
            path.mkdir()
            (path / "inner.md").write_text(text)

    @rule(
        root=ROOTS,
        path=st.sampled_from(PATHS[:12]),
        kind=st.sampled_from(["out", "loop", "dangling", "folder", "fifo", "hidden"]),
    )
    def put_what_is_no_document(self, root, path, kind):
        path = self.make_room(self.folder / root / path)
        outside = self.folder / "outside"
        (outside / "secret.md").write_text(paragraphs(99))
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "hidden":
            for name in LITTER:
                with suppress(OSError):
                    (path.parent / name).write_text(paragraphs(98))
        else:
            aim = {"out": outside / "secret.md", "loop": path, "dangling": outside / "no", "folder": outside}
            path.symlink_to(aim[kind])

    @rule()
    def make_the_root_a_link(self):
        """The folder moves, and a link stands where it was: the same documents at the same paths."""
        docs = self.folder / "docs"
        if not docs.is_symlink():
            docs.rename(self.folder / "elsewhere")
            docs.symlink_to("elsewhere")


def remove(path):
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def other_than_files(at, names):
    paths = {name: os.path.join(at, name) for name in names}
    return [name for name, path in paths.items() if not os.path.isfile(path) and not os.path.isdir(path)]


def edited(content, at, number):
    parts = content.split(b"\n\n")
    parts[at % len(parts)] = paragraphs(number).encode().strip()
    return b"\n\n".join(parts)


def notebook(text):
    cells = [{"cell_type": "markdown", "source": part} for part in text.split("\n\n")]
    return json.dumps({"cells": cells, "nbformat": 4})


def is_broken(path):
    """Whether its parser must refuse it."""
    content = path.read_bytes()
    if path.suffix != ".ipynb" or not content.strip():
        return b"\0" in content
    try:
        json.loads(content)
    except ValueError:
        return True
    return False
