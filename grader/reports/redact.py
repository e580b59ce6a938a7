"""What a student may read of a result: everything but what would help to cheat or hurt somebody."""

from grader.models import Flag, SubmissionResult, TaskResult

_NEUTRAL = {
    "repeats": "Many of your images are very close to each other. A person looks at them first.",
    "memorisation": "Many of your images are very close to images of the data set. A person looks at them first.",
    "look-alike": "This hand-in matches published material; a person will look at it.",
    "edits-and-failure": (
        "The notebook did not run through, and it has edits outside the TODOs. A person looks at which of the two was the cause."
    ),
}
_SECOND_LOOK = "A person takes a second look at this task before the score counts. There is nothing that you need to do."


def for_student(result: SubmissionResult) -> SubmissionResult:
    """The result without the seeds of the challenge and the sandbox's log, and with flags that hold put in neutral words.

    Seeds depend only on the student and the task, so one who knew them could prepare images for the next attempt. The
    message of a flag that holds is written for staff; it may speak of a suspicion or of somebody else's work.
    """
    return result.model_copy(update={"tasks": tuple(_task(task) for task in result.tasks)})


def _task(task: TaskResult) -> TaskResult:
    provenance = task.provenance and task.provenance.model_copy(update={"seeds": {}})
    return task.model_copy(update={"flags": tuple(_flag(flag) for flag in task.flags), "provenance": provenance, "log": ""})


def _flag(flag: Flag) -> Flag:
    if not flag.holds:
        return flag
    return Flag(code="second-look", message=_NEUTRAL.get(flag.code, _SECOND_LOOK), holds=True)
