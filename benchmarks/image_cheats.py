"""Cheating that shows in the images only: what it earns, and which check holds it.

    python benchmarks/image_cheats.py --data DIR [--tries 3] [--workers 2] [--private PACK] [--quick] [--json FILE]

Cheaters and honest students hand in lab 8's first task, and are graded as `grader run` does, under a fresh secret a try, once with the
public pack, which students have, and once with a private one. The private pack is built first, by the full recipe (15 CPU-minutes)
unless `--private` names one; `--quick` trains its classifier for one epoch on a fifth of the images, and does everything once.
Held means that a flag keeps the score from counting until a person has decided. Needs MNIST: `grader data get mnist --to DIR`.
"""

import argparse
import io
import json
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from unittest.mock import patch

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "solutions"), str(REPOSITORY / "benchmarks")]

from grader import threads  # noqa: E402

threads.pin()  # as the command does

import torch  # noqa: E402
from class_run import keep_task  # noqa: E402
from generate import samples  # noqa: E402
from grade_stability import regraded  # noqa: E402
from sample_class import make_class, references, script  # noqa: E402
from students import cheats, vanilla  # noqa: E402
from students.cheats import Images  # noqa: E402
from students.work import Student, Work  # noqa: E402

from datasets import mnist  # noqa: E402
from evaluator.metrics.repeats import repeats  # noqa: E402
from evaluator.pack import Pack, public_pack  # noqa: E402
from evaluator.packs.build import build  # noqa: E402
from evaluator.packs.recipes import recipe_of  # noqa: E402
from grader.course import FINGERPRINTS  # noqa: E402
from grader.gallery import pictures  # noqa: E402
from grader.models import Artifact, SubmissionResult, TaskResult  # noqa: E402
from grader.release import fill, template_notebook  # noqa: E402
from grader.task import TaskGrading  # noqa: E402

TASK = "vanilla"
NOTEBOOK = "lab8_vanilla.ipynb"
HONEST = ("typical", "mid", "early")


@dataclass(frozen=True)
class Cheat:
    """A hand-in: TODO bodies that differ from the plain student's, and the checkpoint."""

    kind: str
    bodies: Mapping[str, str]
    checkpoint: bytes


@dataclass(frozen=True)
class Row:
    """What a hand-in came to with one pack, over all tries."""

    name: str
    kind: str
    pack: str
    tries: int
    points: float
    """Mean, of the task's automatic points."""
    images: float
    """Mean, of the points that the images give."""
    held: int
    """Tries in which a flag held the score."""
    flags: Mapping[str, int]
    repeats: tuple[int, ...]
    """Images of 2,000, by try, that are as near to another one as copies are."""
    lost: Mapping[str, float]
    """Metric criteria that gave less than half of their points, with the share that they gave."""


def hand_ins(data: mnist.Images, quick: bool) -> dict[str, Cheat]:
    """All cheaters and honest students, by name."""
    typical = torch.load(references("lab8") / "students" / "vanilla_typical.pt", weights_only=True)
    good = samples(script("lab8", TASK), references("lab8") / "lab8_vanilla.pt", 4_000 if quick else 40_000)
    public = public_pack("mnist").classifier
    real = data.x_train[::60][: 500 if quick else 1_000]

    def table(images: Images, pick: str = "as stored") -> Cheat:
        return Cheat("table", *cheats.table(images, pick, typical))

    def carried(images: Images, generate: str) -> Cheat:
        return Cheat(
            "no network",
            cheats.in_the_notebook(images, generate),
            (references("lab8") / "students" / "vanilla_typical.pt").read_bytes(),
        )

    found = {
        "60,000 training images": table(data.x_train),
        "the same, with noise": table(data.x_train, "with noise"),
        "the same, mixed": table(data.x_train, "mixed"),
        "test images": table(data.x_test),
        "test images, mirrored": table(data.x_test[:, :, ::-1].copy()),
        "test images, shifted": table(shifted(data.x_test)),
        "test images, JPEG": table(np.array([jpeg(image) for image in data.x_test])),
        "100 samples of a good GAN": table(good[:100]),
        "2,000 samples of a good GAN": table(good[:2_000]),
        "20,000 samples of a good GAN": table(good[:20_000]),
        "40,000 samples of a good GAN": table(good),
        "40,000, with noise": table(good, "with noise"),
        "40,000, mixed": table(good, "mixed"),
        "tuned to the public classifier": table(cheats.tuned(public, real)),
        "600 samples in the notebook": carried(good[:600], cheats.FROM_THE_NOTEBOOK),
        "the same, and 1 % of the network": carried(good[:600], cheats.WITH_A_TOUCH_OF_THE_NETWORK),
    }
    honest = {name: Cheat("honest", {}, (references("lab8") / "students" / f"vanilla_{name}.pt").read_bytes()) for name in HONEST}
    if quick:
        kept = ("test images", "100 samples of a good GAN", "tuned to the public classifier", "600 samples in the notebook")
        return {**{name: found[name] for name in kept}, "typical": honest["typical"]}
    return {**found, **honest}


def shifted(images: Images) -> Images:
    """Each image moved by up to two pixels either way."""
    by = np.random.default_rng(0).integers(-2, 3, (len(images), 2))
    return np.array([np.roll(image, tuple(move), axis=(0, 1)) for image, move in zip(images, by, strict=True)])


