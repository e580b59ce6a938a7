"""What a unit check of a single TODO is, and what the judges of several labs share.

A check is a piece of probe code that runs in the student's notebook, the inputs that it gets, and a pure function that judges what
came back. Nothing is ever asked of the notebook about its own correctness.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BATCH = 16
NOISE_DIM = 100
RELATIVE_TOLERANCE = 1e-3
"""float32 sums over a batch, on any device, agree far better; a wrong factor or sign is far off."""


@dataclass(frozen=True)
class Verdict:
    """share: of the points, in [0, 1]; message: what was found, and what was expected where it differs."""

    share: float
    message: str


def right(message: str) -> Verdict:
    """All points."""
    return Verdict(1.0, message)


def wrong(message: str) -> Verdict:
    """No points."""
    return Verdict(0.0, message)


@dataclass(frozen=True)
class UnitCheck:
    """todos: ids of the TODOs that it exercises; code: defines `probe(*inputs)`, see challenge.Probe."""

    name: str
    todos: tuple[str, ...]
    code: str
    inputs: Callable[[np.random.Generator], tuple[Floats, ...]]
    judge: Callable[[Sequence[Floats], Sequence[Floats]], Verdict]
    """(inputs, outputs) -> verdict"""


def random_noise(rng: np.random.Generator) -> tuple[Floats, ...]:
    """(B, 100), standard normal."""
    return (rng.standard_normal((BATCH, NOISE_DIM)).astype(np.float32),)


def random_images(rng: np.random.Generator) -> tuple[Floats, ...]:
    """(B, 1, 28, 28), uniform in [-1, 1]."""
    return (rng.uniform(-1, 1, (BATCH, 1, 28, 28)).astype(np.float32),)


def no_inputs(rng: np.random.Generator) -> tuple[Floats, ...]:
    """For probes that need none."""
    return ()


def single(outputs: Sequence[Floats]) -> Floats | None:
    """The one output, None where there are several or none."""
    return outputs[0] if len(outputs) == 1 else None


def compare_loss(found: Floats | None, expected: float, slips: Mapping[str, float], of: str = "fresh probabilities") -> Verdict:
    """Match a scalar against the expected value, and against the values that frequent slips give."""
    if found is None or found.size != 1:
        shape = "several values" if found is None else f"shape {found.shape}"
        return wrong(f"the loss has {shape}; expected a single number (a mean over the batch)")
    value = float(found.reshape(()))
    if np.isclose(value, expected, rtol=RELATIVE_TOLERANCE):
        return right(f"{value:.4f} on {of}, as expected")
    slip = next((name for name, other in slips.items() if np.isclose(value, other, rtol=RELATIVE_TOLERANCE)), None)
    hint = f": this is {slip}" if slip else ""
    return wrong(f"{value:.4f} on {of}; expected {expected:.4f}{hint}")


def compare_joined(found: Floats | None, expected: Floats, slips: Mapping[str, Floats], what: str) -> Verdict:
    """Match an array that must hold the inputs themselves, and what frequent slips give."""
    if found is None:
        return wrong("did not return one tensor")
    if found.shape != expected.shape:
        return wrong(f"{what} gave shape {found.shape}; expected {expected.shape}")
    if np.array_equal(found, expected):
        return right(f"{what} joined to shape {expected.shape}")
    slip = next((name for name, other in slips.items() if np.array_equal(found, other)), None)
    at = np.argwhere(found != expected)[0].tolist()
    return wrong(f"{what}: {slip or f'the value at {at} is {found[tuple(at)]:.3g}; expected {expected[tuple(at)]:.3g}'}")
