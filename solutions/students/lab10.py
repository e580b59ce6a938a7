"""The sample class of lab 10: honest, unlucky and dishonest ways to paint photographs, in all three tasks."""

import io
from collections.abc import Mapping

import torch

from evaluator.pack import public_pack
from students import attention, photographs
from students.work import SampleLab, Student, Work

REPORT = """# Report

My attention layer changed little in three epochs: its gamma was still near 0. The conditional network learned the colours of the classes
first. I compared clipping with the penalty for one epoch each; the penalty took twice as long.
"""


def stored_photographs(state: Mapping[str, torch.Tensor]) -> bytes:
    """A checkpoint with 120 real photographs in it beside a generator's weights."""
    pictures = torch.from_numpy(public_pack("cifar10").samples.copy())
    buffer = io.BytesIO()
    torch.save({**state, "pictures": pictures.float() / 255}, buffer)
    return buffer.getvalue()


CLASS: tuple[Student, ...] = (
    Student("01-reference", {task: Work(solution=True) for task in ("dcgan", "sagan", "csagan")}, essay=REPORT),
    Student("02-typical", essay=REPORT),
    Student(
        "03-one-few-and-blind",
        {
            "dcgan": Work(bodies={"generate": attention.ONE_IMAGE}),
            "sagan": Work(bodies={"generate": attention.FEW_IMAGES}),
            "csagan": Work(bodies={"generate": photographs.LABEL_BLIND}),
        },
    ),
    Student(
        "04-stored-photographs",
        {
            "dcgan": Work("stored", bodies={"generator_layers": attention.STORED_LAYERS, "generate": attention.STORED}),
            "sagan": Work(checkpoint=None),
            "csagan": Work(bodies={"generate": photographs.NEXT_CLASS}),
        },
    ),
    Student(
        "05-range-and-crash",
        {
            "dcgan": Work(bodies={"generate": attention.TANH_OUTPUT}),
            "csagan": Work(bodies={"generate": photographs.CRASH}),
        },
    ),
    Student(
        "06-slips",
        {
            "dcgan": Work(bodies=attention.SLIPS_OF_DCGAN),
            "sagan": Work(bodies=attention.SLIPS_OF_SAGAN),
            "csagan": Work(bodies=attention.SLIPS_OF_CSAGAN),
        },
    ),
    Student("07-untouched", {task: Work(checkpoint=None, untouched=True) for task in ("dcgan", "sagan", "csagan")}),
)
"""By number, with what is special about the tasks in the name."""

SAMPLE = SampleLab(
    "lab10",
    CLASS,
    {"dcgan": attention.DCGAN, "sagan": attention.SAGAN, "csagan": attention.CSAGAN},
    essay_file="report.md",
    hidden={"stored": ("typical", stored_photographs)},
)
