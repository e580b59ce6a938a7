"""`grader gradescope build`: the zip that makes a lab an autograder."""

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grader import __version__, packs
from grader.course import CHECKOUT, COURSE_FILE, FINGERPRINTS, LabFolder, open_lab
from grader.errors import CourseError, StoreError
from grader.faults import disk_faults
from grader.gradescope.archive import Entry, below, write
from grader.gradescope.container import Tier, fitting
from grader.gradescope.layout import CODE, COURSE, MANIFEST, REQUIREMENTS, Manifest
from grader.gradescope.requirements import locked
from grader.people import GROUPS, ROSTER
from grader.store import Store

TRUSTED_MB = 850
"""Memory of the grader itself, torch included: its peak over both tasks of lab 8."""
STUDENT_MB = 440
"""Memory of a notebook with torch, where this lab's database says nothing of any: the peak of lab 8's half-trained student."""
_PRIVATE = 0o600
_SCRIPTS = ("setup.sh", "run_autograder")
_MIB = 2**20


@dataclass(frozen=True)
class Built:
    """What came out."""

    path: Path
    needed_mb: int
    measured: int
    """graded tasks whose memory is known"""
    packages: int
    public: tuple[str, ...]
    """data sets that are graded with the public pack"""
    limit_mb: int
    """most memory that lab.toml lets a notebook use"""
    forwards: bool

    @property
    def tier(self) -> Tier | None:
        """The container that fits."""
        return fitting(self.needed_mb)

    def lines(self) -> list[str]:
        """What the instructor should know."""
        source = (
            f"measured on {self.measured} graded tasks"
            if self.measured
            else "as a student of lab 8 takes; grade a few hand-ins here to measure"
        )
        lines = [
            f"wrote {self.path}, {self.path.stat().st_size / _MIB:.1f} MiB; setup.sh installs {self.packages} pinned packages",
            f"memory: {self.needed_mb} MB ({source})",
        ]
        if self.forwards:
            return [*lines, f"container: {fitting(0)} is enough, since submissions are forwarded"]
        lines.append(f"container: {self.tier or 'none is large enough: set forward_url in course.toml'}")
        if self.tier and self.limit_mb + TRUSTED_MB > self.tier.memory_gb * 1024:
            room = self.tier.memory_gb * 1024 - TRUSTED_MB
            lines.append(
                f"a notebook that takes more than {room:.0f} MB, which lab.toml allows, ends there as an autograder error"
            )
        lines += [f"{name}: with the public pack, which students can tune against; docs/gradescope.md" for name in self.public]
        return lines


def build(folder: Path, to: Path) -> Built:
    """Write `<lab>-gradescope.zip` into the folder `to`.

    Raises:
        CourseError, SpecError: the lab folder is wrong, a pack is missing, or this is no checkout of the repository.
        StoreError: the zip cannot be written.
    """
    lab = open_lab(folder)
    if not (CHECKOUT / "requirements.lock").is_file():
        raise CourseError("an autograder is built from a checkout of the repository, which pins the packages: run this inside it")
    public = tuple(name for name in _datasets(lab) if packs.find(lab.course, name) and not (lab.course.packs / name).exists())
    requirements = _requirements()
    needed, measured = _memory(lab)
    manifest = Manifest(grader_version=__version__, lab=lab.spec.lab.id, needed_mb=needed)
    path = to / f"{lab.spec.lab.id}-gradescope.zip"
    with disk_faults(to):
        to.mkdir(parents=True, exist_ok=True)
        write(path, _entries(lab, public, requirements, manifest))
        path.chmod(_PRIVATE)  # the course's secret and its packs are in it
    return Built(
        path=path,
        needed_mb=needed,
        measured=measured,
        packages=len({line.partition("==")[0] for line in requirements.splitlines() if line[0].isalnum()}),
        public=public,
        limit_mb=max(task.limits.memory_mb for task in lab.spec.task),
        forwards=lab.course.file.gradescope.forward_url is not None,
    )


def _datasets(lab: LabFolder) -> list[str]:
    return sorted({task.dataset for task in lab.spec.task})


def _requirements() -> str:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return locked((CHECKOUT / "requirements.lock").read_text(encoding="utf-8"), project["dependencies"])


def _entries(lab: LabFolder, public: tuple[str, ...], requirements: str, manifest: Manifest) -> Iterator[Entry]:
    for name in _SCRIPTS:
        yield name, CHECKOUT / "gradescope" / name, 0o755
    yield REQUIREMENTS, requirements.encode(), 0o644
    yield MANIFEST, manifest.model_dump_json(indent=1).encode(), 0o644
    others = frozenset(("__pycache__", *(set(packs.DATASETS) - set(public))))
    yield from below(CHECKOUT / "grader", f"{CODE}/grader")
    yield from below(CHECKOUT / "evaluator" / "packs", f"{CODE}/evaluator/packs", skip=others)
    yield from below(CHECKOUT / "evaluator", f"{CODE}/evaluator", skip=frozenset(("__pycache__", "packs")))
    yield from _course(lab)


def _course(lab: LabFolder) -> Iterator[Entry]:
    """The course folder with this lab alone, without submissions and grades."""
    root = lab.course.root
    for name in (COURSE_FILE, ROSTER, GROUPS):
        if (root / name).exists():
            yield f"{COURSE}/{name}", root / name, _PRIVATE
    for dataset in _datasets(lab):
        yield from below(lab.course.packs / dataset, f"{COURSE}/packs/{dataset}", mode=_PRIVATE)
    inside = f"{COURSE}/{lab.spec.lab.id}"
    for name in ("lab.toml", FINGERPRINTS, *(name for task in lab.spec.task for name in task.prompts)):
        if (lab.root / name).exists():
            yield f"{inside}/{name}", lab.root / name, _PRIVATE
    for name in ("templates", "reference"):
        yield from below(lab.root / name, f"{inside}/{name}", mode=_PRIVATE)


def _memory(lab: LabFolder) -> tuple[int, int]:
    """(MB that grading takes, tasks that this was measured on)."""
    peaks = _peaks(lab) if lab.course.database.exists() else []
    return round(TRUSTED_MB + max(peaks, default=STUDENT_MB)), len(peaks)


def _peaks(lab: LabFolder) -> list[float]:
    """Peaks of the notebooks that were graded here; those that were not scored took what they should not."""
    try:
        store = Store(lab.course.database)
        try:
            tasks = [task for result in store.newest(lab.spec.lab.id) for task in result.tasks if task.score]
        finally:
            store.close()
    except StoreError:
        return []  # the next run says what is wrong with it
    return [task.usage.peak_memory_mb for task in tasks if task.usage and task.usage.peak_memory_mb]
