"""The service as its callers see it."""

import socket
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from grader.autograder import ServiceSettings
from grader.errors import BusyError, StoreError
from grader.models import SubmissionResult
from grader.service.protocol import State
from tests.unit.grader.reports import examples

from .conftest import OTHER, SETTINGS, TOKEN, Grading, Service, running

Parcel = Callable[..., bytes]


def settled(service: Service, job: str) -> dict[str, object]:
    """The answer once the job is settled."""
    pause = requests.Session()
    while (answer := service.get(job).json())["state"] in (State.QUEUED, State.RUNNING):
        pause.get(f"{service.url}/v1/health", timeout=60)
    found: dict[str, object] = answer
    return found


def test_a_hand_in_is_queued_graded_and_its_result_given_out(service: Service, parcel: Parcel) -> None:
    sent = service.post(parcel())
    assert sent.status_code == 202
    assert sent.json()["state"] in (State.QUEUED, State.RUNNING)
    service.grading.open.set()
    answer = settled(service, sent.json()["id"])
    assert answer["state"] == State.DONE
    result = SubmissionResult.model_validate(answer["result"])
    assert (result.student, result.score) == ("ada", examples.graded().score)


def test_anybody_may_ask_which_lab_it_is(service: Service) -> None:
    assert requests.get(f"{service.url}/v1/health", timeout=60).json()["lab"] == "lab8"


@pytest.mark.parametrize("token", ["", "x" * 40, TOKEN[:-1], f"{TOKEN}a", "é" * 40])
def test_without_a_known_token_nothing_is_taken_or_told(service: Service, parcel: Parcel, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()}
    job = service.post(parcel()).json()["id"]
    for method, path in (("POST", ""), ("GET", f"/{job}")):
        url = f"{service.url}/v1/submissions{path}"
        answer = requests.request(method, url, data=parcel("eve"), headers=headers, timeout=60)
        assert answer.status_code == 401
        assert answer.json()["message"].startswith("no token, or an unknown one")
    assert service.jobs.waiting() == 1
    assert list((service.folder / "api").glob("*.zip")) == [service.folder / "api" / f"{job}.zip"]


def test_another_scheme_is_no_token(service: Service) -> None:
    answer = requests.get(f"{service.url}/v1/submissions/x", headers={"Authorization": f"Basic {TOKEN}"}, timeout=60)
    assert answer.status_code == 401


def test_a_replay_asks_for_nothing_new(service: Service, parcel: Parcel) -> None:
    service.grading.open.set()
    first = service.post(parcel())
    settled(service, first.json()["id"])
    again = service.post(parcel(), token=OTHER)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["state"] == State.DONE
    assert service.grading.graded == ["ada"]


def test_other_content_is_another_hand_in(service: Service, parcel: Parcel) -> None:
    jobs = {service.post(parcel(content=text)).json()["id"] for text in (b"{}", b"[]")}
    assert len(jobs) == 2


@pytest.mark.parametrize(
    "fault", [BusyError("no memory was left"), StoreError("the disk is full"), KeyError("slip"), examples.ungraded()]
)
def test_what_is_ungraded_is_tried_again_when_it_is_sent_again(
    service: Service, parcel: Parcel, fault: SubmissionResult | Exception
) -> None:
    service.grading.answer = fault
    service.grading.open.set()
    job = service.post(parcel()).json()["id"]
    answer = settled(service, job)
    assert answer["state"] == State.UNGRADED
    assert answer["message"]
    service.grading.answer = examples.graded()
    assert service.post(parcel()).status_code == 202
    assert settled(service, job)["state"] == State.DONE
    assert service.grading.graded == ["ada", "ada"]


def test_an_unknown_hand_in(service: Service) -> None:
    assert service.get("0" * 64).status_code == 404


def test_a_hand_in_that_says_it_is_too_large_is_refused_at_once(service: Service) -> None:
    head = f"POST /v1/submissions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {2**40}\r\n\r\n"
    assert b" 413 " in _talk(service, head.encode()).split(b"\r\n")[0]


def test_a_hand_in_that_grows_too_large_is_dropped(service: Service) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(2**16)

    url = f"{service.url}/v1/submissions"
    try:
        status = requests.post(url, data=endless(), headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60).status_code
    except requests.ConnectionError:
        status = 413  # it hung up while more was being sent
    assert status == 413
    assert list((service.folder / "api").glob("*")) == []


def test_a_body_that_does_not_come_is_dropped(tmp_path: Path, grading: Grading) -> None:
    settings = SETTINGS.model_copy(update={"body_s": 0.2})
    with running(tmp_path, grading, settings) as service:
        head = f"POST /v1/submissions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 1000\r\n\r\nPK"
        assert b" 408 " in _talk(service, head.encode()).split(b"\r\n")[0]
        assert service.jobs.waiting() == 0
        assert list((service.folder / "api").glob("*")) == []


def _talk(service: Service, head: bytes) -> bytes:
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port or 0), timeout=60) as connection:
        connection.sendall(head)
        return connection.recv(4096)


def test_what_is_no_hand_in_of_this_lab_is_one_message(service: Service, parcel: Parcel, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("files/lab8_vanilla.ipynb", "{}")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("who.json", '{"lab": "lab8"}')
    bodies = {
        b"no zip": "this is no hand-in: ",
        (tmp_path / "other.zip").read_bytes(): "no who.json in the archive",
        (tmp_path / "bad.zip").read_bytes(): "who.json: metadata: Field required",
        parcel(lab="lab5"): "this is a hand-in of lab5, and lab8 is graded here",
    }
    for body, message in bodies.items():
        answer = service.post(body)
        assert answer.status_code == 422
        assert message in answer.json()["message"]
    assert list((service.folder / "api").glob("*")) == []


def test_fifty_at_once_are_graded_once_each(tmp_path: Path, grading: Grading, parcel: Parcel) -> None:
    """Each is sent twice, as by a client that heard no answer."""
    bodies = [parcel(f"student{number}") for number in range(50)]
    grading.open.set()
    with running(tmp_path, grading, slots=4) as service, ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(service.post, bodies * 2))
        assert {answer.status_code for answer in answers} <= {200, 202}
        assert sum(answer.status_code == 202 for answer in answers) == 50
        jobs = {answer.json()["id"] for answer in answers}
        students = {settled(service, job)["result"]["student"] for job in jobs}  # type: ignore[index]
    assert students == {f"student{number}" for number in range(50)}
    assert sorted(grading.graded) == sorted(students)


def test_a_restart_goes_on_with_what_was_accepted(tmp_path: Path, parcel: Parcel) -> None:
    """What a killed service leaves: one hand-in that it was grading, and others that waited. A real kill is in tests/e2e."""
    with running(tmp_path, Grading(), slots=0) as service:
        jobs = [service.post(parcel(name)).json()["id"] for name in ("ada", "bob", "eve")]
        assert service.jobs.take() == jobs[0]
    after = Grading()
    after.open.set()
    with running(tmp_path, after) as service:
        assert [settled(service, job)["state"] for job in jobs] == [State.DONE] * 3
        assert [line["job"] for line in service.audit() if line["event"] == "recovered"] == jobs[:1]
    assert after.graded == ["ada", "bob", "eve"]


def test_how_many_are_ahead(tmp_path: Path, grading: Grading, parcel: Parcel) -> None:
    with running(tmp_path, grading, slots=0) as service:
        assert [service.post(parcel(name)).json()["ahead"] for name in ("ada", "bob", "eve")] == [0, 1, 2]


def test_a_queue_that_is_full_says_when_to_come_again(tmp_path: Path, grading: Grading, parcel: Parcel) -> None:
    with running(tmp_path, grading, SETTINGS.model_copy(update={"max_queue": 1}), slots=0) as service:
        assert service.post(parcel("ada")).status_code == 202
        answer = service.post(parcel("bob"))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")


@pytest.mark.parametrize("limit", ["requests_per_minute", "submissions_per_minute"])
def test_each_token_has_a_pace_of_its_own(tmp_path: Path, grading: Grading, parcel: Parcel, limit: str) -> None:
    with running(tmp_path, grading, ServiceSettings(**{**SETTINGS.model_dump(), limit: 2}), slots=0) as service:
        assert [service.post(parcel()).status_code for _ in range(3)] == [202, 200, 429]
        assert 0 < int(service.post(parcel()).headers["Retry-After"]) <= 60
        assert service.post(parcel(), token=OTHER).status_code == 200


def test_the_log_says_who_asked_for_what_and_holds_no_token(service: Service, parcel: Parcel) -> None:
    service.grading.open.set()
    job = service.post(parcel()).json()["id"]
    settled(service, job)
    service.post(parcel(), token="x" * 40)
    lines = service.audit()
    asked = [line for line in lines if line["event"] == "request"]
    assert [(line["token"], line["job"], line["status"]) for line in asked] == [("gradescope", job, 202), (None, None, 401)]
    assert [line["event"] for line in lines if line.get("job") == job and line["event"] != "request"] == ["grading", "done"]
    text = (service.folder / "audit.jsonl").read_text()
    assert TOKEN not in text
    assert "x" * 40 not in text
    assert (service.folder / "audit.jsonl").stat().st_mode & 0o077 == 0
