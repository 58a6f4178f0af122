"""Random things that people and programs do to folders of documents, from a seed: the same again each time.

Every step prints as Python that says what was done, so that a failing run can be read and replayed.
"""

import os
import random
import shutil
from pathlib import Path

from daemon.disk_saves import Saves, write
from doubles import paragraphs

FOLDERS = ("", "a", "a/b", "a/b/c", "d", "d/e", "sub", "sub/a", "sub/x.md")  # the last: a folder like a file
NAMES = ("one.md", "two.md", "three.txt", "x.md", "noise.log")
RULES = ("", "two.md\n", "b/\n", "/a\n", "*.txt\n", "!two.md\n*.md\n")


class Disk(Saves):
    """Does random steps below `root`; `outside` is where things come from and go to."""

    def __init__(self, seed, root, outside, *, burst=(40, 120), says=False):
        self.random = random.Random(seed)
        self.root, self.outside = Path(root), Path(outside)
        self.outside.mkdir(parents=True, exist_ok=True)
        self.burst = burst
        self.log = []
        self._says = says
        self._open = []  # files that are being appended to, held open
        self._number = 0
        kinds = {
            self.create: 6,
            self.edit: 6,
            self.edit_unseen: 2,
            self.append: 3,
            self.close_all: 2,
            self.save_atomically: 5,
            self.save_by_backup: 2,
            self.touch: 2,
            self.make_folders: 4,
            self.move_in: 2,
            self.move_out: 2,
            self.move_file: 4,
            self.move_folder: 4,
            self.move_twice: 2,
            self.exchange: 1,
            self.remove: 4,
            self.remove_folder: 2,
            self.swap_kinds: 2,
            self.link: 1.5,
            self.edit_linked: 1.5,
            self.link_symbolically: 2,
            self.write_rules: 1,
            self.copy_folder: 1,
            self.copy_file: 2,
            self.pipe: 1,
            self.make_burst: 0.3,
            self.lock_out: 1,
        }
        self._kinds, self._weights = list(kinds), list(kinds.values())

    def step(self):
        kind = self.random.choices(self._kinds, self._weights)[0]
        try:
            said = kind()
        except OSError as error:  # another thing stands there, or none: that was no step
            said = f"{error.strerror}"
        self.log.append(f"{len(self.log)} {kind.__name__} {said}")
        if self._says:
            print(self.log[-1], flush=True)

    def be_quiet(self):
        """Nothing is held open or locked any more."""
        self.close_all()
        for folder, folders, files in os.walk(self.root):
            for name in (*folders, *files):
                path = os.path.join(folder, name)
                if not os.path.islink(path) and not os.stat(path).st_mode & 0o400:
                    os.chmod(path, 0o755)

    # Places and texts

    def place(self, names=NAMES):
        return self.root / self.random.choice(FOLDERS) / self.random.choice(names)

    def existing(self, *, is_folder=False):
        """Nothing that has another name as well: written by one that rules leave out, it is not heard of."""
        found = sorted(
            path
            for path in self.root.rglob("*")
            if not path.is_symlink()
            and (path.is_dir() if is_folder else path.is_file() and path.stat().st_nlink == 1)
        )
        return self.random.choice(found) if found else self.root / "none"

    def text(self):
        """Mostly new, sometimes one that was there before."""
        self._number += 1
        first = self._number if self.random.random() < 0.8 else self.random.randrange(1, self._number + 1)
        return paragraphs(*range(1000 * first, 1000 * first + self.random.randrange(1, 3)))

    def _named(self, path):
        return str(path.relative_to(self.root.parent))

    def make_folders(self):
        path = self.root / self.random.choice(FOLDERS) / f"n{self.random.randrange(5)}" / "deep" / "one.md"
        path.parent.mkdir(parents=True)
        write(path, self.text())
        return self._named(path)

    def move_in(self):
        self._number += 1
        folder = self.outside / f"in{self._number}"
        (folder / "inner").mkdir(parents=True)
        for name in ("one.md", "inner/two.md"):
            write(folder / name, self.text())
        to = self.root / self.random.choice(FOLDERS) / f"in{self.random.randrange(4)}"
        folder.rename(to)
        write(to / "inner" / "late.md", self.text())
        return self._named(to)

    def move_out(self):
        """And written to afterwards, where it is nobody's business."""
        folder = self.existing(is_folder=True)
        to = self.outside / f"out{len(self.log)}"
        folder.rename(to)
        write(to / "ghost.md", self.text())
        return self._named(folder)

    def move_file(self):
        path, to = self.existing(), self.place()
        to.parent.mkdir(parents=True, exist_ok=True)
        path.rename(to)
        return f"{self._named(path)} -> {self._named(to)}"

    def move_folder(self):
        folder = self.existing(is_folder=True)
        to = self.root / self.random.choice(FOLDERS) / f"m{self.random.randrange(4)}"
        folder.rename(to)
        return f"{self._named(folder)} -> {self._named(to)}"

    def move_twice(self):
        folder = self.existing(is_folder=True)
        between, to = (self.root / f"t{self.random.randrange(4)}" for _ in range(2))
        folder.rename(between)
        between.rename(to)
        return f"{self._named(folder)} -> {self._named(between)} -> {self._named(to)}"

    def exchange(self):
        is_folder = self.random.random() < 0.5
        one, other = self.existing(is_folder=is_folder), self.existing(is_folder=is_folder)
        hidden = self.outside / f"x{len(self.log)}"
        one.rename(hidden)
        other.rename(one)
        hidden.rename(other)
        return f"{self._named(one)} <-> {self._named(other)}"

    def remove(self):
        path = self.existing()
        path.unlink()
        return self._named(path)

    def remove_folder(self):
        folder = self.existing(is_folder=True)
        shutil.rmtree(folder)
        return self._named(folder)

    def swap_kinds(self):
        """A folder where a file was, or the other way round."""
        path = self.existing(is_folder=self.random.random() < 0.5)
        if path.is_dir():
            shutil.rmtree(path)
            write(path, self.text())
        else:
            path.unlink()
            path.mkdir()
            write(path / "one.md", self.text())
        return self._named(path)

    def link(self):
        """Two names for a new file."""
        self._number += 1
        path = self.root / "links" / f"{self._number}.md"
        path.parent.mkdir(exist_ok=True)
        write(path, self.text())
        os.link(path, path.with_name(f"{path.stem}-too.md"))
        return self._named(path)

    def edit_linked(self):
        """By one of its names; the first, which was closed and so is soon known, may be gone right after. (Of
        a name that came and went between two looks nobody knows which file it was.)
        """
        found = sorted((self.root / "links").glob("*.md"))
        pairs = [(path, path.with_name(f"{path.stem}-too.md")) for path in found]
        pairs = [pair for pair in pairs if pair[1].exists() and pair[0].samefile(pair[1])]
        if not pairs:
            return "none"
        written, _ = self.random.sample(self.random.choice(pairs), 2)
        write(written, self.text())
        if self.random.random() < 0.3 and written.stem.isdigit():
            written.unlink()
        return self._named(written)

    def link_symbolically(self):
        path = self.place()
        if path.is_symlink() or path.is_file():
            path.unlink()
        target = self.random.choice(
            [self.existing(), self.existing(is_folder=True), self.outside, Path("nowhere")]
        )
        path.symlink_to(target)
        return f"{self._named(path)} -> {target.name}"

    def write_rules(self):
        path = (
            self.root / self.random.choice(FOLDERS[:6]) / self.random.choice([".gitignore", ".reindexignore"])
        )
        rules = self.random.choice(RULES)
        if rules:
            write(path, rules)
        else:
            path.unlink()
        return f"{self._named(path)} {rules!r}"

    def copy_folder(self):
        folder = self.existing(is_folder=True)
        to = self.root / f"copy{self.random.randrange(3)}"
        if (
            to in (folder, *folder.parents)
            or folder in to.parents
            or sum(1 for _ in self.root.rglob("*")) > 3000
        ):
            return "not into itself"
        shutil.copytree(folder, to, symlinks=True, dirs_exist_ok=True)
        return f"{self._named(folder)} -> {self._named(to)}"

    def copy_file(self):
        path, to = self.existing(), self.place()
        if to.is_symlink():
            return "a link"
        shutil.copy2(path, to)
        return f"{self._named(path)} -> {self._named(to)}"

    def pipe(self):
        path = self.place()
        os.mkfifo(path)
        return self._named(path)

    def make_burst(self):
        folder = self.root / self.random.choice(FOLDERS[:6]) / "burst"
        folder.mkdir(parents=True, exist_ok=True)
        count = self.random.randrange(*self.burst)
        start = self.random.randrange(3)
        for number in range(start, start + count):
            write(folder / f"{number}.md", paragraphs(900_000 + number))
        return f"{self._named(folder)} x {count}"

    def lock_out(self):
        """Nobody may read it, and a while later it is as before."""
        path = self.existing(is_folder=self.random.random() < 0.5)
        mode = path.stat().st_mode
        path.chmod(0o000 if mode & 0o400 else 0o755)
        return f"{self._named(path)} {mode:o}"
