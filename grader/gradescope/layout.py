"""Where things lie on Gradescope, and in the zip that is unpacked there."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from grader.course import LabFolder, open_lab
from grader.errors import CourseError, UngradedError

MANIFEST, CODE, COURSE, REQUIREMENTS = "manifest.json", "code", "course", "requirements.txt"
"""In the zip."""


class Manifest(BaseModel):
    """What the zip says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    grader_version: str
    lab: str
    needed_mb: int
    """memory that grading takes"""


@dataclass(frozen=True)
class Layout:
    """The tree that Gradescope makes; `root` is /autograder there."""

    root: Path

    @property
    def source(self) -> Path:
        """The unpacked zip."""
        return self.root / "source"

    @property
    def submission(self) -> Path:
        """What the student handed in."""
        return self.root / "submission"

    @property
    def metadata(self) -> Path:
        """Who handed in, and when."""
        return self.root / "submission_metadata.json"

    @property
    def results(self) -> Path:
        """What Gradescope reads at the end."""
        return self.root / "results" / "results.json"

    @property
    def work(self) -> Path:
        """Ours: a copy of the course folder that a run may write to, and how far it is."""
        return self.root / "work"

    @property
    def progress(self) -> Path:
        """What there is to report so far."""
        return self.work / "progress.json"

    def manifest(self) -> Manifest:
        """The zip's manifest.

        Raises:
            UngradedError: it is missing or not one of ours.
        """
        path = self.source / MANIFEST
        try:
            return Manifest.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise UngradedError(
                f"{path} cannot be read; expected the zip of `grader gradescope build`: build it and upload it again"
            ) from error

    def open_lab(self, course: Path) -> LabFolder:
        """The lab in a course folder of the zip's form.

        Raises:
            CourseError, SpecError: something is missing, or the lab is not the one that the zip was built for.
        """
        wanted = self.manifest().lab
        lab = open_lab(course / wanted)
        if lab.spec.lab.id != wanted:
            raise CourseError(f"{lab.root}/lab.toml is of {lab.spec.lab.id}, and the zip was built for {wanted}; build it again")
        return lab
