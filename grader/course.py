"""The folders of a course: where its labs, packs, secret and database are.

A course folder holds course.toml, grades.db and packs/, and one folder for each lab. A lab folder that stands alone holds them itself.
"""

import os
import secrets
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from grader.autograder import CourseGradescope, ServiceSettings
from grader.errors import CourseError
from grader.fetching.hosts import LinkSettings
from grader.lateness import Deadline
from grader.spec import LabSpec, load_spec

COURSE_FILE = "course.toml"
FINGERPRINTS = "fingerprints.toml"
KEPT_SECRET = f"{COURSE_FILE}\npacks/\ngrades.*\n"
"""The course's .gitignore: the secret, the packs made from secret seeds, and the grades stay out of a repository."""
CHECKOUT = Path(__file__).resolve().parent.parent
"""Folder of the repository when the grader runs from a checkout; labs/ and datasets/ are only there."""


class CourseSettings(BaseModel):
    """The [course] table of course.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str = ""
    timezone: str = "UTC"
    attempts: Literal["last", "last_on_time"] = Field("last", description="which of several attempts counts")
    secret: str = Field(min_length=32, description="hex; seeds of all challenges derive from it: never publish it")

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:  # unknown, no plain path, a folder of the database
            raise ValueError(
                f"{name!r} is no timezone that is known here; expected a name of the IANA database, such as Asia/Kolkata or UTC"
            ) from error
        return name

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class CourseFile(BaseModel):
    """A whole course.toml: [course], [links], [gradescope], [service], and a [lab.<id>] for each lab with a due date."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    course: CourseSettings
    links: LinkSettings = LinkSettings()
    gradescope: CourseGradescope = CourseGradescope()
    service: ServiceSettings = ServiceSettings()
    lab: dict[str, Deadline] = Field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """A course folder with its settings."""

    root: Path
    file: CourseFile

    @property
    def settings(self) -> CourseSettings:
        return self.file.course

    @property
    def links(self) -> LinkSettings:
        """Where checkpoints may be fetched from."""
        return self.file.links

    def deadline(self, lab: str) -> Deadline:
        """When a lab is due and what being late costs; without a due date where course.toml says nothing."""
        return self.file.lab.get(lab, Deadline())

    @property
    def database(self) -> Path:
        return self.root / "grades.db"

    def private_files(self) -> tuple[Path, ...]:
        """What student code must not read: the secret, the grades and the private packs, as far as they exist."""
        packs = sorted(path for path in self.packs.glob("*/*") if path.is_file())
        kept = (self.root / COURSE_FILE, self.database, self.database.with_suffix(".backup"), *packs)
        return tuple(path for path in kept if path.exists())

    @property
    def packs(self) -> Path:
        """Private packs, one folder a data set."""
        return self.root / "packs"

    @property
    def secret(self) -> bytes:
        return bytes.fromhex(self.settings.secret)


@dataclass(frozen=True)
class LabFolder:
    """A lab folder: lab.toml, templates/, reference/, submissions/, results/."""

    root: Path
    spec: LabSpec
    course: Course

    @property
    def submissions(self) -> Path:
        return self.root / "submissions"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints that were fetched from links, each under the hash of its contents."""
        return self.root / "checkpoints"

    def template(self, notebook: str) -> Path:
        """The pristine template of a notebook."""
        return self.root / "templates" / notebook

    @property
    def fingerprints(self) -> Path:
        """Hashes of what is published and must not be handed in as one's own; may be absent."""
        return self.root / FINGERPRINTS

    def reference(self, task: str) -> Path:
        """Sample grid of the reference model, shown beside the student's; may be absent."""
        return self.root / "reference" / f"{task}.png"


def known_labs() -> list[str]:
    """Ids of the labs that come with the grader; empty where it was installed without its repository."""
    return sorted(p.parent.name for p in (CHECKOUT / "labs").glob("*/lab.toml"))


