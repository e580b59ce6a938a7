"""`grader doctor`: what this machine can do, and how to get what is missing."""

import os
import shutil
from pathlib import Path

from evaluator.errors import EvaluatorError
from evaluator.pack import public_pack
from grader.errors import SandboxError
from grader.models import Level
from grader.packs import DATASETS, data_folder
from grader.sandbox import Choice, choose
from grader.sandbox.bubblewrap import HELP
from grader.sandbox.gpu import visible
from grader.sandbox.meters import open_meter
from grader.sandbox.zygote import ZygoteSandbox, obstacle

GIB = 1 << 30
NEEDED_DISK = 2 * GIB


def examine() -> list[str]:
    """One line for each thing that grading needs; lines that begin with `!` want attention."""
    return [*_sandbox(), _limits(), _gpu(), _disk(), *(_pack(name) for name in DATASETS), *(_data(name) for name in DATASETS)]


def _sandbox() -> list[str]:
    """The level, what it does not hold, and what would raise it."""
    try:
        choice = choose(allow_reduced=True)
    except SandboxError as error:
        return [f"! sandbox: none; {error}"]
    level = choice.sandbox.level
    if level is Level.STRONG:
        return [f"  sandbox: {level}, self-test passed", _start_up(choice)]
    mark = "!" if level is Level.REDUCED else " "
    option = ", which `grader run` takes with --allow-reduced only" if level is Level.REDUCED else ""
    lines = [f"{mark} sandbox: {level}{option}, self-test passed", *(f"{mark}   student code {hole}" for hole in choice.holes)]
    return [*lines, *(f"{mark}   not {reason}" for reason in choice.passed_over), f"{mark}   for level strong, {HELP}"]


def _start_up(choice: Choice) -> str:
    """Whether executions start from a process that has everything imported."""
    if isinstance(choice.sandbox, ZygoteSandbox):
        return "    PyTorch and Jupyter are imported once a run: each execution is a fork, in namespaces of its own"
    reason = "; ".join(choice.passed_over) or obstacle() or "not asked for"
    return f"    each execution imports PyTorch and Jupyter anew: {reason}"


def _limits() -> str:
    meter = open_meter(100, 10)
    meter.close()
    if meter.counts_everything:
        return f"  limits: the kernel holds memory and processes to them ({type(meter).__name__})"
    return (
        "  limits: memory is looked at ten times a second, since no cgroup can be made; as root, or in a delegated one, it could"
    )


def _gpu() -> str:
    try:
        found = visible()
    except SandboxError:
        return f"  GPU: none; grading uses {os.cpu_count()} CPUs, and gives the same metrics"
    return f"  GPU: {len(found)} for --device cuda, slots take turns: {', '.join(gpu.uuid for gpu in found)}"


def _disk() -> str:
    free = shutil.disk_usage(Path.cwd()).free
    line = f"disk: {free / GIB:.0f} GiB free in this folder"
    return f"  {line}" if free >= NEEDED_DISK else f"! {line}; free at least {NEEDED_DISK // GIB} GiB"


def _pack(dataset: str) -> str:
    try:
        card = public_pack(dataset).card
    except EvaluatorError as error:
        return f"! public pack of {dataset}: {error}"
    return f"  public pack of {dataset}: classifier {card.classifier_accuracy:.2%}"


def _data(dataset: str) -> str:
    folder = data_folder()
    if folder.is_dir() and any(folder.iterdir()):
        return f"  raw data in {folder}"
    return f"  raw data of {dataset}: none in {folder}; only building packs and `grader evaluate` need them (`grader data get {dataset}`)"
