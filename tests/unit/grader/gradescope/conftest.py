"""A tree laid out as Gradescope lays it, with the zip of a lab of one task."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from grader.gradescope.build import build
from grader.gradescope.layout import Layout

WHO = {
    "id": 123456,
    "created_at": "2026-11-20T10:00:00.000000-08:00",
    "submission_method": "upload",
    "users": [{"email": "ada@uni.example", "id": 42, "name": "Ada Lovelace"}],
    "assignment": {"due_date": "2026-11-20T23:59:00.000000-08:00", "id": 1, "title": "Lab 8", "total_points": "95.0"},
    "previous_submissions": [],
}


@pytest.fixture
def lab(tmp_path: Path, init_vanilla: Callable[[Path], None]) -> Path:
    folder = tmp_path / "lab8"
    init_vanilla(folder)
    return folder


@pytest.fixture
def unpack(tmp_path: Path, lab: Path) -> Callable[[], Layout]:
    """Builds the zip of the lab as it is now, and makes the tree; the hand-in is the untouched template."""

    def make() -> Layout:
        layout = Layout(tmp_path / "autograder")
        with zipfile.ZipFile(build(lab, tmp_path).path) as archive:
            archive.extractall(layout.source)
        layout.submission.mkdir()
        template = lab / "templates" / "lab8_vanilla.ipynb"
        (layout.submission / template.name).write_bytes(template.read_bytes())
        layout.metadata.write_text(json.dumps(WHO))
        return layout

    return make
