"""`grader serve`: what is refused before anything is served."""

from collections.abc import Callable
from pathlib import Path

import pytest

from grader.course import init
from grader.errors import UsageError
from grader.service.gate import Pace
from grader.service.serve import Address, serve


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "gpu.uni.example"])
def test_tokens_do_not_cross_a_network_in_the_open(host: str) -> None:
    with pytest.raises(UsageError, match="needs --certificate and --key"):
        Address(host).check()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_this_machine_needs_no_certificate(host: str) -> None:
    Address(host).check()


def test_a_certificate_has_a_key_and_both_are_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="belong together"):
        Address("0.0.0.0", certificate=tmp_path / "c.pem").check()
    with pytest.raises(UsageError, match=r"c\.pem: no such file"):
        Address("0.0.0.0", certificate=tmp_path / "c.pem", key=tmp_path / "k.pem").check()


def test_without_tokens_nobody_could_ask(tmp_path: Path, init_vanilla: Callable[[Path], None]) -> None:
    init_vanilla(tmp_path / "lab8")
    with pytest.raises(UsageError, match=r"has no \[service.tokens\]"):
        serve(tmp_path / "lab8", Address(), print)


@pytest.mark.parametrize("tokens", ['a = "short"', f'a = "{"t" * 40}"\nb = "{"t" * 40}"'])
def test_tokens_are_long_and_differ(tmp_path: Path, tokens: str) -> None:
    lab = tmp_path / "lab8"
    init(lab)
    with (lab / "course.toml").open("a") as file:
        file.write(f"\n[service.tokens]\n{tokens}\n")
    with pytest.raises(UsageError, match=r"course.toml: service"):
        serve(lab, Address(), print)


def test_a_pace_lets_go_on_after_a_minute() -> None:
    now = [0.0]
    pace = Pace(2, lambda: now[0])
    assert [pace.wait_s("a"), pace.wait_s("a"), pace.wait_s("b")] == [0, 0, 0]
    now[0] = 20.0
    assert pace.wait_s("a") == 40
    now[0] = 60.0
    assert pace.wait_s("a") == 0
