"""Where the API listens: an address, whether only this machine reaches it, and the socket."""

import http.client
import ipaddress
import socket
from contextlib import closing
from dataclasses import dataclass

from reindex.errors import ConfigError, ReindexError

BACKLOG = 128
_PORT_MAX = 65535
_ASK_S = 0.5


class AddressError(ReindexError):
    """The address can't be listened on."""


@dataclass(frozen=True, slots=True)
class Address:
    """`host` as it was configured, without brackets; `ip` is what it stands for. Port 0: any free one."""

    host: str
    port: int
    ip: str

    @property
    def is_loopback(self) -> bool:
        """Only this machine reaches it."""
        return ipaddress.ip_address(self.ip.partition("%")[0]).is_loopback

    @property
    def shown(self) -> str:
        """As in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_address(http: str, token: str) -> Address:
    """What `[daemon] http` names. Raises ConfigError when it names nothing, or an address that others reach
    without there being a token.
    """
    host, _, port = http.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or int(port) > _PORT_MAX:
        raise ConfigError(
            f"[daemon] http = {http!r} is no address", 'Write "127.0.0.1:7700", or another port.'
        )
    try:
        found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"[daemon] http: there is no address {host!r}: {error}", 'Write "127.0.0.1:7700", for example.'
        ) from None
    address = Address(host, int(port), str(found[0][4][0]))
    if not address.is_loopback and not token:
        raise ConfigError(
            f"[daemon] http = {http!r} can be reached by other machines, and there is no token",
            'Set [daemon] token = "${REINDEX_TOKEN}" (and that variable), or listen on 127.0.0.1.',
        )
    return address


def listen(address: Address) -> tuple[socket.socket, Address]:
    """A socket that listens, and the address with its real port. Raises AddressError."""
    family = socket.AF_INET6 if ":" in address.ip else socket.AF_INET
    # By its protocol asyncio knows it for TCP, and sends small answers at once; they would wait 40 ms for an
    # acknowledgement otherwise.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else no restart for a minute
        listener.bind((address.ip, address.port))
        listener.listen(BACKLOG)  # only now is it known that the port is free
    except OSError as error:
        listener.close()
        raise AddressError(
            f"can't listen on {address.shown}: {error.strerror}{_whose(address)}",
            "Choose another address with [daemon] http in the configuration (port 0: any free one).",
        ) from None
    listener.setblocking(False)
    return listener, Address(address.host, listener.getsockname()[1], address.ip)


def _whose(address: Address) -> str:
    """If another of our daemons has it, then that is worth knowing."""
    try:
        with closing(http.client.HTTPConnection(address.ip, address.port, timeout=_ASK_S)) as connection:
            connection.request("GET", "/livez")
            server = connection.getresponse().getheader("Server", "")
    except (OSError, http.client.HTTPException):
        return ""
    name, _, version = server.partition("/")
    is_known = name == "reindex" and version.isprintable() and len(version) <= 40
    return f" (a reindex daemon, version {version}, has it)" if is_known else ""
