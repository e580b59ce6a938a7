"""What docs/handin.md shows to instructors is what the grader reads."""

import re
import tomllib
from datetime import datetime
from pathlib import Path

from grader.course import load_course
from grader.people import Student, load_people
from grader.spec import LabSpec

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "handin.md").read_text(encoding="utf-8")


def example(start: str) -> str:
    """The indented example that begins with a line."""
    lines = GUIDE.split("\n")
    first = lines.index(f"    {start}")
    return "\n".join(line[4:] for line in lines[first : lines.index("", first)])


def test_the_example_of_course_toml_is_one(tmp_path: Path) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    (tmp_path / "course.toml").write_text(text)
    course = load_course(tmp_path)
    deadline = course.deadline("lab8")
    assert (course.settings.timezone, course.settings.attempts) == ("Asia/Kolkata", "last_on_time")
    assert deadline.due == datetime(2026, 11, 30, 23, 59)
    assert (deadline.grace_minutes, deadline.late_days, deadline.penalty_per_day) == (15, 2, 0.1)


def test_the_examples_of_roster_and_groups_are_ones(tmp_path: Path) -> None:
    (tmp_path / "roster.csv").write_text(example("student,name,email,sid") + "\nbob,Bob,,\n")
    (tmp_path / "groups.csv").write_text(example("group,student"))
    people = load_people(tmp_path)
    assert people.roster[0] == Student("ada", "Ada Lovelace", "ada@uni.example", "210050001")
    assert people.groups == {"red": ("ada", "bob")}


def test_the_example_of_an_essay_is_one() -> None:
    table = tomllib.loads(example("[[manual]]"))
    task = {
        "id": "a",
        "notebook": "a.ipynb",
        "dataset": "mnist",
        "shape": [28, 28],
        "criterion": [{"unit": "generator_shape", "points": 1}],
    }
    spec = LabSpec.model_validate({"lab": {"id": "a", "title": "A", "files": []}, "task": [task], **table})
    assert (spec.manual[0].name, spec.manual[0].points) == ("reflection", 15)
