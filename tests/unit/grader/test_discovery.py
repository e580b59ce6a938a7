"""Which hand-in counts for whom: places, exports, attempts, groups, times. Plain folders and archives: test_intake.py."""

import os
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from grader.course import init, open_lab
from grader.discovery import Rules, discover, rules_of
from grader.errors import UsageError
from grader.intake import Handin
from grader.lateness import Deadline
from grader.people import People, Student

KOLKATA = ZoneInfo("Asia/Kolkata")
DUE = datetime(2026, 11, 30, 23, 59, tzinfo=KOLKATA)
DEADLINE = Deadline(due=DUE.replace(tzinfo=None))
ROSTER = (
    Student("ada", "Ada Lovelace", "ada@uni.example", "1"),
    Student("bob", "Bob de Vries", "bob@uni.example", "2"),
    Student("eve", "Eve Stone", "eve@uni.example", "3"),
)
KNOWN = Rules(People(ROSTER), DEADLINE, zone=KOLKATA)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "submissions").mkdir()
    return tmp_path


def write(root: Path, *names: str, text: str = "{}", time: datetime | None = None) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        if time:
            os.utime(path, (time.timestamp(), time.timestamp()))


def pack(path: Path, files: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name, text in files.items():
            file.writestr(name, text)


def gradescope(*entries: tuple[str, datetime, tuple[str, ...]], earlier: datetime | None = None) -> dict[str, str]:
    """The files of an export: (number, time, people) of each submission; people are called as in the roster."""
    lines: list[str] = []
    files: dict[str, str] = {}
    for number, time, people in entries:
        lines += [f"submission_{number}:", "  :submitters:"]
        for name in people:
            lines += [f"  - :name: {name} X", f"    :sid: '{name}-sid'", f"    :email: {name}@uni.example"]
        lines += [f"  :created_at: {time:%Y-%m-%d %H:%M:%S %z}", "  :history:" if earlier else "  :history: []"]
        lines += [f"  - :id: 1\n    :created_at: {earlier:%Y-%m-%d %H:%M:%S %z}"] if earlier else []
        files[f"assignment_9_export/submission_{number}/lab8_vanilla.ipynb"] = f"{number}"
    return {"assignment_9_export/submission_metadata.yml": "\n".join(lines), **files}


def contents(handin: Handin) -> str:
    with handin.open() as files:
        return b"".join(files.chunks("lab8_vanilla.ipynb", 100)).decode()


def ids(folder: Path, rules: Rules | None = None) -> list[str]:
    return [handin.student for handin in discover(folder, rules)]


MOODLE = {
    f"{name}_assignsubmission_file_/lab8_vanilla.ipynb": name for name in ("Ada Lovelace_77", "Bob de Vries_78", "Mallory_79")
}


@pytest.mark.parametrize("form", ["zip", "folder", "in place", "handed over", "in exports/"])
def test_an_export_is_recognised_wherever_it_lies(lab: Path, form: str) -> None:
    place = {"in exports/": lab / "exports" / "x"}.get(form, lab / "submissions" / "x")
    if form in ("zip", "handed over", "in exports/"):
        pack(place.with_suffix(".zip"), MOODLE)
    for name, text in MOODLE.items() if form in ("folder", "in place") else ():
        write(place if form == "folder" else place.parent, name, text=text)
    handins = discover(place.with_suffix(".zip") if form == "handed over" else lab, KNOWN)
    assert [(h.student, contents(h)) for h in handins] == [
        ("ada", "Ada Lovelace_77"),
        ("bob", "Bob de Vries_78"),
        ("Mallory_79", "Mallory_79"),
    ]
    assert handins[0].remarks == ()
    assert handins[2].remarks == ("Mallory_79 is not on the course's roster",)
    assert len({h.sha256() for h in handins}) == 3


def test_without_a_roster_ids_come_from_the_export(lab: Path) -> None:
    pack(lab / "submissions" / "m.zip", MOODLE)
    assert ids(lab) == ["Ada_Lovelace_77", "Bob_de_Vries_78", "Mallory_79"]
    pack(lab / "submissions" / "m.zip", gradescope(("1", DUE, ("ada",)), ("2", DUE, ("../../etc",))))
    assert ids(lab) == ["ada-sid", "etc-sid"]


def test_a_number_that_two_people_typed_in_is_nobodys(lab: Path) -> None:
    files = gradescope(("1", DUE, ("ada",)), ("2", DUE, ("mallory",)))
    metadata = "assignment_9_export/submission_metadata.yml"
    pack(lab / "submissions" / "x.zip", {**files, metadata: files[metadata].replace("mallory-sid", "ada-sid")})
    assert ids(lab) == ["ada@uni.example", "mallory@uni.example"]


def test_among_students_hand_ins_nothing_passes_for_an_export(lab: Path) -> None:
    write(lab / "submissions", "ada/lab8_vanilla.ipynb", text="ada's own")
    pack(lab / "submissions" / "bob.zip", gradescope(("1", DUE, ("ada",))))
    write(lab / "submissions", "eve/x/submission_metadata.yml", "eve/x/submission_1/lab8_vanilla.ipynb")
    ada, bob, eve = discover(lab, KNOWN)
    assert (ada.student, bob.student, eve.student) == ("ada", "bob", "eve")
    assert contents(ada) == "ada's own"
    assert "bob.zip looks like an export of Gradescope" in bob.remarks[0]
    assert f"belongs into {lab / 'exports'}/" in bob.remarks[0]


def test_in_the_folder_for_exports_nothing_else_may_lie(lab: Path) -> None:
    pack(lab / "exports" / "x.zip", {"lab8_vanilla.ipynb": ""})
    with pytest.raises(UsageError, match=r"x\.zip is no export of Gradescope, Moodle or Canvas"):
        discover(lab)
    (lab / "exports" / "x.zip").write_text("junk")
    with pytest.raises(UsageError, match=r"x\.zip cannot be read as an export"):
        discover(lab)


def test_several_exports_and_folders_are_attempts_of_which_the_last_counts(lab: Path) -> None:
    hour = timedelta(hours=1)
    pack(lab / "exports" / "b.zip", gradescope(("1", DUE, ("ada",)), ("2", DUE, ("bob",))))
    pack(lab / "exports" / "a.zip", gradescope(("5", DUE + hour, ("ada",))))
    write(lab / "submissions", "bob/lab8_vanilla.ipynb", text="emailed", time=DUE + 2 * hour)
    ada, bob = discover(lab, KNOWN)
    assert (ada.attempt, ada.attempts, contents(ada)) == ("submission_5", ("submission_1", "submission_5"), "5")
    assert contents(bob) == "emailed"


TIMES = [DUE - timedelta(hours=2), DUE - timedelta(hours=1), DUE + timedelta(hours=1)]


@pytest.mark.parametrize(("policy", "attempt", "days"), [("last", "3", 1), ("last_on_time", "2", 0)])
def test_which_attempt_counts(lab: Path, policy: str, attempt: str, days: int) -> None:
    for number, time in enumerate(TIMES, 1):
        write(lab / "submissions", f"ada/{number}/lab8_vanilla.ipynb")
        write(lab / "submissions", f"ada/{number}.submitted_at", text=time.isoformat() + "\n")
        write(lab / "submissions", f"bob/{number}.zip.d/lab8_vanilla.ipynb", time=DUE + timedelta(days=number))
    ada, bob = discover(lab, Rules(deadline=DEADLINE, zone=KOLKATA, attempts=policy))  # type: ignore[arg-type]
    assert ada.lateness is not None
    assert (ada.attempt, ada.attempts, ada.lateness.days) == (attempt, ("1", "2", "3"), days)
    assert ada.lateness.submitted == TIMES[int(attempt) - 1]
    assert bob.attempt == "3.zip.d"  # none is on time: the last


def test_an_attempt_on_time_that_gradescope_does_not_export_is_told_of(lab: Path) -> None:
    pack(lab / "submissions" / "x.zip", gradescope(("7", TIMES[2], ("ada",)), earlier=TIMES[1]))
    (ada,) = discover(lab, Rules(deadline=DEADLINE, zone=KOLKATA, attempts="last_on_time"))
    assert "earlier attempt that was on time (2026-11-30 22:59)" in ada.remarks[0]
    (ada,) = discover(lab, Rules(deadline=DEADLINE, zone=KOLKATA))
    assert ada.remarks == ()


@pytest.mark.parametrize(
    ("names", "source", "submitted"),
    [
        (("ada/1/lab8_vanilla.ipynb", "ada/1.submitted_at"), "submitted_at", datetime(2026, 11, 30, 23, tzinfo=KOLKATA)),
        (("ada/lab8_vanilla.ipynb", "ada.submitted_at"), "submitted_at", datetime(2026, 11, 30, 23, tzinfo=KOLKATA)),
        (("ada/2026-12-01T00-10-00/lab8_vanilla.ipynb",), "folder", datetime(2026, 12, 1, 0, 10, tzinfo=KOLKATA)),
        (("ada/2026-12-01T00:10Z/lab8_vanilla.ipynb",), "folder", datetime(2026, 12, 1, 0, 10, tzinfo=UTC)),
        (("ada/20261201T001000+0100/lab8_vanilla.ipynb",), "folder", datetime(2026, 11, 30, 23, 10, tzinfo=UTC)),
        (("ada/2026-13-01T00-10/lab8_vanilla.ipynb",), "file", datetime(2026, 11, 1, tzinfo=UTC)),
        (("ada/2026-12-01/lab8_vanilla.ipynb",), "file", datetime(2026, 11, 1, tzinfo=UTC)),
        (("ada/lab8_vanilla.ipynb", "ada/submitted_at", "ada/1.submitted_at"), "file", datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_where_the_time_comes_from(lab: Path, names: tuple[str, ...], source: str, submitted: datetime) -> None:
    write(lab / "submissions", *names, text="2026-11-30T23:00:00", time=datetime(2026, 11, 1, tzinfo=UTC))
    (ada,) = discover(lab, Rules(deadline=DEADLINE, zone=KOLKATA))
    assert ada.lateness is not None
    assert (ada.lateness.source, ada.lateness.submitted) == (source, submitted)


def test_an_archive_came_when_it_came_whatever_the_clock_of_its_maker_said(lab: Path) -> None:
    entry = zipfile.ZipInfo("lab8_vanilla.ipynb", date_time=(1999, 1, 1, 0, 0, 0))
    with zipfile.ZipFile(lab / "submissions" / "ada.zip", "w") as file:
        file.writestr(entry, "{}")
    os.utime(lab / "submissions" / "ada.zip", (DUE.timestamp() + 60, DUE.timestamp() + 60))
    (ada,) = discover(lab, Rules(deadline=DEADLINE, zone=KOLKATA))
    assert ada.lateness is not None
    assert ada.lateness.days == 1


def test_an_instructors_time_that_is_none_is_an_error(lab: Path) -> None:
    write(lab / "submissions", "ada/1/lab8_vanilla.ipynb")
    write(lab / "submissions", "ada/1.submitted_at", text="last Monday")
    with pytest.raises(UsageError, match=r"1\.submitted_at: .*expected one line such as 2026-11-30T23:59:00"):
        discover(lab)


def test_exports_without_times_leave_lateness_open_unless_told(lab: Path) -> None:
    pack(lab / "submissions" / "x.zip", MOODLE)
    write(lab / "submissions", "bob.submitted_at", text="2026-12-02T00:00:00")
    ada, bob, _ = discover(lab, KNOWN)
    assert ada.lateness is None
    assert bob.lateness is not None
    assert (bob.lateness.source, bob.lateness.days) == ("submitted_at", 2)


GROUPS = {"red": ("ada", "bob"), "blue": ("eve",)}


def test_a_group_hands_in_once_and_the_latest_of_its_members_counts(lab: Path) -> None:
    write(lab / "submissions", "ada/1/lab8_vanilla.ipynb", text="ada", time=DUE)
    write(lab / "submissions", "bob/lab8_vanilla.ipynb", text="bob", time=DUE - timedelta(hours=1))
    write(lab / "submissions", "blue/lab8_vanilla.ipynb", "zoe/lab8_vanilla.ipynb")
    blue, red, zoe = discover(lab, Rules(People(groups=GROUPS)))
    assert (red.student, red.members, contents(red), red.attempts) == ("red", ("ada", "bob"), "ada", ("bob-1", "ada-1"))
    assert red.remarks == ("the group handed in more than once (bob, ada); that of ada counts, the latest",)
    assert (blue.student, blue.members, blue.remarks) == ("blue", ("eve",), ())
    assert (zoe.student, zoe.members) == ("zoe", ())


def test_gradescopes_groups_are_groups(lab: Path) -> None:
    pack(lab / "submissions" / "x.zip", gradescope(("1", DUE, ("bob", "ada")), ("2", DUE, ("eve",))))
    joint, eve = discover(lab, KNOWN)
    assert (joint.student, joint.members, eve.student, eve.members) == ("ada+bob", ("ada", "bob"), "eve", ())


def test_the_courses_groups_come_before_those_of_an_export(lab: Path) -> None:
    pack(lab / "submissions" / "x.zip", gradescope(("1", DUE, ("bob", "eve"))))
    blue, red = discover(lab, Rules(People(ROSTER, GROUPS)))
    assert (blue.student, red.student, contents(blue), contents(red)) == ("blue", "red", "1", "1")
    assert "is in several groups (red, blue)" in red.remarks[0]


def test_who_changed_groups_is_in_the_last_one(lab: Path) -> None:
    pack(lab / "exports" / "1.zip", gradescope(("1", DUE, ("ada", "bob"))))
    pack(lab / "exports" / "2.zip", gradescope(("2", DUE + timedelta(hours=1), ("ada", "eve"))))
    joint, bob = discover(lab, KNOWN)
    assert (joint.student, contents(joint), joint.members) == ("ada+eve", "2", ("ada", "eve"))
    assert (bob.student, contents(bob), bob.members) == ("bob", "1", ())


def test_a_team_of_moodle_is_the_courses_group_of_that_name(lab: Path) -> None:
    pack(lab / "submissions" / "x.zip", {"Red_12_assignsubmission_file_/lab8_vanilla.ipynb": "r"})
    (red,) = discover(lab, Rules(People(groups=GROUPS)))
    assert (red.student, red.members) == ("red", ("ada", "bob"))


def test_many_members_without_a_name_get_a_short_one(lab: Path) -> None:
    people = tuple(f"student-with-a-long-name-{n}" for n in range(6))
    pack(lab / "submissions" / "x.zip", gradescope(("1", DUE, people)))
    (group,) = discover(lab)
    assert group.student.startswith("group-")
    assert len(group.members) == 6


def test_the_rules_come_from_the_course_folder(tmp_path: Path) -> None:
    root = init(tmp_path / "cs763")
    init(root / "lab8")
    text = (root / "course.toml").read_text().replace('"UTC"', '"Asia/Kolkata"\nattempts = "last_on_time"')
    (root / "course.toml").write_text(text + "\n[lab.lab8]\ndue = 2026-11-30T23:59:00\nlate_days = 2\n")
    (root / "groups.csv").write_text("group,student\nred,ada\nred,bob\n")
    rules = rules_of(open_lab(root / "lab8"))
    assert (rules.zone, rules.attempts, rules.deadline.late_days) == (KOLKATA, "last_on_time", 2)
    assert rules.people.groups == {"red": ("ada", "bob")}
    assert rules_of(open_lab(root / "lab8")).deadline.due == datetime(2026, 11, 30, 23, 59)
