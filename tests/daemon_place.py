"""A folder with a configuration, and a daemon for it that is ended with the test."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from processes import CONFIG, Place, wait_until
from reindex.presence import find_daemon, send_signal

SCRIPT = Path(__file__).parent / "cli" / "reindex_with_daemon.py"


class DaemonPlace(Place):
    """Commands go to a command line whose daemon is a stand-in."""

    @property
    def data_dir(self):
        return self.folder / ".reindex"

    @property
    def log(self):
        return self.data_dir / "logs" / "daemon.log"

    @property
    def presence(self):
        return find_daemon(self.data_dir)

    def start(self, *arguments, real_model=False):
        return self.popen(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def popen(self, *arguments, **options):
        environment = {**os.environ, "PYTHONWARNINGS": "", **self.environment}
        return subprocess.Popen(
            [sys.executable, SCRIPT, *arguments], cwd=self.folder, env=environment, **options
        )

    def kill(self):
        presence = self.presence
        if presence is not None:
            send_signal(presence, signal.SIGKILL)
            wait_until(lambda: self.presence is None, "the daemon to be gone")

    def processes(self):
        """The ids of all processes whose command line names this place's configuration."""
        found = []
        for each in Path("/proc").iterdir():
            with suppress(OSError):
                if each.name.isdigit() and str(self.folder).encode() in (each / "cmdline").read_bytes():
                    found.append(int(each.name))
        return found


def make_place(folder):
    (folder / "docs").mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG)
    return DaemonPlace(folder)
