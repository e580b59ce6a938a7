"""Servers on this machine that behave like Google Drive, and clients for them."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.fetching.hosts import LinkSettings
from grader.fetching.network import Network
from solutions.drive_server import DriveServer

from .clients import NAMES, Client, client_of


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
