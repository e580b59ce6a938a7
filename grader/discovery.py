"""Find hand-ins in folders, archives and exports, and decide which of them counts for whom."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Literal

from grader.course import LabFolder
from grader.errors import GraderError, UsageError
from grader.exports import SUBMITTED_AT, Entry, Export, Person, Platform, platform, read_export
from grader.intake import CHECKPOINTS, LINKS_LIKE, Handin, student_id
from grader.lateness import Deadline, Source, lateness, local
from grader.models import Lateness
from grader.people import People, load_people
from grader.untrusted import is_clutter, open_export

EXPORTS = "exports"
"""Folder beside submissions/ for exports alone."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_ISO = re.compile(r"(\d{4}-?\d\d-?\d\d)T(\d\d)[-:_]?(\d\d)(?:[-:_]?(\d\d))?(Z|[+-]\d\d:?\d\d)?")


@dataclass(frozen=True)
class Rules:
    """What a course says of the hand-ins of a lab."""

    people: People = field(default_factory=People)
    deadline: Deadline = field(default_factory=Deadline)
    attempts: Literal["last", "last_on_time"] = "last"
    zone: tzinfo = UTC


@dataclass(frozen=True)
class _Found:
    """An attempt as it was found.

    place: the same for attempts that have an order of their own. beside: where an instructor may have written the times of an export.
    people: whom the export names. earlier: times of their attempts before.
    """

    handin: Handin
    place: str
    submitted: datetime | None
    source: Source
    beside: Path | None = None
    people: tuple[Person, ...] = ()
    earlier: tuple[datetime, ...] = ()


def rules_of(lab: LabFolder) -> Rules:
    """What the course folder says of the hand-ins of a lab.

    Raises:
        CourseError: roster.csv or groups.csv is wrong.
    """
    settings = lab.course.settings
    return Rules(load_people(lab.course.root), lab.course.deadline(lab.spec.lab.id), settings.attempts, settings.zone)


def discover(folder: Path, rules: Rules | None = None) -> tuple[Handin, ...]:
    """The hand-in that counts of each student or group, in natural order of their ids.

    Understood are a lab folder (`submissions/<student>/<attempt>/`), a folder of students, `<student>.zip`, attempts as
    archives, files without an attempt folder, the hand-in of a single student, and exports (see `exports`), unpacked or not. Exports
    may lie in `submissions/` where nothing else does, else in `exports/` beside it: among the hand-ins of students one of them could
    pass for an export, and speak for others. Of several attempts the last in natural order of their names is the latest; of attempts
    in several places (exports, members of a group), the one handed in last.

    Raises:
        UsageError: there is no such folder, two hand-ins belong to one student, or a time or export that the instructor gave is wrong.
    """
    rules = rules or Rules()
    if not folder.exists():
        raise UsageError(f"{folder} does not exist; expected a lab folder, a folder of submissions, or one submission")
    return _decided(tuple(_found(folder, rules.zone)), rules)


def handed_in(entry: Entry, path: Path, rules: Rules) -> Handin:
    """The one hand-in that a platform gives by itself, whose files lie in the folder or archive `path`, as if it stood in an export.

    Of people who are in several groups, that of the first group.
    """
    return _decided(tuple(_of_export(path, Export("Gradescope", (entry,)), path)), rules)[0]


