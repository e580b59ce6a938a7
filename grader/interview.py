"""The rounds of the challenge: which requests a task needs, and what the answers say about honesty.

The first round holds the unit checks and the images of one measurement. Where the score would be uncertain, a second round asks for
independent repeats of the measurement. The last round runs two steps of `train()` as feedback.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grader.challenge import Answers, Generate, Probe, Request, Round, Seed, derive_seed
from grader.models import CriterionResult, Flag, Problem
from grader.score import WIDE, is_wide, total
from grader.spec import Task
from grader.units import CHECKS

Images = NDArray[np.uint8]

BLOCK = 500
"""Most images asked for in one call of generate()."""
REPEATS = 5
"""Most independent measurements of one task."""
TRIALS = ("one", "seven", "twin-a", "twin-b", "other", "class", "random")
TWIN = 32
"""Images of the calls that are compared with each other."""

SMOKE_CODE = """
def probe(images, labels):
    given = train.__globals__  # what train() sees; nothing is asked of the notebook after this
    networks = Generator().to(device), Discriminator().to(device)
    optimizers = make_optimizers(*networks)
    given.update(
        TRAIN=True, real_images=images.to(device), real_labels=labels.long().to(device), epochs=1, batch_size=len(images) // 2,
        critic_steps=1, path_to_checkpoint="smoke",
        generator=networks[0], discriminator=networks[1], optimizer_g=optimizers[0], optimizer_d=optimizers[1],
        history={name: [] for name in ("generator", "real", "fake", "critic", "penalty")},
    )
    before = next(networks[0].parameters()).detach().flatten()[:256].clone()
    train()
    return [before, next(networks[0].parameters()).detach().flatten()[:256]]
