"""Who takes part in a course: roster.csv and groups.csv in the course folder; both are optional."""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grader.errors import CourseError
from grader.exports import Person
from grader.intake import student_id

ROSTER, GROUPS = "roster.csv", "groups.csv"


@dataclass(frozen=True)
class Student:
    """A line of the roster. id: fit as a folder's name."""

    id: str
    name: str = ""
    email: str = ""
    sid: str = ""


@dataclass(frozen=True)
class People:
    """The students of a course and its groups. groups: id of the group -> ids of its members."""

    roster: tuple[Student, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def group_of(self, student: str) -> str | None:
        """The group that a student is in."""
        return next((group for group, members in self.groups.items() if student in members), None)

    def find(self, person: Person) -> str | None:
        """The id of whom an export names: by address, else by number, else by name where only one student has it."""
        for mine, theirs in (("email", person.email), ("sid", person.sid), ("id", person.sid)):
            found = [s.id for s in self.roster if theirs and getattr(s, mine).casefold() == theirs.casefold()]
            if len(found) == 1:
                return found[0]
        named = [s.id for s in self.roster if person.name and _squeezed(person.name) in _spellings(s.name)]
        return named[0] if len(named) == 1 else None

    def team(self, person: Person) -> str | None:
        """The group that an export names in place of a person."""
        names = {_squeezed(person.name), _squeezed(person.key)} - {""}
        return next((group for group in self.groups if _squeezed(group) in names), None)


def load_people(course: Path) -> People:
    """Read roster.csv and groups.csv of a course folder.

    Raises:
        CourseError: a file is wrong; names the line.
    """
    roster = _roster(course / ROSTER) if (course / ROSTER).exists() else ()
    groups = _groups(course / GROUPS, {student.id for student in roster}) if (course / GROUPS).exists() else {}
    return People(roster, groups)


def _roster(path: Path) -> tuple[Student, ...]:
    students: dict[str, Student] = {}
    for line, row in _rows(path, ("student",)):
        student = Student(student_id(row["student"]), row.get("name", ""), row.get("email", ""), row.get("sid", ""))
        if student.id in students:
            raise CourseError(f"{path}, line {line}: {row['student']!r} stands there twice; keep one line a student")
        students[student.id] = student
    return tuple(students.values())


def _groups(path: Path, known: set[str]) -> dict[str, tuple[str, ...]]:
    groups: dict[str, tuple[str, ...]] = {}
    group_of: dict[str, str] = {}
    for line, row in _rows(path, ("group", "student")):
        group, student = student_id(row["group"]), student_id(row["student"])
        if student in group_of:
            raise CourseError(
                f"{path}, line {line}: {row['student']!r} is in group {group_of[student]!r} already; keep one of them"
            )
        if known and student not in known:
            raise CourseError(
                f"{path}, line {line}: {row['student']!r} is not in {ROSTER}; correct the name here or add it there"
            )
        group_of[student] = group
        groups[group] = (*groups.get(group, ()), student)
    if clash := sorted(set(groups) & (set(group_of) | known)):
        raise CourseError(f"{path}: {clash[0]!r} is the name of a group and of a student; rename the group")
    return groups


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, column -> text) of every line but empty ones; columns in any order, in upper or lower case."""
    try:
        reader = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig")), skipinitialspace=True)
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CourseError(f"{path} cannot be read ({error}); expected comma-separated text in UTF-8") from error
    header = [_column(name) for name in lines[0][1]] if lines else []
    if missing := [name for name in needed if name not in header]:
        raise CourseError(
            f"{path}, line 1: no column {missing[0]!r} in {', '.join(header) or 'an empty line'}; expected a header with "
            f"{' and '.join(needed)}"
        )
    for number, cells in lines[1:]:
        row = dict(zip(header, cells, strict=False))
        if empty := [name for name in needed if any(cells) and not row.get(name)]:
            raise CourseError(f"{path}, line {number}: {empty[0]} is empty; expected {', '.join(header)}")
        if any(cells):
            yield number, row


def _column(name: str) -> str:
    return "student" if name.casefold() == "id" else name.casefold()


def _squeezed(name: str) -> str:
    """The name as Canvas writes it: lower case, word characters only; underscores and blanks count as nothing."""
    return re.sub(r"[\W_]", "", name.casefold())


def _spellings(name: str) -> set[str]:
    """The name, and with each of its parts as the last name put first."""
    words = name.replace(",", " ").split()
    cuts = range(len(words))
    return {_squeezed("".join(words[cut:] + words[:cut])) for cut in cuts}
