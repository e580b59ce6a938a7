import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from grader import intake
from grader.discovery import discover, natural
from grader.errors import IntakeError, UsageError
from grader.intake import Handin, Submission, student_id, take
from grader.models import Problem
from grader.spec import EssayCriterion, Lab, LabSpec, Limits, Task, UnitCriterion

CHECK = (UnitCriterion(unit="generator_shape", points=1),)


def task(id: str) -> Task:
    limits = Limits(checkpoint_mb=1)
    return Task(id=id, notebook=f"lab8_{id}.ipynb", dataset="mnist", shape=(28, 28), criterion=CHECK, limits=limits)


def spec(*ids: str) -> LabSpec:
    return LabSpec(lab=Lab(id="lab8", title="Lab", files=("*.ipynb", "reflection.*")), task=tuple(map(task, ids)))


ONE, TWO = spec("vanilla"), spec("vanilla", "cwgan")


def write(root: Path, *names: str, data: bytes = b"{}") -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def pack(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, name)
    return path


def handin(path: Path) -> Handin:
    return Handin("s", "s", "1", path, ("1",))


def taken(path: Path, lab: LabSpec = ONE) -> Submission:
    return take(handin(path), path.parent / f"{path.name}-copy", lab)


def files(submission: Submission) -> set[str]:
    return {str(path.relative_to(submission.root)) for path in submission.root.rglob("*") if path.is_file()}


def found(folder: Path) -> list[tuple[str, str, str]]:
    return [(h.student, h.attempt, str(h.path.relative_to(folder))) for h in discover(folder)]


def test_discover_in_a_lab_folder(tmp_path: Path) -> None:
    write(tmp_path, "lab.toml", "results/index.html")
    write(tmp_path / "submissions", "bob/1/a.ipynb", "alice/attempt-9/a.ipynb", "alice/attempt-10/a.ipynb", "roster.csv")
    pack(tmp_path / "submissions" / "carl.zip", "a.ipynb")
    pack(tmp_path / "submissions" / "dora" / "first.zip", "a.ipynb")
    write(tmp_path / "submissions", "eve/a.ipynb", "eve/deep/x.txt", ".hidden/a.ipynb", "__MACOSX/a.ipynb")
    (tmp_path / "submissions" / "fay").mkdir()
    assert found(tmp_path) == [
        ("alice", "attempt-10", "submissions/alice/attempt-10"),
        ("bob", "1", "submissions/bob/1"),
        ("carl", "1", "submissions/carl.zip"),
        ("dora", "first", "submissions/dora/first.zip"),
        ("eve", "1", "submissions/eve"),
        ("fay", "1", "submissions/fay"),
    ]
    assert discover(tmp_path)[0].attempts == ("attempt-9", "attempt-10")


def test_discover_in_a_folder_of_students_with_other_files_beside(tmp_path: Path) -> None:
    write(tmp_path, "roster.csv", "x/a.ipynb", "y/a.ipynb")
    assert [student for student, _, _ in found(tmp_path)] == ["x", "y"]


def test_discover_a_single_hand_in(tmp_path: Path) -> None:
    write(tmp_path / "zoe", "lab8_vanilla.ipynb")
    (single,) = discover(tmp_path / "zoe")
    assert (single.student, single.path) == ("zoe", tmp_path / "zoe")
    (single,) = discover(pack(tmp_path / "yan.zip", "a.ipynb"))
    assert single.student == "yan"


def test_discover_finds_nothing_in_a_fresh_lab_folder(tmp_path: Path) -> None:
    write(tmp_path, "lab.toml", "lab8_vanilla.ipynb")
    assert discover(tmp_path) == ()


def test_discover_refuses_what_is_no_hand_in(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        discover(tmp_path / "no")
    with pytest.raises(UsageError, match=r"expected a folder or a \.zip"):
        discover(write(tmp_path, "a.ipynb") / "a.ipynb")
    pack(tmp_path / "submissions" / "x.zip", "a.ipynb")
    write(tmp_path / "submissions", "x/a.ipynb")
    with pytest.raises(UsageError, match="both a folder and an archive of x"):
        discover(tmp_path)


def test_names_that_become_one_id_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path / "submissions", "a b/a.ipynb", "a_b/a.ipynb", "A B/a.ipynb", "c/a.ipynb")
    ids = [h.student for h in discover(tmp_path)]
    assert len({id.casefold() for id in ids}) == 4
    assert "c" in ids