"""


@dataclass
class Interview:
    """Decides what to ask next in one execution; `judge` scores the first measurement to see whether more are due."""

    task: Task
    secret: bytes
    who: str
    smoke_inputs: tuple[NDArray[np.float32], NDArray[np.float32]]
    judge: Callable[[Images], Sequence[CriterionResult]]
    seeds: dict[str, Seed] = field(default_factory=dict)
    inputs: dict[str, tuple[NDArray[np.float32], ...]] = field(default_factory=dict)
    """what each unit check was given, by request id"""
    _stage: int = 0
    _asked: float = 0.0

    def next_round(self, answers: Answers) -> Round | None:
        """See challenge.NextRound."""
        self._stage += 1
        if self._stage == 1:
            self._asked = time.monotonic()
            return (*self._units(), *self._trials(), *self._measurement(0))
        if self._stage == 2:
            repeats = self._repeats_due(answers)
            if repeats:
                return tuple(r for k in range(1, repeats) for r in self._measurement(k))
            self._stage += 1
        if self._stage == 3:
            return (Probe("smoke", SMOKE_CODE, self._seed("smoke"), self.smoke_inputs, feedback=True),)
        return None

    def _seed(self, name: str) -> Seed:
        self.seeds[name] = derive_seed(self.secret, self.who, self.task.id, name)
        return self.seeds[name]

    def _units(self) -> Round:
        requests = []
        for check_name in (*(c.unit for c in self.task.units), *self.task.advice):
            check = CHECKS[check_name]
            seed, name = self._seed(check.name), f"unit:{check.name}"
            self.inputs[name] = check.inputs(np.random.default_rng(seed))
            requests.append(Probe(name, check.code, seed, self.inputs[name]))
        return tuple(requests)

    def _trials(self) -> Round:
        """Odd batch sizes, the same seed twice, with another class, and with random weights."""
        shape, twin, arguments = self.task.shape, self._seed("twin"), _arguments(self.task)
        first = arguments[0]
        other_class = (Generate("class", TWIN, twin, shape, arguments[1]),) if self.task.conditional else ()
        return (
            Generate("one", 1, self._seed("one"), shape, arguments[-1]),
            Generate("seven", 7, self._seed("seven"), shape, arguments[len(arguments) // 2]),
            Generate("twin-a", TWIN, twin, shape, first),
            Generate("twin-b", TWIN, twin, shape, first),
            Generate("other", TWIN, self._seed("other"), shape, first),
            *other_class,
            Generate("random", TWIN, twin, shape, first, weights="random"),
        )

    def _measurement(self, k: int) -> tuple[Request, ...]:
        """Requests for `samples` images in blocks, as many of each class where the task has classes."""
        blocks: list[Request] = []
        every = _arguments(self.task)
        share = self.task.samples // len(every)
        for arguments in every:
            for start in range(0, share, BLOCK):
                name = block_name(k, len(blocks))
                blocks.append(Generate(name, min(BLOCK, share - start), self._seed(name), self.task.shape, arguments))
        return tuple(blocks)

    def _repeats_due(self, answers: Answers) -> int:
        """How many measurements in all are needed to bring the interval below WIDE, at most REPEATS; 0 when one is enough.

        A generator so slow that repeats could hit the CPU limit is measured once: a wide interval is better than a failure.
        """
        images = measurement(answers, self.task, 0)
        if images is None or time.monotonic() - self._asked > self.task.limits.cpu_s / (2 * REPEATS):
            return 0
        rows = self.judge(images)
        if not is_wide(self.task, rows):
            return 0
        _, low, high = total(rows)
        needed = math.ceil((((high or 0.0) - (low or 0.0)) / (WIDE * self.task.max_score)) ** 2)
        return min(REPEATS, max(2, needed))


def block_name(k: int, block: int) -> str:
    """Id of a block of the k-th measurement."""
    return f"images-{k}-{block}"


def _arguments(task: Task) -> tuple[tuple[int, ...], ...]:
    """What generate() is called with besides n: every class in turn, or nothing."""
    return tuple((c,) for c in range(len(task.classes))) if task.conditional else ((),)


def asked_classes(task: Task) -> NDArray[np.int64] | None:
    """The class that each image of a measurement was asked for as, (samples,); None where the task has no classes."""
    return np.arange(task.samples) % len(task.classes) if task.conditional else None


def measurement(answers: Answers, task: Task, k: int) -> Images | None:
    """Images of the k-th measurement, (samples, *shape); None when any block is missing.

    The images of a conditional task come in an order that cycles through the classes, so that every run of consecutive images, such as the
    jackknife leaves out, holds all classes alike.
    """
    names = sorted((n for n in (*answers.arrays, *answers.problems) if n.startswith(f"images-{k}-")), key=_block_number)
    if not names or any(n in answers.problems for n in names):
        return None
    images = np.concatenate([answers.arrays[n][0] for n in names]).astype(np.uint8, copy=False)
    by_class = images.reshape(len(_arguments(task)), -1, *images.shape[1:])
    return np.ascontiguousarray(by_class.swapaxes(0, 1)).reshape(images.shape)


def _block_number(name: str) -> int:
    return int(name.rsplit("-", 1)[1])


def measurements(answers: Answers, task: Task) -> list[Images]:
    """All complete measurements."""
    found = (measurement(answers, task, k) for k in range(REPEATS))
    return [images for images in found if images is not None]


def failed_generate(answers: Answers) -> str | None:
    """Id of the first call of generate() that went wrong, in the order of asking; with random weights it may."""
    return next((n for n in answers.problems if n in TRIALS[:-1] or n.startswith("images-")), None)


def honesty(answers: Answers) -> tuple[Problem | None, tuple[Flag, ...]]:
    """What the trial calls show: a problem that costs the image points, or flags for a person.

    The same images for two seeds mean that nothing is generated: a problem. The same images with random weights mean that the
    checkpoint is not what makes them, different images for the same seed may be the device's doing: flags.
    """
    images: Mapping[str, Images] = {n: a[0].astype(np.uint8, copy=False) for n, a in answers.arrays.items() if n in TRIALS[2:]}
    if {"twin-a", "other"} <= images.keys() and np.array_equal(images["twin-a"], images["other"]):
        return Problem(
            code="seed-ignored",
            message="generate() gave the same images for two different seeds; it must draw new noise for every call",
            advice="use torch.randn inside generate(), and do not set a seed of your own there",
        ), ()
    flags = []
    if {"twin-a", "class"} <= images.keys() and np.array_equal(images["twin-a"], images["class"]):
        flags.append(Flag(code="class-ignored", message="generate(n, c) gave the same images for two classes and one seed"))
    if {"twin-a", "twin-b"} <= images.keys() and not np.array_equal(images["twin-a"], images["twin-b"]):
        flags.append(Flag(code="seed-mismatch", message="two calls with the same seed gave different images (no points lost)"))
    if {"twin-a", "random"} <= images.keys() and np.array_equal(images["twin-a"], images["random"]):
        flags.append(
            Flag(
                code="ignores-weights",
                message="generate() gave the same images when the weights of all networks were replaced by random numbers",
                holds=True,
            )
        )
    return None, tuple(flags)


def smoke_inputs(samples: NDArray[np.uint8], labels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """256 public images as the notebook's training data have them, (256, 1, height, width) in [-1, 1], and their classes, (256,)."""
    chosen = np.random.default_rng(0).permutation(np.arange(256) % len(samples))
    scaled: NDArray[np.float32] = samples[chosen][:, None].astype(np.float32) / np.float32(127.5) - np.float32(1)
    return scaled, labels[chosen].astype(np.float32)


def smoke_advice(answers: Answers) -> str | None:
    """What the two training steps showed; worth no points."""
    if "smoke" in answers.problems:
        return f"A trial of two steps of your train() failed: {answers.problems['smoke'].message}"
    if "smoke" in answers.arrays and len(answers.arrays["smoke"]) == 2:
        before, after = answers.arrays["smoke"]
        if np.array_equal(before, after):
            return "A trial of two steps of your train() left the generator's weights unchanged."
        return "A trial of two steps of your train() ran and changed the generator's weights."
    return None
