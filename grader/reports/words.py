"""Statuses in words, each with an icon and a tone, for the student and for the instructor."""

from dataclasses import dataclass

from grader.models import CriterionResult, Lateness, Status

_ROUNDING = 0.005
"""Points below which a loss does not show on the page."""


@dataclass(frozen=True)
class Word:
    """How a status is shown: never by colour alone."""

    text: str
    icon: str
    """name of an icon in the templates"""
    tone: str
    """name of a colour in the style sheet"""
    meaning: str = ""


_STATUS = {
    Status.GRADED: Word("Graded", "check", "good"),
    Status.FAILED: Word(
        "Did not work",
        "cross",
        "bad",
        "Something in your hand-in did not work, and the points that depend on it are 0. Below: what happened, and what to do.",
    ),
    Status.UNGRADED: Word(
        "Not graded yet; this is not your fault",
        "again",
        "wait",
        "The grader could not finish. It tries again by itself; there is nothing that you need to do.",
    ),
    Status.PENDING: Word("Waits for your instructor", "clock", "wait", "A person still has to grade a part of this."),
    Status.HELD: Word(
        "Waiting for a person to look at it",
        "pause",
        "hold",
        "Your automatic score counts once a person has looked at it.",
    ),
}

_ROW = {
    Status.FAILED: Word("did not work", "cross", "bad"),
    Status.UNGRADED: Word("not graded yet", "again", "wait"),
    Status.PENDING: Word("waits for your instructor", "clock", "wait"),
    Status.HELD: Word("waiting for a person", "pause", "hold"),
}


def status(value: Status) -> Word:
    """A submission's or task's status in words for its student."""
    return _STATUS[value]


def row(criterion: CriterionResult) -> Word:
    """What became of one row of the rubric, in words for the student."""
    if criterion.status is not Status.GRADED:
        return _ROW[criterion.status]
    if criterion.score is None:
        return Word("no points recorded", "clock", "wait")
    if not lost(criterion):
        return Word("all points", "check", "good")
    return Word("part of the points", "half", "part") if criterion.score > 0 else Word("no points", "cross", "bad")


def lost(criterion: CriterionResult) -> bool:
    """Whether the row lost points that can be seen on the page."""
    return criterion.score is not None and below(criterion.score, criterion.points)


def below(score: float, points: float) -> bool:
    """Whether a score is less than `points` by an amount that can be seen on the page."""
    return points - score > _ROUNDING


def late(lateness: Lateness) -> str:
    """When a late hand-in came, when it was due, and what is taken off, in words for its student."""
    days = f"{lateness.days} day{'s' * (lateness.days != 1)} late"
    came = f"Handed in {lateness.submitted:%Y-%m-%d %H:%M}, due {lateness.due:%Y-%m-%d %H:%M}: {days}"
    free = f", {lateness.late_days} of them free" if lateness.late_days else ""
    cost = f"{100 * lateness.fraction:.3g} % of the score is taken off" if lateness.fraction else "Nothing is taken off"
    return f"{came}{free}. {cost}."


def staff(value: Status) -> Word:
    """A status in the terms that instructors use."""
    word = _STATUS[value]
    return Word(value.value, word.icon, word.tone)
