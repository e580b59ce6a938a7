import re

import pytest

from grader.models import Answer, Artifact, CellOutput, Edit, Flag, Problem, Status, SubmissionResult
from grader.reports import figures, student
from grader.reports.pictures import data_uri

from .examples import MANUAL, criteria, failed, graded, held, noise, submission, task, ungraded, untouched
from .pages import Page, assert_accessible, assert_self_contained

ATTACK = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'{{7*7}}\u202e\x1b[31m\x00"


def test_every_kind_of_result_makes_a_sound_page(any_result: SubmissionResult, pictures: dict[str, list[Artifact]]) -> None:
    page = Page(student.render(any_result, pictures))
    assert_self_contained(page)
    assert_accessible(page)


def test_the_page_shows_the_numbers_of_the_model(any_result: SubmissionResult) -> None:
    text = Page(student.render(any_result, {})).text
    assert any_result.student in text and any_result.attempt in text and any_result.lab_title in text
    for result in any_result.tasks:
        for row in (*result.criteria, *result.manual):
            assert row.title in text
            assert f"{figures.points(row.score)} / {figures.most(row.points)}" in text
            if row.metric is not None:
                assert figures.measured(row.metric.value) in text
        assert f"{figures.points(result.score)} / {figures.most(result.max_score)}" in text
    assert "20 points that your instructor gives by hand" in text


def test_the_interval_of_a_metric_stands_beside_its_value() -> None:
    page = Page(student.render(graded(), {}))
    labels = [svg["aria-label"] for svg in page.all("svg") if svg.get("role") == "img"]
    (fid,) = [label for label in labels if label and label.startswith("fid2k")]
    assert fid == (
        "fid2k_test_indomain: 33.72, 95 % interval 32.41 to 35.03; no points at 120, all points from 12, real images score 1.043."
    )
    assert "33.72 32.41 to 35.03" in page.text


def test_the_histogram_names_every_class_and_the_even_share() -> None:
    labels = [svg["aria-label"] or "" for svg in Page(student.render(graded(), {})).all("svg") if svg.get("role") == "img"]
    (histogram,) = [label for label in labels if label.startswith("Share")]
    assert "0 10.4 %, 1 16.2 %," in histogram and histogram.endswith("An even share is 10.0 %.")


def test_what_lost_points_comes_first_with_what_to_try() -> None:
    text = Page(student.render(graded(), {})).text
    assert re.search(r"lost on Quality: distance to real digits \(−8\.04\) ; Loss of the generator \(−5\.00\) ; Diversity", text)
    assert "Try: The loss is the mean of −log D(G(z)): mind the sign." in text
    assert "Try: Draw fresh noise" not in text


def test_a_failure_names_the_place_and_what_to_do() -> None:
    page = Page(student.render(failed(), {}))
    assert "cell 9, line 4, TODO generator_forward" in page.text
    assert "x = self.fc(z.view(-1, 784))" in page.text and "Try: Print x.shape before the line" in page.text
    assert page.text.count("shapes cannot be multiplied") == 1, "rows refer to the problem instead of repeating it"


def test_open_todos_are_named() -> None:
    assert "discriminator_loss, generator_loss, generate" in Page(student.render(untouched(), {})).text


def test_students_read_neutral_words_and_no_name_but_their_own() -> None:
    html = student.render(held(), {})
    text = Page(html).text
    assert "Waiting for a person to look at it" in text and "close to images of the data set" in text
    assert "mallory" not in html and "memorisation" not in html and "copies" not in html


def test_the_seeds_of_the_challenge_are_not_shown() -> None:
    assert "918273645" not in student.render(graded(), {})


def test_ungraded_is_no_zero_and_nobodys_fault() -> None:
    text = Page(student.render(ungraded(), {})).text
    assert "Not graded yet; this is not your fault" in text and "0.00" not in text and "What went wrong" not in text


def test_edits_are_shown_as_without_effect() -> None:
    page = Page(student.render(graded(), {}))
    assert "These had no effect on your grade" in page.text and "Cell 4 · the cell that loads the data was changed" in page.text
    lines = {span["class"] for span in page.all("span") if span.get("class") in ("add", "del", "at", "same")}
    assert lines == {"add", "del", "at", "same"}
    assert "--- template" not in page.text


def test_a_removed_line_that_looks_like_a_header_stays() -> None:
    diff = "--- template\n+++ yours\n@@ -1 +1 @@\n--- dashes\n+++ pluses"
    edit = Edit(kind="changed", cell=1, message="changed", diff=diff)
    text = Page(student.render(submission("a", task(Status.GRADED, edits=(edit,))), {})).text
    assert "--- dashes" in text and "+++ pluses" in text and "template" not in text


def test_curves_are_labelled_as_not_verified(pictures: dict[str, list[Artifact]]) -> None:
    assert "From your submitted notebook, not verified." in Page(student.render(graded(), pictures)).text
    assert "not verified" not in student.render(graded(), {})


