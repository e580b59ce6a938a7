"""The answering half of the kernel, called directly; see test_execute for the whole conversation."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from grader.sandbox.inside import kernel
from grader.sandbox.inside.kernel import NotAnImageError, to_images

SHAPE = (2, 2)


def refused(value: object, n: int = 1, shape: tuple[int, ...] = SHAPE) -> NotAnImageError:
    with pytest.raises(NotAnImageError) as caught:
        to_images(value, n, shape, f"generate({n})")
    return caught.value


@given(hnp.arrays(np.float32, (3, *SHAPE), elements=st.floats(0, 1, width=32)))
def test_floats_become_the_nearest_grey_level(array: Any) -> None:
    images = to_images(array, 3, SHAPE, "generate(3)")
    assert images.dtype == np.uint8
    assert np.abs(images / 255 - array).max() <= 0.5 / 255 + 1e-6


@given(hnp.arrays(np.uint8, (3, *SHAPE)))
def test_uint8_stays(array: Any) -> None:
    np.testing.assert_array_equal(to_images(array, 3, SHAPE, "generate(3)"), array)
    np.testing.assert_array_equal(to_images(torch.from_numpy(array), 3, SHAPE, "generate(3)"), array)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_any_float_type_with_gradients(dtype: torch.dtype) -> None:
    tensor = torch.full((1, *SHAPE), 0.5, dtype=dtype, requires_grad=True)
    np.testing.assert_array_equal(
        to_images(tensor, 1, SHAPE, "generate(1)"), np.full((1, *SHAPE), 128, np.uint8)
    )  # 127.5 goes to even


def test_rounding_errors_are_clipped_and_more_is_refused() -> None:
    np.testing.assert_array_equal(
        to_images(np.array([[[0.0, 1.0], [-0.001, 1.001]]]), 1, SHAPE, "generate(1)"), [[[0, 255], [0, 255]]]
    )
    assert refused(np.array([[[0, 1], [-0.01, 1.0]]])).code == "out-of-range"


@pytest.mark.parametrize(
    ("value", "code", "message", "advice"),
    [
        (None, "no-array", "returned nothing (None): is there a return?", "return the images"),
        ([1, 2], "no-array", "returned a list", "torch.stack"),
        ("x", "no-array", "returned a str", None),
        (np.zeros((1, 1, 2, 2)), "wrong-shape", "shape (1, 1, 2, 2); expected (1, 2, 2)", ".squeeze(1)"),
        (torch.zeros(1, 1, 2, 2), "wrong-shape", "shape (1, 1, 2, 2); expected (1, 2, 2)", ".squeeze(1)"),
        (np.zeros((1, 4)), "wrong-shape", "shape (1, 4)", ".reshape(n, 2, 2)"),
        (np.zeros((64, 2, 2)), "wrong-shape", "shape (64, 2, 2)", "as many images as the argument asks for"),
        (np.zeros((2, 2)), "wrong-shape", "shape (2, 2)", "reshape"),
        (torch.zeros(1).expand(10**6, 10**6), "wrong-shape", "shape (1000000, 1000000)", None),
        (np.array([[[None] * 2] * 2]), "wrong-type", "array of objects", None),
        (np.zeros((1, 2, 2), int), "wrong-type", "type int64", "divide by 255"),
        (torch.zeros(1, 2, 2, dtype=torch.int32), "wrong-type", "type int32", "divide by 255"),
        (np.zeros((1, 2, 2), bool), "wrong-type", "type bool", None),
        (np.zeros((1, 2, 2), complex), "wrong-type", "type complex128", None),
        (np.full((1, 2, 2), np.nan), "not-finite", "4 of 4 values", "diverged"),
        (
            np.linspace(-1, 0.98, 4).reshape(1, 2, 2),
            "out-of-range",
            "values from −1.00 to 0.98: this looks like tanh",
            "(x + 1) / 2",
        ),
        (np.full((1, 2, 2), 255.0), "out-of-range", "values from 255.00 to 255.00: this looks like grey levels", "divide by 255"),
        (np.full((1, 2, 2), -7.5), "out-of-range", "values from −7.50 to −7.50; expected", "tanh or sigmoid"),
    ],
)
def test_refusals_say_what_was_found_and_what_to_do(value: object, code: str, message: str, advice: str | None) -> None:
    error = refused(value)
    assert error.code == code
    assert message in error.message
    assert (advice in (error.advice or "")) if advice else error.advice is None


def test_channels_last_gets_its_own_advice() -> None:
    assert refused(np.zeros((5, 4, 4, 3)), 5, (3, 4, 4)).advice == "put the channels second with .permute(0, 3, 1, 2)"


def test_random_weights_change_the_network_and_are_undone() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    noise = torch.randn(2, 3)
    output = network(noise)
    with kernel._random_weights({"a": network, "b": network, "x": 1}):
        assert not torch.equal(network(noise), output)
        assert torch.isfinite(network(noise)).all()
        assert (network[1].running_var > 0).all()
        assert not torch.equal(network[0].bias, before["0.bias"])
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(network(noise), output)


def test_random_weights_leave_the_noise_as_it_was_seeded() -> None:
    network = torch.nn.Linear(2, 2)
    torch.manual_seed(7)
    drawn = torch.randn(5)
    torch.manual_seed(7)
    with kernel._random_weights({"a": network}):
        assert torch.equal(torch.randn(5), drawn)


def test_weights_come_back_after_an_error() -> None:
    network = torch.nn.Linear(2, 2)
    before = network.weight.detach().clone()
    with pytest.raises(ZeroDivisionError), kernel._random_weights({"a": network}):
        raise ZeroDivisionError
    assert torch.equal(network.weight, before)


def ask(monkeypatch: pytest.MonkeyPatch, path: Path, names: dict[str, Any], **job: Any) -> dict[str, Any]:
    monkeypatch.setattr(kernel, "_namespace", lambda: names)
    kernel.answer(json.dumps({"path": str(path), "seed": 1, **job}))
    report: dict[str, Any] = json.loads(Path(f"{path}.json").read_text())
    return report


GENERATE: dict[str, Any] = {
    "kind": "generate",
    "call": "generate(2)",
    "n": 2,
    "shape": [2, 2],
    "arguments": [],
    "inputs": [],
    "weights": "checkpoint",
}


def test_everything_is_seeded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import random

    def generate(n: int) -> object:
        return (np.random.rand(n, 2, 2) + random.random() + torch.rand(n, 2, 2).numpy()) / 3

    answers = []
    for name in ("a", "b"):
        assert ask(monkeypatch, tmp_path / name, {"generate": generate}, **GENERATE) == {"shapes": [[2, 2, 2]]}
        answers.append((tmp_path / f"{name}.0.raw").read_bytes())
    assert answers[0] == answers[1]


def test_rows_of_labels_are_the_one_argument(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = np.array([[0, 1, 1], [1, 0, 0]], np.float32)
    rows.tofile(tmp_path / "rows")

    def generate(labels: torch.Tensor) -> torch.Tensor:
        assert labels.dtype == torch.float32
        return labels[:, 1:].repeat(1, 2).reshape(2, 2, 2)

    ask(monkeypatch, tmp_path / "a", {"generate": generate}, **{**GENERATE, "inputs": [(str(tmp_path / "rows"), [2, 3])]})
    assert np.fromfile(tmp_path / "a.0.raw", np.uint8).tolist() == [255] * 4 + [0] * 4


def test_a_class_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = {"generate": lambda n, c: np.full((n, 2, 2), c, np.uint8)}
    ask(monkeypatch, tmp_path / "a", names, **{**GENERATE, "arguments": [7]})
    assert (tmp_path / "a.0.raw").read_bytes() == bytes([7] * 8)


def test_leaving_by_exception_is_an_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    report = ask(monkeypatch, tmp_path / "a", {"generate": lambda n: sys.exit(3)}, **GENERATE)
    assert (report["problem"]["code"], report["problem"]["ename"]) == ("exception", "SystemExit")


def test_probes_get_tensors_and_leave_the_namespace_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    inputs = np.arange(6, dtype=np.float32).reshape(2, 3)
    inputs.tofile(tmp_path / "in")
    names = {"factor": 3}
    code = "factor = factor * 2\ndef probe(x):\n    return [x * factor, 1.5]"
    job = {"kind": "probe", "code": code, "inputs": [[str(tmp_path / "in"), [2, 3]]], "max_bytes": 100}
    assert ask(monkeypatch, tmp_path / "a", names, **job) == {"shapes": [[2, 3], []]}
    assert names == {"factor": 3}
    np.testing.assert_array_equal(np.fromfile(tmp_path / "a.0.raw", "<f4").reshape(2, 3), inputs * 6)


def test_an_error_whose_text_cannot_be_read_is_still_described(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise ValueError

    def generate(n: int) -> None:
        raise BrokenError

    problem = ask(monkeypatch, tmp_path / "a", {"generate": generate}, **GENERATE)["problem"]
    assert (problem["ename"], problem["evalue"]) == ("BrokenError", "(its text cannot be read)")
