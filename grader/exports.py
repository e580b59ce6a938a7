"""Exports of a whole class's hand-ins from Gradescope, Moodle and Canvas, recognised by the names of their files.

What is known of the formats, and from where:

- Gradescope, “Download Submissions”: `assignment_<number>_export/` with `submission_metadata.yml` and a folder `submission_<number>/`
  for each active submission. The metadata map these folders to `:submitters:` (a list of `:name:`, `:sid:`, `:email:`; several are a
  group), `:created_at:` and `:history:` (earlier attempts: numbers, times and scores, but no files). Not documented; read off
  programs that instructors have published.
- Moodle, “Download all submissions”: `<full name>_<number>_assignsubmission_file_/<path>`, or the same without folders,
  `<full name>_<number>_assignsubmission_file_<file>`. Underscores of the name are blanks, the number is the participant's; a team
  has its name and number instead. `…_assignsubmission_onlinetext_…` is text typed into Moodle. From mod/assign/classes/downloader.php.
- Canvas, “Download Submissions”: flat files `<name>[_LATE]_<user>_<file>_<file name>`, the name in lower case, last name first, without
  anything but word characters; `anon_<code>` in place of name and user where grading is anonymous; the name of a group, with one
  member's number. `…_text.html` and `…_link.html` are no files. A file handed in again is called `name-1.ext`. From lib/content_zipper.rb.

Moodle and Canvas say nothing of when something was handed in: the times in their archives are those of the download.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import PurePosixPath
from typing import Any, Literal

import yaml

from grader.errors import IntakeError
from grader.untrusted import Files

Platform = Literal["Gradescope", "Moodle", "Canvas"]

SUBMITTED_AT = ".submitted_at"
"""Ends the names of files with times, which instructors write and no platform."""
METADATA = "submission_metadata.yml"
MAX_METADATA = 256 * 2**20
"""Bytes of Gradescope's metadata, which hold the output of its autograder for every submission."""
MAX_RECORDS = 16 * 2**20
"""Characters of them without that output."""
MAX_NESTING = 50
"""Brackets open at a time; a parser of YAML takes quadratic time for them."""

_MOODLE = re.compile(r"(?P<who>[^/]+?)_assignsubmission_(?P<plugin>[a-z]+)_(?P<rest>/?.*)", re.DOTALL)
_CANVAS = re.compile(
    r"(?:(?P<name>[^\W_]\w*?)_)??(?P<late>LATE_)?(?P<user>anon_[^\W_]+|\d+)_"
    r"(?:(?P<file>\d+)_(?P<rest>[^/]+)|(?:text|link)\.html)",
    re.DOTALL,
)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)\s*(Z|[+-]\d\d:?\d\d)?")


@dataclass(frozen=True)
class Person:
    """Whom an export names; what it does not say is empty. key: tells people of one course apart, where there is nothing better."""

    name: str = ""
    email: str = ""
    sid: str = ""
    key: str = ""


