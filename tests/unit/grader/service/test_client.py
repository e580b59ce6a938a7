"""What a container does that forwards; the service is a real one, or a few canned answers on a socket."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from grader.errors import UngradedError
from grader.models import SubmissionResult
from grader.service.client import Client
from grader.service.parcel import read_who
from tests.unit.grader.reports import examples

from .conftest import TOKEN, Service, who

Canned = tuple[int, bytes, dict[str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "submission"
    made.mkdir()
    (made / "lab8_vanilla.ipynb").write_text("{}")
    return made


def later(seconds: float = 60) -> float:
    return time.monotonic() + seconds


@contextmanager
def answering(*answers: Canned) -> Iterator[tuple[str, list[str]]]:
    """A server that gives these answers one after the other; its address, and the requests that came."""
    left, seen = list(answers), list[str]()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            seen.append(f"{self.command} {self.path} {self.headers['Authorization']}")
            status, body, headers = left.pop(0)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def done(result: SubmissionResult) -> Canned:
    return 200, f'{{"id": "1", "state": "done", "result": {result.model_dump_json()}}}'.encode(), {}


def test_a_hand_in_is_sent_and_its_result_waited_for(service: Service, folder: Path) -> None:
    def pause(_: float) -> None:
        service.grading.open.set()

    result = Client(service.url, TOKEN, later(), pause).grade("lab8", who(), folder)
    assert (result.student, result.score) == ("ada", examples.graded().score)
    assert service.grading.graded == ["ada"]


def test_running_the_autograder_again_finds_what_was_graded_meanwhile(service: Service, folder: Path) -> None:
    with pytest.raises(UngradedError, match=r"had not graded it .* run the autograder again: it goes on from there"):
        Client(service.url, TOKEN, later(1)).grade("lab8", who(), folder)
    service.grading.open.set()
    assert Client(service.url, TOKEN, later(), lambda _: None).grade("lab8", who(), folder).student == "ada"
    assert service.grading.graded == ["ada"]


def test_a_wrong_token_and_a_wrong_lab_are_one_message(service: Service, folder: Path) -> None:
    with pytest.raises(UngradedError, match=r"refused it \(401\): no token, or an unknown one"):
        Client(service.url, "x" * 40, later()).grade("lab8", who(), folder)
    with pytest.raises(UngradedError, match=r"refused it \(422\): this is a hand-in of lab5"):
        Client(service.url, TOKEN, later()).grade("lab5", who(), folder)


def test_what_the_service_cannot_grade_is_said(service: Service, folder: Path) -> None:
    service.grading.answer = UngradedError("no sandbox")
    service.grading.open.set()
    with pytest.raises(UngradedError, match="could not grade it: no sandbox"):
        Client(service.url, TOKEN, later(), lambda _: None).grade("lab8", who(), folder)


def test_faults_that_may_pass_are_tried_again(folder: Path) -> None:
    pauses: list[float] = []
    busy: Canned = (429, b'{"message": "too many"}', {"Retry-After": "7"})
    down: Canned = (502, b"<html>", {})
    with answering(busy, down, done(examples.graded())) as (url, seen):
        Client(url, TOKEN, later(), pauses.append).grade("lab8", who(), folder)
    assert seen == [f"POST /v1/submissions Bearer {TOKEN}"] * 3
    assert pauses == [7.0, 2.0]


def test_a_service_that_is_not_there_is_waited_for_until_the_deadline(folder: Path) -> None:
    with answering() as (url, _):
        pass  # nobody listens there any more
    pauses: list[float] = []
    deadline = later(4)
    with pytest.raises(UngradedError, match=r"cannot be reached \(ConnectionError\) when the time was nearly used up"):
        Client(url, TOKEN, deadline, pauses.append).grade("lab8", who(), folder)
    assert pauses[:2] == [1.0, 2.0]


def test_no_redirect_gets_the_token(folder: Path) -> None:
    with answering() as (elsewhere, seen_elsewhere):
        moved: Canned = (307, b"", {"Location": f"{elsewhere}/v1/submissions"})
        with answering(moved) as (url, _), pytest.raises(UngradedError, match=r"refused it \(307\)"):
            Client(url, TOKEN, later()).grade("lab8", who(), folder)
    assert seen_elsewhere == []


def test_an_answer_of_another_version_is_one_message(folder: Path) -> None:
    with (
        answering((200, b'{"id": "1", "state": "painted"}', {})) as (url, _),
        pytest.raises(UngradedError, match="cannot be read; it and the zip must be of one version"),
    ):
        Client(url, TOKEN, later()).grade("lab8", who(), folder)


def test_a_link_out_of_the_hand_in_stays_behind(service: Service, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("the course's secret")
    (folder / "notes.txt").symlink_to(tmp_path / "secret")
    service.grading.open.set()
    Client(service.url, TOKEN, later(), lambda _: None).grade("lab8", who(), folder)
    (kept,) = (service.folder / "api").glob("*.zip")
    assert b"notes" not in kept.read_bytes()
    assert read_who(kept).metadata.previous_submissions == ()


def test_the_same_hand_in_makes_the_same_parcel(parcel: Callable[..., bytes]) -> None:
    assert parcel("ada") == parcel("ada")
    assert parcel("ada") != parcel("bob")
