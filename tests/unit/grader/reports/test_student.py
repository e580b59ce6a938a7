import re

import pytest

from grader.models import Answer, Artifact, CellOutput, Edit, Essay, Fetch, Flag, Problem, Status, SubmissionResult
from grader.reports import figures, student
from grader.reports.pictures import data_uri

from .examples import (
    CLOTHES,
    CONFUSION,
    ESSAY_ROW,
    LATE,
    MANUAL,
    PROVENANCE,
    WHEN,
    criteria,
    cwgan,
    failed,
    graded,
    held,
    noise,
    submission,
    task,
    ungraded,
    untouched,
    whole_lab,
)
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
    assert "0 10.4 %, 1 16.2 %," in histogram and histogram.endswith("Even share 10.0 %.")


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
    names = {"class_names": tuple(ATTACK + str(i) for i in range(10))}
    result = submission(
        ATTACK,
        hostile,
        cwgan(title=ATTACK, **names),
        attempt=ATTACK,
        warnings=(ATTACK,),
        group_name=ATTACK,
        group=(ATTACK, ATTACK),
        manual=(ESSAY_ROW.model_copy(update={"title": ATTACK, "message": ATTACK}),),
        essays=(Essay(question="reflection", file=ATTACK, text=ATTACK),),
    )
    harmless = submission("a", *whole_lab().tasks, hostile, manual=(ESSAY_ROW,), essays=whole_lab().essays)
    pictures = {"vanilla": [Artifact(name="curves-1.png", data=noise(), caption=ATTACK)]}
    pictures["cwgan"] = [Artifact(name="samples.png", data=noise(), caption=ATTACK)]
    html = student.render(result, pictures)
    page = Page(html)
    assert_self_contained(page)
    assert len(page.all("img")) == 3 and all((image["src"] or "").startswith("data:image/png") for image in page.all("img"))
    assert page.text.count("<script>alert(1)</script>") > 80 and "{{7*7}}" in page.text
    assert not set(html) & set("\u202e\x1b\x00")
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in Page(student.render(harmless, {"cwgan": pictures["cwgan"]})).tags}


def test_every_task_has_its_own_section() -> None:
    one, two = graded().tasks[0], failed().tasks[0].model_copy(update={"task": "cwgan", "title": "Conditional WGAN"})
    page = Page(student.render(submission("a", one, two), {}))
    targets = {section["id"] for section in page.all("section")}
    assert {link["href"] for link in page.all("a")} == {f"#{target}" for target in targets} and len(targets) == 2


def confusion_cells(html: str) -> list[list[str]]:
    """The text of the cells of the page's confusion matrix, header cells left out."""
    (table,) = re.findall(r'<table class="confusion">.*?<tbody>(.*?)</tbody>', html, re.DOTALL)
    return [re.findall(r"<td [^>]*>([^<]*)</td>", row) for row in table.split("</tr>") if "<td" in row]


def test_the_confusion_matrix_shows_the_numbers_of_the_model() -> None:
    html = student.render(submission("a", cwgan()), {})
    assert confusion_cells(html) == [[str(count) for count in row] for row in CONFUSION]
    page = Page(html)
    titles = [cell["title"] for cell in page.all("td") if "title" in cell]
    assert len(titles) == 100 and "58 of 200 images asked for as “Shirt” look like “T-shirt/top” (29.0 %)" in titles
    assert "1,653 of 2,000 images look like the class that was asked for." in page.text
    assert [cell["class"] for cell in page.all("td") if "asked" in (cell.get("class") or "")] == [
        f"shade-{shade} asked" for shade in (6, 6, 6, 6, 6, 6, 5, 6, 6, 6)
    ]


def test_the_bars_by_class_name_every_class_and_value() -> None:
    labels = [svg.get("aria-label") or "" for svg in Page(student.render(submission("a", cwgan()), {})).all("svg")]
    (recognised,) = [label for label in labels if label.startswith("Share of each class’s images")]
    (fids,) = [label for label in labels if label.startswith("FID of each class")]
    assert "T-shirt/top 79.0 %, Trouser 97.0 %," in recognised and recognised.endswith("Chance 10.0 %.")
    assert "Shirt 88.4, Sneaker 36.2," in fids


def test_grids_of_a_conditional_task_have_a_name_above_each_column() -> None:
    pictures = [Artifact(name=name, data=noise(), caption="shown") for name in ("samples.png", "reference.png", "real.png")]
    html = student.render(submission("a", cwgan()), {"cwgan": pictures})
    heads = re.findall(r'<ol class="class-names"[^>]*>(.*?)</ol>', html)
    assert [re.findall(r"<li>(.*?)</li>", head) for head in heads] == [list(CLOTHES)] * 3
    alts = {image["alt"] for image in Page(html).all("img")}
    assert alts == {f"shown: a grid of images, a column for each of {', '.join(CLOTHES)}"}
    assert "digit" not in html.lower()


def test_without_images_a_conditional_task_shows_no_classes() -> None:
    nothing = cwgan(Status.FAILED, class_shares=(), confusion=(), class_fids=())
    html = student.render(submission("a", nothing), {})
    assert 'class="confusion"' not in html and "What you asked for" not in html


