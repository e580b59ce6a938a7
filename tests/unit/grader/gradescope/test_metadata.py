import json
from pathlib import Path

import pytest

from grader.errors import UngradedError
from grader.gradescope.metadata import read_metadata

from .conftest import WHO


def test_what_gradescope_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "submission_metadata.json"
    previous = [
        {"submission_time": "2026-11-20T09:00:00-08:00", "score": "1.0", "autograder_error": False, "results": {"score": 1}},
        {"submission_time": "2026-11-19T09:00:00-08:00", "score": None, "autograder_error": True, "results": {}},
    ]
    path.write_text(json.dumps({**WHO, "previous_submissions": previous}))
    metadata = read_metadata(path)
    assert metadata.id == "123456"
    assert [user.email for user in metadata.users] == ["ada@uni.example"]
    assert [one.results for one in metadata.before] == [None, {"score": 1}]
    assert metadata.assignment.due_date is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "is missing"),
        ("", "file: Invalid JSON"),
        ("[]", "file: Input should be an object"),
        (json.dumps({**WHO, "users": []}), "users: "),
        (json.dumps({**WHO, "created_at": "yesterday"}), "created_at: "),
        (json.dumps({**WHO, "created_at": "2026-11-20T10:00:00"}), "created_at: .*timezone"),
        (json.dumps({key: value for key, value in WHO.items() if key != "id"}), "id: Field required"),
    ],
)
def test_what_cannot_be_used_is_one_message(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "submission_metadata.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UngradedError, match=message) as caught:
        read_metadata(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
