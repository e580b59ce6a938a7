"""Results of every kind, built by hand, with real picture bytes."""

from datetime import UTC, datetime, timedelta

import numpy as np

from evaluator.pictures.grids import grid
from grader.models import (
    Answer,
    CellOutput,
    CriterionResult,
    Edit,
    Essay,
    Flag,
    Lateness,
    Level,
    Metric,
    Problem,
    Provenance,
    Status,
    SubmissionResult,
    TaskResult,
    Usage,
)

WHEN = datetime(2026, 3, 5, 14, 7, tzinfo=UTC)

PROVENANCE = Provenance(
    grader_version="0.1.0",
    spec_sha256="5bec" * 16,
    template_sha256="7e3a" * 16,
    notebook_sha256="0b00" * 16,
    checkpoint_sha256="cec0" * 16,
    pack="mnist",
    pack_sha256="9ac0" * 16,
    pack_public=False,
    seeds={"generate": 918273645},
    sandbox_level=Level.STRONG,
    device="cpu",
    started=WHEN,
    finished=WHEN,
)

MANUAL = (
    CriterionResult(name="q_dc", title="What DC stands for", kind="manual", status=Status.PENDING, points=5),
    CriterionResult(name="q_noise", title="What the 100 signifies", kind="manual", status=Status.PENDING, points=5),
    CriterionResult(name="q_distribution", title="Distribution of the digits", kind="manual", status=Status.PENDING, points=10),
)


def metric_row(
    name: str, title: str, points: float, value: float, half: float, full: float, zero: float, floor: float, **more: object
) -> CriterionResult:
    """A row scored linearly between its anchors, as the grader does."""
    scores = [points * min(1.0, max(0.0, (zero - v) / (zero - full))) for v in (value, value - half, value + half)]
    return CriterionResult.model_validate(
        {
            "name": name,
            "title": title,
            "kind": "metric",
            "status": Status.GRADED,
            "points": points,
            "score": scores[0],
            "low": min(scores),
            "high": max(scores),
            "metric": Metric(name=name, value=value, low=value - half, high=value + half, n=2000),
            "full": full,
            "zero": zero,
            "floor": floor,
            "message": f"measured {value:.3g}; all points at {full:g}, none at {zero:g}",
            **more,
        }
    )


def unit_row(name: str, title: str, score: float, message: str, advice: str | None = None) -> CriterionResult:
    return CriterionResult(
        name=name,
        title=title,
        kind="unit",
        status=Status.GRADED,
        points=5,
        score=score,
        low=score,
        high=score,
        message=message,
        advice=advice,
    )


def criteria() -> tuple[CriterionResult, ...]:
    """A modest generator: points lost on quality and diversity, one unit check wrong."""
    return (
        metric_row(
            "fid2k_test_indomain",
            "Quality: distance to real digits",
            40,
            33.72,
            1.31,
            12,
            120,
            1.043,
            advice="Train for longer, and look at the curves: when D(real) sticks to 1, slow the discriminator down.",
        ),
        metric_row("confident2k_indomain", "Legibility: samples that read as one digit", 10, 0.934, 0.011, 0.9, 0.5, 0.995),
        metric_row(
            "class_kl2k_uniform_indomain",
            "Diversity: every digit appears",
            15,
            0.117,
            0.014,
            0.05,
            0.7,
            0.0017,
            advice="Some digits are rare or missing, a sign of mode collapse: try a lower learning rate.",
        ),
        metric_row("duplicates2k_pixels", "Diversity: no repeated images", 10, 0.0, 0.0, 0.01, 0.2, 0.0),
        unit_row("generator_shape", "Generator maps (B, 100) to (B, 1, 28, 28) in [-1, 1]", 5, "as asked for 8 noise vectors"),
        unit_row("discriminator_probability", "Discriminator gives one probability an image", 5, "shape (B, 1), all in [0, 1]"),
        unit_row("discriminator_bce", "Loss of the discriminator", 5, "agrees to 1e-6 on fresh probabilities"),
        unit_row(
            "generator_bce",
            "Loss of the generator",
            0,
            "returned −0.693 for probabilities of 0.5; expected 0.693",
            "The loss is the mean of −log D(G(z)): mind the sign.",
        ),
        unit_row("two_optimizers", "One optimizer for each network", 5, "two optimizers, each with one network's parameters"),
    )


