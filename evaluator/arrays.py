"""Names for the kinds of array that metrics take."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Features: TypeAlias = NDArray[np.float32] | NDArray[np.float64]
"""Features as a network gives them, or made some other way; every statistic of them is worked out in float64."""
Bytes: TypeAlias = NDArray[np.uint8]
Integers: TypeAlias = NDArray[np.int64]