def jpeg(image: Images) -> Images:
    """The image after a JPEG of quality 50."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=50)
    return np.asarray(Image.open(buffer))


def make_lab(lab: Path, hand_in: Mapping[str, Cheat]) -> dict[str, str]:
    """A lab folder with the first task and the hand-ins; returns their names by student."""
    students = {f"{number:02d}": name for number, name in enumerate(hand_in)}
    make_class(lab, [Student(number, {"cwgan": Work(checkpoint=None)}) for number in students])
    keep_task(lab / "lab.toml", TASK)
    (lab / FINGERPRINTS).unlink()  # the honest ones hand in what is published
    for number, name in students.items():
        attempt = next((lab / "submissions" / number).iterdir())
        (attempt / NOTEBOOK).write_bytes(fill(template_notebook(script("lab8", TASK)), {**vanilla.PLAIN, **hand_in[name].bodies}))
        (attempt / f"{TASK}.pt").write_bytes(hand_in[name].checkpoint)
    return students


def install_private(lab: Path, data: mnist.Images, built: Path | None, quick: bool) -> None:
    """Give the course a private pack: the one built before, or a new one from a secret seed."""
    target = lab / "packs" / "mnist"
    if built:
        shutil.copytree(built, target)
        return
    recipe = recipe_of("mnist")
    if quick:
        data = replace(data, x_train=data.x_train[:12_000], y_train=data.y_train[:12_000])
        recipe = replace(recipe, epochs=1)
    build("mnist", data, target, seed=secrets.randbits(63), public=False, recipe=recipe)


def repeated_in(images: Images, pack: Pack) -> int:
    """How many images are as near to another one as copies are: what the flag `repeats` goes by."""
    return round(len(images) * repeats(pack.projection.encode(images), pack.repeat_limit, "").value)


def graded(lab: Path, secret: str, workers: int) -> tuple[Sequence[SubmissionResult], dict[str, int]]:
    """Everybody, under a secret; and how many images repeat another, by the notebook's hash.

    The images are looked at on their way to the pictures of the report: a result does not hold them.
    """
    repeated: dict[str, int] = {}

    def tapped(grading: TaskGrading, pack: Pack, reference: Path) -> tuple[Artifact, ...]:
        if grading.images is not None and grading.notebook_sha256:
            repeated[grading.notebook_sha256] = repeated_in(grading.images, pack)
        return pictures(grading, pack, reference)

    with patch("grader.pipeline.pictures", tapped):
        return regraded(lab, secret, workers), repeated


def row(name: str, kind: str, pack: str, tasks: Sequence[TaskResult], repeated: Sequence[int]) -> Row:
    """The row of one hand-in."""
    metrics = [[c for c in task.criteria if c.kind == "metric"] for task in tasks]
    shares = {c.name: fmean((t.score or 0.0) / t.points for t in of) for of in zip(*metrics, strict=True) for c in of[:1]}
    return Row(
        name=name,
        kind=kind,
        pack=pack,
        tries=len(tasks),
        points=fmean(task.score or 0.0 for task in tasks),
        images=fmean(sum(c.score or 0.0 for c in of) for of in metrics),
        held=sum(any(flag.holds for flag in task.flags) for task in tasks),
        flags=dict(Counter(flag.code for task in tasks for flag in task.flags)),
        repeats=tuple(repeated),
        lost={name: round(share, 2) for name, share in shares.items() if share < 0.5},
    )


def show(rows: Sequence[Row], seconds: float) -> None:
    table = Table(title="Points of 100, of which 75 for the images")
    for column in ("hand-in", "public pack", "private pack", "held", "flags", "repeats", "criteria below half, private pack"):
        table.add_column(column, justify="right" if column in ("public pack", "private pack", "held") else "left")
    by_name = {r.name: {s.pack: s for s in rows if s.name == r.name} for r in rows}
    for name, of in by_name.items():
        public, private = of["public"], of["private"]
        table.add_row(
            name,
            f"{public.points:.1f}",
            f"{private.points:.1f}",
            f"{public.held + private.held} of {public.tries + private.tries}",
            ", ".join(f"{code} {count}" for code, count in (Counter(public.flags) + Counter(private.flags)).items()),
            ", ".join(map(str, private.repeats)),
            ", ".join(f"{metric.partition('2k')[0]} {share:.0%}" for metric, share in private.lost.items()),
        )
    console = Console(width=160)
    console.print(table)
    honest = [r for r in rows if r.kind == "honest"]
    console.print(
        f"False alarms: {sum(r.held for r in honest)} of {sum(r.tries for r in honest)} honest gradings. {seconds:.0f} s."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of `grader data get mnist`")
    parser.add_argument("--private", type=Path, help="folder of a private pack that has been built")
    parser.add_argument("--tries", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="five hand-ins, one try, a private pack of one epoch")
    parser.add_argument("--json", type=Path, help="also write all figures to this file, after each try")
    options = parser.parse_args()
    start, data = time.perf_counter(), mnist.load(options.data)
    hand_in = hand_ins(data, options.quick)
    found: dict[tuple[str, str], list[tuple[TaskResult, int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(folder) / "lab8"
        students = make_lab(lab, hand_in)
        tries = [secrets.token_hex(32) for _ in range(1 if options.quick else options.tries)]
        for pack in ("public", "private"):
            if pack == "private":
                install_private(lab, data, options.private, options.quick)
            for secret in tries:
                results, repeated = graded(lab, secret, options.workers)
                for task, name in ((result.tasks[0], students[result.student]) for result in results):
                    notebook = task.provenance.notebook_sha256 if task.provenance else None
                    found.setdefault((name, pack), []).append((task, repeated.get(notebook or "", 0)))
                rows = [row(name, hand_in[name].kind, of, *zip(*tries_of, strict=True)) for (name, of), tries_of in found.items()]
                seconds = time.perf_counter() - start
                print(f"{pack} pack, {len(rows)} rows, {seconds:.0f} s", file=sys.stderr)
                if options.json:
                    options.json.write_text(json.dumps({"rows": [asdict(r) for r in rows], "seconds": seconds}, indent=1))
    show(rows, seconds)


if __name__ == "__main__":
    main()