def test_a_distance_that_is_no_number_takes_its_chart_only() -> None:
    html = student.render(submission("a", cwgan(class_fids=(float("nan"),) * 10)), {})
    assert 'class="confusion"' in html and "FID of each class" not in html


def test_the_whole_lab_makes_a_sound_page(pictures: dict[str, list[Artifact]]) -> None:
    essay = Artifact(name="reflection-2.pdf", media_type="application/pdf", data=b"%PDF-1.7")
    grids = [Artifact(name="samples.png", data=noise())]
    page = Page(student.render(whole_lab(), pictures | {"cwgan": grids, "": [essay]}))
    assert_self_contained(page)
    assert_accessible(page)


def test_the_summary_leads_to_every_part() -> None:
    page = Page(student.render(whole_lab(), {}))
    sections = {section["id"] for section in page.all("section")}
    assert sections == {"task-1", "task-2", "lab-1"} == {(link["href"] or "")[1:] for link in page.all("a")}
    assert "DCGAN on MNIST Graded 85.41 / 100 – / 20 Conditional WGAN-GP on Fashion-MNIST Graded" in page.text
    assert "Reflection essay waits for your instructor – – / 20" in page.text


def test_being_late_is_said_and_taken_off() -> None:
    result = whole_lab()
    assert result.score is not None
    text = Page(student.render(result, {})).text
    left = f"{result.score - result.penalty:.2f}"
    assert f"{left} of 180 automatic points {result.score:.2f} less {result.penalty:.2f} for being late" in text
    assert f"10 % off for being late −{result.penalty:.2f} Automatic points {left} / 180" in text
    assert "2 days late, 1 of them free. 10 % of the score is taken off." in text


def test_the_grace_period_costs_nothing_and_punctuality_is_no_matter() -> None:
    grace = LATE.model_copy(update={"days": 0, "late_days": 0, "fraction": 0.0, "grace_used": True})
    text = Page(student.render(whole_lab().model_copy(update={"lateness": grace, "penalty": 0}), {})).text
    assert "within the grace period: nothing is taken off" in text and "being late" not in text
    on_time = grace.model_copy(update={"grace_used": False})
    text = Page(student.render(whole_lab().model_copy(update={"lateness": on_time, "penalty": 0}), {})).text
    assert "Due 3 March 2026" in text and not re.search(r"\blate\b|grace period", text)


def test_members_of_a_group_read_its_names() -> None:
    assert "Student grace Group g07 : grace , heidi" in Page(student.render(whole_lab(), {})).text
    assert "Group" not in Page(student.render(graded(), {})).text


def test_an_essay_is_text_or_a_link_to_the_file_beside_the_report() -> None:
    essay = Artifact(name="reflection-2.pdf", media_type="application/pdf", data=b"%PDF-1.7")
    page = Page(student.render(whole_lab(), {"": [essay]}))
    assert "# What I learnt The critic is *no* classifier." in page.text
    assert [link["href"] for link in page.all("a")][-1] == "./reflection-2.pdf"
    without = Page(student.render(whole_lab(), {}))
    assert "./reflection-2.pdf" not in {link["href"] for link in without.all("a")}


def test_a_link_to_an_essay_stays_beside_the_report() -> None:
    name = "javascript:alert(1)//../x"
    essays = (Essay(question="reflection", file="x.pdf", artifact=name),)
    kept = {"": [Artifact(name=name, media_type="application/pdf", data=b"%PDF-1.7")]}
    page = Page(student.render(whole_lab().model_copy(update={"essays": essays}), kept))
    assert_self_contained(page)
    href = page.all("a")[-1]["href"] or ""
    assert href.startswith("./") and href.count("/") == 1 and ":" not in href


def test_a_missing_essay_is_said_once() -> None:
    said = ESSAY_ROW.model_copy(update={"message": "nothing was handed in; expected reflection.pdf, .md or .txt"})
    text = Page(student.render(submission("a", cwgan(), manual=(said,)), {})).text
    assert text.count("nothing was handed in") == 1 and "Nothing was handed in" not in text
    assert "Nothing was handed in for this." in Page(student.render(submission("a", cwgan(), manual=(ESSAY_ROW,)), {})).text


def test_a_fetched_checkpoint_names_its_host_and_time() -> None:
    fetch = Fetch(lab="lab8", student="a", task="vanilla", link="https://x.org/a", at=WHEN, outcome="kept", host="cdn.x.org")
    origin = PROVENANCE.model_copy(update={"fetch": fetch})
    text = Page(student.render(submission("a", task(Status.GRADED, provenance=origin)), {})).text
    assert "Checkpoint fetched from cdn.x.org, 5 March 2026, 14:07 UTC" in text


@pytest.mark.parametrize("where", ["Rubric", "Template", "Your notebook", "Your checkpoint", "Reference data"])
def test_hashes_are_short_with_the_whole_in_the_title(where: str) -> None:
    page = Page(student.render(graded(), {}))
    assert re.search(rf"{where} sha256 [0-9a-f]{{12}}…", page.text)
    assert all(len(code["title"] or "") == 64 for code in page.all("code") if "title" in code)