@given(st.text(max_size=300))
@example("../../etc/passwd")
@example("..")
@example("\udc80x")
@example("a/b\\c:d\0")
def test_student_ids_are_safe_as_file_names(name: str) -> None:
    id = student_id(name)
    assert 0 < len(id.encode()) <= 100
    assert not set(id) & set("/\\:\0\n\"'<>|*? ")
    assert id[0] not in ".-_"
    assert student_id(id) == id


@pytest.mark.parametrize("name", ["23m0001", "first.last@uni.example", "Ana-María"])
def test_plain_ids_stay_as_they_are(name: str) -> None:
    assert student_id(name) == name


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=6))
def test_attempts_sort_by_their_numbers(numbers: list[int]) -> None:
    names = [f"attempt-{number}" for number in numbers]
    assert sorted(names, key=natural) == [f"attempt-{number}" for number in sorted(numbers)]


def test_take_copies_what_the_lab_asks_for_and_nothing_else(tmp_path: Path) -> None:
    path = write(tmp_path / "h", "lab8_vanilla.ipynb", "handin.pt", "resume.pt", "reflection.pdf", "evil.py", "data/x.bin")
    submission = taken(path)
    assert files(submission) == {"lab8_vanilla.ipynb", "handin.pt", "reflection.pdf"}
    assert submission.notebook("vanilla") == submission.root / "lab8_vanilla.ipynb"
    assert (submission.warnings, submission.refused, submission.links) == ((), {}, {})


def test_take_follows_the_links_inside_the_hand_in(tmp_path: Path) -> None:
    path = write(tmp_path / "h", "lab8_vanilla.ipynb", "runs/best.pt", "other.pt")
    (path / "checkpoint_links.txt").write_text("vanilla: runs\\best.pt\r\n")
    submission = taken(path)
    assert files(submission) == {"lab8_vanilla.ipynb", "checkpoint_links.txt", "runs/best.pt"}
    assert submission.links == {"vanilla": "runs\\best.pt"}


@pytest.mark.parametrize("link", ["/etc/passwd", "../../secret.pt", "file:///etc/passwd", "C:\\x.pt"])
def test_take_copies_nothing_from_elsewhere(tmp_path: Path, link: str) -> None:
    write(tmp_path, "secret.pt")
    path = write(tmp_path / "h", "lab8_vanilla.ipynb")
    (path / "checkpoint_links.txt").write_text(link)
    assert files(taken(path)) == {"lab8_vanilla.ipynb", "checkpoint_links.txt"}


def test_take_from_an_archive_with_a_folder_in_it(tmp_path: Path) -> None:
    submission = taken(pack(tmp_path / "x.zip", "my lab/lab8_vanilla.ipynb", "my lab/handin.pt", "my lab/deep/old.ipynb"))
    assert files(submission) == {"lab8_vanilla.ipynb", "handin.pt"}


@pytest.mark.parametrize(
    "name",
    [
        "Copy of lab8_vanilla (1).ipynb",
        "lab8_vanilla-2.ipynb",
        "12345_lab8_vanilla.ipynb",
        "LAB8_Vanilla.ipynb",
        "lab8-vanilla_23m0001.ipynb",
        "lab8 vanilla copy.ipynb",
        "lab8_vanilla.ipynb.ipynb",
    ],
)
def test_renamed_notebooks_are_taken_with_a_warning(tmp_path: Path, name: str) -> None:
    submission = taken(write(tmp_path / "h", name, "notes.ipynb"), TWO)
    assert submission.notebook("vanilla").name == "lab8_vanilla.ipynb"
    assert name in submission.warnings[0]
    assert isinstance(submission.notebooks["cwgan"], Problem)


