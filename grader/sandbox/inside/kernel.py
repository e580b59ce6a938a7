"""Runs inside the sandbox: an IPython kernel that names its cells, and the functions by which it answers the challenge.

Everything here shares a process with student code and may be changed by it: what it reports is shown or scored as images, never
believed about itself. Started as `python -I kernel.py -f <connection file>`.
"""

import importlib
import json
import math
import random
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

import numpy as np

# Our own references: a notebook that patches numpy, by mistake or not, changes nothing here.
from numpy import asarray, ascontiguousarray, count_nonzero, float32, fromfile, isfinite, ndarray, rint, uint8

MODULE = "grader_kernel"
"""Name under which requests find this module."""

CELL_FILE = re.compile(r"/cells/(\d+)\.py")
"""File name of the code of a cell; the number is its execution count."""

RANGE_SLACK = 1 / 512
"""Up to half a grey level beyond [0, 1] is rounding, not another range; it is clipped."""

_TRACEBACK_CHARACTERS = 6000
_MESSAGE_CHARACTERS = 1500
_MAX_OUTPUTS = 64
_MAX_DIMS = 4

Place = tuple[int, int]
"""(execution count of a cell, 1-based line)"""


class NotAnImageError(Exception):
    """`generate` or a probe returned something else than was asked for."""

    def __init__(self, code: str, message: str, advice: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.advice = advice


class LazyDynamo(ModuleType):
    """Stands in for `torch._dynamo` until something is asked of it that only the real one can do.

    Making or stepping an optimizer imports that package for two functions that do nothing unless code is being compiled, and the import
    takes longer than everything else that a small lab's notebook does in the grader (6 CPU-s measured, torch 2.15).
    """

    @classmethod
    def install(cls) -> None:
        """Take the place of `torch._dynamo`, where torch is imported and the real one is not."""
        torch: Any = sys.modules.get("torch")
        if torch is not None and "torch._dynamo" not in sys.modules:
            torch._dynamo = sys.modules["torch._dynamo"] = cls("torch._dynamo")

    def graph_break(self, *_: object, **__: object) -> None:
        """Outside a compilation there is no graph to break."""

    def disable(self, fn: Any = None, *_: object, **__: object) -> Any:
        """Outside a compilation there is nothing to disable."""
        return fn if fn is not None else lambda function: function

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get("torch._dynamo") is self:
            del sys.modules["torch._dynamo"]
            sys.modules["torch"]._dynamo = importlib.import_module("torch._dynamo")  # type: ignore[attr-defined]
        return getattr(sys.modules["torch._dynamo"], name)


def answer(request: str) -> None:
    """Carry out one request (JSON) and write its answer beside it: `<path>.json`, and `<path>.<i>.raw` for each array."""
    job = json.loads(request)
    path = Path(job["path"])
    names = _namespace()
    LazyDynamo.install()
    try:
        _seed(job["seed"])
        arrays = _generate(job, names) if job["kind"] == "generate" else _probe(job, names)
    except NotAnImageError as error:
        report: dict[str, Any] = {"problem": {"code": error.code, "message": error.message, "advice": error.advice}}
    except BaseException as error:  # SystemExit and KeyboardInterrupt of student code as well
        report = {"problem": {"code": "exception", **_described(error)}}
    else:
        for number, array in enumerate(arrays):
            array.tofile(f"{path}.{number}.raw")
        report = {"shapes": [array.shape for array in arrays]}
    Path(f"{path}.json").write_text(json.dumps(report))


def describe(path: str) -> None:
    """Write the last uncaught error of the notebook, as IPython left it in `sys`, to `path`."""
    error = getattr(sys, "last_value", None)
    Path(path).write_text(json.dumps(_described(error) if error is not None else {}))


def to_images(value: object, n: int, shape: tuple[int, ...], call: str) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """What a call of generate(), named in the student's words, returned, as uint8 of shape (n, *shape).

    Raises:
        NotAnImageError: it is no array, or has another type, shape or range.
    """
    array = _numeric(value, (n, *shape), call)
    if array.dtype == uint8:
        return ascontiguousarray(array, uint8)
    values = array.astype(float32)
    if bad := int(values.size - count_nonzero(isfinite(values))):
        raise NotAnImageError(
            "not-finite",
            f"{call} returned {bad} of {values.size} values that are NaN or infinite; expected finite values in [0, 1]",
            "look for a division by zero, a log of 0, or a checkpoint from a training run that diverged",
        )
    low, high = float(values.min()), float(values.max())
    if low < -RANGE_SLACK or high > 1 + RANGE_SLACK:
        raise _out_of_range(low, high)
    images: np.ndarray[Any, np.dtype[np.uint8]] = rint(values.clip(0, 1) * 255).astype(uint8)
    return images


def _out_of_range(low: float, high: float) -> NotAnImageError:
    found = f"values from {low:.2f} to {high:.2f}".replace("-", "−")
    if low >= -1 - RANGE_SLACK and high <= 1 + RANGE_SLACK:
        return NotAnImageError(
            "out-of-range",
            f"{found}: this looks like tanh output in [−1, 1]; expected [0, 1]",
            "map it to [0, 1] with (x + 1) / 2",
        )
    if low >= -RANGE_SLACK and high <= 255.5:
        advice = "divide by 255, or return uint8"
        return NotAnImageError(
            "out-of-range", f"{found}: this looks like grey levels; expected floats in [0, 1] or uint8", advice
        )
    return NotAnImageError(
        "out-of-range",
        f"{found}; expected floats in [0, 1] or uint8",
        "end the network in tanh or sigmoid and map its output to [0, 1]",
    )


def _numeric(value: object, shape: tuple[int, ...], call: str) -> "np.ndarray[Any, np.dtype[Any]]":
    """A plain array of that shape from an array or tensor; nothing is copied before the shape is known to be right."""
    torch: Any = sys.modules.get("torch")
    is_tensor = torch is not None and isinstance(value, torch.Tensor)
    if value is None:
        raise NotAnImageError("no-array", f"{call} returned nothing (None): is there a return?", "return the images")
    if not is_tensor and not isinstance(value, ndarray):
        raise NotAnImageError(
            "no-array",
            f"{call} returned a {type(value).__name__}; expected an array or tensor of shape {shape}",
            "stack the images with torch.stack or np.stack" if isinstance(value, (list, tuple)) else None,
        )
    array: Any = value
    if not is_tensor and array.dtype == object:
        raise NotAnImageError("wrong-type", f"{call} returned an array of objects; expected float or uint8", None)
    found = tuple(array.shape)
    if found != shape:
        raise NotAnImageError("wrong-shape", f"{call} returned shape {found}; expected {shape}", _shape_advice(found, shape))
    if is_tensor:
        array = array.detach()
        array = (array if array.dtype == torch.uint8 or not array.is_floating_point() else array.float()).cpu().numpy()
    plain: np.ndarray[Any, np.dtype[Any]] = asarray(array)
    if plain.dtype != uint8 and plain.dtype.kind != "f":
        advice = "divide by 255.0, or convert to uint8" if plain.dtype.kind in "iu" else None
        raise NotAnImageError("wrong-type", f"{call} returned type {plain.dtype}; expected float in [0, 1] or uint8", advice)
    return plain


def _shape_advice(found: tuple[int, ...], expected: tuple[int, ...]) -> str | None:
    if len(found) == len(expected) + 1 and found == (expected[0], 1, *expected[1:]):
        return "drop the channel dimension with .squeeze(1)"
    if len(found) == len(expected) == 4 and found == (expected[0], *expected[2:], expected[1]):
        return "put the channels second with .permute(0, 3, 1, 2)"
    if found[:1] != expected[:1] and found[1:] == expected[1:]:
        return "return as many images as the argument asks for: n, or one for each of its rows"
    if math.prod(found) == math.prod(expected):
        return f"reshape with .reshape({', '.join(map(str, ('n', *expected[1:])))})"
    return None


def _generate(job: dict[str, Any], names: dict[str, Any]) -> Sequence["np.ndarray[Any, Any]"]:
    function = names.get("generate")
    if not callable(function):
        raise NotAnImageError(
            "missing-generate",
            "found no function generate() after all cells ran; expected one",
            "look for an error in the cell that defines it",
        )
    with _random_weights(names) if job["weights"] == "random" else _as_loaded():
        value = function(*_arguments(job))
    return [to_images(value, job["n"], tuple(job["shape"]), job["call"])]


def _arguments(job: dict[str, Any]) -> list[Any]:
    """What generate() is called with: a number and perhaps a class, or rows of labels."""
    return _tensors(_inputs(job)) or [job["n"], *job["arguments"]]


def _inputs(job: dict[str, Any]) -> list["np.ndarray[Any, Any]"]:
    return [fromfile(file, dtype="<f4").reshape(shape) for file, shape in job["inputs"]]


def _probe(job: dict[str, Any], names: dict[str, Any]) -> Sequence["np.ndarray[Any, Any]"]:
    inputs = _inputs(job)
    scope = dict(names)
    exec(compile(job["code"], "<probe>", "exec"), scope)  # noqa: S102 (our own code, in the student's process)
    outputs = list(scope["probe"](*_tensors(inputs)))
    if len(outputs) > _MAX_OUTPUTS:
        raise NotAnImageError("too-much", f"found {len(outputs)} outputs, expected {_MAX_OUTPUTS} at most")
    return list(_floats(outputs, job["max_bytes"]))


def _tensors(arrays: list["np.ndarray[Any, Any]"]) -> list[Any]:
    if not arrays:
        return []  # without having imported torch
    import torch

    return [torch.from_numpy(array) for array in arrays]


def _floats(outputs: list[Any], room: int) -> Iterator["np.ndarray[Any, np.dtype[np.float32]]"]:
    """Each output as float32; shapes and sizes are looked at before anything is copied."""
    torch: Any = sys.modules.get("torch")
    for output in outputs:
        tensor = output.detach() if torch and isinstance(output, torch.Tensor) else asarray(output)
        shape = tuple(tensor.shape)
        room -= 4 * math.prod(shape)
        if room < 0 or len(shape) > _MAX_DIMS:
            raise NotAnImageError("too-much", f"found an output of shape {shape}, which is larger than any right answer")
        array = tensor.float().cpu().numpy() if torch and isinstance(tensor, torch.Tensor) else tensor
        yield ascontiguousarray(array, dtype="<f4").reshape(shape)


@contextmanager
def _as_loaded() -> Iterator[None]:
    yield


@contextmanager
def _random_weights(names: dict[str, Any]) -> Iterator[None]:
    """Every network among the notebook's globals has random weights; afterwards it has its own again."""
    torch = sys.modules["torch"]
    networks = [value for value in list(names.values()) if isinstance(value, torch.nn.Module)]
    tensors: dict[int, tuple[str, Any]] = {}
    for network in networks:
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if tensor.is_floating_point():
                tensors.setdefault(id(tensor), (name, tensor))
    kept = [(tensor, tensor.detach().clone()) for _, tensor in tensors.values()]
    # the noise that generate() draws must be that of its twin: only the weights may make a difference
    with torch.no_grad(), torch.random.fork_rng():
        for name, tensor in tensors.values():
            tensor.normal_(0, 1)
            if name.endswith("running_var"):  # a variance
                tensor.abs_().add_(0.1)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, own in kept:
                tensor.copy_(own)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)


