"""A group is graded once, and each of its members gets the result."""

from collections.abc import Iterable

from grader.models import SubmissionResult


def owner(result: SubmissionResult) -> str:
    """The id that a result is stored under: the group's, else the student's."""
    return result.group_name or result.student


def for_members(result: SubmissionResult) -> list[SubmissionResult]:
    """The result as that of each member of a group; of a student alone, the result itself."""
    if not result.group_name:
        return [result]
    return [result.model_copy(update={"student": member}) for member in result.group]


def by_person(results: Iterable[SubmissionResult]) -> list[SubmissionResult]:
    """The result of each person, by id; of somebody who has one alone and one in a group, that graded last."""
    newest = {one.student: one for result in sorted(results, key=lambda r: r.graded_at) for one in for_members(result)}
    return [newest[student] for student in sorted(newest)]
