import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from grader.models import Artifact, CellOutput, Level, Metric, Problem, Provenance, Status, SubmissionResult, TaskResult

WHEN = datetime(2026, 3, 5, 14, 7, tzinfo=UTC)
text = st.text(st.characters(exclude_categories=("Cs",)))


def test_records_do_not_change() -> None:
    with pytest.raises(ValidationError):
        Problem(code="x", message="m").message = "other"  # type: ignore[misc]


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError):
        Problem.model_validate({"code": "x", "message": "m", "colour": "red"})
    with pytest.raises(ValidationError):
        Artifact.model_validate({"name": "x", "data": b"", "path": "/"})


def test_statuses_read_as_the_words_of_the_reports() -> None:
    assert [str(status) for status in Status] == ["graded", "failed", "ungraded", "pending", "held"]
    assert [str(level) for level in Level] == ["strong", "good", "reduced", "none"]


@given(st.floats(), st.floats(), text)
def test_results_survive_json(value: float, high: float, words: str) -> None:
    """NaN and infinity too, or one odd metric would make the whole store unreadable."""
    result = SubmissionResult(
        lab="lab8",
        lab_title=words,
        student="ada",
        attempt="1",
        status=Status.GRADED,
        score=1,
        max_score=2,
        tasks=(
            TaskResult(
                task="vanilla",
                title="t",
                status=Status.GRADED,
                score=1,
                max_score=2,
                outputs=(CellOutput(cell=1, text=words),),
                provenance=Provenance(
                    grader_version="1",
                    spec_sha256="0",
                    template_sha256="0",
                    sandbox_level=Level.STRONG,
                    device="cpu",
                    started=WHEN,
                    finished=WHEN,
                ),
            ),
        ),
        graded_at=WHEN,
    )
    assert SubmissionResult.model_validate_json(result.model_dump_json()) == result
    metric = Metric(name="m", value=value, low=-math.inf, high=high, n=1)
    back = Metric.model_validate_json(metric.model_dump_json())
    assert repr(back) == repr(metric)  # NaN is not equal to itself
