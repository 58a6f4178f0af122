"""What a service manager reads to run the daemon: a unit of systemd's for a user, and a job of launchd's."""

import os
import plistlib
from collections.abc import Sequence

from reindex.errors import ConfigError

WATCHDOG_S = 120
START_LIMIT_S = 3600
"""A first load of many documents takes its time."""

_STOP_MARGIN_S = 15
_RESTART_AFTER_S = 5
_REFUSED = frozenset("\"'\\")
_NOT_AGAIN = "2 4"  # a wrong configuration, and another that has the lock, do not mend themselves

_UNIT = """\
[Unit]
Description=reindex: keeps {described} fresh and answers searches
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
WatchdogSec={watchdog_s}
TimeoutStartSec={start_s}
TimeoutStopSec={stop_s}
KillMode=mixed
Restart=on-failure
RestartSec={restart_s}
RestartPreventExitStatus={not_again}
OOMPolicy=continue
EnvironmentFile=-%E/reindex/environment
Environment=PYTHONUNBUFFERED=1
UMask=0077
LimitCORE=0
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=~@clock @cpu-emulation @debug @module @mount @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
"""


def systemd_unit(command: Sequence[str], described: str, stop_s: float) -> str:
    """A user's unit that runs `command`, whose first part is an absolute path, and gives it `stop_s` to end.
    Raises ConfigError for a program that systemd does not take.

    (Sandboxes of the file system need namespaces, which a user's manager often may not make: a unit that asks
    for them does not start there.)
    """
    program, *arguments = command
    assert os.path.isabs(program), "systemd asks for that"  # noqa: PTH117
    if not program.isprintable() or set(program) & _REFUSED:
        raise ConfigError(
            f"systemd runs no program with quotes, backslashes or odd characters in its path: {program!r}",
            "Install reindex elsewhere.",
        )
    return _UNIT.format(
        described=_one_line(described).replace("%", "%%"),
        command=" ".join([_quoted(program), *(_quoted(each).replace("$", "$$") for each in arguments)]),
        watchdog_s=WATCHDOG_S,
        start_s=START_LIMIT_S,
        stop_s=round(stop_s + _STOP_MARGIN_S),
        restart_s=_RESTART_AFTER_S,
        not_again=_NOT_AGAIN,
    )


def launchd_plist(command: Sequence[str], label: str, log: str, stop_s: float) -> bytes:
    """A user's job that runs `command`, again when it fails, its output in the file `log`."""
    return plistlib.dumps(
        {
            "Label": label,
            "ProgramArguments": list(command),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 30,
            "ExitTimeOut": round(stop_s + _STOP_MARGIN_S),
            "ProcessType": "Background",
            "Umask": 0o077,
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }
    )


def _quoted(text: str) -> str:
    """A part of a command line in systemd's quotes: nothing in it is a quote, an escape or a specifier."""
    shown = "".join(_escaped(byte) for byte in os.fsencode(text))
    return f'"{shown}"'


def _escaped(byte: int) -> str:
    character = chr(byte)
    if character in '"\\':
        return f"\\{character}"
    if character == "%":
        return "%%"
    return character if 32 <= byte < 127 else f"\\x{byte:02x}"


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() and c != "\\" else "?" for c in text)
