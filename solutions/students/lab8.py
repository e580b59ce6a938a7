"""The sample class of lab 8: every kind of hand-in that the grader must get right, over both tasks."""

import io
from collections.abc import Mapping
from datetime import timedelta

import torch

from students import cwgan, vanilla
from evaluator.pack import public_pack
from students.work import SampleLab, Student, Work, body

ESSAY = """# What I take away

Training two networks against each other is a game without a scoreboard: the losses said little, the pictures everything. The
Wasserstein critic's difference of scores was the first curve that I could read. What surprised me most is how much the class label helps.
"""

UNTOUCHED = Work(checkpoint=None, untouched=True)


def _generate(text: str) -> dict[str, str]:
    return {"generate": body(text)}


CRASH = _generate("""
    z = torch.randn(n, noise_dim, device=device)
    images = trained_generator(z)
    return images["digits"]
""")

ENDLESS = _generate("""
    images = []
    while len(images) < n:
        z = torch.randn(1, noise_dim)
    return images
""")

WRONG_SHAPE = _generate("""
    return (trained_generator(torch.randn(n, noise_dim, device=device)) + 1) / 2
""")

NAN = _generate("""
    images = trained_generator(torch.randn(n, noise_dim, device=device))[:, 0]
    return torch.log(images) - torch.log(images)
""")


def _student(
    name: str,
    vanilla: Work = Work(),  # noqa: B008 (immutable)
    cwgan: Work = Work(),  # noqa: B008
    *,
    essay: str | None = None,
    late: timedelta = Student.late,
    group: tuple[str, ...] = (),
) -> Student:
    return Student(name, {"vanilla": vanilla, "cwgan": cwgan}, essay, late, group)


def memorised(state: Mapping[str, torch.Tensor]) -> bytes:
    """A checkpoint with real test images hidden in a buffer of the generator."""
    images = torch.from_numpy(public_pack("mnist").samples[:256].copy())
    buffer = io.BytesIO()
    torch.save({**state, "memory": images.float() / 255}, buffer)
    return buffer.getvalue()


CLASS: tuple[Student, ...] = (
    _student("01-reference", Work(solution=True), Work(solution=True), essay=ESSAY),
    _student("02-typical", cwgan=Work(link="good"), essay=ESSAY),
    _student("03-mid-training", Work("mid"), Work("mid"), essay=ESSAY, late=timedelta(hours=20)),
    _student("04-early", Work("early"), Work("early")),
    _student(
        "05-collapsed-and-blind", Work(bodies={"generate": vanilla.COLLAPSED}), Work(bodies={"generate": cwgan.LABEL_BLIND})
    ),
    _student("06-noise-and-swapped", Work(bodies={"generate": vanilla.NOISE}), Work(bodies={"generate": cwgan.LABEL_SWAPPED})),
    _student("07-untouched-and-flipped", UNTOUCHED, Work("flipped", bodies=cwgan.SIGN_FLIPPED)),
    _student("08-edited", Work(edit=vanilla.edit_given), Work(edit=vanilla.delete_markers, bodies=cwgan.BATCH_NORM)),
    _student("09-crash-in-one", Work(bodies=CRASH)),
    _student("10-endless-and-dead-link", Work(bodies=ENDLESS), Work(link="gone")),
    _student("11-shape-and-html-page", Work(bodies=WRONG_SHAPE), Work(link="page")),
    _student("12-nan-and-quota", Work(bodies=NAN), Work(link="quota")),
    _student("13-tanh-and-cuda", Work(bodies=vanilla.TANH_RANGE), Work(bodies={"generate": cwgan.HARD_CUDA})),
    _student("14-prints-100", Work(bodies={"helpers": vanilla.CHEAT}), Work(bodies={"helpers": vanilla.CHEAT})),
    _student(
        "15-real-images",
        Work("memorised", bodies={"generator_layers": vanilla.MEMORISED_LAYERS, "generate": vanilla.MEMORISED}),
        Work(checkpoint=None),
    ),
    _student("16-pair-a", essay=ESSAY, group=("16-pair-a", "16-pair-b")),
)
"""By number, with what is special about vanilla and about cwgan in the name."""

SAMPLE = SampleLab(
    "lab8",
    CLASS,
    {"vanilla": vanilla.PLAIN, "cwgan": cwgan.PLAIN},
    essay_file="reflection.md",
    hidden={"memorised": ("typical", memorised)},
)