def task(status: Status, rows: tuple[CriterionResult, ...] = (), **more: object) -> TaskResult:
    """The vanilla task; its score is the sum over the rows unless one of them has none."""
    ends = [[getattr(row, end) for row in rows] for end in ("score", "low", "high")]
    score, low, high = (None if None in values or not values else sum(values) for values in ends)
    defaults: dict[str, object] = {
        "task": "vanilla",
        "title": "DCGAN on MNIST",
        "status": status,
        "score": score,
        "low": low,
        "high": high,
        "max_score": 100,
        "criteria": rows,
        "manual": MANUAL,
        "provenance": PROVENANCE,
        "usage": Usage(wall_s=9.4, cpu_s=7.2, peak_memory_mb=612.4),
    }
    return TaskResult.model_validate(defaults | more)


def submission(student: str, *tasks: TaskResult, **more: object) -> SubmissionResult:
    """A submission of these tasks; its status is the first one's."""
    scores = [t.score for t in tasks]
    defaults: dict[str, object] = {
        "lab": "lab8",
        "lab_title": "Generative adversarial networks",
        "student": student,
        "attempt": "2026-03-04T22-51",
        "status": tasks[0].status,
        "score": None if None in scores else sum(s for s in scores if s is not None),
        "max_score": sum(t.max_score for t in tasks),
        "manual_points": 20,
        "tasks": tasks,
        "graded_at": WHEN,
    }
    return SubmissionResult.model_validate(defaults | more)


def _zeroed(status: Status, message: str, advice: str | None) -> tuple[CriterionResult, ...]:
    nothing = None if status is Status.UNGRADED else 0.0
    ends = dict.fromkeys(("score", "low", "high"), nothing)
    update = {"status": status, "metric": None, "message": message, "advice": advice, **ends}
    return tuple(row.model_copy(update=update) for row in criteria())


def graded() -> SubmissionResult:
    """Everything ran, points were lost."""
    answers = (
        Answer(question="q_dc", text="Deep convolutional: both networks are made of (transposed) convolutions."),
        Answer(
            question="q_noise",
            text="It is the dimension of z.\n\nEach z is a point in 100-dimensional space.",
        ),
        Answer(question="q_distribution", text=""),
    )
    edits = (
        Edit(
            kind="changed",
            cell=4,
            message="the cell that loads the data was changed",
            diff="--- template\n+++ yours\n@@ -5,3 +5,3 @@\n     have_mnist = Path(DATA_DIR).exists()\n"
            "-    real_images = digits.float().div(127.5).sub(1)\n+    real_images = digits.float().div(255)\n",
        ),
        Edit(kind="marker", cell=9, message="the marker ##END TODO## was missing; the region was found by the text around it"),
    )
    outputs = (
        CellOutput(cell=2, text="torch 2.6.0 on cpu\n"),
        CellOutput(cell=5, todo="helpers", text="\x1b[32mready\x1b[0m\n  0%|  \r 50%|##\r100%|####\n"),
    )
    return submission(
        "alice",
        task(
            Status.GRADED,
            criteria(),
            answers=answers,
            edits=edits,
            outputs=outputs,
            class_shares=(0.104, 0.162, 0.081, 0.094, 0.121, 0.043, 0.088, 0.131, 0.049, 0.127),
            class_names=tuple("0123456789"),
            flags=(Flag(code="seed-mismatch", message="Two runs with one seed differ slightly; that is common."),),
            advice=("Two steps of train() ran without an error.",),
        ),
    )


def failed() -> SubmissionResult:
    """An exception in a TODO takes the image criteria."""
    problem = Problem(
        code="exception",
        message="RuntimeError: mat1 and mat2 shapes cannot be multiplied (64x784 and 100x6272)",
        advice="Print x.shape before the line: the generator gets noise of shape (B, 100).",
        todo="generator_forward",
        cell=9,
        line=4,
        source="x = self.fc(z.view(-1, 784))",
        traceback="Traceback (most recent call last):\n  Cell 9, line 4\n    x = self.fc(z.view(-1, 784))\nRuntimeError: shapes",
    )
    rows = _zeroed(Status.FAILED, problem.message, problem.advice)
    kept = tuple(row if i < 5 else good for i, (row, good) in enumerate(zip(rows, criteria(), strict=True)))
    return submission("bob", task(Status.FAILED, kept, problems=(problem,)))


def untouched() -> SubmissionResult:
    """The template as it was given out."""
    problem = Problem(
        code="open-todos",
        message="7 TODOs are still open: generator_layers, generator_forward, discriminator_layers, discriminator_forward, "
        "discriminator_loss, generator_loss, generate",
        advice="Fill them in, run the notebook from top to bottom, and hand it in again.",
    )
    return submission("carol", task(Status.FAILED, _zeroed(Status.FAILED, problem.message, problem.advice), problems=(problem,)))


def held() -> SubmissionResult:
    """Training images came back."""
    rows = tuple(row.model_copy(update={"score": row.points, "low": row.points, "high": row.points}) for row in criteria())
    flag = Flag(code="memorisation", message="98 % are copies of training images, as in the hand-in of mallory", holds=True)
    return submission("dave", task(Status.HELD, rows, flags=(flag,)))


