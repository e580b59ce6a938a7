import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest

from grader.errors import CourseError
from grader.gradescope.requirements import locked

ROOT = Path(__file__).parents[4]
LOCK = """\
a==1 ; sys_platform == 'linux' \\
    --hash=sha256:00 \\
    --hash=sha256:01
    # via
    #   b
    #   lab (pyproject.toml)
b==2 \\
    --hash=sha256:02
    # via lab (pyproject.toml)
c_d==3 \\
    --hash=sha256:03
    # via a
e==4 \\
    --hash=sha256:04
    # via lab (pyproject.toml)
f==5 \\
    --hash=sha256:05
    # via e
g==6 ; python_full_version < '3.12' \\
    --hash=sha256:06
    # via f
g==7 ; python_full_version >= '3.12' \\
    --hash=sha256:07
    # via f
"""


def test_what_nobody_wanted_needs_is_left_out() -> None:
    assert locked(LOCK, ["B>=1"]) == (
        "a==1 ; sys_platform == 'linux' \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
        "b==2 \\\n    --hash=sha256:02\n"
        "c_d==3 \\\n    --hash=sha256:03\n"
    )


def test_a_package_may_have_a_version_for_each_python() -> None:
    text = locked(LOCK, ["e"])
    assert re.findall(r"^(.==.)", text, re.MULTILINE) == ["e==4", "f==5", "g==6", "g==7"]


@pytest.mark.parametrize(("lock", "message"), [(LOCK, "has no zlib"), ("zlib==1\n", "does not say which package wants which")])
def test_a_lock_that_will_not_do_is_an_error(lock: str, message: str) -> None:
    with pytest.raises(CourseError, match=message):
        locked(lock, ["zlib"])


def test_the_real_lock_gives_all_that_grading_needs_and_nothing_of_the_extras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = locked((ROOT / "requirements.lock").read_text(), project["dependencies"])
    names = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
    assert not names & {"ray", "openvino", "pytest", "mypy", "fastapi", "uvicorn", "hypothesis"}
    assert set(_pinned(text)) == {
        line for line in _pinned((ROOT / "requirements.lock").read_text()) if line.split("==")[0] in names
    }
    assert _installed_closure(project["dependencies"]) <= names
    assert text.count("--hash=") >= len(names)
    assert "://" not in text


def _pinned(text: str) -> list[str]:
    return [line for line in text.splitlines() if re.match(r"[a-z0-9-]+==", line)]


def _installed_closure(wanted: list[str]) -> set[str]:
    """Everything that the installed packages say they need, on this machine."""
    found: set[str] = set()
    todo = [_name(line) for line in wanted]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        try:
            needs = requires(name) or []
        except PackageNotFoundError:
            continue  # for other systems
        found.add(name)
        todo += [_name(line) for line in needs if ";" not in line]
    return found


def _name(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[<>=!~;\[( ]", requirement, maxsplit=1)[0]).lower()
