"""The sample class of lab 9: honest, unlucky and dishonest ways to draw photographs by class, in both tasks."""

import io
from collections.abc import Mapping

import torch

from evaluator.pack import public_pack
from students import photographs
from students.work import SampleLab, Student, Work

REPORT = """# Report

The conditional DCGAN got better with spectral normalisation; the residual network with projection was slower a step and better after
the same number of them. Ships and planes came first, since the background alone says much; cats stayed blobs.
"""


def stored_photographs(state: Mapping[str, torch.Tensor]) -> bytes:
    """A checkpoint with real photographs in it, twelve of each class, beside a generator's weights."""
    pictures = torch.from_numpy(public_pack("cifar10").samples.copy()).view(10, 12, 3, 32, 32)
    buffer = io.BytesIO()
    torch.save({**state, "pictures": pictures.float() / 255}, buffer)
    return buffer.getvalue()


def _generate(cdcgan: str, sngan: str) -> dict[str, Work]:
    return {"cdcgan": Work(bodies={"generate": cdcgan}), "sngan": Work(bodies={"generate": sngan})}


CLASS: tuple[Student, ...] = (
    Student("01-reference", {"cdcgan": Work(solution=True), "sngan": Work(solution=True)}, essay=REPORT),
    Student("02-typical", essay=REPORT),
    Student("03-label-blind-and-shifted", _generate(photographs.LABEL_BLIND, photographs.NEXT_CLASS)),
    Student("04-one-image-a-class", _generate(photographs.ONE_A_CLASS, photographs.ONE_A_CLASS)),
    Student(
        "05-stored-photographs",
        {
            "cdcgan": Work("stored", bodies={"generator_layers": photographs.STORED_LAYERS, "generate": photographs.STORED}),
            "sngan": Work(checkpoint=None),
        },
    ),
    Student("06-crash-and-shape", _generate(photographs.CRASH, photographs.CHANNELS_LAST)),
    Student("07-slips", {"cdcgan": Work(bodies=photographs.SLIPS_OF_CDCGAN), "sngan": Work(bodies=photographs.SLIPS_OF_SNGAN)}),
    Student("08-untouched", {task: Work(checkpoint=None, untouched=True) for task in ("cdcgan", "sngan")}),
)
"""By number, with what is special about both tasks in the name."""

SAMPLE = SampleLab(
    "lab9",
    CLASS,
    {"cdcgan": photographs.CDCGAN, "sngan": photographs.SNGAN},
    essay_file="report.md",
    hidden={"stored": ("typical", stored_photographs)},
)
