"""Unit checks of GANs on colour photographs: networks of 3×32×32, self-attention, classes by an embedding, clipped weights."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grader.units.base import BATCH, Floats, UnitCheck, Verdict, random_noise, right, wrong
from grader.units.gan import judge_generator_shape
from grader.units.photographs import judge_class_generator
from grader.units.wgan import judge_critic_scores, squashing

CLASSES = 10
EMBEDDING = 50
SHAPE = (3, 32, 32)
CHANNELS = 16
SIDE = 6
PLACES = SIDE * SIDE
LIMIT = 0.01
"""That of clip_weights where none is given."""


def _images(rng: np.random.Generator) -> tuple[Floats, ...]:
    """(B, 3, 32, 32), uniform in [-1, 1]."""
    return (rng.uniform(-1, 1, (BATCH, *SHAPE)).astype(np.float32),)


def _two_classes(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Classes (B,), every class among them, and for each another class; float32, as all inputs are."""
    classes = rng.permutation(np.arange(BATCH) % CLASSES)
    return classes.astype(np.float32), ((classes + 1) % CLASSES).astype(np.float32)


def _noise_of_two_classes(rng: np.random.Generator) -> tuple[Floats, ...]:
    return (*random_noise(rng), *_two_classes(rng))


def _images_of_two_classes(rng: np.random.Generator) -> tuple[Floats, ...]:
    return (*_images(rng), *_two_classes(rng))


def _each_class(rng: np.random.Generator) -> tuple[Floats, ...]:
    return (rng.permutation(CLASSES).astype(np.float32),)


def _features(rng: np.random.Generator) -> tuple[Floats, ...]:
    """(B, 16, 6, 6), standard normal."""
    return (rng.standard_normal((BATCH, CHANNELS, SIDE, SIDE)).astype(np.float32),)