def init(path: Path, title: str = "") -> Path:
    """Make a course folder, or a lab folder where the last part of the path is the id of a known lab.

    Files that exist are kept, so that it can be repeated. Returns the folder of the course.

    Raises:
        CourseError: the path is a file, or cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise CourseError(f"{path} is a file; give the folder of a course or lab")
    lab = path.resolve().name
    is_lab = lab in known_labs()
    try:
        path.mkdir(parents=True, exist_ok=True)
        alone = (path / COURSE_FILE).exists()
        in_course = is_lab and not alone and (path.resolve().parent / COURSE_FILE).exists()
        root = path.resolve().parent if in_course else path.resolve()
        if not (root / COURSE_FILE).exists():
            _write_settings(root / COURSE_FILE, title or root.name)
        if is_lab:
            _copy_lab(CHECKOUT / "labs" / lab, path)
    except OSError as error:
        raise CourseError(f"{path} cannot be set up: {error}") from error
    return root


def _write_settings(path: Path, title: str) -> None:
    """A new course.toml with a fresh secret, readable by its owner alone."""
    text = (
        "[course]\n"
        f"title = {_toml_string(title)}\n"
        'timezone = "UTC"  # such as Asia/Kolkata; due dates are in it\n'
        "# All challenge seeds derive from this secret: keep it, and keep it to yourself.\n"
        f'secret = "{secrets.token_hex(32)}"\n'
        "\n"
        "# [lab.lab8]\n"
        "# due = 2026-11-30T23:59:00\n"
        "# late_days = 2           # free; docs/handin.md tells the rest\n"
        "# penalty_per_day = 0.1\n"
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    (path.parent / ".gitignore").write_text(KEPT_SECRET)


def _toml_string(text: str) -> str:
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else "_" for c in text) + '"'


def _copy_lab(source: Path, target: Path) -> None:
    """Spec, prompts, templates, reference pictures and fingerprints; a file that the instructor has changed stays."""
    for folder in ("templates", "reference", "submissions"):
        (target / folder).mkdir(exist_ok=True)
    places = {"*.ipynb": target / "templates", "reference/*.png": target / "reference", "*.json": target}
    for pattern, place in (places | dict.fromkeys(("lab.toml", "handout.md", FINGERPRINTS), target)).items():
        for file in source.glob(pattern):
            if not (place / file.name).exists():
                shutil.copyfile(file, place / file.name)


def load_course(root: Path) -> Course:
    """Read course.toml.

    Raises:
        CourseError: missing or wrong, with the place.
    """
    path = root / COURSE_FILE
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        file = CourseFile.model_validate({"course": {}, **table})
        bytes.fromhex(file.course.secret)
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror}); `grader init {root}` makes one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CourseError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        reason = first["msg"].removeprefix("Value error, ")
        raise CourseError(f"{path}: {'.'.join(map(str, first['loc']))}: {reason}") from error
    except ValueError as error:
        raise CourseError(f"{path}: course.secret is not hexadecimal; `openssl rand -hex 32` makes one") from error
    return Course(root, file)


def open_lab(path: Path) -> LabFolder:
    """A lab folder with its course, which is the folder itself or the one above.

    Raises:
        CourseError, SpecError: something is missing; the message says what makes it.
    """
    root = path.resolve()
    if not root.is_dir():
        raise CourseError(f"{path}: no such folder; `grader init {path}` makes it")
    spec = load_spec(root / "lab.toml")
    candidates = [folder for folder in (root, root.parent) if (folder / COURSE_FILE).exists()]
    if not candidates:
        raise CourseError(f"{path}: no {COURSE_FILE} here or in the folder above; `grader init {path}` makes one")
    lab = LabFolder(root, spec, load_course(candidates[0]))
    for task in spec.task:
        if not lab.template(task.notebook).is_file():
            raise CourseError(
                f"{lab.template(task.notebook)} is missing, the template that submissions are transplanted into; "
                f"`grader init {path}` copies it"
            )
    return lab
