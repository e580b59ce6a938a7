import json
import re
import stat
import subprocess
from pathlib import Path

import pytest

from grader import course
from grader.course import COURSE_FILE, init, known_labs, load_course, open_lab
from grader.errors import CourseError, SpecError

SECRET = "ab" * 16


def write(root: Path, text: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / COURSE_FILE).write_text(text, encoding="utf-8")
    return root


def test_the_repositorys_labs_are_known() -> None:
    assert "lab8" in known_labs()


def test_a_course_gets_a_secret_that_only_its_owner_can_read(tmp_path: Path) -> None:
    root = init(tmp_path / "cs763")
    assert root == tmp_path / "cs763"
    assert stat.S_IMODE((root / COURSE_FILE).stat().st_mode) == 0o600
    made = load_course(root)
    assert len(made.secret) == 32
    assert made.settings.title == "cs763"
    assert made.settings.timezone == "UTC"
    assert made.database == root / "grades.db"
    assert made.packs == root / "packs"
    assert not (root / "lab.toml").exists()


def test_every_course_has_a_secret_of_its_own(tmp_path: Path) -> None:
    secrets = {load_course(init(tmp_path / name)).secret for name in ("a", "b")}
    assert len(secrets) == 2


@pytest.mark.parametrize("title", ['He said "no" \\ é 数', "line\nbreak", "nul\0", "esc\x1b[0m", "'''"])
def test_any_title_can_be_written_and_read(tmp_path: Path, title: str) -> None:
    found = load_course(init(tmp_path / "c", title)).settings.title
    assert found == re.sub(r'["\\\n\0\x1b]', "_", title)


def test_making_a_lab_twice_keeps_the_secret_and_what_the_instructor_changed(tmp_path: Path) -> None:
    folder = tmp_path / "lab8"
    init(folder)
    secret = load_course(folder).secret
    (folder / "lab.toml").write_text((folder / "lab.toml").read_text().replace("samples = 2000", "samples = 4000"))
    (folder / "submissions" / "ada").mkdir()
    next((folder / "templates").glob("*.ipynb")).unlink()
    init(folder)
    assert load_course(folder).secret == secret
    lab = open_lab(folder)
    assert lab.spec.task[0].samples == 4000
    assert (folder / "submissions" / "ada").is_dir()
    assert lab.template(lab.spec.task[0].notebook).is_file()  # what is missing comes back


def test_prompts_lie_beside_lab_toml_and_stay_where_a_course_has_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "lab5"
    init(folder)
    own = json.dumps([["red cube"]] * 32)
    (folder / "test.json").write_text(own)
    (folder / "new_test.json").unlink()
    init(folder)
    assert (folder / "test.json").read_text() == own
    asked = open_lab(folder).spec.task[0].asked
    assert asked["test"] == (("red cube",),) * 32
    assert len(asked["new-test"]) == 32


def test_a_lab_that_stands_alone_is_its_own_course(tmp_path: Path) -> None:
    assert init(tmp_path / "lab8") == tmp_path / "lab8"
    lab = open_lab(tmp_path / "lab8")
    assert lab.course.root == lab.root == tmp_path / "lab8"
    assert lab.submissions == tmp_path / "lab8" / "submissions"
    assert lab.results == tmp_path / "lab8" / "results"
    assert lab.reference("vanilla").parent == tmp_path / "lab8" / "reference"


def test_a_lab_in_a_course_shares_its_secret_and_database(tmp_path: Path) -> None:
    root = init(tmp_path / "cs763")
    assert init(root / "lab8") == root
    assert not (root / "lab8" / COURSE_FILE).exists()
    lab = open_lab(root / "lab8")
    assert lab.course.secret == load_course(root).secret
    assert lab.course.database == root / "grades.db"


def test_a_lab_that_stood_alone_stays_its_own_course(tmp_path: Path) -> None:
    """`init` and `open_lab` mean the same course, although one has come into being around the lab."""
    init(tmp_path / "lab8")
    init(tmp_path)
    assert init(tmp_path / "lab8") == tmp_path / "lab8" == open_lab(tmp_path / "lab8").course.root