def ungraded() -> SubmissionResult:
    """The grader could not do its part."""
    problem = Problem(code="sandbox", message="no sandbox could be started on the grading machine")
    rows = _zeroed(Status.UNGRADED, problem.message, None)
    return submission("erin", task(Status.UNGRADED, rows, problems=(problem,), provenance=None, usage=None), manual_points=20)


def pending() -> SubmissionResult:
    """Automatic part done, answers to grade."""
    return submission("frank", task(Status.PENDING, criteria()))


CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

CONFUSION = (
    (158, 1, 6, 9, 1, 0, 23, 0, 2, 0),
    (0, 194, 0, 5, 1, 0, 0, 0, 0, 0),
    (4, 0, 149, 1, 27, 0, 18, 0, 1, 0),
    (7, 4, 2, 171, 9, 0, 6, 0, 1, 0),
    (0, 0, 31, 8, 144, 0, 17, 0, 0, 0),
    (0, 0, 0, 0, 0, 188, 0, 8, 1, 3),
    (58, 0, 24, 7, 19, 0, 90, 0, 2, 0),
    (0, 0, 0, 0, 0, 9, 0, 183, 0, 8),
    (1, 0, 2, 1, 1, 2, 3, 0, 190, 0),
    (0, 0, 0, 0, 0, 4, 0, 10, 0, 186),
)
"""200 images asked for as each of the clothes; shirts are mostly taken for other tops, as real ones are."""

SHOWN = tuple(sum(column) / 2000 for column in zip(*CONFUSION, strict=True))


def cwgan(status: Status = Status.GRADED, **more: object) -> TaskResult:
    """The conditional task of a modest generator."""
    agreed = sum(row[i] for i, row in enumerate(CONFUSION)) / 2000
    rows = (
        metric_row("class_agreement2k_indomain", "Images look like the class asked for", 25, agreed, 0.017, 0.8, 0.1, 0.932),
        metric_row("fid2k_test_indomain", "Quality: distance to real clothes", 35, 41.3, 1.9, 15, 90, 1.21),
        metric_row("class_kl2k_uniform_indomain", "Diversity: every class appears", 15, 0.018, 0.006, 0.05, 0.6, 0.0019),
        unit_row("wloss_generator", "Loss of the generator", 5, "agrees to 1e-6 on fresh scores"),
    )
    by_hand = (
        CriterionResult(name="q_business", title="Use in a business", kind="manual", status=Status.PENDING, points=5),
        CriterionResult(name="q_conditioning", title="Your conditioning", kind="manual", status=Status.PENDING, points=5),
    )
    defaults: dict[str, object] = {
        "task": "cwgan",
        "title": "Conditional WGAN-GP on Fashion-MNIST",
        "max_score": 80,
        "manual": by_hand,
        "answers": (Answer(question="q_business", text="Drawing clothes that nobody has sewn yet, by kind."),),
        "class_shares": SHOWN,
        "class_names": CLOTHES,
        "confusion": CONFUSION,
        "class_fids": (61.2, 24.8, 58.7, 44.1, 55.9, 71.3, 88.4, 36.2, 97.5, 42.6),
    }
    return task(status, rows, **(defaults | more))


LATE = Lateness(
    submitted=WHEN,
    source="export",
    due=WHEN - timedelta(days=1, hours=15),
    days=2,
    late_days=1,
    fraction=0.1,
)

ESSAY_ROW = CriterionResult(name="reflection", title="Reflection essay", kind="manual", status=Status.PENDING, points=20)


def whole_lab() -> SubmissionResult:
    """A group's hand-in of both tasks and the essay, two days late, one of them free."""
    vanilla, conditional = graded().tasks[0], cwgan()
    score = (vanilla.score or 0) + (conditional.score or 0)
    essays = (
        Essay(question="reflection", file="reflection.md", text="# What I learnt\n\nThe critic is *no* classifier.\n"),
        Essay(question="reflection", file="My reflection.pdf", artifact="reflection-2.pdf"),
    )
    return submission(
        "grace",
        vanilla,
        conditional,
        group_name="g07",
        group=("grace", "heidi"),
        lateness=LATE,
        penalty=round(score * LATE.fraction, 6),
        manual=(ESSAY_ROW,),
        essays=essays,
        manual_points=50,
    )


def noise(count: int = 6, size: int = 8) -> bytes:
    """A small valid PNG."""
    return grid(np.random.default_rng(0).integers(0, 256, (count, size, size), np.uint8), columns=3)


EVERY_KIND = (graded, failed, untouched, held, ungraded, pending)
"""Results of one task, the same for all."""