def _decided(found: Sequence[_Found], rules: Rules) -> tuple[Handin, ...]:
    """Of all attempts, the one that counts of each student or group."""
    ids = _ids([person for item in found for person in item.people], rules.people)
    people = replace(rules.people, groups={**_joint(found, ids, rules.people), **rules.people.groups})
    owned: dict[str, list[_Found]] = {}
    for item in found:
        for owner, members, remarks in _owners(item, ids, people):
            handin = replace(item.handin, members=members, remarks=(*item.handin.remarks, *remarks))
            owned.setdefault(owner, []).append(replace(item, handin=handin))
    return tuple(_counting(owner, owned[owner], rules) for owner in sorted(owned, key=natural))


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key by which attempt 10 comes after attempt 9."""
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple((1, int(part), "") if part.isascii() and part.isdigit() else (0, 0, part) for part in parts)


def _found(folder: Path, zone: tzinfo) -> Iterator[_Found]:
    """All attempts of all students below a folder or in an archive."""
    root = folder / "submissions" if (folder / "submissions").is_dir() else folder
    if root.is_dir() and root.name == "submissions" and (root.parent / EXPORTS).is_dir():
        for path in filter(_may_be_handin, _entries(root.parent / EXPORTS)):
            yield from _of_export(path, _given_export(path), root)
    if _platform(root, unpacked_here=root.is_dir()):
        yield from _of_export(root, _given_export(root), root)
    elif folder.is_file() and folder.suffix.lower() != ".zip":
        raise UsageError(f"{folder} is a single file; expected a folder or a .zip archive")
    elif folder.is_file() or (root == folder and _holds_files(folder) and not (folder / "lab.toml").exists()):
        yield from _of_student(folder.resolve(), Counter(), zone)
    else:
        yield from _of_class(root, zone)


def _of_class(root: Path, zone: tzinfo) -> Iterator[_Found]:
    """The attempts in a folder of students, or of nothing but exports."""
    entries = [entry for entry in _entries(root) if _may_be_handin(entry)]
    exports = {entry: found for entry in entries if (found := _platform(entry))}
    if exports and len(exports) == len(entries):
        for entry in entries:
            yield from _of_export(entry, _given_export(entry), root)
        return
    if doubled := [name for name, count in Counter(map(_student_name, entries)).items() if count > 1]:
        raise UsageError(f"{root} holds both a folder and an archive of {doubled[0]}; keep one of them")
    ids = Counter(student_id(_student_name(entry)).casefold() for entry in entries)
    for entry in entries:
        remark = (
            f"{entry.name} looks like an export of {exports[entry]}, but lies among the hand-ins of students and was taken for "
            f"one; an export belongs into {root.parent / EXPORTS}/"
            if entry in exports
            else ""
        )
        yield from _of_student(entry, ids, zone, remark)


def _of_student(entry: Path, ids: Mapping[str, int], zone: tzinfo, remark: str = "") -> Iterator[_Found]:
    """The attempts of a student, oldest first."""
    name = _student_name(entry)
    student = student_id(name)
    if ids.get(student.casefold(), 1) > 1:  # two names that become one
        student += "-" + hashlib.sha256(name.encode(errors="replace")).hexdigest()[:6]
    attempts: Sequence[Path] = ()
    if entry.is_dir() and not entry.is_symlink() and not _holds_files(entry):
        attempts = [inner for inner in _entries(entry) if _may_be_handin(inner)]
    for path in attempts or (entry,):
        attempt = student_id(_student_name(path)) if attempts else "1"
        handin = Handin(student, name, attempt, path, (attempt,), remarks=(remark,) if remark else ())
        yield _Found(handin, str(entry), *_time(path, zone))


def _of_export(path: Path, export: Export, root: Path) -> Iterator[_Found]:
    for entry in export.entries:
        attempt = entry.attempt or student_id(_student_name(path))
        name = " and ".join(person.name or person.key for person in entry.people)
        part = tuple(sorted(entry.files.items()))
        handin = Handin("", name, attempt, path, (attempt,), part, remarks=(entry.remark,) if entry.remark else ())
        place = "\0".join((str(path), attempt, *(person.key for person in entry.people)))
        yield _Found(handin, place, entry.submitted, "export", root, entry.people, entry.earlier)


def _given_export(path: Path) -> Export:
    """An export in the folder for exports.

    Raises:
        UsageError: it is none.
    """
    try:
        with open_export(path) as files:
            export = read_export(files)
    except GraderError as error:
        raise UsageError(f"{path} cannot be read as an export: {error}") from error
    if export is None:
        raise UsageError(
            f"{path} is no export of Gradescope, Moodle or Canvas; hand-ins of single students belong into submissions/"
        )
    return export


def _platform(path: Path, *, unpacked_here: bool = False) -> Platform | None:
    """Whose export something is; None where it is none or cannot be opened, which its intake will say."""
    try:
        with open_export(path) as files:
            return platform(files, anywhere=not unpacked_here)
    except GraderError:
        return None


def _ids(people: Sequence[Person], known: People) -> dict[Person, str]:
    """The id of everybody whom exports name: from the roster, else their number, address or name.

    A number that two addresses give is nobody's: in Gradescope it is typed in by the students themselves.
    """
    addresses: dict[str, set[str]] = {}
    for person in people:
        addresses.setdefault(person.sid, set()).add(person.email.casefold())
    return {
        person: known.find(person)
        or student_id((person.sid if len(addresses[person.sid]) == 1 else "") or person.email or person.key or person.name)
        for person in people
    }


def _owners(item: _Found, ids: Mapping[Person, str], known: People) -> Iterator[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(id of a student or group, members of the group, remarks): whose an attempt is; several where who handed in together is in
    several groups."""
    if team := next((team for person in item.people[:1] if not item.people[1:] and (team := known.team(person))), None):
        yield team, known.groups[team], ()
        return
    students = list(dict.fromkeys(ids[person] for person in item.people)) or [item.handin.student]
    strangers = {student for student in students if item.people and known.roster and student not in {s.id for s in known.roster}}
    remarks = tuple(f"{student} is not on the course's roster" for student in sorted(strangers))
    owners = dict.fromkeys(student if student in known.groups else known.group_of(student) or student for student in students)
    if len(owners) > 1:
        remarks += (f"who handed this in together is in several groups ({', '.join(owners)}), and it counts for each",)
    for owner in owners:
        yield owner, known.groups.get(owner, ()), remarks


