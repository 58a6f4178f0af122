"""How programs make and save files: the part of the random steps that moves nothing."""

import os


class Saves:
    """Needs `place`, `existing`, `text`, `random` and `_named` of who does the steps."""

    def create(self):
        path = self.place()
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, self.text())
        return self._named(path)

    def edit(self):
        path = self.existing()
        write(path, self.text())
        return self._named(path)

    def edit_unseen(self):
        """Other bytes of the same size and with the same time."""
        path = self.existing()
        before = path.stat()
        content = path.read_bytes()
        path.write_bytes(content[::-1])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return self._named(path)

    def append(self):
        path = self.existing()
        file = path.open("a")
        self._open.append(file)
        file.write(self.text())
        file.flush()
        if len(self._open) > 3:
            self._open.pop(0).close()
        return self._named(path)

    def close_all(self):
        while self._open:
            self._open.pop().close()

    def save_atomically(self):
        path = self.existing() if self.random.random() < 0.7 else self.place()
        beside = path.with_name(
            self.random.choice([".#tmp", path.name + "~", "whatever.md", path.name + "___jb_tmp___"])
        )
        write(beside, self.text())
        beside.replace(path)
        return self._named(path)

    def save_by_backup(self):
        """vim's way: the old one is renamed, a new one written, the old one removed."""
        path = self.existing()
        old = path.with_name(path.name + "~")
        path.rename(old)
        write(path, self.text())
        old.unlink()
        return self._named(path)

    def touch(self):
        path = self.existing()
        os.utime(path)
        path.chmod(self.random.choice([0o644, 0o600]))
        return self._named(path)


def write(path, text):
    """In place, as most programs do. Never waits for the other end of a pipe."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o644)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
