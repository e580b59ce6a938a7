"""What a training costs on a GPU, counted here: floating-point operations of one step of the networks at their full width.

    python benchmarks/training_cost.py lab9/lab9_sngan --set width=256 --set critic_width=128 --batch 64 --critic-steps 5 --steps 50000

The cells of the solution script that define the networks run with TRAIN = False; settings are replaced after the cell that makes
them. Counted by torch's FlopCounterMode are a step of the discriminator on real and fake images and a step of the generator,
forward and backward; penalties, which come once in several steps, are left out. --teraflops is what the GPU is taken to reach.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "solutions")]

from train_alone import SOLUTIONS, code_cells  # noqa: E402


def networks(script: str, settings: dict[str, Any]) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Generator and discriminator of a solution script with other settings."""
    space: dict[str, Any] = {"__name__": "notebook"}
    for number, (heading, source) in enumerate(code_cells(script)):
        exec(compile(source, f"cell {number}", "exec"), space)  # noqa: S102 (our own script)
        if "parameters" in heading:
            space |= {"TRAIN": False, "DEVICE": "cpu", "CHECKPOINT": str(Path(tempfile.gettempdir()) / "no-checkpoint")}
        space |= settings
        if "Discriminator" in space:
            break
    return space["Generator"](), space["Discriminator"]()


def flop(generator: torch.nn.Module, discriminator: torch.nn.Module, batch: int) -> tuple[int, int]:
    """Floating-point operations of a step of the discriminator, and of one of the generator; a multiplication and an addition are two."""
    z = torch.randn(batch, 100)
    conditional = len(inspect.signature(generator.forward).parameters) > 1
    c = (torch.arange(batch) % 10,) if conditional else ()
    with FlopCounterMode(display=False) as of_discriminator:
        with torch.no_grad():
            fake = generator(z, *c)
        discriminator(torch.cat([fake, fake]), *(torch.cat([given, given]) for given in c)).sum().backward()
    discriminator.requires_grad_(False)
    with FlopCounterMode(display=False) as of_generator:
        discriminator(generator(z, *c), *c).sum().backward()
    return of_discriminator.get_total_flops(), of_generator.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", help="lab and notebook, for example lab9/lab9_sngan")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the notebook")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--critic-steps", type=int, default=1)
    parser.add_argument("--steps", type=int, default=50_000, help="of the generator")
    parser.add_argument("--teraflops", type=float, default=150.0)
    parser.add_argument("--quick", action="store_true", help="count for a batch of 4, and multiply")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings = {name: ast.literal_eval(value) for name, value in (pair.split("=", 1) for pair in options.set)}
    counted = 4 if options.quick else options.batch
    pair = networks((SOLUTIONS / f"{options.notebook}.py").read_text(encoding="utf-8"), settings)
    of_discriminator, of_generator = (operations * options.batch / counted for operations in flop(*pair, counted))
    step = options.critic_steps * of_discriminator + of_generator
    found = {
        "parameters_generator": sum(p.numel() for p in pair[0].parameters()),
        "teraflop_a_generator_step": step / 1e12,
        "exaflop_in_all": step * options.steps / 1e18,
        "hours": step * options.steps / options.teraflops / 1e12 / 3600,
    }
    for name, value in found.items():
        print(f"{name} = {value:.4g}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
