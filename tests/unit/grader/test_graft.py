import pytest

from grader.graft import Origin, graft, misfit

TEMPLATE = "def f(x):\n    ##TODO## a\n    raise NotImplementedError\n    ##END TODO##\n\n\ndef g(x):\n    return f(x)"


def fit(*lines: str) -> str:
    return graft(TEMPLATE, {"a": lines}).source


def test_graft_replaces_the_body_and_knows_where_each_line_comes_from() -> None:
    grafted = graft(TEMPLATE, {"a": ["    y = x", "    return y"]})
    assert grafted.lines[1:5] == ("    ##TODO## a", "    y = x", "    return y", "    ##END TODO##")
    assert grafted.origins[1:5] == (Origin(None, 1), Origin("a", 0), Origin("a", 1), Origin(None, 3))
    assert len(grafted.lines) == len(grafted.origins)


def test_without_a_body_the_placeholder_stays() -> None:
    grafted = graft(TEMPLATE, {})
    assert grafted.source == TEMPLATE
    assert grafted.origins[2] == Origin("a", 0)


def test_an_empty_body_is_allowed_where_the_cell_still_parses() -> None:
    template = "##TODO## a\npass\n##END TODO##\nx = 1"
    assert misfit(template, graft(template, {"a": []}).source) is None
    assert misfit(TEMPLATE, fit()) is not None


@pytest.mark.parametrize(
    "lines",
    [
        ("    return x",),
        ("    return '''", "text at the margin", "'''"),
        ("    return x", "", "class Own:", "    def g(self): pass"),
        ("    import os; os.system('true')",),
        ("    !ls", "    %timeit 1", "    files = !ls"),
        ("    return x \\",),
    ],
)
def test_bodies_that_stay_inside_fit(lines: tuple[str, ...]) -> None:
    assert misfit(TEMPLATE, fit(*lines)) is None


@pytest.mark.parametrize("lines", [("    pass", "@decorated"), ("    pass", "class Own:", "    pass", "if x:", "  '''")])
def test_bodies_that_run_on_do_not_fit(lines: tuple[str, ...]) -> None:
    assert misfit(TEMPLATE, fit(*lines)) is not None


def test_the_line_is_where_the_statement_begins_that_runs_on() -> None:
    wrong = misfit(TEMPLATE, fit("    pass", "@decorated"))
    assert wrong is not None
    assert wrong.line == 4
    assert "runs on" in wrong.message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("    return )", "unmatched"),
        ("    x = 1\0", "null bytes"),
        ("    x = " + "-" * 100_000 + "1", "nested"),
        ("    x = " + "+".join("1" * 90_000), "nested"),
        ("    x = y" + ".a" * 90_000, "nested"),
        ("    x = " + "(" * 90_000, "nested"),
        ("    x = " + "9" * 5000, "digits"),
        ("    break", "outside loop"),
        ("    await x", "await"),
    ],
)
def test_what_the_compiler_refuses_does_not_fit(line: str, message: str) -> None:
    wrong = misfit(TEMPLATE, fit(line))
    assert wrong is not None
    assert message in wrong.message


def test_a_notebook_may_await_at_the_top() -> None:
    template = "##TODO## a\npass\n##END TODO##"
    assert misfit(template, graft(template, {"a": ["await f()"]}).source) is None


def test_no_warning_of_the_students_code_is_shown(recwarn: pytest.WarningsRecorder) -> None:
    assert misfit(TEMPLATE, fit(r"    return x is 1, '\d'")) is None
    assert not recwarn.list
