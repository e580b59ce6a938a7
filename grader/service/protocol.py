"""What travels between a container that forwards and the grader that grades for it.

A hand-in is a zip: WHO says whose it is, FILES holds what was handed in. Its id is the SHA-256 of its bytes, so that sending it again asks
for the same grading and not for another one.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from grader.gradescope.metadata import Metadata
from grader.models import SubmissionResult

WHO, FILES = "who.json", "files/"
PATH = "/v1/submissions"
MAX_WHO = 2**20


class State(StrEnum):
    """What became of a hand-in."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    UNGRADED = "ungraded"
    """no grade, through no fault of the student's; sending it again has it tried again"""


class Who(BaseModel):
    """Whose hand-in it is, and of which lab."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    lab: Annotated[str, Field(min_length=1)]
    metadata: Metadata


class Answer(BaseModel):
    """What the service says of a hand-in."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")
    id: str
    state: State
    ahead: int = Field(0, description="hand-ins that are graded before this one")
    result: SubmissionResult | None = None
    message: str = ""