def test_the_current_folder_may_be_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lab8").mkdir()
    monkeypatch.chdir(tmp_path / "lab8")
    assert init(Path()) == tmp_path / "lab8"
    assert open_lab(Path()).spec.lab.id == "lab8"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(CourseError, match=r"x is a file; give the folder of a course or lab"):
        init(tmp_path / "x")
    with pytest.raises(CourseError, match="cannot be set up"):
        init(tmp_path / "x" / "lab8")
    with pytest.raises(CourseError, match=r"no such folder; `grader init"):
        open_lab(tmp_path / "x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[course", "is not valid TOML"),
        ("", "course.secret: Field required"),
        (f'[course]\nsecret = "{"a" * 31}"', "course.secret: String should have at least 32"),
        (f'[course]\nsecret = "{"xy" * 16}"', "course.secret is not hexadecimal; `openssl rand -hex 32` makes one"),
        (f'[course]\nsecret = "{SECRET}"\ncolour = "red"', "course.colour: Extra inputs"),
        ("course = 3", "course"),
        (f'[course]\nsecret = "{SECRET}"\ntimezone = "Asia/Kolkatta"', "course.timezone: 'Asia/Kolkatta' is no timezone"),
        (
            f'[course]\nsecret = "{SECRET}"\ntimezone = "/etc/passwd"',
            "expected a name of the IANA database, such as Asia/Kolkata",
        ),
        (f'[course]\nsecret = "{SECRET}"\ntimezone = ""', "course.timezone: '' is no timezone"),
        (f'[course]\nsecret = "{SECRET}"\nattempts = "best"', "course.attempts: Input should be 'last' or 'last_on_time'"),
        (
            f'[course]\nsecret = "{SECRET}"\n[lab.lab8]\ndue = 2026-11-30',
            "lab.lab8.due: 2026-11-30 is no date with a time of day",
        ),
        (f'[course]\nsecret = "{SECRET}"\n[lab.lab8]\ngrace = 3', "lab.lab8.grace: Extra inputs"),
        (f'[course]\nsecret = "{SECRET}"\n[lab.lab8]\npenalty_per_day = 10', "lab.lab8.penalty_per_day: Input should be less"),
        (f'[course]\nsecret = "{SECRET}"\n[labs.lab8]\nlate_days = 3', "labs: Extra inputs"),
    ],
)
def test_says_what_is_wrong_with_a_course_file(tmp_path: Path, text: str, expected: str) -> None:
    with pytest.raises(CourseError, match=re.escape(str(tmp_path / COURSE_FILE))) as caught:
        load_course(write(tmp_path, text))
    assert expected in str(caught.value)


def test_says_that_a_course_file_is_not_text(tmp_path: Path) -> None:
    (tmp_path / COURSE_FILE).write_bytes(b'[course]\ntitle = "\xff"\n')
    with pytest.raises(CourseError, match="is not valid TOML"):
        load_course(tmp_path)


def test_says_what_makes_a_course_file(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=r"course\.toml cannot be read \(No such file.*`grader init .*` makes one"):
        load_course(tmp_path)


def test_says_what_a_lab_folder_lacks(tmp_path: Path) -> None:
    folder = tmp_path / "course" / "mine"
    folder.mkdir(parents=True)
    with pytest.raises(SpecError, match=r"lab\.toml: cannot be read"):
        open_lab(folder)
    text = (course.CHECKOUT / "labs" / "lab8" / "lab.toml").read_text()
    (folder / "lab.toml").write_text(text)
    with pytest.raises(CourseError, match=r"no course\.toml here or in the folder above; `grader init"):
        open_lab(folder)
    write(tmp_path / "course", f'[course]\nsecret = "{SECRET}"\n')
    with pytest.raises(CourseError, match=r"templates/lab8_vanilla\.ipynb is missing.*`grader init"):
        open_lab(folder)


def test_settings_of_the_lab_folder_come_before_those_above(tmp_path: Path) -> None:
    init(tmp_path / "lab8")
    write(tmp_path, f'[course]\nsecret = "{SECRET}"\n')
    assert open_lab(tmp_path / "lab8").course.root == tmp_path / "lab8"


def test_each_lab_has_a_deadline_of_its_own(tmp_path: Path) -> None:
    text = f'[course]\nsecret = "{SECRET}"\n[lab.lab8]\ndue = 2026-11-30T23:59:00+05:30\nlate_days = 2\n'
    made = load_course(write(tmp_path, text))
    due = made.deadline("lab8").due
    assert due is not None
    assert (due.isoformat(), made.deadline("lab8").late_days) == ("2026-11-30T23:59:00+05:30", 2)
    assert made.deadline("lab9").due is None


def test_a_lab_gets_the_fingerprints_of_what_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "labs" / "lab8").mkdir(parents=True)
    for name, text in {"lab.toml": "", "fingerprints.toml": "# published\n"}.items():
        (tmp_path / "labs" / "lab8" / name).write_text(text)
    monkeypatch.setattr(course, "CHECKOUT", tmp_path)
    init(tmp_path / "mine" / "lab8")
    assert (tmp_path / "mine" / "lab8" / "fingerprints.toml").read_text() == "# published\n"


def test_secret_packs_and_grades_stay_out_of_a_repository(tmp_path: Path) -> None:
    """As git itself sees it: of a new course only its .gitignore would be added."""
    init(tmp_path / "cs763")
    (tmp_path / "cs763" / "packs").mkdir()
    for name in ("packs/pack.toml", "grades.db", "grades.db-wal"):
        (tmp_path / "cs763" / name).touch()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    command = ["git", "-C", str(tmp_path), "ls-files", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert listed == ["cs763/.gitignore"]


def test_the_hosts_of_links_are_settings_of_the_course(tmp_path: Path) -> None:
    links = '[links]\nhosts = ["www.dropbox.com"]\ninternal = ["http://10.0.0.5:8000"]\n'
    found = load_course(write(tmp_path / "a", f'[course]\nsecret = "{SECRET}"\n{links}')).links
    assert (found.hosts, found.internal) == (("www.dropbox.com",), ("http://10.0.0.5:8000",))
    assert load_course(init(tmp_path / "b")).links.hosts == ()
    with pytest.raises(CourseError, match=r"links\.hosts: 'https://x\.org' is not a host such as www\.dropbox\.com"):
        load_course(write(tmp_path / "c", f'[course]\nsecret = "{SECRET}"\n[links]\nhosts = ["https://x.org"]\n'))
