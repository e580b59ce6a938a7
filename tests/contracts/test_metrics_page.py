"""docs/metrics.md lists what there is, and its Python example runs."""

import re
from pathlib import Path

from evaluator.evaluate import METRICS, Against

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
TABLE = [line for line in PAGE.split("## The table")[1].splitlines() if line.startswith("| `")]


def test_every_metric_has_a_line_and_every_line_a_metric() -> None:
    listed = [name for line in TABLE for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    assert sorted(listed) == sorted(METRICS)


def test_what_needs_raw_data_or_a_pack_says_so() -> None:
    for line in TABLE:
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        for name in re.findall(r"`(\w+)`", cells[0]):
            assert ("raw data" in cells[-1]) == (METRICS[name].against is Against.FEATURES), name
            assert ("pack" in cells[-1]) == METRICS[name].needs_pack, name


def test_the_example_runs() -> None:
    code = PAGE.split("## From Python")[1].split("\n\n")[1]
    import torch

    names: dict[str, object] = {"generator": lambda z: torch.rand(2_000, 1, 28, 28) * 2 - 1, "z": None}
    exec("\n".join(line.removeprefix("    ") for line in code.splitlines()), names)  # noqa: S102 - our own page
