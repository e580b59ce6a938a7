"""What `grader doctor` says of a machine's sandbox; the rest of it has tests of its own."""

import os

import pytest

from grader import doctor
from grader.models import Level
from grader.sandbox import Choice
from grader.sandbox.meters import ProcessWalk
from grader.sandbox.trusting import TrustingSandbox
from tests.backends import STRONG, ZYGOTE, missing


def found(monkeypatch: pytest.MonkeyPatch, level: Level) -> list[str]:
    sandbox = TrustingSandbox()
    sandbox.level = level
    passed_over = () if level is Level.STRONG else ("strong: found no bwrap",)
    choice = Choice(sandbox, ("connects to services",) if passed_over else (), passed_over)
    monkeypatch.setattr(doctor, "choose", lambda **_: choice)
    return [
        line
        for line in doctor.examine()
        if "disk" not in line and "pack" not in line and "data" not in line and "GPU" not in line
    ]


def test_the_strong_sandbox_needs_no_more_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "obstacle", lambda: "found no cgroup")
    assert found(monkeypatch, Level.STRONG)[:-1] == [
        "  sandbox: strong, self-test passed",
        "    each execution imports PyTorch and Jupyter anew: found no cgroup",
    ]


def test_a_weaker_one_says_what_it_lets_through_and_what_would_raise_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = found(monkeypatch, Level.GOOD)
    assert lines[:3] == [
        "  sandbox: good, self-test passed",
        "    student code connects to services",
        "    not strong: found no bwrap",
    ]
    assert lines[3].startswith("    for level strong, install bubblewrap 0.8 or newer")


def test_a_reduced_one_wants_attention_and_a_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = found(monkeypatch, Level.REDUCED)
    assert lines[0] == "! sandbox: reduced, which `grader run` takes with --allow-reduced only, self-test passed"
    assert all(line.startswith("!") for line in lines[:-1])


def test_limits_are_the_kernels_where_there_is_a_cgroup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "open_meter", lambda *_: ProcessWalk())
    assert found(monkeypatch, Level.STRONG)[-1].startswith("  limits: memory is looked at ten times a second, since no cgroup")


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user may have no cgroup")
def test_this_machine() -> None:
    if reason := missing(STRONG):
        pytest.skip(f"this machine has no strong sandbox: {reason}")
    lines = doctor.examine()
    assert "  sandbox: strong, self-test passed" in lines
    how = "are imported once a run: each execution is a fork" if missing(ZYGOTE) is None else "imports PyTorch and Jupyter anew"
    assert any(how in line for line in lines)
