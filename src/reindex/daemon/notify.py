"""What a service manager is told of a daemon, by systemd's protocol: datagrams to the socket it names."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping

_SEND_LIMIT_S = 1.0  # a manager that does not read must not hold the daemon up
_STATUS_CHARACTERS_MAX = 500


class Notifier:
    """Tells the manager at `address` (a path, or "@name" in the abstract namespace); "" is none: then nothing
    happens. No method ever raises: each says whether the message was sent.
    """

    def __init__(self, address: str) -> None:
        self._address = address if address.startswith(("/", "@")) else ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Notifier":
        """To the manager that started this process, if it asked to be told."""
        return cls(environment.get("NOTIFY_SOCKET", ""))

    def ready(self, status: str = "") -> bool:
        """It is started, or has reloaded."""
        return self._send("READY=1", *_status(status))

    def status(self, text: str) -> bool:
        """A line for whoever asks the manager how it is."""
        return self._send(*_status(text))

    def reloading(self) -> bool:
        """It reads its configuration anew; `ready` ends that. The moment goes with it, in one message: the
        manager takes any other for a service that does not answer.
        """
        return self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str = "") -> bool:
        """It is about to end."""
        return self._send("STOPPING=1", *_status(status))

    def watchdog(self) -> bool:
        """It is alive. To be called by what makes progress, not by a timer."""
        return self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> bool:
        if not self._address:
            return False
        address = self._address.encode(errors="surrogateescape")
        if address.startswith(b"@"):
            address = b"\0" + address[1:]
        message = "\n".join(assignments).encode(errors="replace")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
            connection.settimeout(_SEND_LIMIT_S)
            connection.sendto(message, address)
            return True
        return False


def watchdog_interval_s(environment: Mapping[str, str], pid: int | None = None) -> float | None:
    """How often `watchdog` has to be called at least: half of what the manager allows. None where it does not
    watch this process (`pid`; None is this one).
    """
    watched = environment.get("WATCHDOG_PID", "")
    try:
        allowed_us = int(environment.get("WATCHDOG_USEC", ""))
        is_ours = not watched or int(watched) == (os.getpid() if pid is None else pid)
    except ValueError:
        return None
    return allowed_us / 2e6 if is_ours and allowed_us > 0 else None


def _status(text: str) -> list[str]:
    return [f"STATUS={' '.join(text.split())[:_STATUS_CHARACTERS_MAX]}"] if text else []
