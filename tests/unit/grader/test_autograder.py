"""The [gradescope] tables: what is wrong in them is one message that names the place."""

from pathlib import Path

import pytest

from grader.course import init, load_course
from grader.errors import CourseError, SpecError
from grader.spec import load_spec

LAB8 = Path(__file__).parents[3] / "labs" / "lab8"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("minutes = 41", "gradescope.minutes: Input should be less than or equal to 40"),
        ("rate_limit = { submissions = 0 }", "gradescope.rate_limit.submissions"),
        ('late = "both"', "gradescope.late: Input should be 'grader' or 'gradescope'"),
        ('forward_url = "http://gpu.uni.example"\ntoken = "' + "t" * 40 + '"', "plain http would show the token"),
        ('forward_url = "https://gpu.uni.example"', "forward_url needs a token beside it"),
        ('token = "short"', "gradescope.token: "),
        ("colour = 1", "gradescope.colour: Extra inputs are not permitted"),
    ],
)
def test_mistakes_in_course_toml(tmp_path: Path, lines: str, message: str) -> None:
    root = init(tmp_path / "course")
    with (root / "course.toml").open("a") as file:
        file.write(f"\n[gradescope]\n{lines}\n")
    with pytest.raises(CourseError, match=message):
        load_course(root)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('hidden = ["vanilla.beauty"]', "'vanilla.beauty' is no row of the rubric; there are cwgan, cwgan.class_agreement2k"),
        ('leaderboard = [{ name = "FID", task = "dcgan" }]', "leaderboard 'FID': no task is called 'dcgan'"),
        ('leaderboard = [{ name = "KID", task = "vanilla", metric = "kid" }]', "task vanilla measures no 'kid'"),
        ('leaderboard = [{ name = "", task = "vanilla" }]', "gradescope.leaderboard"),
        ('secret = ["vanilla"]', "gradescope.secret: Extra inputs"),
    ],
)
def test_mistakes_in_lab_toml(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "lab.toml"
    path.write_text((LAB8 / "lab.toml").read_text() + f"\n[gradescope]\n{lines}\n")
    with pytest.raises(SpecError, match=message):
        load_spec(path)


def test_of_two_lists_that_name_a_row_the_more_secret_counts(tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    table = '\n[gradescope]\nhidden = ["vanilla.q_dc"]\nafter_published = ["vanilla"]\nafter_due_date = ["cwgan", "vanilla"]\n'
    path.write_text((LAB8 / "lab.toml").read_text() + table)
    gradescope = load_spec(path).gradescope
    assert gradescope.visibility("vanilla", "q_dc") == "hidden"
    assert gradescope.visibility("vanilla", "q_noise") == "after_published"
    assert gradescope.visibility("cwgan", "q_business") == "after_due_date"
