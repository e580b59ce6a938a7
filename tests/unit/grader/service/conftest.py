"""A service on this machine's loopback, over real HTTP; a function stands in for grading."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
import uvicorn

from grader.autograder import ServiceSettings
from grader.gradescope.metadata import Metadata
from grader.intake import Handin
from grader.models import SubmissionResult
from grader.service.app import make_app
from grader.service.audit import Audit
from grader.service.jobs import Jobs
from grader.service.parcel import pack
from grader.service.spool import Spool
from grader.service.workers import Workers
from grader.store import Store
from tests.unit.grader.reports import examples

TOKEN, OTHER = "a" * 40, "b" * 40
SETTINGS = ServiceSettings(tokens={"gradescope": TOKEN, "second": OTHER}, max_mb=1)


@dataclass
class Grading:
    """Stands in for the grader: notes what it is given, waits while it is not `open`, and gives or raises `answer`."""

    answer: SubmissionResult | Exception = field(default_factory=examples.graded)
    graded: list[str] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)

    def __call__(self, handin: Handin, slot: int) -> SubmissionResult:
        self.graded.append(handin.student)
        assert self.open.wait(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer.model_copy(update={"student": handin.student})


@dataclass
class Service:
    """A running service."""

    url: str
    folder: Path
    grading: Grading
    jobs: Jobs

    def post(self, body: bytes, token: str = TOKEN) -> requests.Response:
        return requests.post(f"{self.url}/v1/submissions", data=body, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def get(self, job: str, token: str = TOKEN) -> requests.Response:
        return requests.get(f"{self.url}/v1/submissions/{job}", headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def audit(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]


def find(parcel: Path) -> Handin:
    """Who it is, by the metadata alone."""
    from grader.service.parcel import read_who

    name = read_who(parcel).metadata.id
    return Handin(name, name, "1", parcel, ("1",))


@contextmanager
def running(folder: Path, grading: Grading, settings: ServiceSettings = SETTINGS, slots: int = 1) -> Iterator[Service]:
    """A service of this folder; at the end what is under way is waited for, and what waits stays."""
    with ExitStack() as stack:
        store = Store(folder / "grades.db")
        stack.callback(store.close)
        jobs, audit = Jobs(store, "lab8"), Audit(folder / "audit.jsonl")
        spool = Spool(folder / "api", "lab8", settings.max_mb * 2**20, settings.body_s)
        workers = stack.enter_context(Workers(jobs, spool.path, find, grading, audit, slots))
        stack.callback(grading.open.set)
        app = make_app("lab8", settings, jobs, spool, audit, workers.wake)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
        thread = threading.Thread(target=server.run)
        thread.start()

        def stop() -> None:
            server.should_exit = True
            thread.join()

        stack.callback(stop)
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield Service(f"http://127.0.0.1:{port}", folder, grading, jobs)


@pytest.fixture
def grading() -> Grading:
    return Grading()


@pytest.fixture
def service(tmp_path: Path, grading: Grading) -> Iterator[Service]:
    with running(tmp_path, grading) as found:
        yield found


@pytest.fixture
def parcel(tmp_path: Path) -> Callable[..., bytes]:
    """The parcel of a hand-in."""

    def make(name: str = "ada", lab: str = "lab8", content: bytes = b"{}") -> bytes:
        folder = tmp_path / "handin"
        folder.mkdir(exist_ok=True)
        (folder / "lab8_vanilla.ipynb").write_bytes(content)
        pack(lab, who(name), folder, tmp_path / "handin.zip")
        return (tmp_path / "handin.zip").read_bytes()

    return make


def who(name: str = "ada") -> Metadata:
    """The metadata of a hand-in."""
    user = {"id": name, "email": f"{name}@uni.example", "name": name}
    return Metadata.model_validate({"id": name, "created_at": "2026-11-20T10:00:00-08:00", "users": [user]})