@dataclass(frozen=True)
class Entry:
    """A hand-in of an export. attempt: its name there, empty where it has none. files: name in the hand-in -> name in the export.
    earlier: times of attempts whose files are not in the export."""

    attempt: str
    people: tuple[Person, ...]
    files: Mapping[str, str]
    submitted: datetime | None = None
    earlier: tuple[datetime, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class Export:
    """A whole export, entries in the order of their names."""

    platform: Platform
    entries: tuple[Entry, ...]


def platform(files: Files, *, anywhere: bool = True) -> Platform | None:
    """Whose export a folder or archive is, by the names alone; None where it is none.

    anywhere: also where everything lies in one folder within.

    Raises:
        IntakeError, UngradedError: it cannot be opened.
    """
    names = _names(files)
    if _metadata_name(names, anywhere):
        return "Gradescope"
    found = _by_names(names, anywhere)
    return found.platform if found else None


def read_export(files: Files, *, anywhere: bool = True) -> Export | None:
    """The export that a folder or archive is; None where it is none. Only for what an instructor has put there as one.

    Raises:
        IntakeError: it is Gradescope's, but its metadata cannot be read; or it cannot be opened.
        UngradedError: it cannot be read for a reason that is nobody's fault.
    """
    names = _names(files)
    metadata = _metadata_name(names, anywhere)
    if not metadata:
        return _by_names(names, anywhere)
    table = _metadata(b"".join(files.chunks(metadata, MAX_METADATA)))
    return Export("Gradescope", tuple(_gradescope(table, names, metadata.removesuffix(METADATA))))


def _names(files: Files) -> list[str]:
    return [name for name in files.names() if not name.endswith(SUBMITTED_AT)]


def _metadata_name(names: Sequence[str], anywhere: bool) -> str | None:
    found = [name for name in names if PurePosixPath(name).name == METADATA and name.count("/") <= anywhere]
    return found[0] if len(found) == 1 else None


def _by_names(names: Sequence[str], anywhere: bool) -> Export | None:
    """Moodle's or Canvas' export."""
    for base in dict.fromkeys(("", _common_folder(names) if anywhere else "")):
        inner = {name.removeprefix(base): name for name in names if name.startswith(base)}
        if entries := _moodle(inner):
            return Export("Moodle", entries)
        if entries := _canvas(inner):
            return Export("Canvas", entries)
    return None


def _common_folder(names: Sequence[str]) -> str:
    """The one folder (with `/`) that everything lies in; empty where there is none."""
    first = {name.split("/")[0] if "/" in name else "" for name in names}
    return f"{first.pop()}/" if len(first) == 1 and "" not in first else ""


def _metadata(data: bytes) -> Mapping[str, Mapping[str, Any]]:
    """Folder -> record. Every scalar stays text and tags mean nothing, so that `00123` stays an id and no object is made."""
    text = _without_results(data.decode("utf-8-sig", errors="replace"))
    try:
        if len(text) > MAX_RECORDS or _nesting(text) > MAX_NESTING:
            raise ValueError("it is too large or too deep to be Gradescope's")
        table = yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise IntakeError(f"{METADATA} cannot be read ({reason}): download the export again") from error
    records = {key: value for key, value in table.items() if isinstance(value, dict)} if isinstance(table, dict) else {}
    if not any(":submitters" in record for record in records.values()):
        raise IntakeError(f"{METADATA} names no submitters; expected Gradescope's own: download the export again")
    return records


def _without_results(text: str) -> str:
    """The metadata without what the autograder said of each submission, which is most of them and slow to parse."""
    kept, skipped = [], None
    for line in text.split("\n"):
        content = line.lstrip(" -")
        indent = len(line) - len(content)
        if skipped is not None and (indent > skipped or not content.strip()):
            continue
        skipped = indent if content.startswith(":results:") else None
        kept += [] if content.startswith(":results:") else [line]
    return "\n".join(kept)


def _nesting(text: str) -> int:
    """The most brackets that are open at a time."""
    depths = accumulate((1 if c in "[{" else -1) for c in re.findall(r"[\[\]{}]", text))
    return max(depths, default=0)


def _gradescope(table: Mapping[str, Mapping[str, Any]], names: Sequence[str], base: str) -> Iterator[Entry]:
    for folder, record in sorted(table.items()):
        inside = f"{base}{folder}/"
        submitters = [item for item in _list(record.get(":submitters")) if isinstance(item, dict)]
        history = [item for item in _list(record.get(":history")) if isinstance(item, dict)]
        times = [time for item in history if (time := _time(item.get(":created_at")))]
        yield Entry(
            attempt=folder,
            people=tuple(_submitter(item, folder) for item in submitters) or (Person(key=folder),),
            files={name.removeprefix(inside): name for name in names if name.startswith(inside)},
            submitted=_time(record.get(":created_at")),
            earlier=tuple(sorted(times)),
        )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _submitter(item: Mapping[str, object], folder: str) -> Person:
    name, email, sid = (str(item.get(key) or "").strip() for key in (":name", ":email", ":sid"))
    return Person(name, email, sid, key=f"{name} {folder}".strip())


def _time(value: object) -> datetime | None:
    """A time as Ruby writes it, `2026-11-30 23:59:00.123456000 +05:30`; UTC where it says no offset."""
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    try:
        time = datetime.fromisoformat(f"{match[1]}T{match[2]}{match[3] or ''}") if match else None
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time


def _moodle(names: Mapping[str, str]) -> tuple[Entry, ...]:
    """Entries, none where this is not Moodle's: a folder or nothing but single files would lie beside."""
    matches = {name: match for name in names if (match := _MOODLE.fullmatch(name))}
    if any("/" in name for name in names if name not in matches):
        return ()
    found: dict[str, dict[str, str]] = {}
    for name, match in matches.items():
        inner = match["rest"].removeprefix("/")
        if match["plugin"] == "file" and inner:
            found.setdefault(match["who"], {})[inner] = names[name]
    return tuple(Entry("", (_participant(who),), files) for who, files in sorted(found.items()))


def _participant(who: str) -> Person:
    return Person(name=re.sub(r"_\d+$", "", who), key=who)


def _canvas(names: Mapping[str, str]) -> tuple[Entry, ...]:
    """Entries, none where a single name is not of Canvas' form."""
    matches = {name: match for name in names if (match := _CANVAS.fullmatch(name))}
    if len(matches) < len(names):
        return ()
    found: dict[Person, dict[str, str]] = {}
    late: set[Person] = set()
    for name, match in matches.items():
        if match["rest"]:
            person = Person(name=match["name"] or "", key="_".join(filter(None, (match["name"], match["user"]))))
            found.setdefault(person, {})[match["rest"]] = names[name]
            late |= {person} if match["late"] else set()
    remark = "Canvas marks this hand-in as late, but its export says nothing of the time"
    return tuple(
        Entry("", (person,), _without_counters(files), remark=remark if person in late else "")
        for person, files in sorted(found.items(), key=lambda item: item[0].key)
    )


def _without_counters(files: Mapping[str, str]) -> dict[str, str]:
    """The files without the `-1` that Canvas puts behind names handed in again, unless two would then have one name."""
    plain = {name: re.sub(r"-\d{1,3}(?=\.[^.]+$)", "", name) for name in files}
    doubled = {name for name in plain.values() if list(plain.values()).count(name) > 1}
    return {name if plain[name] in doubled else plain[name]: inner for name, inner in files.items()}
