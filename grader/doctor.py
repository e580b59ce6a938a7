"""`grader doctor`: what this machine can do, and how to get what is missing."""

import os
import shutil
from pathlib import Path

from evaluator.errors import EvaluatorError
from evaluator.pack import public_pack
from grader.errors import SandboxError
from grader.packs import DATASETS, data_folder
from grader.sandbox import open_sandbox

GIB = 1 << 30
NEEDED_DISK = 2 * GIB


def examine() -> list[str]:
    """One line for each thing that grading needs; lines that begin with `!` want attention."""
    return [_sandbox(), _gpu(), _disk(), *(_pack(name) for name in DATASETS), *(_data(name) for name in DATASETS)]


def _sandbox() -> str:
    try:
        return f"  sandbox: {open_sandbox().level}, self-test passed"
    except SandboxError as error:
        return f"! sandbox: none; {error}"


def _gpu() -> str:
    import torch

    if torch.cuda.is_available():
        return f"  GPU: {torch.cuda.get_device_name()}"
    return f"  GPU: none; grading uses {os.cpu_count()} CPUs, and gives the same metrics"


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
    return f"  raw data of {dataset}: none in {folder}; only `grader pack build` needs them (`grader data get {dataset}`)"
