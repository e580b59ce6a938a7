import statistics

from hypothesis import given
from hypothesis import strategies as st

from grader.models import Status, SubmissionResult
from grader.reports import distributions
from grader.reports.distributions import TaskSpread

from .examples import EVERY_KIND, MANUAL, criteria, cwgan, graded, held, submission, task, ungraded, unit_row

unit_scores = st.sampled_from([0.0, 5.0]) | st.floats(0, 5)
kinds = st.sampled_from([Status.GRADED, Status.FAILED, Status.PENDING, Status.HELD, Status.UNGRADED])


def one(student: str, score: float, status: Status) -> SubmissionResult:
    return submission(student, task(status, (unit_row("u", "Unit", score, ""),), max_score=5))


def spread(results: list[SubmissionResult]) -> TaskSpread:
    (found,) = distributions.by_task(results)
    return found


@given(st.lists(st.tuples(unit_scores, kinds), min_size=1, max_size=40))
def test_whoever_is_scored_is_in_one_bin_and_the_others_are_said_to_be_left_out(entries: list[tuple[float, Status]]) -> None:
    found = spread([one(str(i), score, status) for i, (score, status) in enumerate(entries)])
    scores = [score for score, status in entries if status not in (Status.HELD, Status.UNGRADED)]
    assert found.whole.scored + sum(count for _, count in found.left_out) == len(entries)
    for row in (found.whole, *found.rows):
        assert sum(bar.value for bar in row.bars) == row.scored == len(scores)
        assert row.median == (statistics.median(scores) if scores else None)
        assert row.full == sum(score >= 4.995 for score in scores) and row.zero == sum(score <= 0.005 for score in scores)
    assert not found.rows or scores


def test_each_task_and_criterion_has_its_own_row() -> None:
    both = [submission(name, graded().tasks[0], cwgan()) for name in ("a", "b")]
    vanilla, conditional = distributions.by_task([*both, graded()])
    assert [row.title for row in vanilla.rows] == [c.title for c in criteria()]
    assert (vanilla.whole.scored, conditional.whole.scored) == (3, 2)
    assert vanilla.whole.points == 100 and vanilla.whole.median == graded().tasks[0].score
    assert [row.points for row in conditional.rows] == [c.points for c in cwgan().criteria]


def test_a_task_that_stands_counts_beside_one_that_does_not() -> None:
    result = submission("a", held().tasks[0], cwgan(), status=Status.HELD)
    vanilla, conditional = distributions.by_task([result])
    assert (vanilla.whole.scored, vanilla.left_out, vanilla.whole.median) == (0, ((Status.HELD, 1),), None)
    assert (conditional.whole.scored, conditional.left_out) == (1, ())


def test_a_hand_in_held_as_a_whole_is_left_out_with_all_its_tasks() -> None:
    result = submission("a", graded().tasks[0], cwgan(), status=Status.HELD)
    assert [found.left_out for found in distributions.by_task([result])] == [((Status.HELD, 1),)] * 2


def test_failures_count_and_held_and_ungraded_do_not() -> None:
    found = spread([build() for build in EVERY_KIND])
    assert found.whole.scored == 4 and found.left_out == ((Status.HELD, 1), (Status.UNGRADED, 1))
    assert found.whole.zero == 1  # the untouched template


def test_points_given_by_hand_appear_once_there_are_some() -> None:
    row = MANUAL[0].model_copy(update={"status": Status.GRADED, "score": 4.0})
    by_hand = submission("a", task(Status.GRADED, criteria(), manual=(row, MANUAL[1])))
    found = spread([by_hand, graded()])
    assert found.rows[-1].title == "What DC stands for" and (found.rows[-1].scored, found.rows[-1].median) == (1, 4.0)


def test_no_results_no_distributions() -> None:
    assert distributions.by_task([]) == ()
    assert spread([ungraded()]).rows == ()