def _joint(found: Sequence[_Found], ids: Mapping[Person, str], known: People) -> dict[str, tuple[str, ...]]:
    """The groups that are none of the course's: of everybody the one that handed in last. Id of the group -> its members."""
    latest: dict[str, tuple[str, ...]] = {}
    for item in sorted(found, key=lambda item: item.submitted or _LONG_AGO):
        together = tuple(sorted({ids[person] for person in item.people if known.group_of(ids[person]) is None}))
        latest |= dict.fromkeys(together, together) if len(together) > 1 else {}
    groups = {_joint_id(group): tuple(student for student in group if latest[student] == group) for group in latest.values()}
    return {name: members for name, members in groups.items() if len(members) > 1}


def _joint_id(students: Sequence[str]) -> str:
    """The id of a group that has no name."""
    joint = "+".join(students)
    return joint if len(joint.encode()) <= 100 else f"group-{hashlib.sha256(joint.encode()).hexdigest()[:12]}"


def _counting(owner: str, items: Sequence[_Found], rules: Rules) -> Handin:
    """The attempt that counts, with all that is known of it."""
    found = _ordered([_dated(item, owner, rules.zone) for item in items])
    late = [lateness(rules.deadline, rules.zone, item.submitted, item.source) if item.submitted else None for item in found]
    chosen = len(found) - 1
    if rules.attempts == "last_on_time":
        chosen = max((index for index, one in enumerate(late) if _on_time(one)), default=chosen)
    item, names = found[chosen], _attempt_names(found)
    remarks = (*item.handin.remarks, *_remarks(found, item, late[chosen], rules))
    return replace(item.handin, student=owner, attempt=names[chosen], attempts=names, lateness=late[chosen], remarks=remarks)


def _on_time(late: Lateness | None) -> bool:
    return late is None or late.days == 0


def _dated(item: _Found, owner: str, zone: tzinfo) -> _Found:
    """An attempt of an export without times, with the time that the instructor wrote beside the hand-ins."""
    path = item.beside / f"{owner}{SUBMITTED_AT}" if item.beside else None
    if item.submitted is not None or path is None or not path.exists():
        return item
    return replace(item, submitted=_read_time(path, zone), source="submitted_at")


def _ordered(items: Sequence[_Found]) -> list[_Found]:
    """Attempts from the oldest to the latest: of one place in its own order, places by the time of their last one."""
    places: dict[str, list[_Found]] = {}
    for item in items:
        places.setdefault(item.place, []).append(item)
    blocks = sorted(places.values(), key=lambda block: block[-1].submitted or _LONG_AGO)
    return [item for block in blocks for item in block]


