"""Fixtures on top of the hand-built results."""

import pytest

from grader.models import Artifact, SubmissionResult

from .examples import EVERY_KIND, noise


@pytest.fixture(params=EVERY_KIND, ids=lambda build: build.__name__)
def any_result(request: pytest.FixtureRequest) -> SubmissionResult:
    """A result of each kind in turn."""
    return request.param()


@pytest.fixture
def pictures() -> dict[str, list[Artifact]]:
    """Every kind of artifact of the vanilla task."""
    names = ("samples.png", "reference.png", "real.png", "neighbours.png", "curves-1.png")
    return {"vanilla": [Artifact(name=name, data=noise()) for name in names]}
