"""The real lab8, its public pack, and two sets of 2,000 images measured once for all tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from grader.spec import LabSpec, Task, load_spec

if TYPE_CHECKING:
    from evaluator.pack import Pack
    from grader.measure import Scorer

settings.register_profile("no deadline", deadline=None)  # a busy machine is slow, not wrong
settings.load_profile("no deadline")

LAB8 = Path(__file__).parents[3] / "labs" / "lab8"


@pytest.fixture(scope="session")
def lab8() -> LabSpec:
    return load_spec(LAB8 / "lab.toml")


@pytest.fixture(scope="session")
def vanilla(lab8: LabSpec) -> Task:
    return next(task for task in lab8.task if task.id == "vanilla")


@pytest.fixture(scope="session")
def pack() -> Pack:
    from evaluator.pack import public_pack  # scipy takes a second to import, and most tests need none

    return public_pack("mnist")


@pytest.fixture(scope="session")
def scorer(vanilla: Task, pack: Pack) -> Scorer:
    """Remembers the features of the images below, so that each set is extracted once a session."""
    from grader.measure import Scorer

    return Scorer(vanilla, pack)


@pytest.fixture(scope="session")
def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (2000, 28, 28), dtype=np.uint8)


@pytest.fixture(scope="session")
def copies(pack: Pack) -> NDArray[np.uint8]:
    """Real test digits, each several times."""
    return pack.samples[np.random.default_rng(1).integers(0, len(pack.samples), 2000)]


@pytest.fixture
def init_vanilla() -> Callable[[Path], None]:
    """Makes a lab folder as `grader init` does, and leaves the one task in lab.toml that most tests are content with."""
    from grader.course import init

    def make(folder: Path) -> None:
        init(folder)
        text = (folder / "lab.toml").read_text()
        head, *tasks = re.split(r"^\[\[task\]\]\n", text, flags=re.MULTILINE)
        kept = next(task for task in tasks if task.startswith('id = "vanilla"'))
        (folder / "lab.toml").write_text(head.partition("[[manual]]")[0] + "[[task]]\n" + kept)

    return make
