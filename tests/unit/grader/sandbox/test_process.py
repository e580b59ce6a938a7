import pytest

from grader.sandbox.base import Launch
from grader.sandbox.process import Activity, environment, judge_wall
from grader.spec import Limits

LIMIT = 100.0


def judged(*, computed: float, waited_before: float | None, waited: float | None, load: float = 1.0) -> str:
    """The verdict after a last stretch of 20 s."""
    before = Activity(at=80.0, cpu_s=10.0, waited_s=waited_before)
    return judge_wall(before, Activity(at=100.0, cpu_s=10.0 + computed, waited_s=waited), LIMIT, load)


def test_one_that_idles_is_the_students() -> None:
    assert judged(computed=0.1, waited_before=0.5, waited=0.5) == "wall-limit"


def test_one_that_idles_at_the_end_is_the_students_even_on_a_loaded_machine() -> None:
    assert judged(computed=0.1, waited_before=40, waited=40, load=9) == "wall-limit"


def test_one_that_was_starved_to_the_end_is_the_machines() -> None:
    assert judged(computed=5, waited_before=50, waited=65) == "overloaded"


def test_one_that_computes_undisturbed_is_the_students() -> None:
    assert judged(computed=19, waited_before=1, waited=2) == "wall-limit"


@pytest.mark.parametrize(
    ("computed", "load", "expected"), [(6, 4.0, "overloaded"), (0.1, 4.0, "wall-limit"), (6, 1.0, "wall-limit")]
)
def test_without_scheduler_statistics_the_load_decides(computed: float, load: float, expected: str) -> None:
    assert judged(computed=computed, waited_before=None, waited=None, load=load) == expected


def test_nothing_of_our_environment_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_SECRET", "x")
    variables = environment("/tmp", "/bin", Launch("x.py", {}, Limits(), threads=2))
    assert "COURSE_SECRET" not in variables
    assert variables["OMP_NUM_THREADS"] == "2"