def test_pictures_appear_in_order_with_a_caption(pictures: dict[str, list[Artifact]]) -> None:
    page = Page(student.render(graded(), {"vanilla": pictures["vanilla"][::-1]}))
    assert [image["alt"] for image in page.all("img")][:3] == [
        f"{name}: a grid of images" for name in ("Your samples", "Reference model", "Real images")
    ]
    assert len(page.all("img")) == 5


def test_curves_stand_in_the_order_of_their_cells() -> None:
    curves = [Artifact(name=f"curves-{n}.png", data=noise(), caption=f"cell {n}") for n in (10, 9, 2)]
    text = Page(student.render(graded(), {"vanilla": curves})).text
    assert text.index("cell 2") < text.index("cell 9") < text.index("cell 10")


def test_unsound_and_surplus_pictures_are_left_out_and_counted() -> None:
    bad = Artifact(name="curves-0.png", data=b"\x89PNG\r\n\x1a\nbomb")
    good = [Artifact(name=f"curves-{n}.png", data=noise()) for n in range(1, student.MAX_STUDENT_PICTURES + 3)]
    page = Page(student.render(graded(), {"vanilla": [bad, *good]}))
    assert len(page.all("img")) == student.MAX_STUDENT_PICTURES
    assert "3 more are not shown." in page.text


def test_answers_wait_for_the_instructor() -> None:
    page = Page(student.render(graded(), {}))
    assert "Deep convolutional" in page.text and "waits for your instructor – / 5" in page.text
    assert "No answer was found in this cell." in page.text


def test_an_answer_that_a_person_has_graded_shows_points() -> None:
    row = MANUAL[0].model_copy(update={"status": Status.GRADED, "score": 4.0, "message": "mostly right"})
    text = Page(student.render(submission("a", task(Status.GRADED, criteria(), manual=(row,))), {})).text
    assert "part of the points 4.00 / 5" in text and "mostly right" in text


def test_attachments_are_images_or_nothing() -> None:
    sound = data_uri("image/png", noise()) or ""
    attachments = {
        "a.png": sound,
        "b.svg": "data:image/svg+xml;base64,PHN2Zy8+",
        "c": "javascript:alert(1)",
        "d": "https://x.org/a.png",
    }
    answer = Answer(question="q_dc", text="see picture", attachments=attachments)
    page = Page(student.render(submission("a", task(Status.GRADED, answers=(answer,))), {}))
    assert [image["src"] for image in page.all("img")] == [sound]
    assert "3 attachments are not shown here" in page.text
    assert_self_contained(page)


def test_what_students_write_stays_text() -> None:
    """Stored attacks through every field that a student controls."""
    hostile = task(
        Status.HELD,
        tuple(row.model_copy(update={"message": ATTACK, "advice": ATTACK}) for row in criteria()),
        problems=(
            Problem(code="x", message=ATTACK, advice=ATTACK, todo=ATTACK, cell=1, line=1, source=ATTACK, traceback=ATTACK),
        ),
        edits=(Edit(kind="changed", cell=1, message=ATTACK, diff=f"@@ {ATTACK}\n+{ATTACK}\n-{ATTACK}"),),
        outputs=(CellOutput(cell=1, todo=ATTACK, text=ATTACK, error=ATTACK),),
        answers=(Answer(question=ATTACK, text=ATTACK, attachments={ATTACK: data_uri("image/png", noise()) or ""}),),
        flags=(Flag(code=ATTACK, message=ATTACK),),
        advice=(ATTACK,),
        class_shares=(0.5, 0.5),
        class_names=(ATTACK, "b"),
    )
    result = submission(ATTACK, hostile, attempt=ATTACK, warnings=(ATTACK,))
    harmless = submission("a", hostile.model_copy(update={"class_names": ("a", "b")}))
    html = student.render(result, {"vanilla": [Artifact(name="curves-1.png", data=noise(), caption=ATTACK)]})
    page = Page(html)
    assert_self_contained(page)
    assert len(page.all("img")) == 2 and all((image["src"] or "").startswith("data:image/png") for image in page.all("img"))
    assert page.text.count("<script>alert(1)</script>") > 15 and "{{7*7}}" in page.text
    assert not set(html) & set("\u202e\x1b\x00")
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in Page(student.render(harmless, {})).tags} | {"img", "figure"}


def test_every_task_has_its_own_section() -> None:
    one, two = graded().tasks[0], failed().tasks[0].model_copy(update={"task": "cwgan", "title": "Conditional WGAN"})
    page = Page(student.render(submission("a", one, two), {}))
    targets = {section["id"] for section in page.all("section")}
    assert {link["href"] for link in page.all("a")} == {f"#{target}" for target in targets} and len(targets) == 2


@pytest.mark.parametrize("where", ["Rubric", "Template", "Your notebook", "Your checkpoint", "Reference data"])
def test_hashes_are_short_with_the_whole_in_the_title(where: str) -> None:
    page = Page(student.render(graded(), {}))
    assert re.search(rf"{where} sha256 [0-9a-f]{{12}}…", page.text)
    assert all(len(code["title"] or "") == 64 for code in page.all("code") if "title" in code)