@pytest.mark.parametrize(
    ("names", "taken_for"),
    [
        (("Copy of lab8_cwgan (1).ipynb", "lab8_vanilla-2.ipynb"), {"cwgan": 0, "vanilla": 1}),
        (("lab8_vanilla-2.ipynb", "Lab8_cWGAN.ipynb", "notes.ipynb"), {"vanilla": 0, "cwgan": 1}),
        (("lab8_cwgan.ipynb", "lab8_vanilla and lab8_cwgan.ipynb"), {"cwgan": 0, "vanilla": 1}),
    ],
)
def test_two_renamed_notebooks_are_told_apart(tmp_path: Path, names: tuple[str, ...], taken_for: dict[str, int]) -> None:
    for name in names:
        write(tmp_path / "h", name, data=name.encode())
    submission = taken(tmp_path / "h", TWO)
    assert {task: submission.notebook(task).read_bytes().decode() for task in taken_for} == {
        task: names[index] for task, index in taken_for.items()
    }


def test_two_files_for_one_task_are_an_error_in_words_and_leave_the_other_task(tmp_path: Path) -> None:
    path = write(tmp_path / "h", "Copy of lab8_cwgan (1).ipynb", "Lab8_cWGAN.ipynb", "lab8_vanilla-2.ipynb")
    submission = taken(path, TWO)
    assert submission.notebook("vanilla").is_file()
    problem = submission.notebooks["cwgan"]
    assert isinstance(problem, Problem)
    assert problem.message == "Copy of lab8_cwgan (1).ipynb and Lab8_cWGAN.ipynb could each be lab8_cwgan.ipynb"
    assert problem.advice == "Hand in one of them, with the name lab8_cwgan.ipynb."


def test_essays_are_copied_under_the_names_that_students_give_them(tmp_path: Path) -> None:
    lab = ONE.model_copy(update={"manual": (EssayCriterion(file="reflection.*", points=1),)})
    path = write(tmp_path / "h", "lab8_vanilla.ipynb", "My Reflection (2).pdf", "notes.pdf")
    assert files(taken(path, lab)) == {"lab8_vanilla.ipynb", "My Reflection (2).pdf"}


@pytest.mark.parametrize("name", ["lab18_vanilla.ipynb", "lab8_vanillas.ipynb", "xlab8_vanilla.ipynb"])
def test_other_names_are_not(tmp_path: Path, name: str) -> None:
    submission = taken(write(tmp_path / "h", name), TWO)
    with pytest.raises(IntakeError, match=rf"lab8_vanilla\.ipynb is not in the hand-in, which holds {name}"):
        submission.notebook("vanilla")


def test_the_only_notebook_of_a_lab_with_one_is_taken_under_any_name(tmp_path: Path) -> None:
    assert "assignment.ipynb" in taken(write(tmp_path / "h", "assignment.ipynb")).warnings[0]


def test_the_exact_name_wins_over_copies(tmp_path: Path) -> None:
    path = write(tmp_path / "h", "lab8_vanilla (1).ipynb")
    write(path, "lab8_vanilla.ipynb", data=b"exact")
    assert taken(path).notebook("vanilla").read_bytes() == b"exact"


def test_two_candidates_are_both_named(tmp_path: Path) -> None:
    submission = taken(write(tmp_path / "h", "lab8_vanilla (1).ipynb", "lab8_vanilla (2).ipynb"))
    with pytest.raises(IntakeError, match=r"lab8_vanilla \(1\)\.ipynb and lab8_vanilla \(2\)\.ipynb"):
        submission.notebook("vanilla")


def test_an_empty_hand_in_is_a_problem_not_an_exception(tmp_path: Path) -> None:
    (tmp_path / "h").mkdir()
    problem = taken(tmp_path / "h").notebooks["vanilla"]
    assert isinstance(problem, Problem)
    assert "holds nothing" in problem.message


