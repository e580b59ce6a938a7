"""What course.toml and lab.toml say of Gradescope, and of the GPU grading service: their [gradescope] and [service] tables."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

TOKEN = r"^[A-Za-z0-9_.~-]{32,200}$"
"""Of a secret that a program shows to the GPU grading service; `openssl rand -hex 32` makes one."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RateLimit(_Table):
    """How often a student or group is graded; what comes beyond gets the results of before once more."""

    submissions: Annotated[int, Field(ge=1)]
    hours: Annotated[float, Field(gt=0)] = 24


class CourseGradescope(_Table):
    """The [gradescope] table of course.toml: what holds for every autograder of the course."""

    minutes: Annotated[float, Field(ge=1, le=40)] = Field(10, description="the autograder's time limit, as set at Gradescope")
    rate_limit: RateLimit | None = None
    late: Literal["grader", "gradescope"] = Field("grader", description="whose penalty for being late counts")
    forward_url: str | None = Field(None, description="a GPU grader's address, such as https://gpu.uni.example")
    token: Annotated[str, Field(pattern=TOKEN)] | None = Field(None, description="shown to that grader")

    @field_validator("forward_url")
    @classmethod
    def _is_safe(cls, url: str | None) -> str | None:
        # Not HttpUrl of pydantic: it takes plain http to any host, over which a token would travel in the open.
        if url is None or url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            return url and url.rstrip("/")
        raise ValueError(f"{url!r} is no address such as https://gpu.uni.example; plain http would show the token to the network")

    @model_validator(mode="after")
    def _has_a_token(self) -> Self:
        if self.forward_url and self.token is None:
            raise ValueError("forward_url needs a token beside it, one of [service.tokens] of that grader's course.toml")
        return self


class ServiceSettings(_Table):
    """The [service] table of course.toml: who may send what to `grader serve --api`, and how fast."""

    tokens: dict[str, Annotated[str, Field(pattern=TOKEN)]] = Field({}, description="name, for the log -> secret")
    max_mb: Annotated[int, Field(ge=1)] = Field(450, description="most that a hand-in may have, packed")
    body_s: Annotated[float, Field(gt=0)] = Field(120, description="a hand-in that takes longer to arrive is dropped")
    requests_per_minute: Annotated[int, Field(ge=1)] = Field(600, description="of each token")
    submissions_per_minute: Annotated[int, Field(ge=1)] = Field(120, description="of each token")
    max_queue: Annotated[int, Field(ge=1)] = Field(500, description="hand-ins that wait; others are told to come later")

    @model_validator(mode="after")
    def _tokens_differ(self) -> Self:
        if len(set(self.tokens.values())) < len(self.tokens):
            raise ValueError("two tokens are the same, so that the log could not tell who used which")
        return self


class LeaderboardColumn(_Table):
    """A column of the leaderboard: a metric of a task, or the task's points where no metric is named."""

    name: Annotated[str, Field(min_length=1)]
    task: str
    metric: str | None = None
    order: Literal["asc", "desc"] = Field("desc", description="asc: the least is best, as for an FID")


class LabGradescope(_Table):
    """The [gradescope] table of lab.toml. A row of the rubric is named `task.criterion`; a task alone stands for all of its rows."""

    hidden: tuple[str, ...] = Field((), description="rows that no student ever sees; Gradescope then hides the total as well")
    after_due_date: tuple[str, ...] = ()
    after_published: tuple[str, ...] = ()
    leaderboard: tuple[LeaderboardColumn, ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """Every row that is named."""
        return (*self.hidden, *self.after_due_date, *self.after_published)

    def visibility(self, task: str, criterion: str) -> str:
        """Who sees a row; the most secret table that names it counts."""
        names = {task, f"{task}.{criterion}"}
        for kind in ("hidden", "after_published", "after_due_date"):
            if names & set(getattr(self, kind)):
                return kind
        return "visible"
