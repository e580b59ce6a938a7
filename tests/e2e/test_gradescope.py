"""The zip as Gradescope uses it: built, unpacked into its tree, and run on real hand-ins of lab 8.

Only setup.sh is left out, which needs the network.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from grader.gradescope.build import build
from grader.gradescope.layout import Layout
from grader.gradescope.progress import Progress
from grader.models import JSON, Level, Status

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "gradescope" / "results.schema.json").read_text(encoding="utf-8"))
WHO = {
    "id": 123456,
    "created_at": "2026-11-20T10:00:00.000000-08:00",
    "users": [{"email": "ada@uni.example", "id": 42, "name": "Ada Lovelace"}],
    "assignment": {"due_date": None, "title": "Lab 8"},
    "previous_submissions": [],
}
GOOD, ENDLESS = "03-mid-training", "half-endless"
NO_NAMESPACES = """
import grader.sandbox
from grader.models import Level
from grader.sandbox.confined import ConfinedSandbox, Layers

def backends(alone=False):
    yield Level.GOOD, lambda: ConfinedSandbox(Layers(own_user=True, seccomp=True), Level.GOOD)

grader.sandbox.backends = backends
"""
"""A sitecustomize for the trusted side: as root in a container without user namespaces and without Landlock."""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, which an autograder is; run the tests as root")
pytestmark = [pytest.mark.slow, as_root]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sample_class import SAMPLES, make_class
    from students import lab8
    from students.work import Student, Work

    folder = tmp_path_factory.mktemp("course") / "lab8"
    good = next(student for student in SAMPLES["lab8"].students if student.name == GOOD)
    half = Student(ENDLESS, {"vanilla": Work("mid"), "cwgan": Work(bodies=lab8.ENDLESS)})
    make_class(folder, [good, half])
    return folder


@pytest.fixture
def tree(lab: Path, tmp_path: Path) -> Callable[..., Layout]:
    """Makes Gradescope's tree around the zip, with the hand-in of a student and lines added to course.toml and lab.toml."""

    def make(student: str, course: str = "", toml: str = "", **who: object) -> Layout:
        mine = tmp_path / "lab8"
        shutil.copytree(lab, mine)
        for name, lines in (("course.toml", course), ("lab.toml", toml)):
            with (mine / name).open("a") as file:
                file.write(f"\n{lines}\n")
        layout = Layout(tmp_path / "autograder")
        with zipfile.ZipFile(build(mine, tmp_path).path) as archive:
            archive.extractall(layout.source)
        (attempt,) = (mine / "submissions" / student).iterdir()
        shutil.copytree(attempt, layout.submission)
        layout.metadata.write_text(json.dumps({**WHO, **who}))
        (layout.root / "results").mkdir()
        script = layout.root / "run_autograder"  # which is where Gradescope puts it
        shutil.copyfile(layout.source / "run_autograder", script)
        script.chmod(0o755)
        return layout

    return make


def run(layout: Layout, sitecustomize: str = "") -> subprocess.CompletedProcess[str]:
    patches = layout.root / "patches"
    patches.mkdir()
    (patches / "sitecustomize.py").write_text(sitecustomize)
    environment = {"PATH": os.environ["PATH"], "HOME": "/root", "GRADER_PYTHON": sys.executable, "PYTHONPATH": str(patches)}
    command = [layout.root / "run_autograder", layout.root]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def results(layout: Layout) -> JSON:
    report: JSON = json.loads(layout.results.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    return report


def test_a_submission_is_graded_with_leaderboard_and_hidden_rows(tree: Callable[..., Layout]) -> None:
    toml = (
        '[gradescope]\nafter_published = ["vanilla.duplicates2k_pixels"]\n'
        'leaderboard = [{ name = "FID", task = "vanilla", metric = "fid2k_test_indomain", order = "asc" }]'
    )
    layout = tree(GOOD, toml=toml)
    ended = run(layout)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = results(layout)
    progress = Progress.read(layout.progress)
    assert progress is not None
    assert progress.result.status is Status.GRADED
    assert progress.result.score is not None
    assert report["score"] == pytest.approx(progress.result.score, abs=0.01)
    assert 60 < report["score"] < 190
    (column,) = report["leaderboard"]
    assert (column["name"], column["order"]) == ("FID", "asc")
    assert [test["name"] for test in report["tests"] if test["visibility"] == "after_published"] == [
        "DCGAN on MNIST: Diversity: no repeated images"
    ]
    assert report["extra_data"]["counted"] == ["2026-11-20T10:00:00-08:00"]


def test_root_without_namespaces_grades_in_a_sandbox_of_a_user_id_alone(tree: Callable[..., Layout]) -> None:
    users = [{"email": f"{name}@uni.example", "id": name, "name": name} for name in ("ada", "bob")]
    layout = tree(GOOD, users=users)
    ended = run(layout, NO_NAMESPACES)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert results(layout)["score"] > 60
    progress = Progress.read(layout.progress)
    assert progress is not None
    assert progress.result.group == ("ada@uni.example", "bob@uni.example")
    assert {task.provenance.sandbox_level for task in progress.result.tasks if task.provenance} == {Level.GOOD}
    assert "level good: student code" in ended.stdout


def test_a_notebook_without_end_leaves_the_other_task_its_points(tree: Callable[..., Layout]) -> None:
    """A minute's limit, of which 48 seconds are used; lab.toml would give the endless loop ten minutes."""
    layout = tree(ENDLESS, course="[gradescope]\nminutes = 1")
    toml = layout.source / "course" / "lab8" / "lab.toml"
    toml.write_text(toml.read_text().replace("cpu_s = 120, wall_s = 240", "cpu_s = 600, wall_s = 600"))
    ended = run(layout)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "not reached in time: cwgan" in ended.stdout
    report = results(layout)
    hidden = [test["name"] for test in report["tests"] if test["visibility"] == "hidden"]
    assert hidden == ["Conditional WGAN-GP on Fashion-MNIST: not reached in time"]
    scores = [test["score"] for test in report["tests"] if "score" in test]
    assert report["score"] > 30
    assert report["score"] == pytest.approx(sum(scores), abs=0.02)
    assert not _left_running(layout)


def _left_running(layout: Layout) -> list[str]:
    """Command lines of processes that belong to the tree."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # processes of others come and go
            lines.append(path.read_bytes().decode(errors="replace"))
    return [line for line in lines if str(layout.root) in line]
