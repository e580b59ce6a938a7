from grader.models import Flag, Status
from grader.reports.redact import for_student

from .examples import cwgan, graded, held, submission, task, whole_lab


def test_seeds_and_the_words_of_holding_flags_stay_with_staff() -> None:
    told = for_student(held()).model_dump_json()
    assert "918273645" not in told and "mallory" not in told and "memorisation" not in told
    assert "918273645" in held().model_dump_json()


def test_a_flag_that_nobody_foresaw_gets_neutral_words() -> None:
    flag = Flag(code="a-new-one", message="same as trent", holds=True)
    (shown,) = for_student(submission("a", task(Status.HELD, flags=(flag,)))).tasks[0].flags
    assert shown.holds and shown.code == "second-look" and "trent" not in shown.message and "person" in shown.message


def test_a_look_alike_is_told_without_what_it_looks_like() -> None:
    flag = Flag(code="look-alike", message="the checkpoint is lab8_vanilla.pt", holds=True)
    (shown,) = for_student(submission("a", task(Status.HELD, flags=(flag,)))).tasks[0].flags
    assert shown.message == "This hand-in matches published material; a person will look at it."


def test_every_task_is_redacted_and_the_lab_as_a_whole_stays() -> None:
    flag = Flag(code="look-alike", message="same as trent", holds=True)
    result = whole_lab().model_copy(update={"tasks": (*held().tasks, cwgan(flags=(flag,)))})
    told = for_student(result)
    text = told.model_dump_json()
    assert not any(word in text for word in ("mallory", "trent", "918273645"))
    assert told.model_copy(update={"tasks": result.tasks}) == result


def test_what_the_sandbox_said_stays_with_staff() -> None:
    result = submission("a", task(Status.FAILED, log="Traceback of ours"))
    assert "Traceback" in result.model_dump_json() and "Traceback" not in for_student(result).model_dump_json()


def test_everything_else_stays() -> None:
    before, after = graded(), for_student(graded())
    assert after.tasks[0].flags == before.tasks[0].flags
    assert after.tasks[0].criteria == before.tasks[0].criteria
    assert after.model_copy(update={"tasks": before.tasks}) == before
