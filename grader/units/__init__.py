"""Unit checks of single TODOs: fresh inputs go in, outputs are compared here, on the trusted side."""

from collections.abc import Mapping

from grader.units import attention, gan, multilabel, photographs, wgan
from grader.units.base import BATCH, UnitCheck, Verdict

__all__ = ["BATCH", "CHECKS", "UnitCheck", "Verdict"]

CHECKS: Mapping[str, UnitCheck] = {
    check.name: check for check in (*gan.CHECKS, *wgan.CHECKS, *multilabel.CHECKS, *photographs.CHECKS, *attention.CHECKS)
}
"""By name, as lab.toml has it."""
