"""`grader serve --api`: the service of one lab, until it is interrupted."""

import ipaddress
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from grader.bench import open_bench
from grader.course import LabFolder, open_lab
from grader.errors import UsageError
from grader.faults import disk_faults
from grader.gradescope.handin import handin_of
from grader.intake import Handin
from grader.service.app import make_app
from grader.service.audit import Audit
from grader.service.jobs import Jobs
from grader.service.parcel import read_who
from grader.service.protocol import FILES
from grader.service.spool import Spool
from grader.service.workers import Workers

FOLDER, AUDIT = "api", "audit.jsonl"
"""In the lab folder."""
_CONNECTIONS = 200
_KEEP_S = 20


@dataclass(frozen=True)
class Address:
    """Where to listen; without a certificate on this machine alone, since a token would travel in the open."""

    host: str = "127.0.0.1"
    port: int = 8443
    certificate: Path | None = None
    key: Path | None = None

    def check(self) -> None:
        """Raises UsageError where a token could be read by others."""
        if (self.certificate is None) != (self.key is None):
            raise UsageError("--certificate and --key belong together")
        if self.certificate is None and not _is_loopback(self.host):
            raise UsageError(
                f"--host {self.host} needs --certificate and --key, else tokens cross the network in the open; or keep to 127.0.0.1 "
                "behind a proxy that speaks HTTPS"
            )
        for path in (self.certificate, self.key):
            if path is not None and not path.is_file():
                raise UsageError(f"{path}: no such file")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def serve(
    folder: Path,
    address: Address,
    say: Callable[[str], None],
    *,
    workers: int = 1,
    device: str = "cpu",
    trust: bool = False,
    allow_reduced: bool = False,
) -> None:
    """Serve a lab until SIGINT or SIGTERM; what is being graded then is finished, and what waits is graded after the next start.

    Raises:
        UsageError: the lab folder, the address or the settings are wrong.
        StoreError: the database cannot be used, or a run is at work.
        UngradedError: no sandbox can be had.
    """
    address.check()
    lab = open_lab(folder)
    settings = lab.course.file.service
    if not settings.tokens:
        raise UsageError(
            f'{lab.course.root}/course.toml has no [service.tokens], so that nobody could ask: add a line such as gradescope = "…", with '
            "what `openssl rand -hex 32` prints"
        )
    with (
        disk_faults(lab.root),
        open_bench(lab, say, device=device, trust=trust, allow_reduced=allow_reduced, alone=False) as bench,
    ):
        spool = Spool(lab.root / FOLDER, lab.spec.lab.id, settings.max_mb * 2**20, settings.body_s)
        audit = Audit(lab.root / FOLDER / AUDIT)
        jobs = Jobs(bench.store, lab.spec.lab.id)

        grade = partial(bench.grade, alone=workers == 1)
        with Workers(jobs, spool.path, partial(_handin, lab), grade, audit, workers) as pool:
            app = make_app(lab.spec.lab.id, settings, jobs, spool, audit, pool.wake)
            say(
                f"{lab.spec.lab.id}: {jobs.waiting()} waiting · sandbox: {bench.grader.sandbox.level} · {address.host}:{address.port}"
            )
            _run(app, address)


def _run(app: FastAPI, address: Address) -> None:
    """Answer requests until a signal says to stop."""
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # uvicorn raises it again at its end: what is being graded is to be finished
    uvicorn.run(
        app,
        host=address.host,
        port=address.port,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
        log_level="warning",
        access_log=False,  # the audit log says it, without what a request may have in its address
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_KEEP_S,
        timeout_graceful_shutdown=_KEEP_S,
    )


def _handin(lab: LabFolder, parcel: Path) -> Handin:
    """The hand-in in a parcel, by the course's roster, groups and due date as they are now."""
    return handin_of(read_who(parcel).metadata, parcel, open_lab(lab.root), FILES)
