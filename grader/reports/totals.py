"""What counts of a result once being late has taken its part."""

from grader.models import SubmissionResult


def kept(result: SubmissionResult) -> float:
    """The share of every score that is left after being late, in [0, 1]."""
    return 1 - (result.lateness.fraction if result.lateness else 0)


def counted(result: SubmissionResult) -> float | None:
    """Automatic points after the penalty; None where there is no score yet."""
    return None if result.score is None else max(0.0, result.score - result.penalty)
