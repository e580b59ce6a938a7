"""How a pack keeps a network's weights: in half precision, or its convolutions in a byte a weight.

A byte holds a multiple, from −127 to 127, of a step that each output channel has of its own (Jacob et al., Quantization and
Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference, CVPR 2018). Networks run in single precision.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

STEP = ".step"
"""Ends the name of the array with the steps of the weights of that name."""
_MOST = 127

Weights = dict[str, NDArray[np.generic]]


def whole(state: Mapping[str, Tensor]) -> Weights:
    """The weights as they are."""
    return {name: tensor.contiguous().numpy() for name, tensor in state.items()}


def halved(state: Mapping[str, Tensor]) -> Weights:
    """The weights in half precision; counters as they are."""
    return {name: a.astype(np.float16) if a.dtype.kind == "f" else a for name, a in whole(state).items()}


def in_bytes(state: Mapping[str, Tensor]) -> Weights:
    """Convolutions in a byte a weight and a step a channel; all else in half precision."""
    kept: Weights = {}
    for name, array in halved(state).items():
        if array.ndim < 4:
            kept[name] = array
            continue
        exact = state[name].contiguous().double().numpy()
        step = (np.abs(exact).max(axis=(1, 2, 3)) / _MOST).astype(np.float32)
        of_channel = np.maximum(step.astype(np.float64), np.finfo(np.float32).tiny)[:, None, None, None]
        kept[name] = np.clip(np.rint(exact / of_channel), -_MOST, _MOST).astype(np.int8)
        kept[name + STEP] = step
    return kept


def expanded(weights: Mapping[str, NDArray[np.generic]]) -> Weights:
    """The weights by the network's own names, steps multiplied out in single precision."""
    steps = {name for name in weights if name.endswith(STEP)}
    network = {name: array for name, array in weights.items() if name not in steps}
    for step in steps:
        name = step.removesuffix(STEP)
        of_channel = weights[step].astype(np.float32)[:, None, None, None]
        network[name] = weights[name].astype(np.float32) * of_channel
    return network