def test_a_trap_costs_only_what_depends_on_it(tmp_path: Path) -> None:
    path = write(tmp_path / "h", "lab8_vanilla.ipynb", "handin.pt")
    (path / "lab8_cwgan.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(path / "reflection.txt")
    submission = taken(path, TWO)
    assert files(submission) == {"lab8_vanilla.ipynb", "handin.pt"}
    assert submission.refused.keys() == {"lab8_cwgan.ipynb", "reflection.txt"}
    problem = submission.notebooks["cwgan"]
    assert isinstance(problem, Problem)
    assert "symbolic link" in problem.message


@pytest.mark.parametrize(("size", "copied"), [(2**20, True), (2**20 + 1, False)])
def test_checkpoints_are_capped_by_lab_toml(tmp_path: Path, size: int, copied: bool) -> None:
    path = write(tmp_path / "h", "lab8_vanilla.ipynb")
    write(path, "handin.pt", data=bytes(size))
    submission = taken(path)
    assert ("handin.pt" in files(submission)) is copied
    assert ("handin.pt" in submission.refused) is not copied


def test_a_notebook_that_is_too_large_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_NOTEBOOK", 1)
    problem = taken(write(tmp_path / "h", "lab8_vanilla.ipynb")).notebooks["vanilla"]
    assert isinstance(problem, Problem)
    assert "Clear the outputs" in (problem.advice or "")


def test_the_number_of_files_is_capped(tmp_path: Path) -> None:
    path = write(tmp_path / "h", "lab8_vanilla.ipynb", *(f"reflection.{n}" for n in range(100)))
    assert len(files(taken(path))) == intake.MAX_FILES


def test_a_bad_archive_refuses_the_hand_in(tmp_path: Path) -> None:
    with pytest.raises(IntakeError, match="leads out"):
        taken(pack(tmp_path / "x.zip", "lab8_vanilla.ipynb", "../evil"))


@pytest.mark.parametrize("name", ["Checkpoint_Links.txt", "checkpoint_link.txt", "checkpoint_links.txt.txt"])
def test_a_misnamed_list_of_links_is_taken_with_a_warning(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "h", "lab8_vanilla.ipynb")
    (path / name).write_text("a.pt")
    submission = taken(path)
    assert submission.links == {"vanilla": "a.pt"}
    assert name in submission.warnings[0]


def test_the_hash_tells_contents_and_names(tmp_path: Path) -> None:
    hashes = set()
    for number, (name, data) in enumerate([("handin.pt", b"1"), ("handin.pt", b"2"), ("other.pt", b"1")]):
        path = write(tmp_path / str(number), "lab8_vanilla.ipynb")
        write(path, name, data=data)
        hashes.add((taken(path).sha256, handin(path).sha256()))
    path = write(tmp_path / "again", "lab8_vanilla.ipynb")
    write(path, "handin.pt", data=b"1")
    assert (taken(path).sha256, handin(path).sha256()) in hashes
    assert len(hashes) == len({a for a, _ in hashes}) == len({b for _, b in hashes}) == 3


def test_a_bad_hand_in_can_be_hashed(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"junk")
    (tmp_path / "link").symlink_to("/etc")
    folder = write(tmp_path / "h", "a.ipynb")
    os.mkfifo(folder / "pipe")
    assert len({handin(tmp_path / name).sha256() for name in ("x.zip", "link", "h")}) == 3


name = st.sampled_from(
    ["lab8_vanilla.ipynb", "a/b.ipynb", "handin.pt", "checkpoint_links.txt", "x/../y", "/abs", "a\\b", "reflection.md", "a"]
)


@given(st.lists(st.tuples(name, st.binary(max_size=30)), max_size=6, unique_by=lambda item: item[0]))
def test_no_archive_writes_outside_its_folder(tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, bytes]]) -> None:
    root = tmp_path_factory.mktemp("intake")
    with zipfile.ZipFile(root / "x.zip", "w") as file:
        for entry, data in entries:
            file.writestr(entry, data)
    try:
        submission = taken(root / "x.zip", TWO)
    except IntakeError:
        assert any(set(entry) & {"\\"} or ".." in entry or entry[0] == "/" or entry == "a" for entry, _ in entries)
        return
    assert {path.name for path in root.iterdir()} <= {"x.zip", "x.zip-copy"}
    assert set(submission.notebooks) == {"vanilla", "cwgan"}
