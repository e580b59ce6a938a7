from pathlib import Path

import pytest

from grader.gradescope.container import TIERS, fitting, memory_mb


@pytest.mark.parametrize(("needed", "memory"), [(0, 0.75), (600, 0.75), (700, 1.5), (1290, 1.5), (1500, 3), (5500, 6)])
def test_the_smallest_tier_that_fits_with_something_to_spare(needed: float, memory: float) -> None:
    tier = fitting(needed)
    assert tier is not None
    assert tier.memory_gb == memory


def test_what_fits_nowhere() -> None:
    assert fitting(TIERS[-1].memory_gb * 1024) is None


@pytest.mark.parametrize("name", ["sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"])
def test_the_limit_of_a_cgroup(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(f"{805306368}\n")
    assert memory_mb(tmp_path) == 768


def test_a_cgroup_without_a_limit_has_the_memory_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert memory_mb(tmp_path) == memory_mb(tmp_path / "nothing") > 768
