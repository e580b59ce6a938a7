"""submission_metadata.json: who handed in, when, and what there was before."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from grader.errors import UngradedError

MAX_BYTES = 64 * 2**20
"""The results of the submission before are in it."""


class _Record(BaseModel):
    """What is not named here may be there as well: the file is Gradescope's."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


class User(_Record):
    """Somebody who handed in."""

    id: str = ""
    email: str | None = None
    name: str | None = None


class Assignment(_Record):
    """What it was handed in to."""

    title: str = ""
    due_date: AwareDatetime | None = None


class Previous(_Record):
    """A submission before; `results` stand in the latest one alone."""

    submission_time: AwareDatetime
    autograder_error: bool | None = None
    results: Mapping[str, Any] | None = None

    @field_validator("results", mode="before")
    @classmethod
    def _empty_is_none(cls, results: object) -> object:
        return results or None


class Metadata(_Record):
    """The whole file."""

    id: str
    created_at: AwareDatetime
    users: tuple[User, ...] = Field(min_length=1)
    assignment: Assignment = Assignment()
    previous_submissions: tuple[Previous, ...] = ()

    @property
    def before(self) -> tuple[Previous, ...]:
        """Earlier submissions, oldest first."""
        earlier = [one for one in self.previous_submissions if one.submission_time < self.created_at]
        return tuple(sorted(earlier, key=_time))


def _time(previous: Previous) -> datetime:
    return previous.submission_time


def read_metadata(path: Path) -> Metadata:
    """Read the file.

    Raises:
        UngradedError: it is missing, or not what Gradescope writes; names the place.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UngradedError(
                f"{path} has more than {MAX_BYTES // 2**20} MiB; expected Gradescope's own file: run the autograder again"
            )
        return Metadata.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise UngradedError(f"{path} is missing; Gradescope puts it there: run the autograder again") from error
    except OSError as error:
        raise UngradedError(f"{path} cannot be read ({error.strerror}); run the autograder again") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "file"
        raise UngradedError(
            f"{path}: {place}: {first['msg']}; expected Gradescope's own file: run the autograder again"
        ) from error