def _attempt_names(items: Sequence[_Found]) -> tuple[str, ...]:
    """Names of the attempts; of several students, with whose they are."""
    several = len({item.place for item in items}) > 1
    return tuple(
        student_id(f"{i.handin.student}-{i.handin.attempt}") if several and i.handin.student else i.handin.attempt for i in items
    )


def _remarks(items: Sequence[_Found], chosen: _Found, late: Lateness | None, rules: Rules) -> Iterator[str]:
    """What the students should know of the choice."""
    names = list(dict.fromkeys(item.handin.name for item in items))
    if chosen.handin.members and len(names) > 1:
        which = "the latest" if chosen is items[-1] else "the latest that was on time"
        yield f"the group handed in more than once ({', '.join(names)}); that of {chosen.handin.name} counts, {which}"
    if rules.attempts == "last_on_time" and not _on_time(late):
        on_time = [t for t in chosen.earlier if _on_time(lateness(rules.deadline, rules.zone, t, "export"))]
        if on_time:
            yield (
                f"Gradescope has an earlier attempt that was on time ({max(on_time).astimezone(rules.zone):%Y-%m-%d %H:%M}), but its "
                "export holds the files of the active one alone: activate the other there and export again to have it graded"
            )


def _time(attempt: Path, zone: tzinfo) -> tuple[datetime | None, Source]:
    """When an attempt was handed in, and what says so.

    Of an archive the time of the file itself counts, since those inside come from the student's computer.
    """
    name = _student_name(attempt)
    beside = attempt.parent / f"{name}{SUBMITTED_AT}"
    if beside.exists():
        return _read_time(beside, zone), "submitted_at"
    if named := _named_time(name, zone):
        return named, "folder"
    return _newest(attempt), "file"


def _read_time(path: Path, zone: tzinfo) -> datetime:
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
        return local(text, zone)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path}: {error}; expected one line such as 2026-11-30T23:59:00 or 2026-11-30T18:29:00+00:00"
        ) from error


def _named_time(name: str, zone: tzinfo) -> datetime | None:
    """The time that a folder is named by; `-` and `_` may stand for `:`, which not every system allows in names."""
    match = _ISO.fullmatch(name)
    try:
        return local(f"{match[1]}T{match[2]}:{match[3]}:{match[4] or '00'}{match[5] or ''}", zone) if match else None
    except ValueError:
        return None


def _newest(path: Path) -> datetime | None:
    """When the newest file was changed last; None where there is none."""
    files: Iterable[str] = [str(path)]
    if path.is_dir() and not path.is_symlink():
        walked = os.walk(path, followlinks=False)
        files = (os.path.join(folder, name) for folder, _, names in walked for name in names if not is_clutter(name))  # noqa: PTH118
    times = [time for file in files if (time := _changed(file)) is not None]
    try:
        return datetime.fromtimestamp(max(times), UTC) if times else None
    except (OverflowError, ValueError, OSError):  # archives can set any time
        return None


def _changed(file: str) -> float | None:
    try:
        return os.lstat(file).st_mtime
    except OSError:
        return None


def _entries(folder: Path) -> list[Path]:
    try:
        found = [entry for entry in folder.iterdir() if not is_clutter(entry.name)]
    except OSError as error:
        raise UsageError(f"{folder} cannot be read ({error.strerror}); check its permissions") from error
    return sorted(found, key=lambda entry: natural(entry.name))


def _may_be_handin(entry: Path) -> bool:
    return entry.is_dir() or entry.is_symlink() or entry.suffix.lower() == ".zip"


def _holds_files(folder: Path) -> bool:
    """Whether a folder is a hand-in itself: a notebook, a checkpoint or a list of links lies in it."""
    names = [entry.name.lower() for entry in _entries(folder) if not entry.is_dir()]
    return any(name.endswith((".ipynb", *CHECKPOINTS)) or LINKS_LIKE.fullmatch(name) for name in names)


def _student_name(entry: Path) -> str:
    return entry.stem if entry.suffix.lower() == ".zip" and not entry.is_dir() else entry.name
