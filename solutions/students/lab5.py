"""The sample class of lab 5: the ways to answer a prompt, honestly and not, in both tasks."""

import io
from collections.abc import Mapping

import torch

from datasets import iclevr
from students import scenes
from students.work import SampleLab, Student, Work

REPORT = """# Report

The conditional DCGAN has a projection discriminator with spectral normalisation; the AC-GAN has a head for the labels. Real
images with wrong labels as fakes were worth most. Both draw colours long before they draw shapes.
"""

SCENES = 300
"""Scenes that the student with stored pictures keeps: three pictures each."""


def stored_renders(state: Mapping[str, torch.Tensor]) -> bytes:
    """A checkpoint with the first scenes of the training set in it, beside a generator's weights."""
    found = iclevr.rendered(SCENES)
    pictures = torch.from_numpy(found.images).permute(0, 3, 1, 2).contiguous()
    buffer = io.BytesIO()
    torch.save({**state, "scenes": pictures, "shown": torch.from_numpy(found.labels).float()}, buffer)
    return buffer.getvalue()


def _both(work: Work) -> dict[str, Work]:
    return {"cdcgan": work, "acgan": work}


CLASS: tuple[Student, ...] = (
    Student("01-reference", _both(Work(solution=True)), essay=REPORT),
    Student("02-mid-training", _both(Work("mid")), essay=REPORT),
    Student("03-early", _both(Work("early"))),
    Student("04-label-blind", _both(Work("mid", bodies={"generate": scenes.LABEL_BLIND}))),
    Student("05-shapes-wrong", _both(Work("mid", bodies={"generate": scenes.SHAPES_WRONG}))),
    Student("06-one-image-a-prompt", _both(Work("mid", bodies={"generate": scenes.ONE_A_PROMPT}))),
    Student(
        "07-stored-renders",
        {
            "cdcgan": Work("stored", bodies={"generator_layers": scenes.STORED_LAYERS, "generate": scenes.STORED}),
            "acgan": Work(checkpoint=None),
        },
    ),
    Student(
        "08-crash-and-shape",
        {"cdcgan": Work("mid", bodies={"generate": scenes.CRASH}), "acgan": Work("mid", bodies={"generate": scenes.WRONG_SHAPE})},
    ),
    Student("09-untouched", _both(Work(checkpoint=None, untouched=True))),
)
"""By number, with what is special about both tasks in the name."""

SAMPLE = SampleLab(
    "lab5",
    CLASS,
    {"cdcgan": scenes.CDCGAN, "acgan": scenes.ACGAN},
    essay_file="report.md",
    hidden={"stored": ("mid", stored_renders)},
)
