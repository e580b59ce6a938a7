import io
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grader import untrusted
from grader.errors import IntakeError
from grader.exports import Export, Person, read_export
from grader.untrusted import open_export, open_part

INDIA = timezone(timedelta(hours=5, minutes=30))
GRADESCOPE = """---
submission_101:
  :submitters:
  - :name: Ada Lovelace
    :sid: '00123'
    :email: ada@uni.example
  :created_at: 2026-11-30 23:12:11.123456000 +05:30
  :score: 0.0
  :results: !ruby/object:ActiveSupport::HashWithIndifferentAccess
    tests:
    - name: !!python/object/apply:os.system [exit 1]
      output: ":submitters:\\n- :name: mallory"
  :history:
  - :id: 99
    :created_at: 2026-11-28 10:00:00 Z
    :score: 0.0
submission_102:
  :submitters:
  - :name: Bob No
    :sid: 0o17
    :email: bob@uni.example
  - :name: Carol Null
    :sid:
    :email: carol@uni.example
  :created_at: 2026-12-01 00:00:00.5 Z
  :history: []
"""


def archive(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def unpacked(path: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def read(path: Path) -> Export | None:
    with open_export(path) as files:
        return read_export(files)


def export(tmp_path: Path, files: Mapping[str, str | bytes]) -> Export:
    """What is read from the archive, which must be what is read from the folder."""
    found = read(archive(tmp_path / "export.zip", files))
    assert found is not None
    assert found == read(unpacked(tmp_path / "export", files))
    return found


def test_gradescopes_export_names_people_times_and_history(tmp_path: Path) -> None:
    base = "assignment_8046_export/"
    files = {
        f"{base}submission_metadata.yml": GRADESCOPE,
        f"{base}submission_101/lab8_vanilla.ipynb": "1",
        f"{base}submission_101/runs/best.pt": "2",
        f"{base}submission_102/lab8_vanilla.ipynb": "3",
        "__MACOSX/assignment_8046_export/._submission_metadata.yml": "",
        f"{base}.DS_Store": "",
    }
    found = export(tmp_path, files)
    ada, group = found.entries
    assert found.platform == "Gradescope"
    assert ada.people == (Person("Ada Lovelace", "ada@uni.example", "00123", "Ada Lovelace submission_101"),)
    assert ada.submitted == datetime(2026, 11, 30, 23, 12, 11, 123456, INDIA)
    assert ada.earlier == (datetime(2026, 11, 28, 10, tzinfo=UTC),)
    assert ada.files == {
        "lab8_vanilla.ipynb": f"{base}submission_101/lab8_vanilla.ipynb",
        "runs/best.pt": f"{base}submission_101/runs/best.pt",
    }
    assert [(person.name, person.sid, person.email) for person in group.people] == [
        ("Bob No", "0o17", "bob@uni.example"),
        ("Carol Null", "", "carol@uni.example"),
    ]


@pytest.mark.parametrize("text", ["", "- a\n", "a: [", "a: {b: c}\n", "&a [*a]", "[" * 3_000_000, "x:\n " * 9])
def test_metadata_that_are_not_gradescopes_are_an_error_in_words(tmp_path: Path, text: str) -> None:
    with pytest.raises(IntakeError, match=r"submission_metadata\.yml .*download the export again"):
        read(archive(tmp_path / "x.zip", {"submission_metadata.yml": text}))


def test_metadata_deep_in_a_hand_in_make_no_export(tmp_path: Path) -> None:
    assert read(archive(tmp_path / "x.zip", {"a/b/submission_metadata.yml": GRADESCOPE})) is None


def test_moodles_export_with_and_without_folders(tmp_path: Path) -> None:
    folders = {
        "Ada Lovelace_123456_assignsubmission_file_/lab8_vanilla.ipynb": "1",
        "Ada Lovelace_123456_assignsubmission_file_/runs/best.pt": "2",
        "Ada Lovelace_123456_assignsubmission_onlinetext_/onlinetext.html": "<p>",
        "Émile Borel_9_assignsubmission_onlinetext_/onlinetext.html": "<p>",
        "Team A_77_assignsubmission_file_/x_1_assignsubmission_file_y.ipynb": "3",
    }
    flat = {name.replace("_/", "_"): data for name, data in folders.items() if "runs" not in name}
    for number, (files, best) in enumerate(((folders, {"runs/best.pt"}), (flat, set()))):
        (tmp_path / str(number)).mkdir()
        found = export(tmp_path / str(number), files)
        assert found.platform == "Moodle"
        assert {e.people[0]: set(e.files) for e in found.entries} == {
            Person("Ada Lovelace", key="Ada Lovelace_123456"): {"lab8_vanilla.ipynb"} | best,
            Person("Team A", key="Team A_77"): {"x_1_assignsubmission_file_y.ipynb"},
        }
        assert all(entry.submitted is None for entry in found.entries)


def test_canvas_export_of_files_with_names(tmp_path: Path) -> None:
    files = {
        "lovelaceada_12345_67890_lab8_vanilla.ipynb": "1",
        "lovelaceada_12345_67891_handin-1.pt": "2",
        "borelemile_LATE_12346_67892_210050001_lab8_vanilla.ipynb": "3",
        "group4_777_67893_checkpoint_links-2.txt": "4",
        "anon_Xy1_67894_lab8_vanilla.ipynb": "5",
        "LATE_anon_Zz9_67895_a-1.md": "6",
        "LATE_anon_Zz9_67896_a.md": "7",
        "lovelaceada_12345_text.html": "typed",
        "onlytext_1_link.html": "a link",
    }
    found = export(tmp_path, files)
    assert found.platform == "Canvas"
    assert {(e.people[0].name, e.people[0].key): set(e.files) for e in found.entries} == {
        ("lovelaceada", "lovelaceada_12345"): {"lab8_vanilla.ipynb", "handin.pt"},
        ("borelemile", "borelemile_12346"): {"210050001_lab8_vanilla.ipynb"},
        ("group4", "group4_777"): {"checkpoint_links.txt"},
        ("", "anon_Xy1"): {"lab8_vanilla.ipynb"},
        ("", "anon_Zz9"): {"a-1.md", "a.md"},  # one name for both would lose one
    }
    assert {e.people[0].key for e in found.entries if e.remark} == {"borelemile_12346", "anon_Zz9"}


@pytest.mark.parametrize(
    "names",
    [
        ("lab8_vanilla.ipynb", "handin.pt"),
        ("ada/1/lab8_vanilla.ipynb", "bob/1/lab8_vanilla.ipynb"),
        ("lab8_vanilla.ipynb", "lovelaceada_12345_67890_lab8_vanilla.ipynb"),
        ("Ada_1_assignsubmission_file_/a.ipynb", "other/b.ipynb"),
        (),
    ],
)
def test_other_folders_are_no_exports(tmp_path: Path, names: tuple[str, ...]) -> None:
    (tmp_path / "x").mkdir()
    assert read(unpacked(tmp_path / "x", dict.fromkeys(names, ""))) is None


word = st.sampled_from(
    ["ada", "LATE", "12", "7", "anon", "Xy", "lab8", "text.html", "assignsubmission", "file", "onlinetext", "", "a b"]
)
any_name = st.lists(word, min_size=1, max_size=7).map("_".join) | st.text(st.characters(blacklist_categories=["Cs"]), min_size=1)


class Listing:
    """Files of which only the names are known."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._names))

    def chunks(self, name: str, limit: int) -> io.BytesIO:
        return io.BytesIO(GRADESCOPE.encode())


@given(st.lists(any_name, max_size=6, unique=True))
@example(["_1_2_a"])
@example(["LATE_1_2_a-1.b"])
def test_no_file_belongs_to_two_and_none_is_made_up(names: list[str]) -> None:
    found = read_export(Listing(names))  # type: ignore[arg-type]
    inner = [name for entry in (found.entries if found else ()) for name in entry.files.values()]
    assert len(set(inner)) == len(inner)
    assert set(inner) <= set(names)
    assert not any(name.startswith("/") for entry in (found.entries if found else ()) for name in entry.files)


def files_of(path: Path, platform_index: int) -> dict[str, bytes]:
    found = read(path)
    assert found is not None
    part = found.entries[platform_index].files
    with open_part(path, part) as files:
        return {name: b"".join(files.chunks(name, 100)) for name in files.names()}


def test_one_students_trap_costs_the_others_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    base = "assignment_1_export/"
    good, evil = f"{base}submission_101/lab8_vanilla.ipynb", f"{base}submission_102/"
    for trap, why in (
        ("../submission_101/handin.pt", "leads out"),
        ("a\\b", "backslash"),
        ("link", "link or device"),
        ("a\nb", "not plain"),
    ):
        entry = zipfile.ZipInfo(evil + trap)
        entry.external_attr = (0o120777 if trap == "link" else 0o100644) << 16
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(f"{base}submission_metadata.yml", GRADESCOPE)
            file.writestr(good, "good")
            file.writestr(evil + "lab8_vanilla.ipynb", "bad")
            file.writestr(entry, "/etc/passwd")
        assert files_of(path, 0) == {"lab8_vanilla.ipynb": b"good"}
        found = read(path)
        assert found is not None
        with pytest.raises(IntakeError, match=why), open_part(path, found.entries[1].files):
            pytest.fail("a hand-in with one unsafe entry is refused before anything is read")


def test_links_in_an_unpacked_export_are_refused(tmp_path: Path) -> None:
    folder = unpacked(tmp_path / "x", {"submission_metadata.yml": GRADESCOPE, "submission_101/a": "1", "submission_102/b": "2"})
    (folder / "submission_102" / "trap").symlink_to("/etc/passwd")
    assert files_of(folder, 0) == {"a": b"1"}
    with pytest.raises(IntakeError, match="symbolic link"):
        files_of(folder, 1)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_students_own_archive_in_the_export_is_opened(tmp_path: Path, zipped: bool) -> None:
    inner = archive(tmp_path / "mine.zip", {"lab/lab8_vanilla.ipynb": "1", "lab/handin.pt": "2"}).read_bytes()
    files = {"lovelaceada_12345_67890_my lab.zip": inner, "borelemile_12346_67892_a.ipynb": "3"}
    path = archive(tmp_path / "x.zip", files) if zipped else unpacked(tmp_path / "x", files)
    assert files_of(path, 1) == {"lab/lab8_vanilla.ipynb": b"1", "lab/handin.pt": b"2"}


def test_an_unsafe_archive_in_the_export_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = archive(tmp_path / "evil.zip", {"../a": "1"}).read_bytes()
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.ipynb", bytes(10_000_000))
    path = archive(tmp_path / "x.zip", {"a_1_2_x.zip": evil, "b_3_4_x.zip": bomb.getvalue(), "c_5_6_x.zip": b"junk"})
    with pytest.raises(IntakeError, match="leads out"):
        files_of(path, 0)
    with pytest.raises(IntakeError, match="too large"):
        files_of(path, 1)
    with pytest.raises(IntakeError, match="not a sound zip"):
        files_of(path, 2)
    monkeypatch.setattr(untrusted, "MAX_NESTED", 10)
    with pytest.raises(IntakeError, match="too large"):
        files_of(path, 0)


def test_the_caps_of_a_hand_in_hold_for_one_in_an_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "x.zip", {"a_1_2_x.md": "1", "a_1_3_y.md": "2", "b_4_5_x.md": "3"})
    monkeypatch.setattr(untrusted, "MAX_ENTRIES", 1)
    assert files_of(path, 1) == {"x.md": b"3"}
    with pytest.raises(IntakeError, match="more than 1 files"):
        files_of(path, 0)
    monkeypatch.setattr(untrusted, "MAX_EXPORT_ENTRIES", 2)
    with pytest.raises(IntakeError, match="has 3 entries"):
        read(path)
