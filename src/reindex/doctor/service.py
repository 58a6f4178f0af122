"""A daemon that runs, and the address that it has or needs."""

import errno
import ipaddress
import socket
from collections.abc import Iterator

from reindex import __version__
from reindex.app import App
from reindex.daemon.asking import ask
from reindex.doctor.findings import Finding, failed, fine, warning
from reindex.presence import Presence, find_daemon


def check_service(app: App) -> Iterator[Finding]:
    """The daemon of this data directory, and the port."""
    presence = find_daemon(app.data_dir)
    yield _daemon(app, presence)
    yield _address(app, presence)


def _daemon(app: App, presence: Presence | None) -> Finding:
    check = "daemon"
    if presence is None:
        return fine(check, "not running")
    found = f"process {presence.pid}, version {presence.version}"
    if presence.version != __version__:
        words = f"{found}; this command is version {__version__}"
        return warning(check, words, "`reindex restart` renews it.")
    if not presence.is_ready:
        return warning(check, f"{found} is not ready yet", "`reindex logs -f` shows what it does.")
    if presence.url and ask(presence, "/v1/status", app.settings.daemon.token) is None:
        fix = "`reindex logs` shows what it does; is the token the one that it was started with?"
        return failed(check, f"{found} does not answer at {presence.url}", fix)
    return fine(check, found)


def _address(app: App, presence: Presence | None) -> Finding:
    check, address = "address", app.settings.daemon.http
    if not address:
        return fine(check, 'none: [daemon] http is ""')
    host, _, port = address.rpartition(":")
    if presence is not None and presence.url.rpartition(":")[2] == port:
        return fine(check, f"{presence.url} is our daemon's")
    choose = "Choose another address in [daemon] http."
    host = host.strip("[]")
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, OverflowError) as error:
        return failed(check, f"{address} is no address: {error}", choose)
    if not app.settings.daemon.token and not all(_is_own(str(each[4][0])) for each in found):
        fix = "Set [daemon] token, or use 127.0.0.1."
        return failed(check, f"{address} is open to other machines, and there is no token", fix)
    family, kind, protocol, _, place = found[0]
    cause = ""
    try:
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(place)
    except OSError as error:
        cause = f"can't be used: {error.strerror}"
        if error.errno == errno.EADDRINUSE:
            cause = "is in use by another program"
            choose = (
                f"End what has it (ss -ltnp 'sport = :{port}' names it), or choose another [daemon] http."
            )
    return failed(check, f"{address} {cause}", choose) if cause else fine(check, f"{address} is free")


def _is_own(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback
