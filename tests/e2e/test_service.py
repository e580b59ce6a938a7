"""`grader serve --api` as a process: killed in the middle, and asked by a container that forwards."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import jsonschema
import pytest
import requests

from grader.course import init
from grader.gradescope.build import build
from grader.gradescope.layout import Layout
from grader.gradescope.metadata import Metadata
from grader.service.parcel import pack

ROOT = Path(__file__).parents[2]
TOKEN = "t" * 40
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(lab: Path, port: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The service as a process of its own, once it answers; interrupted at the end, if it still runs."""
    command = [sys.executable, "-m", "grader", "serve", str(lab), "--api", "--port", str(port), *options]
    log = lab / "serve.log"
    with log.open("a") as out, subprocess.Popen(command, stdout=out, stderr=out, text=True, cwd=ROOT) as process:
        try:
            while not _answers(port):
                assert process.poll() is None, log.read_text()
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)


def _answers(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/v1/health", timeout=5).ok
    except requests.ConnectionError:
        return False


def who(name: str) -> Metadata:
    user = {"id": name, "email": f"{name}@uni.example", "name": name}
    return Metadata.model_validate({"id": name, "created_at": "2026-11-20T10:00:00-08:00", "users": [user]})


def test_fifty_at_once_and_a_kill_in_the_middle_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    """Hand-ins that fail before any code runs, so that what is tried is the queue; all else is the real grader."""
    lab, port = tmp_path / "lab8", free_port()
    init(lab)
    with (lab / "course.toml").open("a") as file:
        file.write(f'\n[service.tokens]\ngradescope = "{TOKEN}"\n')
    bodies = {}
    for number in range(50):
        folder = tmp_path / f"handin{number}"
        folder.mkdir()
        (folder / "readme.txt").write_text(f"{number}")
        pack("lab8", who(f"student{number}"), folder, tmp_path / "handin.zip")
        bodies[f"student{number}@uni.example"] = (tmp_path / "handin.zip").read_bytes()
    url = f"http://127.0.0.1:{port}/v1/submissions"

    def post(body: bytes) -> requests.Response:
        return requests.post(url, data=body, headers=HEADERS, timeout=120)

    def answer(job: str) -> dict[str, object]:
        found: dict[str, object] = requests.get(f"{url}/{job}", headers=HEADERS, timeout=60).json()
        return found

    with serving(lab, port, "--trust-submissions", "--workers", "2") as process:
        with ThreadPoolExecutor(50) as pool:
            sent = list(pool.map(post, bodies.values()))
        assert {one.status_code for one in sent} == {202}
        jobs = [one.json()["id"] for one in sent]
        process.kill()
    with serving(lab, port, "--trust-submissions", "--workers", "2"):
        assert {post(body).status_code for body in bodies.values()} == {200}  # all were kept
        while {answer(job)["state"] for job in jobs} & {"queued", "running"}:
            pass
        assert [answer(job)["state"] for job in jobs] == ["done"] * 50
    with closing(sqlite3.connect(lab / "grades.db")) as database:
        graded = Counter(student for (student,) in database.execute("SELECT student FROM results"))
    assert graded == dict.fromkeys(bodies, 1)


@pytest.fixture
def lab8(tmp_path: Path) -> Path:
    from sample_class import SAMPLES, make_class

    folder = tmp_path / "lab8"
    make_class(folder, [student for student in SAMPLES["lab8"].students if student.name == "03-mid-training"])
    return folder


def test_a_small_container_has_its_hand_in_graded_elsewhere(
    lab8: Path, tmp_path: Path, tree_of: Callable[[Path, Path], Layout]
) -> None:
    """The course folder of both has the same secret; the one of the container names the service."""
    port = free_port()
    course = lab8 / "course.toml"
    plain = course.read_text()
    course.write_text(f'{plain}\n[gradescope]\nforward_url = "http://127.0.0.1:{port}"\ntoken = "{TOKEN}"\n')
    layout = tree_of(lab8, tmp_path / "autograder")
    course.write_text(f'{plain}\n[service.tokens]\ngradescope = "{TOKEN}"\n')
    environment = {**os.environ, "GRADER_PYTHON": sys.executable}
    with serving(lab8, port, "--allow-reduced"):
        command = ["bash", str(layout.source / "run_autograder"), str(layout.root)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "forwarded to http://127.0.0.1" in ended.stdout
    report = json.loads(layout.results.read_text())
    jsonschema.Draft202012Validator(json.loads((ROOT / "gradescope" / "results.schema.json").read_text())).validate(report)
    assert 60 < report["score"] < 190
    assert not layout.work.exists()  # nothing was graded here
    assert (lab8 / "results" / "ada@uni.example" / "report.html").is_file()


@pytest.fixture
def tree_of() -> Callable[[Path, Path], Layout]:
    """Gradescope's tree around the zip of a lab, with its only hand-in."""

    def make(lab: Path, root: Path) -> Layout:
        layout = Layout(root)
        with zipfile.ZipFile(build(lab, root.parent / "zip").path) as archive:
            archive.extractall(layout.source)
        (attempt,) = (lab / "submissions").glob("*/*")
        shutil.copytree(attempt, layout.submission)
        layout.metadata.write_text(who("ada").model_dump_json())
        return layout

    return make
