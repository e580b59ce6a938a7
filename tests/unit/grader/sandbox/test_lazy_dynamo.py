"""The stand-in for torch._dynamo: optimizers do not import the real one, and what needs it gets it."""

import subprocess
import sys
from pathlib import Path

import pytest

from grader import sandbox

KERNEL = Path(sandbox.__file__).parent / "inside" / "kernel.py"
SETUP = f"""
import importlib.util, sys, torch
spec = importlib.util.spec_from_file_location("kernel", {str(KERNEL)!r})
kernel = importlib.util.module_from_spec(spec)
spec.loader.exec_module(kernel)
kernel.LazyDynamo.install()
"""
OPTIMIZE = """
for kind in (torch.optim.Adam, torch.optim.SGD, torch.optim.RMSprop):
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = kind([weight], lr=0.5)
    weight.grad = torch.ones(3)
    optimizer.step()
    optimizer.zero_grad()
    assert (weight < 1).all() and weight.grad is None
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", SETUP + code], capture_output=True, text=True, cwd=Path(sys.prefix))
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_optimizers_step_without_the_real_one() -> None:
    assert run(OPTIMIZE + "print(type(sys.modules['torch._dynamo']).__name__)") == "LazyDynamo"


@pytest.mark.slow
def test_compiling_gets_the_real_one() -> None:
    compiled = "doubled = torch.compile(lambda x: 2 * x, backend='eager')\nprint(doubled(torch.tensor(21)).item())"
    assert run(OPTIMIZE + compiled) == "42"
    assert run("from torch._dynamo import config\nprint(config.__name__)") == "torch._dynamo.config"
