"""What a container of Gradescope has, and which of its sizes a lab needs."""

import os
from dataclasses import dataclass
from pathlib import Path

_CGROUP_LIMITS = ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes")
_MIB = 2**20
_SPARE = 1.1
"""Memory is measured on one machine and needed on another."""


@dataclass(frozen=True)
class Tier:
    """A size that can be chosen in the autograder's settings."""

    cpus: float
    memory_gb: float

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU, {self.memory_gb:g} GB"


TIERS = (Tier(0.5, 0.75), Tier(1, 1.5), Tier(2, 3), Tier(4, 6))


def fitting(needed_mb: float) -> Tier | None:
    """The smallest size with that much memory and some to spare; None where there is none."""
    return next((tier for tier in TIERS if tier.memory_gb * 1024 >= needed_mb * _SPARE), None)


def memory_mb(root: Path = Path("/")) -> int:
    """Memory that this container may use: its cgroup's limit, else the machine's.

    Raises:
        OSError: the system does not say.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in _CGROUP_LIMITS:
        path = root / name
        text = path.read_text().strip() if path.is_file() else "max"
        found += [int(text)] if text.isdigit() else []
    return min(found) // _MIB
