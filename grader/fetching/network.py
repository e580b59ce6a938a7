"""Connections that lead nowhere but to a public address, or to a server that the course names as its own.

A name is resolved once for each connection, every address that it has is judged, and the connection goes to one of those: a name that
means something else a moment later gains nothing.
"""

import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from grader import __version__
from grader.errors import CheckpointError
from grader.fetching.hosts import Hosts

Resolve = Callable[[str, int], Sequence[tuple[str, int]]]
"""(host, port) -> its numeric addresses with ports; raises socket.gaierror where there are none."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def resolve(host: str, port: int) -> list[tuple[str, int]]:
    """All addresses that the system's resolver knows of a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys((str(where[0]), int(where[1])) for *_, where in found))


def is_public(address: str) -> bool:
    """Whether a numeric address belongs to the public internet; of an IPv6 address that carries an IPv4 one, that one is judged."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        carried = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else ip.ipv4_mapped or ip.sixtofour
        if carried is not None:
            return is_public(str(carried))
    return ip.is_global and not ip.is_multicast


class Line:
    """All connections of one download, which another thread can cut: time is up, or the run ends."""

    def __init__(self) -> None:
        self._cut = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    @property
    def is_cut(self) -> bool:
        return self._cut.is_set()

    def wait(self, seconds: float) -> None:
        """Sleep, at most until the line is cut."""
        self._cut.wait(seconds)

    def add(self, connection: socket.socket) -> None:
        """Remember a connection."""
        with self._lock:
            self._sockets.append(connection)
        if self.is_cut:
            self.cut()

    def cut(self) -> None:
        """End all connections; whoever reads from one gets an error or the end of the data."""
        self._cut.set()
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)  # the TLS class would end encryption first


@dataclass(frozen=True)
class Network:
    """How names become addresses, which of those are public, and whose certificates count (`True`: the usual authorities)."""

    resolve: Resolve = resolve
    is_public: Callable[[str], bool] = is_public
    authorities: str | bool = True


@dataclass(frozen=True)
class Gate:
    """Opens the connections of one download."""

    hosts: Hosts
    network: Network
    line: Line

    def open(self, host: str, port: int, timeout: float | None) -> socket.socket:
        """A connection to one of the addresses of a host.

        Raises:
            CheckpointError: the host has an address that is not public, and is not one of the course's own servers.
            OSError: there is no such host, none of its addresses answers, or the download was ended.
        """
        if self.line.is_cut:
            raise OSError("the download was ended")
        addresses = self.network.resolve(host, port)
        self._expect_public(host, port, addresses)
        problem: OSError = OSError(f"{host} has no address")
        for where in addresses:
            try:
                return socket.create_connection(where, timeout)
            except OSError as error:
                problem = error
        raise problem

    def _expect_public(self, host: str, port: int, addresses: Sequence[tuple[str, int]]) -> None:
        private = [ip for ip, _ in addresses if not self.network.is_public(ip)]
        if private and not self.hosts.may_be_private(host, port):
            raise CheckpointError(
                f"the link leads to {host} at {private[0]}, an address inside a private network; expected a file on the public internet"
            )


def open_session(gate: Gate) -> requests.Session:
    """A session of its own for one download: its cookies, no proxies, no stored passwords, nothing from the environment."""
    session = requests.Session()
    session.trust_env = False
    session.verify = gate.network.authorities
    session.headers.update(
        {"User-Agent": f"gan-lab-grader/{__version__}", "Accept-Encoding": "identity", "Accept-Language": "en"}
    )
    adapter = _Adapter(gate)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


class _Gated:
    """The part of a connection that goes through the gate; to be put before urllib3's class."""

    gate: ClassVar[Gate]

    def _new_conn(self: Any) -> socket.socket:  # Any: only together with urllib3's class is it a connection
        try:
            return self.gate.open(self.host, self.port, self.timeout)  # type: ignore[no-any-return]
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"{self.host} does not answer") from error
        except OSError as error:
            raise NewConnectionError(self, str(error)) from error

    def connect(self: Any) -> None:
        super().connect()  # type: ignore[misc]
        self.gate.line.add(self.sock)


class _Adapter(HTTPAdapter):
    """Makes its connections at a gate."""

    def __init__(self, gate: Gate) -> None:
        super().__init__(pool_maxsize=1)
        plain = type("GatedConnection", (_Gated, HTTPConnection), {"gate": gate})
        secure = type("GatedTlsConnection", (_Gated, HTTPSConnection), {"gate": gate})
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("GatedPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("GatedTlsPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }
