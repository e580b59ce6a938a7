"""Every error that the grader raises on purpose.

    GraderError
    ├── UsageError         the instructor's: a wrong argument, lab.toml, course folder (exit status 2)
    │   ├── SpecError
    │   └── CourseError
    ├── StudentError       the student's: becomes `failed`, 0 points for the criteria that it touches
    │   ├── IntakeError    the hand-in cannot be read: missing, too large, a link, a bad archive
    │   ├── NotebookError  the notebook cannot be parsed or aligned with the template
    │   └── CheckpointError  no usable checkpoint
    └── UngradedError      ours or nobody's: no score, retried by the next run (exit status 1)
        ├── SandboxError   no sandbox, or it broke
        ├── BusyError      the machine was short of something; worth another try alone
        └── StoreError     the database or the results folder cannot be used

Each message says what was found, what was expected and what to do.
"""


class GraderError(Exception):
    """Base of all errors raised on purpose; `str(error)` is fit for the person who reads it."""


class UsageError(GraderError):
    """The command cannot be carried out as given (exit status 2)."""


class SpecError(UsageError):
    """lab.toml does not describe a lab."""


class CourseError(UsageError):
    """The course or lab folder is missing something."""


class StudentError(GraderError):
    """The submission is at fault; the criteria that it touches score 0."""


class IntakeError(StudentError):
    """A file of the hand-in cannot be accepted."""


class NotebookError(StudentError):
    """The notebook cannot be read or aligned with its template."""


class CheckpointError(StudentError):
    """The checkpoint is missing or cannot be taken."""


class UngradedError(GraderError):
    """Nobody's fault or ours: the task stays ungraded and the next run tries again.

    log: what a program of ours had to say, for staff.
    """

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class SandboxError(UngradedError):
    """The sandbox is not available or failed."""


class BusyError(UngradedError):
    """The machine was short of time or memory; what was executed is worth another try with nothing beside it."""


class StoreError(UngradedError):
    """The database or the results folder cannot be read or written."""
