from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grader.essay import MAX_TEXT, Essays, collect, essay_files
from grader.models import Status
from grader.spec import EssayCriterion

ANY = EssayCriterion(file="reflection.*", title="Essay", points=15)


def collected(folder: Path, files: dict[str, bytes], refused: dict[str, str] | None = None) -> Essays:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return collect((ANY,), folder, refused or {})


def message(essays: Essays) -> str:
    (row,) = essays.rows
    assert (row.name, row.title, row.kind, row.status, row.points, row.score) == (
        "reflection",
        "Essay",
        "manual",
        Status.PENDING,
        15,
        None,
    )
    return row.message


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Schrödinger".encode(), "Schrödinger"),
        ("\ufeffé".encode(), "é"),
        ("é".encode("latin-1"), "é"),
        ("数".encode("utf-16"), "数"),
        (b"<script>", "<script>"),
    ],
)
def test_texts_are_kept_as_they_are_whatever_their_encoding(tmp_path: Path, data: bytes, text: str) -> None:
    found = collected(tmp_path, {"reflection.md": data})
    assert [(e.question, e.file, e.text) for e in found.essays] == [("reflection", "reflection.md", text)]
    assert (found.artifacts, message(found)) == ((), "")


@given(data=st.binary(max_size=200))
def test_any_bytes_become_text_that_can_be_stored(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    (essay,) = collected(tmp_path_factory.mktemp("x"), {"reflection.txt": data}).essays
    essay.text.encode()
    assert essay.model_validate_json(essay.model_dump_json()) == essay


def test_long_texts_are_cut_and_it_is_said(tmp_path: Path) -> None:
    found = collected(tmp_path, {"reflection.txt": b"x" * (MAX_TEXT + 1)})
    assert len(found.essays[0].text) == MAX_TEXT
    assert message(found) == "reflection.txt is long: its first 100,000 characters are shown"


def test_a_pdf_is_kept_and_not_looked_into(tmp_path: Path) -> None:
    found = collected(tmp_path, {"reflection.pdf": b"%PDF-\xff\x00", "reflection.v2.PDF": b"%PDF-2"})
    assert [(a.name, a.media_type, a.data, a.caption) for a in found.artifacts] == [
        ("reflection.pdf", "application/pdf", b"%PDF-\xff\x00", "reflection.pdf"),
        ("reflection-2.pdf", "application/pdf", b"%PDF-2", "reflection.v2.PDF"),
    ]
    assert [(e.artifact, e.text) for e in found.essays] == [("reflection.pdf", ""), ("reflection-2.pdf", "")]


@pytest.mark.parametrize(
    ("files", "refused", "words"),
    [
        ({}, {}, "nothing was handed in; expected reflection.pdf, .md or .txt"),
        ({"notes.md": b""}, {}, "nothing was handed in"),
        ({"reflection.pdf": b"<html>"}, {}, "reflection.pdf is no PDF file"),
        (
            {"reflection.docx": b"PK"},
            {},
            "reflection.docx is not of a kind that can be shown; ask for reflection.pdf, .md or .txt",
        ),
        ({}, {"reflection.pdf": "'reflection.pdf' is too large: more than 50 MB"}, "too large: more than 50 MB"),
    ],
)
def test_what_is_missing_is_said_and_still_waits_for_a_person(
    tmp_path: Path, files: dict[str, bytes], refused: dict[str, str], words: str
) -> None:
    found = collected(tmp_path, files, refused)
    assert words in message(found)
    assert found.essays == found.artifacts == ()


def test_a_hand_in_that_cannot_be_read_has_its_row_too() -> None:
    assert message(collect((ANY,), None, {})) == "the hand-in could not be read"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("reflection.pdf", "reflection.md", "my reflection.txt"), ("reflection.pdf", "reflection.md")),
        (("REFLECTION.Md",), ("REFLECTION.Md",)),
        (("ada_reflection (1).pdf", "reflections.pdf"), ("ada_reflection (1).pdf",)),
        (("deep/reflection.pdf", "reflection", "prereflection.pdf"), ()),
    ],
)
def test_renamed_essays_are_found_where_no_other_is(names: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert essay_files("reflection.*", names) == found
