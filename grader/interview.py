"""The rounds of the challenge: which requests a task needs, and what the answers say about honesty.

The first round holds the unit checks and the images of one measurement. Where the score would be uncertain, a second round asks for
independent repeats of the measurement. The last round runs two steps of `train()` as feedback.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from evaluator.images import chunks
from grader.challenge import Answers, Generate, Probe, Request, Round, Seed, derive_seed
from grader.models import CriterionResult, Flag, Problem
from grader.score import WIDE, is_wide, total
from grader.spec import Task
from grader.units import CHECKS

Images = NDArray[np.uint8]
Condition = tuple[int, ...] | NDArray[np.float32]
"""What generate() is called with besides the number of images: nothing, a class, or in its place rows of labels (n, L)."""

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
        TRAIN=True, real_images=images.to(device), real_labels=(labels.long() if labels.ndim == 1 else labels).to(device), epochs=1,
        batch_size=len(images) // 2, critic_steps=1, generator_steps=1, path_to_checkpoint="smoke",
        generator=networks[0], discriminator=networks[1], optimizer_g=optimizers[0], optimizer_d=optimizers[1],
        history={name: [] for name in ("generator", "real", "fake", "critic", "penalty", "labels", "fid", "score")},
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
        """Odd batch sizes, the same seed twice, with another class or other labels, and with random weights."""
        twin = self._seed("twin")
        given = _trial_conditions(self.task)
        conditioned = self.task.conditional or self.task.prompt_sets is not None
        return (
            self._asking("one", 1, self._seed("one"), given["one"]),
            self._asking("seven", 7, self._seed("seven"), given["seven"]),
            self._asking("twin-a", TWIN, twin, given["first"]),
            self._asking("twin-b", TWIN, twin, given["first"]),
            self._asking("other", TWIN, self._seed("other"), given["first"]),
            *((self._asking("class", TWIN, twin, given["other"]),) if conditioned else ()),
            replace(self._asking("random", TWIN, twin, given["first"]), weights="random"),
        )

    def _asking(self, name: str, n: int, seed: Seed, condition: Condition) -> Generate:
        if isinstance(condition, tuple):
            return Generate(name, n, seed, self.task.shape, condition)
        return Generate(name, n, seed, self.task.shape, labels=condition)

    def _measurement(self, k: int) -> tuple[Request, ...]:
        """Requests for `samples` images in blocks: of each class as many, where the task has classes, or of all prompts in turn."""
        blocks: list[Request] = []
        for condition, n in _shares(self.task):
            for rows in chunks(n, BLOCK):
                name = block_name(k, len(blocks))
                asked = condition if isinstance(condition, tuple) else condition[rows]
                blocks.append(self._asking(name, rows.stop - rows.start, self._seed(name), asked))
        return tuple(blocks)

    def _repeats_due(self, answers: Answers) -> int:
        """How many measurements in all are needed to bring the interval below WIDE, at most REPEATS; 0 when one is enough.

        A generator so slow that repeats could hit the CPU limit is measured once: a wide interval is better than a failure. So is
        one that answers prompts: its interval is that of other prompts, which more images of these do not narrow.
        """
        if self.task.prompt_sets is not None:
            return 0
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


def _shares(task: Task) -> list[tuple[Condition, int]]:
    """What the images of a measurement are asked for with, and how many of each."""
    if task.prompt_sets is not None:
        return [(task.prompt_sets.labels(task.samples).astype(np.float32), task.samples)]
    every = _arguments(task)
    return [(arguments, task.samples // len(every)) for arguments in every]


def _trial_conditions(task: Task) -> dict[str, Condition]:
    """What the trials are asked with, by name; `other` differs from `first`, which most of them share."""
    if task.prompt_sets is not None:
        rows = task.prompt_sets.labels(2 * TWIN).astype(np.float32)
        return {"one": rows[-1:], "seven": rows[-7:], "first": rows[:TWIN], "other": np.roll(rows[:TWIN], 1, axis=0)}
    every = _arguments(task)
    return {"one": every[-1], "seven": every[len(every) // 2], "first": every[0], "other": every[min(1, len(every) - 1)]}


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
        message = "generate() gave the same images for two classes, or for other labels, and one seed: it ignores the condition"
        flags.append(Flag(code="class-ignored", message=message))
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
    """256 public images as the notebook's training data have them, (256, channels, height, width) in [-1, 1], and their labels.

    Labels are classes, (256,), or 0 and 1, (256, L).
    """
    chosen = np.random.default_rng(0).permutation(np.arange(256) % len(samples))
    images = samples[chosen][:, None] if samples.ndim == 3 else samples[chosen]
    scaled: NDArray[np.float32] = images.astype(np.float32) / np.float32(127.5) - np.float32(1)
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
