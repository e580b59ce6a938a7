import statistics

import pytest

from grader.models import Artifact, Flag, Level, Status
from grader.reports import index

from .examples import (
    EVERY_KIND,
    LATE,
    PROVENANCE,
    criteria,
    cwgan,
    failed,
    graded,
    held,
    noise,
    pending,
    submission,
    task,
    untouched,
    whole_lab,
)
from .pages import Page, assert_accessible, assert_self_contained

TITLE = "Generative adversarial networks"


def class_page(**options: object) -> Page:
    return Page(index.render([build() for build in EVERY_KIND], **({"thumbnails": {}, "lab_title": TITLE} | options)))


def test_the_page_is_sound_and_links_every_report() -> None:
    page = class_page()
    assert_self_contained(page)
    assert_accessible(page)
    names = ("alice", "bob", "carol", "dave", "erin", "frank")
    assert {f"./{name}/report.html" for name in names} == {link["href"] for link in page.all("a")}


def test_counts_and_averages_leave_out_what_does_not_count() -> None:
    page = class_page()
    scores = [
        r.score for r in (b() for b in EVERY_KIND) if r.status not in (Status.HELD, Status.UNGRADED) and r.score is not None
    ]
    assert f"Mean {statistics.fmean(scores):.2f} Median {statistics.median(scores):.2f}" in page.text
    assert "Students 6" in page.text and "failed 2" in page.text and "held 1" in page.text and "ungraded 1" in page.text
    assert "4 students whose score counts" in page.text


def test_held_and_ungraded_say_why_to_staff() -> None:
    text = class_page().text
    assert "dave held DCGAN on MNIST 98 % are copies of training images, as in the hand-in of mallory" in text
    assert "erin ungraded DCGAN on MNIST no sandbox could be started on the grading machine" in text


def test_staff_read_what_the_sandbox_said_and_it_is_text() -> None:
    loud = submission("eve", task(Status.FAILED, log="<script>alert(1)</script> RecursionError"))
    page = Page(index.render([loud, graded()], {}, TITLE))
    assert_self_contained(page)
    assert "What the sandbox said" in page.text and "<script>alert(1)</script> RecursionError" in page.text
    assert "What the sandbox said" not in Page(index.render([graded()], {}, TITLE)).text


def test_an_ungraded_hand_in_without_tasks_is_listed_with_its_warning() -> None:
    result = submission("zoe", task(Status.GRADED), status=Status.UNGRADED, warnings=("disk full",))
    assert "zoe ungraded – disk full" in Page(index.render([result], {}, TITLE)).text


def test_rows_stand_by_name_whatever_the_order_given() -> None:
    results = [submission(name, task(Status.GRADED, criteria())) for name in ("bob", "Anna", "clara", "Bob")]
    page = Page(index.render(results, {}, TITLE))
    assert [link["href"] for link in page.all("a")] == [f"./{n}/report.html" for n in ("Anna", "Bob", "bob", "clara")]


@pytest.mark.parametrize(
    "name", ["../../x", "javascript:alert(1)", "//evil.org", "a b?c#d", '"><script>alert(1)</script>', "ä/ö", "a%2fb"]
)
def test_a_link_leads_into_the_results_folder_only(name: str) -> None:
    page = Page(index.render([submission(name, task(Status.GRADED))], {}, TITLE))
    assert_self_contained(page)
    (link,) = page.all("a")
    href = link["href"] or ""
    assert href.startswith("./") and href.endswith("/report.html") and href.count("/") == 2 and not set(href) & set(' ?#:"<')


def test_small_thumbnails_are_shown_and_large_ones_left_out() -> None:
    small, large = Artifact(name="s.png", data=noise()), Artifact(name="s.png", data=noise(size=64))
    assert len(large.data) > index.THUMBNAIL_BYTES
    page = class_page(thumbnails={("alice", "vanilla"): small, ("bob", "vanilla"): large, ("carol", "vanilla"): None})
    assert len(page.all("img")) == 1
    assert_accessible(page)


def test_a_large_class_gets_a_light_page() -> None:
    one = graded()
    results = [one.model_copy(update={"student": f"s{i:04d}", "tasks": (*one.tasks, cwgan())}) for i in range(2000)]
    html = index.render(results, {(r.student, "vanilla"): Artifact(name="s.png", data=noise()) for r in results}, TITLE)
    assert "<img" not in html and html.count("./s") == 2000 and len(html) < 2_000_000


def test_each_task_has_a_column_where_there_are_several() -> None:
    two = task(Status.FAILED, score=12.5, task="cwgan", title="Conditional WGAN")
    page = Page(index.render([submission("a", task(Status.GRADED, criteria()), two), graded()], {}, TITLE))
    assert "DCGAN on MNIST Conditional WGAN Remarks" in page.text and "85.41 12.50" in page.text and "85.41 –" in page.text


def test_it_says_where_the_scores_come_from() -> None:
    weak = task(Status.GRADED, provenance=PROVENANCE.model_copy(update={"sandbox_level": Level.NONE, "pack_public": True}))
    text = Page(index.render([graded(), submission("b", weak)], {}, TITLE)).text
    assert "mnist (9ac09ac09ac0, private)" in text and "mnist (9ac09ac09ac0, public)" in text
    assert "0.1.0 (2)" in text and "strong (1) , none (1)" in text and "weak confinement" in text
    assert "weak confinement" not in Page(index.render([graded()], {}, TITLE)).text


def test_flags_are_named_with_their_message_at_hand() -> None:
    flagged = submission("a", task(Status.GRADED, flags=(Flag(code="seed-mismatch", message="differs slightly"),)))
    page = Page(index.render([flagged], {}, TITLE))
    assert "seed-mismatch" in page.text and [s for s in page.all("span") if s.get("title") == "differs slightly"]


def test_each_criterion_has_its_distribution_beside_its_counts() -> None:
    page = class_page()
    labels = [svg.get("aria-label") or "" for svg in page.all("svg")]
    spreads = [label for label in labels if label.startswith("Students by points")]
    assert len(spreads) == 1 + len(criteria())
    median = statistics.median(build().score or 0.0 for build in (graded, failed, untouched, pending))
    assert spreads[0] == f"Students by points: 0–10 %: 1; 10–20 %: 1; 80–90 %: 2; median {median:.2f} of 100."
    assert "4 students scored; left out: 1 held, 1 ungraded." in page.text
    assert "Loss of the generator 0.00 / 5 0 4 4" in page.text


def test_a_class_of_which_nothing_counts_has_no_distribution() -> None:
    page = Page(index.render([held()], {}, TITLE))
    assert "All automatic points – – / 100 0 0 0" in page.text and "left out: 1 held" in page.text
    assert_accessible(page)


def test_the_penalty_is_taken_off_and_named() -> None:
    result = whole_lab()
    assert result.score is not None
    page = Page(index.render([result], {}, TITLE))
    assert f"{result.score - result.penalty:.2f} / 180" in page.text
    assert f"2 days late, −{result.penalty:.2f}" in page.text and "group g07" in page.text
    free = Page(index.render([graded().model_copy(update={"lateness": LATE.model_copy(update={"days": 0})})], {}, TITLE))
    assert "late" not in free.text


def test_an_empty_class_has_a_page_too() -> None:
    page = Page(index.render([], {}, TITLE))
    assert "No hand-ins yet." in page.text and "Mean –" in page.text
    assert_accessible(page)
