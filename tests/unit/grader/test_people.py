from pathlib import Path

import pytest

from grader.errors import CourseError
from grader.exports import Person
from grader.people import People, Student, load_people


def course(root: Path, roster: str | None = None, groups: str | None = None) -> People:
    for name, text in (("roster.csv", roster), ("groups.csv", groups)):
        if text is not None:
            (root / name).write_bytes(text.encode("utf-8-sig"))
    return load_people(root)


ROSTER = """ID,Name,Email,SID
ada,Ada Lovelace,ada@uni.example,00123
"b ob",Bob de Vries,bob@uni.example,124
eve,Eve Stone,,
eve2,Eve Stone,,
"""


def test_without_files_nobody_is_known(tmp_path: Path) -> None:
    assert course(tmp_path) == People()


def test_the_roster_and_the_groups_are_read_with_columns_in_any_order(tmp_path: Path) -> None:
    people = course(tmp_path, ROSTER, "student, group , remark\n\n ada,Team A,x\r\nb ob, Team A\neve2,solo\n")
    assert people.roster[:2] == (
        Student("ada", "Ada Lovelace", "ada@uni.example", "00123"),
        Student("b_ob", "Bob de Vries", "bob@uni.example", "124"),
    )
    assert people.groups == {"Team_A": ("ada", "b_ob"), "solo": ("eve2",)}
    assert (people.group_of("b_ob"), people.group_of("eve")) == ("Team_A", None)


@pytest.mark.parametrize(
    ("person", "id"),
    [
        (Person(email="ADA@uni.example"), "ada"),
        (Person(sid="00123"), "ada"),
        (Person(sid="ada"), "ada"),
        (Person(email="ada@uni.example", sid="124", name="Eve Stone"), "ada"),
        (Person(name="ada  LOVELACE"), "ada"),
        (Person(name="lovelaceada"), "ada"),
        (Person(name="vriesbobde"), "b_ob"),
        (Person(name="devriesbob"), "b_ob"),
        (Person(name="Eve Stone"), None),
        (Person(name="Mallory"), None),
        (Person(), None),
    ],
)
def test_people_of_exports_are_found_by_address_number_or_a_name_that_is_theirs_alone(
    tmp_path: Path, person: Person, id: str | None
) -> None:
    assert course(tmp_path, ROSTER).find(person) == id


def test_a_team_of_an_export_is_found_by_its_name(tmp_path: Path) -> None:
    people = course(tmp_path, groups="group,student\nTeam A,ada\n")
    assert people.team(Person(name="Team A", key="Team A_77")) == "Team_A"
    assert people.team(Person(name="teama")) == "Team_A"
    assert people.team(Person(name="Team")) is None
    assert people.team(Person()) is None


@pytest.mark.parametrize(
    ("roster", "groups", "message"),
    [
        (None, "", r"groups\.csv, line 1: no column 'group' in an empty line; expected a header with group and student"),
        (None, "ada,x\n", r"groups\.csv, line 1: no column 'group' in ada, x"),
        (None, "group;student\nx;ada\n", r"no column 'group' in group;student"),
        (None, "group,student\nx,ada\n\ny,\n", r"groups\.csv, line 4: student is empty"),
        (None, "group,student\nx,ada\ny,ada\n", r"groups\.csv, line 3: 'ada' is in group 'x' already"),
        (ROSTER, "group,student\nx,adda\n", r"groups\.csv, line 2: 'adda' is not in roster\.csv"),
        (None, "group,student\nada,bob\nx,ada\n", r"groups\.csv: 'ada' is the name of a group and of a student"),
        (ROSTER, "group,student\nada,eve\n", r"groups\.csv: 'ada' is the name of a group and of a student"),
        ("name\nada\n", None, r"roster\.csv, line 1: no column 'student' in name"),
        ("student\nada\nada\n", None, r"roster\.csv, line 3: 'ada' stands there twice"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, roster: str | None, groups: str | None, message: str) -> None:
    with pytest.raises(CourseError, match=message):
        course(tmp_path, roster, groups)


@pytest.mark.parametrize("data", [b"group,student\nx,\xff\n", b"group,student\n" + b"x" * 200_000 + b",ada\n"])
def test_files_that_are_no_csv_are_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "groups.csv").write_bytes(data)
    with pytest.raises(CourseError, match=r"groups\.csv"):
        load_people(tmp_path)
