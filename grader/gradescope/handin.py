"""The hand-in that Gradescope gives, as an export of it would: the same ids, the same groups, the same due date."""

from dataclasses import replace
from pathlib import Path

from grader.autograder import CourseGradescope
from grader.course import LabFolder
from grader.discovery import Rules, handed_in, rules_of
from grader.exports import Entry, Person
from grader.gradescope.metadata import Metadata, User
from grader.intake import Handin
from grader.lateness import Deadline
from grader.untrusted import open_export


def handin_of(metadata: Metadata, folder: Path, lab: LabFolder, prefix: str = "") -> Handin:
    """The hand-in whose files lie in a folder or archive, below `prefix`.

    Raises:
        CourseError: roster.csv or groups.csv is wrong.
        IntakeError, UngradedError: the files cannot be opened.
    """
    with open_export(folder) as files:
        names = [name for name in files.names() if name.startswith(prefix)]
    entry = Entry(
        attempt=f"submission_{metadata.id}",
        people=tuple(_person(user) for user in metadata.users),
        files={name.removeprefix(prefix): name for name in names},
        submitted=metadata.created_at,
    )
    return handed_in(entry, folder, rules_for(lab, metadata))


def rules_for(lab: LabFolder, metadata: Metadata) -> Rules:
    """The course's rules; where course.toml names no due date, Gradescope's, and none where its own penalty is to count."""
    rules = replace(rules_of(lab), attempts="last")  # which submission is active is decided there
    settings: CourseGradescope = lab.course.file.gradescope
    if settings.late == "gradescope":
        return replace(rules, deadline=Deadline())
    if rules.deadline.due is None:
        return replace(rules, deadline=rules.deadline.model_copy(update={"due": metadata.assignment.due_date}))
    return rules


def _person(user: User) -> Person:
    return Person(name=user.name or "", email=user.email or "", key=f"{user.name or ''} {user.id}".strip())
