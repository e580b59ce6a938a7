"""Train a notebook with torch and numpy alone, on a machine that has neither a network nor the grader's packages.

    python solutions/train_alone.py lab9/lab9_sngan --data data --out runs/sngan --minutes 9

The code cells of the solution script run one after the other with TRAIN = True, but for those that only draw pictures. Training goes on
where the last call stopped, so that pieces of a few minutes add up; --minutes ends a piece after the epoch in which they pass.
`<out>/checkpoints/` gets what the notebook saves; `--set epochs=200` replaces a number of the notebook's settings.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

SOLUTIONS = Path(__file__).resolve().parent
_HEADING = re.compile(r"^# %%(.*)$", re.MULTILINE)
_TRAINING = re.compile(r"^if TRAIN:\n    train\(\)$", re.MULTILINE)
"""The cell that starts the training; a network has a method of that name too."""


class TimeIsUpError(Exception):
    """Raised after the save of the epoch in which the minutes passed."""


def code_cells(script: str) -> Iterator[tuple[str, str]]:
    """The tags' text and the code of each cell of a percent script that is neither text nor only a picture."""
    _, *parts = _HEADING.split(script)
    for heading, source in zip(parts[::2], parts[1::2], strict=True):
        if "[markdown]" not in heading and "optional" not in heading:
            yield heading, source


def replaced(source: str, settings: Mapping[str, str]) -> str:
    """The code with other numbers: each `name = …` at the start of a line gets the value given for that name."""
    for name, value in settings.items():
        source = re.sub(rf"^{re.escape(name)} = .*$", f"{name} = {value}", source, flags=re.MULTILINE)
    return source


def run(script: str, controls: Mapping[str, object], settings: Mapping[str, str], deadline: float) -> None:
    """Run the cells of a solution script up to and with its training; raises TimeIsUpError after the deadline, in seconds of the clock."""
    space: dict[str, Any] = {"__name__": "notebook"}
    for number, (heading, source) in enumerate(code_cells(script)):
        exec(compile(replaced(source, settings), f"cell {number}", "exec"), space)  # noqa: S102 (our own script)
        if "parameters" in heading:
            space.update(controls)
        if "save_progress" in space and "saved" not in space:
            space["saved"] = space["save_progress"]
            space["save_progress"] = _stopping(space["saved"], deadline)
        if _TRAINING.search(source):
            return


def _stopping(save: Any, deadline: float) -> Any:
    def save_progress(*given: Any, **named: Any) -> None:
        save(*given, **named)
        if time.time() > deadline:
            raise TimeIsUpError

    return save_progress


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", help="lab and notebook, for example lab9/lab9_sngan")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--out", type=Path, required=True, help="run folder; used again to resume")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="of this piece; by default until the training is done"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="replace a line of the settings")
    options = parser.parse_args(arguments)
    source = SOLUTIONS / f"{options.notebook}.py"
    if not source.exists():
        known = sorted(f"{path.parent.name}/{path.stem}" for path in SOLUTIONS.glob("lab*/lab*.py"))
        parser.error(f"there is no notebook {options.notebook}; there are: {', '.join(known)}")
    script = source.read_text(encoding="utf-8")
    settings = dict(pair.split("=", 1) for pair in options.set)
    controls = {"TRAIN": True, "DEVICE": options.device, "DATA_DIR": str(options.data.resolve())}
    options.out.mkdir(parents=True, exist_ok=True)
    os.chdir(options.out)
    try:
        run(script, controls, settings, time.time() + 60 * options.minutes)
        print("trained to the end")
    except TimeIsUpError:
        print("time is up: run the same command to go on")


if __name__ == "__main__":
    main()