def _namespace() -> dict[str, Any]:
    from IPython.core.getipython import get_ipython

    names: dict[str, Any] = get_ipython().user_ns  # type: ignore[union-attr]
    return names


def _described(error: BaseException) -> dict[str, Any]:
    """Name, text, plain traceback from the first notebook cell on, and the places in cells, innermost last."""
    first = error.__traceback__
    while first is not None and not CELL_FILE.fullmatch(first.tb_frame.f_code.co_filename):
        first = first.tb_next
    places = _places(first)
    if isinstance(error, SyntaxError) and (match := CELL_FILE.fullmatch(str(error.filename))):
        places.append((int(match[1]), error.lineno or 1))
    return {
        "ename": type(error).__name__,
        "evalue": _text(error)[:_MESSAGE_CHARACTERS],
        "traceback": _shortened("".join(_formatted(error, first))),
        "places": places[-20:],
    }


def _places(first: TracebackType | None) -> list[Place]:
    frames = traceback.walk_tb(first)
    found = ((CELL_FILE.fullmatch(frame.f_code.co_filename), line) for frame, line in frames)
    return [(int(match[1]), line) for match, line in found if match]


def _formatted(error: BaseException, first: TracebackType | None) -> list[str]:
    """As Python prints it. Student classes may break even this."""
    try:
        return list(traceback.TracebackException(type(error), error, first, compact=True).format(chain=False))
    except Exception:
        return [type(error).__name__]


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its text cannot be read)"


def _shortened(text: str) -> str:
    if len(text) <= _TRACEBACK_CHARACTERS:
        return text
    return text[: _TRACEBACK_CHARACTERS // 4] + "\n  […]\n" + text[-_TRACEBACK_CHARACTERS * 3 // 4 :]


def _shield_the_driver() -> None:
    """No signal from here on reaches the driver; on machines whose Linux cannot do that, student code can end its own driver."""
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    landlock = importlib.import_module("landlock")
    sys.path.pop(0)
    landlock.shield_from_descendants()
    del sys.modules["landlock"]  # the name is not ours


def main() -> None:
    """Become the kernel."""
    _shield_the_driver()
    sys.modules[MODULE] = sys.modules["__main__"]
    sys.modules["debugpy"] = None  # type: ignore[assignment]  # nobody debugs here, and it takes 0.2 s to import
    from ipykernel.compiler import XCachingCompiler
    from ipykernel.kernelapp import IPKernelApp

    def get_code_name(self: object, raw_code: str, code: str, number: int) -> str:
        return f"/cells/{number}.py"

    XCachingCompiler.get_code_name = get_code_name  # type: ignore[method-assign]
    IPKernelApp.launch_instance()


if __name__ == "__main__":
    main()
