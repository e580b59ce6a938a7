"""The classifier that a course hands out: torchvision's ResNet-18 with a sigmoid, in a file of PyTorch's.

The file of the courses that use i-CLEVR, `checkpoint.pth`, is a dictionary whose `model` is a state dict; the last layer there is
`fc.0`, before the sigmoid. Images are expected in [−1, 1]. Only tensors are read from it, no code.
"""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from evaluator.errors import PackError
from evaluator.extractors.resnet import Architecture, ResNet

_LAYER = "fc.0."


def course_network(path: Path) -> ResNet:
    """Load a course's classifier; raises PackError where the file is not one."""
    state = {name.replace(_LAYER, "head."): tensor for name, tensor in _state(path).items()}
    try:
        network = ResNet(Architecture.of(state))
        missing, unexpected = network.load_state_dict(state, strict=False)
    except (KeyError, RuntimeError, IndexError) as error:
        raise PackError(f"{path}: not a ResNet-18 with a last layer {_LAYER}weight: {error}") from error
    odd = [*(set(missing) - {"scale", "strongest"}), *unexpected]
    if odd:
        raise PackError(f"{path}: not a ResNet-18 with a last layer {_LAYER}weight: {', '.join(sorted(odd)[:5])}")
    return network.to(memory_format=torch.channels_last).eval()


def _state(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise PackError(f"{path} does not exist: expected the course's classifier, checkpoint.pth") from None
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:  # its text would advise to trust the file
        raise PackError(
            f"{path}: cannot be read as tensors: expected a file of tensors alone, as torch.save writes it"
        ) from error
    state = content.get("model") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise PackError(f"{path}: expected a dictionary with the state dict `model`")
    return state