def _features_and_vectors(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Features, an order of their places, and two features (B, 16) of which images are made that hold nothing else.

    Their sizes differ widely: whatever the scale of a layer's first weights, the softmax of some is neither even nor all at one place.
    """
    sizes = np.geomspace(0.3, 30, BATCH)[:, None]
    vectors = (rng.standard_normal((BATCH, CHANNELS)) * sizes for _ in range(2))
    order = rng.permutation(PLACES)
    return (*_features(rng), order.astype(np.float32), *(v.astype(np.float32) for v in vectors))


def _weights(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Weights (6, 2) and biases (6,), on both sides of every limit, and a limit that is not 0.01."""
    sizes = np.outer((-1, 1), (0.003, 0.03, 0.2)).ravel()  # within both limits, between them, beyond both; of either sign
    weights, biases = (rng.permutation(np.repeat(sizes, n)) * rng.uniform(0.8, 1, 6 * n) for n in (2, 1))
    return tuple(a.astype(np.float32) for a in (weights.reshape(6, 2), biases, rng.uniform(0.05, 0.1, 1)))


def judge_image_generator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """Images (B, 3, 32, 32) in [-1, 1] that depend on the noise."""
    return judge_generator_shape(inputs, outputs, SHAPE)


def judge_image_discriminator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """One unbounded score an image, depending on the image; the second output is that of larger weights on larger inputs."""
    if len(outputs) != 2:
        return wrong("the discriminator did not return one tensor")
    batch = len(inputs[0])
    scores, amplified = outputs
    if scores.shape not in {(batch, 1), (batch,)}:
        return wrong(f"{batch} images gave an output of shape {scores.shape}; expected ({batch}, 1)")
    if not np.isfinite(scores).all():
        return wrong("the scores contain NaN or infinity")
    if scores.min() == scores.max():
        return wrong("every image got the same score; the output must depend on the image")
    if (end := squashing(amplified)) is not None:
        return wrong(f"the scores stay within {end}; the losses expect them without bounds: leave it out")
    return right("one score without bounds for each image")


def judge_self_attention_start(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """x + γ·o with γ = 0 is x itself, and with γ = 1 it is not (Zhang et al. 2019, equation 3)."""
    if len(outputs) != 2:
        return wrong("the layer did not return one tensor")
    (x,) = inputs
    start, one = outputs
    for found in outputs:
        if found.shape != x.shape:
            return wrong(f"features of shape {x.shape} gave shape {found.shape}; expected the same shape")
        if not np.isfinite(found).all():
            return wrong("the output contains NaN or infinity")
    if not np.array_equal(start, x):
        if not start.any():
            return wrong("a fresh layer returns zeros: the input x is not added; return x + gamma * o")
        return wrong("a fresh layer changes its input; gamma must start at 0, and the output be x + gamma * o")
    if np.array_equal(one, x):
        return wrong("with gamma = 1 the output is still the input: gamma is not used, or o is 0")
    return right("returns its input while gamma is 0, and something else when gamma is 1")


def judge_self_attention_weights(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """What attention with weights of sum 1 over the places that are looked at does, whatever its layers are; gamma is 1.

    Outputs: of the features; of the features in another order of places; with one place changed; of images that hold one vector at
    a third of the places and another at the rest; of images that hold the first vector everywhere; and the second.
    """
    x, order, first, second = inputs
    if len(outputs) != 6 or any(found.shape != x.shape for found in outputs):
        return wrong(f"features of shape {x.shape} did not give one tensor of the same shape each time")
    if not all(np.isfinite(found).all() for found in outputs):
        return wrong("the output contains NaN or infinity")
    plain, moved, changed, mixed, all_first, all_second = (_by_place(found) for found in outputs)
    if not _close(moved, plain[:, :, order.astype(np.int64)]):
        return wrong(
            "with the places of the input in another order, the output is not the same in that order: every place must look at all "
            "places alike; is a transpose missing or a reshape in its place, or are places pooled?"
        )
    for found in (all_first, all_second):
        if not _close(found, np.broadcast_to(found[:, :, :1], found.shape)):
            return wrong("an input that is the same at all places gave an output that is not")
    if np.array_equal(plain[:, :, 1:], changed[:, :, 1:]):
        return wrong("the output at a place depends on that place alone; it must depend on all")
    alone = [found[:, :, 0] - vector for found, vector in ((all_first, first), (all_second, second))]
    seen = mixed - np.where(_places_of_first(), first[:, :, None], second[:, :, None])
    if not _between(seen, *alone):
        return wrong(
            "the weights with which a place looks at all places do not sum to 1: take the softmax over the places that are looked at, the "
            "last dimension of (B, N, N) where row i belongs to the query of place i"
        )
    return right("each place takes a mean over all places, with weights that sum to 1")


def _places_of_first() -> NDArray[np.bool_]:
    """(N,): which places of a mixed image hold its first vector."""
    first: NDArray[np.bool_] = np.arange(PLACES) % 3 == 0
    return first


def _by_place(features: Floats) -> NDArray[np.float64]:
    """(B, C, H, W) -> (B, C, N)"""
    return features.astype(np.float64).reshape(*features.shape[:2], -1)


def _close(found: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
    """Up to float32 sums over places, whose order may differ, relative to the size of each image."""
    size = np.abs(expected).max(axis=(1, 2), keepdims=True)
    return bool((np.abs(found - expected) <= 1e-3 * size).all())


def _between(seen: NDArray[np.float64], one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether the vectors seen, (B, C, N), lie on the straight line from one to the other, (B, C) each.

    What a place sees is a mean of two values if and only if its weights sum to 1, and the convolutions after it keep lines straight.
    """
    along = (other - one)[:, :, None]
    length = np.square(along).sum(1, keepdims=True)
    share = ((seen - one[:, :, None]) * along).sum(1, keepdims=True) / np.maximum(length, 1e-30)
    off = seen - one[:, :, None] - share * along
    size = np.maximum(np.sqrt(length), np.linalg.norm(one, axis=1)[:, None, None])
    straight = np.linalg.norm(off, axis=1, keepdims=True) <= 1e-2 * size
    inside = (share > -1e-2) & (share < 1 + 1e-2)
    return bool((straight & inside).all())


def judge_class_embedding(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """50 numbers for each class, different ones, that training can change."""
    if len(outputs) != 2:
        return wrong("the embedding did not return one tensor")
    vectors, trainable = outputs
    if vectors.shape != (CLASSES, EMBEDDING):
        return wrong(f"{CLASSES} classes gave shape {vectors.shape}; expected {(CLASSES, EMBEDDING)}")
    if not np.isfinite(vectors).all():
        return wrong("the embedding contains NaN or infinity")
    if len(np.unique(vectors, axis=0)) < CLASSES:
        return wrong("two classes got the same vector")
    if not trainable.any():
        return wrong("the embedding has no parameters that training could change; take an nn.Embedding")
    return right(f"{CLASSES} classes embedded as {EMBEDDING} numbers each")


def judge_conditional_image_critic(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """One unbounded score an image, depending on the image and on the class."""
    return judge_critic_scores(inputs, outputs, condition="class")


def judge_clip_weights(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """Every parameter cut to [-limit, limit] in place, with a limit given and with it left at 0.01 (Arjovsky et al. 2017, algorithm 1).

    Outputs: the parameters, flat and one after the other, with the limit given, then without.
    """
    if len(outputs) != 2:
        return wrong("the weights could not be clipped both with and without a limit")
    for limit, found in ((float(inputs[2][0]), outputs[0]), (LIMIT, outputs[1])):
        verdict = _clipped(inputs, limit, found)
        if verdict.share < 1:
            return verdict
    return verdict


def _clipped(inputs: Sequence[Floats], limit: float, found: Floats) -> Verdict:
    weights, biases = (a.astype(np.float64).ravel() for a in inputs[:2])
    both = np.concatenate([weights, biases])
    slips = {
        "they are unchanged; change them in place, with clamp_ on each parameter": both,
        "the biases are unchanged; clip all parameters": np.concatenate([weights.clip(-limit, limit), biases]),
        "they are within ±0.01 whatever the argument limit is": both.clip(-LIMIT, LIMIT),
        "negative weights were cut to 0; the lower bound is -limit": both.clip(0, limit),
        "the lower bound is missing": np.minimum(both, limit),
        "the upper bound is missing": np.maximum(both, -limit),
        "all of them were scaled; those within the limits must stay as they are": both / np.abs(both).max() * limit,
        "only their signs are left; those within the limits must stay as they are": np.sign(both) * limit,
    }
    of = f"parameters with a limit of {limit:.3f}"
    if found.shape != both.shape:
        return wrong(f"{of}: their shapes have changed")
    if np.allclose(found, both.clip(-limit, limit), rtol=1e-5, atol=1e-8):
        return right(f"{of}: all within it, and unchanged where they were")
    slip = next((name for name, other in slips.items() if np.allclose(found, other, rtol=1e-4, atol=1e-8)), None)
    return wrong(f"{of}: {slip or f'values from {found.min():.3f} to {found.max():.3f}; expected them cut to ±{limit:.3f}'}")


IMAGE_GENERATOR_CODE = """
def probe(z):
    with torch.no_grad():
        return [Generator().to(device)(z.to(device))]
"""

IMAGE_DISCRIMINATOR_CODE = """
def probe(images):
    network = Discriminator().to(device).eval()
    with torch.no_grad():
        scores = network(images.to(device))
        for p in network.parameters():
            p.mul_(1000)
        return [scores, network(10_000 * images.to(device))]
"""

_FRESH_ATTENTION = f"""
def fresh_layer():
    layer = SelfAttention({CHANNELS}).to(device).eval()
    if not isinstance(getattr(layer, "gamma", None), nn.Parameter):
        raise AttributeError("SelfAttention has no nn.Parameter named gamma")
    return layer
"""

ATTENTION_START_CODE = (
    _FRESH_ATTENTION
    + """
def probe(x):
    layer = fresh_layer()
    with torch.no_grad():
        start = layer(x.to(device)).clone()
        layer.gamma.fill_(1)
        return [start, layer(x.to(device))]
"""
)

ATTENTION_WEIGHTS_CODE = (
    _FRESH_ATTENTION
    + """
def probe(x, order, first, second):
    layer = fresh_layer()
    height, width = x.shape[2:]
    order = order.long()
    moved = x.flatten(2)[:, :, order].unflatten(2, (height, width))
    changed = x.clone()
    changed[:, :, 0, 0] += 3
    ones, others = (v[:, :, None].repeat(1, 1, height * width) for v in (first, second))
    mixed = torch.where(torch.arange(height * width) % 3 == 0, ones, others)
    given = [x, moved, changed, *(v.unflatten(2, (height, width)) for v in (mixed, ones, others))]
    with torch.no_grad():
        layer.gamma.fill_(1)
        return [layer(images.contiguous().to(device)) for images in given]
"""
)

CLASS_EMBEDDING_CODE = """
def probe(classes):
    layer = class_embedding().to(device)
    vectors = layer(classes.long().to(device))
    return [vectors.detach(), torch.tensor([float(any(p.requires_grad for p in layer.parameters()))])]
"""

CONDITIONAL_IMAGE_GENERATOR_CODE = """
def probe(z, classes, others):
    network = Generator().to(device)
    with torch.no_grad():
        return [network(z.to(device), c.long().to(device)) for c in (classes, others)]
"""

CONDITIONAL_IMAGE_CRITIC_CODE = """
def probe(images, classes, others):
    network = Discriminator().to(device).eval()
    images, classes, others = images.to(device), classes.long().to(device), others.long().to(device)
    with torch.no_grad():
        scores = [network(images, c) for c in (classes, others)]
        for p in network.parameters():
            p.mul_(1000)
        return [*scores, network(10_000 * images, classes)]
"""

CLIP_WEIGHTS_CODE = """
def probe(weights, biases, limit):
    found = []
    for arguments in ((float(limit),), ()):
        critic = nn.Linear(weights.shape[1], weights.shape[0]).to(device)
        with torch.no_grad():
            critic.weight.copy_(weights)
            critic.bias.copy_(biases)
        held = [critic.weight, critic.bias]
        clip_weights(critic, *arguments)
        found.append(torch.cat([p.detach().flatten() for p in held]))
    return found
"""

_GENERATOR = ("generator_layers", "generator_forward")
_DISCRIMINATOR = ("discriminator_layers", "discriminator_forward")
_ATTENTION = ("attention_layers", "attention_forward")

CHECKS = (
    UnitCheck("image_generator", _GENERATOR, IMAGE_GENERATOR_CODE, random_noise, judge_image_generator),
    UnitCheck("image_discriminator", _DISCRIMINATOR, IMAGE_DISCRIMINATOR_CODE, _images, judge_image_discriminator),
    UnitCheck("self_attention_start", _ATTENTION, ATTENTION_START_CODE, _features, judge_self_attention_start),
    UnitCheck("self_attention_weights", _ATTENTION, ATTENTION_WEIGHTS_CODE, _features_and_vectors, judge_self_attention_weights),
    UnitCheck("class_embedding", ("class_embedding",), CLASS_EMBEDDING_CODE, _each_class, judge_class_embedding),
    UnitCheck(
        "conditional_image_generator",
        ("class_embedding", *_GENERATOR),
        CONDITIONAL_IMAGE_GENERATOR_CODE,
        _noise_of_two_classes,
        judge_class_generator,
    ),
    UnitCheck(
        "conditional_image_critic",
        _DISCRIMINATOR,
        CONDITIONAL_IMAGE_CRITIC_CODE,
        _images_of_two_classes,
        judge_conditional_image_critic,
    ),
    UnitCheck("clip_weights", ("clip_weights",), CLIP_WEIGHTS_CODE, _weights, judge_clip_weights),
)
