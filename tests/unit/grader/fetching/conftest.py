"""Servers on this machine that behave like Google Drive, and fetchers that never sleep."""

from __future__ import annotations

import io
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from grader.fetching.fetcher import Fetcher, Received
from grader.fetching.hosts import LinkSettings, allowed_hosts
from grader.fetching.network import Line, Network
from grader.fetching.pace import Pace, Patience
from solutions.drive_server import DriveServer

MB = 2**20
NAMES = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com")


@dataclass
class Client:
    """A fetcher with what it kept and how long it would have slept."""

    fetcher: Fetcher
    naps: list[float] = field(default_factory=list)
    into: io.BytesIO = field(default_factory=io.BytesIO)

    def fetch(self, link: str, limit: int = MB) -> Received:
        return self.fetcher.fetch(link, limit, self.into)

    @property
    def data(self) -> bytes:
        return self.into.getvalue()

    @property
    def pauses(self) -> list[float]:
        """The waits that were more than nothing."""
        return [nap for nap in self.naps if nap > 0]


def client_of(
    settings: LinkSettings,
    network: Network | None = None,
    *,
    sleep: Callable[[Line, float], None] | None = None,
    **patience: float,
) -> Client:
    naps: list[float] = []
    waits = {"connect_s": 5.0, "read_s": 5.0, **patience}
    fetcher = Fetcher(
        allowed_hosts(settings),
        network=network,
        patience=Patience(**waits),  # type: ignore[arg-type]
        pace=Pace(0),
        sleep=sleep or (lambda line, seconds: naps.append(seconds)),
    )
    return Client(fetcher, naps)


@pytest.fixture
def drive() -> Iterator[DriveServer]:
    with DriveServer() as server:
        yield server


@pytest.fixture
def client(drive: DriveServer) -> Client:
    """Takes files from the server by plain http, as a course's own one."""
    return client_of(LinkSettings(internal=(drive.origin,)))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for Google Drive's hosts with its key, signed by nobody but itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed; it makes the certificate of the test server")
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    names = ",".join(f"DNS:{name}" for name in NAMES)
    make = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        [*make, "-subj", "/CN=drive", "-addext", f"subjectAltName={names}", "-keyout", f"{pem}.key", "-out", f"{pem}.crt"],
        check=True,
        capture_output=True,
    )
    pem.write_bytes(Path(f"{pem}.crt").read_bytes() + Path(f"{pem}.key").read_bytes())
    return pem


@pytest.fixture
def google(certificate: Path) -> Iterator[DriveServer]:
    """A server that can prove to be Google Drive, to those who trust its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with DriveServer(tls=context, content_origin="https://drive.usercontent.google.com") as server:
        yield server


@pytest.fixture
def google_client(google: DriveServer, certificate: Path) -> Client:
    """Takes files from Google Drive alone, whose names lead to the server on this machine."""
    network = Network(
        resolve=lambda host, port: [("127.0.0.1", google.port)] if host in NAMES else [("10.0.0.1", port)],
        is_public=lambda ip: ip == "127.0.0.1",
        authorities=str(certificate),
    )
    return client_of(LinkSettings(), network)
