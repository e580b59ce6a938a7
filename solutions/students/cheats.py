"""Generators that are none: look-up tables behind generate(n), images tuned to a classifier, a checkpoint that does not matter.

What the students of `benchmarks/image_cheats.py` hand in for lab 8's first task. Tables hide in a buffer of the network, in floating
point, so that random weights change what comes out.
"""

import base64
import io
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from students import vanilla
from students.work import body

from evaluator.extractors.classifier import Classifier

Images = NDArray[np.uint8]

STEPS, RATE = 40, 0.15
MIXED_IN = 0.15
"""Share of a second image in a mixed one."""
NOISE = 0.05
"""Standard deviation of the noise on a stored image; white is 1."""

PICK = {
    "as stored": body("""
        memory = trained_generator.memory
        return memory[torch.randint(len(memory), (n,))]
    """),
    "with noise": body(f"""
        memory = trained_generator.memory
        images = memory[torch.randint(len(memory), (n,))]
        return (images + {NOISE} * torch.randn(images.shape)).clamp(0, 1)
    """),
    "mixed": body(f"""
        memory = trained_generator.memory
        first, second = memory[torch.randint(len(memory), (2, n))]
        return {1 - MIXED_IN} * first + {MIXED_IN} * second
    """),
}
"""Bodies of generate(n) that read a table, by what they do to the images in it."""

IN_THE_NOTEBOOK = body("""
    import base64, zlib
    packed = zlib.decompress(base64.b64decode("{packed}"))
    memory = torch.frombuffer(bytearray(packed), dtype=torch.uint8).view(-1, 28, 28).float() / 255
""")
FROM_THE_NOTEBOOK = body("""
    return memory[torch.randint(len(memory), (n,))]
""")
WITH_A_TOUCH_OF_THE_NETWORK = body("""
    touch = trained_generator(torch.randn(n, noise_dim, device=device))[:, 0]
    return (memory[torch.randint(len(memory), (n,))] + 0.01 * touch).clamp(0, 1)
""")


def table(images: Images, pick: str, typical: Mapping[str, torch.Tensor]) -> tuple[dict[str, str], bytes]:
    """The TODO bodies and the checkpoint of a generator that reads images, uint8 (n, 28, 28), from a table.

    pick: a key of PICK. typical: an honest network's weights, for the unit checks.
    """
    layers = f'{vanilla.PLAIN["generator_layers"]}\nself.register_buffer("memory", torch.zeros({len(images)}, 28, 28))'
    buffer = io.BytesIO()
    torch.save({**typical, "memory": (torch.tensor(images) / 255).half()}, buffer)
    return {"generator_layers": layers, "generate": PICK[pick]}, buffer.getvalue()


def in_the_notebook(images: Images, generate: str) -> dict[str, str]:
    """The TODO bodies of a notebook that carries images, uint8 (n, 28, 28), itself."""
    packed = base64.b64encode(zlib.compress(images.tobytes(), 9)).decode()
    return {"helpers": IN_THE_NOTEBOOK.format(packed=packed), "generate": generate}


def tuned(classifier: Classifier, real: Images) -> Images:
    """Noise, changed until the classifier's features of each image are about those of a real one, uint8 (n, 28, 28)."""
    with torch.no_grad():
        wanted = classifier.features(torch.tensor(real[:, None]).float() / 255)
    pixels = torch.zeros(len(real), 1, 28, 28).uniform_(-2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([pixels], lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (classifier.features(torch.sigmoid(pixels)) - wanted).square().sum(1).mean().backward()
        optimizer.step()
    return (torch.sigmoid(pixels).detach()[:, 0] * 255).round().byte().numpy()
