"""How far grading is: written after each task by the process that grades, read by the one that watches the time."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from grader.models import SubmissionResult


class Progress(BaseModel):
    """What there is to report. unreached: ids of tasks that are not graded yet."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")
    result: SubmissionResult
    unreached: frozenset[str] = frozenset()

    def write(self, path: Path) -> None:
        """Replace the file in one piece: its reader may end the writer at any moment."""
        part = path.with_suffix(".part")
        part.write_text(self.model_dump_json(), encoding="utf-8")
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Progress | None":
        """What the file says; None where there is none, or it is of no use."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None
