import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from grader.display import Display, count_line, first_remark, points, result_table
from grader.models import Flag, Problem, Status, SubmissionResult, TaskResult

TEXT = "IndexError: list index out of range"


def result(
    student: str = "ada",
    status: Status = Status.GRADED,
    score: float | None = 61.25,
    problems: tuple[Problem, ...] = (),
    **more: object,
) -> SubmissionResult:
    task = TaskResult.model_validate(
        {"task": "a", "title": "A", "status": status, "score": score, "max_score": 90, "problems": problems, **more}
    )
    return SubmissionResult(
        lab="lab8",
        lab_title="t",
        student=student,
        attempt="1",
        status=status,
        score=score,
        max_score=90,
        tasks=(task,),
        graded_at=datetime(2026, 3, 5, tzinfo=UTC),
    )


def console(**more: object) -> Console:
    return Console(file=io.StringIO(), width=100, **{"soft_wrap": True, "markup": False, "highlight": False, **more})  # type: ignore[arg-type]


def shown(target: Console) -> str:
    assert isinstance(target.file, io.StringIO)
    return target.file.getvalue()


def test_points_read_as_in_the_reports() -> None:
    assert points(37.249, 90) == "37.2 / 90"
    assert points(0, 12.5) == "0.0 / 12.5"
    assert points(None, 90) == "– / 90"


def test_the_first_remark_is_a_problem_with_its_place_else_a_flag() -> None:
    flag = Flag(code="memorisation", message="copies", holds=True)
    problem = Problem(code="exception", message=TEXT, cell=12, line=4)
    assert first_remark(result(problems=(problem,), flags=(flag,))) == f"cell 12, line 4: {TEXT}"
    assert first_remark(result(problems=(problem.model_copy(update={"line": None}),))) == TEXT
    assert first_remark(result(flags=(flag,))) == "memorisation: copies"
    assert first_remark(result()) == ""


def test_the_count_line_leaves_out_what_there_is_not() -> None:
    results = [result(), result("bob"), result("eve", Status.FAILED), result("dan", Status.UNGRADED, None)]
    assert count_line(results) == "4 submissions: 2 graded, 1 failed, 1 ungraded"
    assert count_line(results[:1]) == "1 submission: 1 graded"
    assert count_line([]) == "0 submissions: nothing graded yet"


def test_elsewhere_than_on_a_terminal_each_result_is_a_line() -> None:
    target = console()
    with Display(target) as display:
        display.begin(2)
        display.done(result())
        display.done(result("bob", Status.FAILED, 0, (Problem(code="exception", message=TEXT, cell=3, line=1),)))
    first, second = shown(target).splitlines()
    assert first.startswith("[1/2]") and second.startswith("[2/2]")
    assert first.split()[-5:] == ["graded", "61.2", "/", "90", "ada"]
    assert second.endswith(f"bob  cell 3, line 1: {TEXT}")


def test_on_a_terminal_a_live_table_shows_the_newest() -> None:
    target = console(force_terminal=True, color_system=None)
    with Display(target) as display:
        display.begin(30)
        for number in range(30):
            display.done(result(f"student{number:02}"))
        display._live.refresh()
    text = shown(target)
    assert "30/30" in text
    assert "student29" in text and "student15" in text
    assert "[1/30]" not in text


def test_the_live_display_ends_with_the_run_whatever_happens() -> None:
    target = console(force_terminal=True, color_system=None)
    display = Display(target)
    with pytest.raises(KeyError), display:
        raise KeyError
    assert not display._live.is_started


@pytest.mark.parametrize("terminal", [False, True])
def test_what_students_write_commands_neither_the_terminal_nor_rich(terminal: bool) -> None:
    evil = "[red]x[/red]\x1b]0;owned\x07\x1b[2J\r\n\u202egnp\u200b"
    target = console(force_terminal=terminal, color_system=None)
    target.print(result_table([result(problems=(Problem(code="x", message=evil),))]))
    with Display(console()) as display:
        display.begin(1)
        display.done(result("[bold]eve", problems=(Problem(code="x", message=evil),)))
    for text in (shown(target), shown(display.console)):
        assert "[red]x[/red]" in text
        assert "owned" in text
        assert not set(text.replace("\n", "")) & set("\x1b\x07\r\u202e\u200b")
        assert len(text.splitlines()) <= 2
    assert "[bold]eve" in shown(display.console)


def test_the_table_has_a_row_a_student() -> None:
    target = console()
    long = Problem(code="x", message="m" * 500)
    target.print(result_table([result("ada"), result("bob", Status.HELD), result("eve", Status.FAILED, None, (long,))]))
    header, *rows = shown(target).splitlines()
    assert header.split() == ["student", "status", "points", "remark"]
    assert [row.split()[:2] for row in rows] == [["ada", "graded"], ["bob", "held"], ["eve", "failed"]]
    assert "– / 90" in rows[2]
    assert all(len(row.rstrip()) <= 100 for row in rows)


def test_every_status_has_a_colour() -> None:
    target = console(force_terminal=True, color_system="standard")
    target.print(result_table([result(status=status) for status in Status]))
    assert all(status in shown(target) for status in Status)


def test_the_remark_is_about_the_task_that_has_no_score() -> None:
    failed = result(status=Status.FAILED, problems=(Problem(code="exception", message=TEXT),)).tasks[0]
    waiting = result(
        status=Status.UNGRADED, score=None, problems=(Problem(code="ungraded", message="the quota is exceeded"),)
    ).tasks[0]
    both = result(status=Status.UNGRADED, score=None).model_copy(update={"tasks": (failed, waiting)})
    assert first_remark(both) == "the quota is exceeded"
    assert [problem.message for problem in both.problems] == ["the quota is exceeded", TEXT]
