"""Unit checks of the conditional Wasserstein GAN: one-hot conditions, three losses, a critic without bounds."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grader.units.base import (
    BATCH,
    Floats,
    UnitCheck,
    Verdict,
    compare_joined,
    compare_loss,
    random_images,
    random_noise,
    right,
    single,
    wrong,
)
from grader.units.gan import judge_generator_shape

CLASSES = 10


def _labels(rng: np.random.Generator) -> Floats:
    """Classes (B,) in random order, every class among them; float32, as all inputs are."""
    return rng.permutation(np.arange(BATCH) % CLASSES).astype(np.float32)


def _one_hot(labels: Floats) -> Floats:
    return np.eye(CLASSES, dtype=np.float32)[labels.astype(np.int64)]


def _noise_of_classes(rng: np.random.Generator) -> tuple[Floats, ...]:
    return (*random_noise(rng), _labels(rng))


def _images_of_classes(rng: np.random.Generator) -> tuple[Floats, ...]:
    return (*random_images(rng), _labels(rng))


def _one_noise_of_two_classes(rng: np.random.Generator) -> tuple[Floats, ...]:
    """The same noise with one class and with the next, each as vectors (B, 110)."""
    (z,), c = random_noise(rng), _labels(rng)
    return tuple(np.concatenate([z, _one_hot((c + k) % CLASSES)], axis=1) for k in range(2))


def _one_image_of_two_classes(rng: np.random.Generator) -> tuple[Floats, ...]:
    """The same images with the planes of one class and of the next, each (B, 11, 28, 28)."""
    (pictures,), c = random_images(rng), _labels(rng)
    planes = (np.broadcast_to(_one_hot((c + k) % CLASSES)[:, :, None, None], (BATCH, CLASSES, 28, 28)) for k in range(2))
    return tuple(np.concatenate([pictures, p], axis=1) for p in planes)


def _scores(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Scores of fake and of real images, a penalty, and its weight, which is not 10."""
    fake, real = (rng.normal(mean, 2, (BATCH, 1)).astype(np.float32) for mean in (-3, 4))
    penalty, weight = (np.array([rng.uniform(*bounds)], np.float32) for bounds in ((0.2, 0.8), (2, 6)))
    return fake, real, penalty, weight


def _gradients(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Gradients with norms from 0.3 to 3, and the weights of a linear critic."""
    raw = rng.standard_normal((BATCH, 1, 28, 28))
    norms = rng.permutation(np.linspace(0.3, 3, BATCH)).reshape(-1, 1, 1, 1)
    weights = rng.standard_normal((1, 1, 28, 28)) / 14
    return tuple(a.astype(np.float32) for a in (raw / np.sqrt(np.square(raw).sum((1, 2, 3), keepdims=True)) * norms, weights))


def judge_noise_and_class(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """(B, 100) noise ‖ (B, 10) one-hot, exactly (Mirza and Osindero 2014)."""
    z, c = inputs
    expected = np.concatenate([z, _one_hot(c)], axis=1)
    slips = {"the class comes first; the noise must": np.concatenate([_one_hot(c), z], axis=1)}
    return compare_joined(single(outputs), expected, slips, "noise and class")


def judge_images_and_class(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """(B, 1, 28, 28) image ‖ (B, 10, 28, 28) planes, of which that of the class holds ones, exactly."""
    images, c = inputs
    planes = np.broadcast_to(_one_hot(c)[:, :, None, None], (len(c), CLASSES, *images.shape[2:]))
    expected = np.concatenate([images, planes], axis=1)
    slips = {"the planes come first; the image must": np.concatenate([planes, images], axis=1)}
    return compare_joined(single(outputs), expected, slips, "image and class")


def judge_generator_conditional(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """Images in range for both classes, which differ although the noise is the same."""
    if len(outputs) != 2:
        return wrong("the generator did not return one tensor")
    for given, images in zip(inputs, outputs, strict=True):
        verdict = judge_generator_shape((given,), (images,))
        if verdict.share < 1:
            return verdict
    if np.array_equal(outputs[0], outputs[1]):
        return wrong("the same noise gave the same images for two different classes; the output must depend on the class")
    return right(f"images of shape {outputs[0].shape} in [-1, 1] that depend on the class")


def judge_critic_scores(
    inputs: Sequence[Floats], outputs: Sequence[Floats], network: str = "critic", condition: str = "class planes"
) -> Verdict:
    """One unbounded score an image, depending on the image and on the condition.

    The third output is that of larger weights on larger inputs: nothing but a sigmoid or tanh at the end keeps it small.
    """
    if len(outputs) != 3:
        return wrong(f"the {network} did not return one tensor")
    batch = len(inputs[0])
    scores, other_condition, amplified = outputs
    if scores.shape not in {(batch, 1), (batch,)}:
        return wrong(f"input of shape {inputs[0].shape} gave an output of shape {scores.shape}; expected ({batch}, 1)")
    if not np.isfinite(scores).all():
        return wrong("the scores contain NaN or infinity")
    if scores.min() == scores.max():
        return wrong("every image got the same score; the output must depend on the image")
    if np.array_equal(scores, other_condition):
        return wrong(f"the same images got the same scores for two different classes; the output must depend on the {condition}")
    if (end := squashing(amplified)) is not None:
        return wrong(f"the scores stay within {end}; the {network}'s scores have no bounds: leave it out")
    return right("one score for each image, depending on image and class")


def squashing(amplified: Floats) -> str | None:
    """The bounds that outputs keep although weights and inputs are large, and what keeps them; None where there are none."""
    if not np.abs(amplified).max() <= 1:  # NaN comes of large numbers too
        return None
    return "[0, 1], as after a sigmoid" if amplified.min() >= 0 else "[-1, 1], as after tanh"


def judge_wloss_generator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """-mean(score_fake) (Arjovsky, Chintala and Bottou 2017)."""
    (fake,) = inputs
    expected = -_mean(fake)
    slips = {
        "+score_fake: the sign is flipped; the generator wants high scores, so its loss is -score_fake": -expected,
        "the sum over the batch; take the mean": expected * len(fake),
    }
    return compare_loss(single(outputs), expected, slips, "scores")


def judge_wloss_discriminator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """mean(fake) - mean(real) + λ·penalty, with λ given and with λ left at 10 (Gulrajani et al. 2017, equation 3)."""
    if len(outputs) != 2:
        return wrong("the loss could not be computed both with and without lambda_")
    for weight, found in zip((float(inputs[3][0]), 10.0), outputs, strict=True):
        verdict = _wloss_discriminator(inputs, weight, found)
        if verdict.share < 1:
            return verdict
    return verdict


def _wloss_discriminator(inputs: Sequence[Floats], weight: float, found: Floats) -> Verdict:
    fake, real, penalty = _mean(inputs[0]), _mean(inputs[1]), weight * float(inputs[2][0])
    slips = {
        "score_real - score_fake + λ·penalty: the signs of the two scores are flipped; the critic wants low scores for fake images": real
        - fake
        + penalty,
        "score_fake - score_real - λ·penalty: the sign of the penalty is flipped; it must be added": fake - real - penalty,
        "score_fake + score_real + λ·penalty: the sign of score_real is flipped; the critic wants high scores for real images": fake
        + real
        + penalty,
        "without the penalty": fake - real,
        "with the penalty not multiplied by lambda_": fake - real + float(inputs[2][0]),
        "with a weight of 10 in place of the argument lambda_": fake - real + 10 * float(inputs[2][0]),
        "the sum over the batch; take the mean": (fake - real) * len(inputs[0]) + penalty,
    }
    return compare_loss(found, fake - real + penalty, slips, f"scores (λ = {weight:.2f})")


def judge_gradient_regularisation(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """mean((‖gradient‖₂ - 1)²) of random gradients, and of those of a linear critic, which are its weights everywhere."""
    if len(outputs) != 2:
        return wrong("the penalty could not be computed")
    gradient, weights = (a.astype(np.float64) for a in inputs)
    verdict = _penalty(gradient, outputs[0], "random gradients")
    return verdict if verdict.share < 1 else _penalty(np.repeat(weights, len(gradient), axis=0), outputs[1], "a linear critic")


def _penalty(gradient: NDArray[np.float64], found: Floats, of: str) -> Verdict:
    squares = np.square(gradient).sum((1, 2, 3))
    norms = np.sqrt(squares)
    expected = float(np.square(norms - 1).mean())
    slips = {
        "(‖gradient‖² - 1)²: the square root is missing in the norm": float(np.square(squares - 1).mean()),
        "the norm over the whole batch; take it for each image": float((np.sqrt(squares.sum()) - 1) ** 2),
        "(mean norm - 1)²: square each image's deviation first, then take the mean": float((norms.mean() - 1) ** 2),
        "the mean of ‖gradient‖ - 1: the square is missing": float((norms - 1).mean()),
        "the mean of |‖gradient‖ - 1|: the square is missing": float(np.abs(norms - 1).mean()),
        "the L1 norm; take the L2 norm": float(np.square(np.abs(gradient).sum((1, 2, 3)) - 1).mean()),
        "one norm for each row of pixels; take one for each image": float(
            np.square(np.sqrt(np.square(gradient).sum(3)) - 1).mean()
        ),
        "one norm for each pixel; take one for each image": float(np.square(np.abs(gradient) - 1).mean()),
        "the sum over the batch; take the mean": expected * len(gradient),
        "ten times it; lambda_ belongs into get_WLoss_discriminator": expected * 10,
        "its negative": -expected,
    }
    return compare_loss(found, expected, slips, of)


def judge_critic_batch_norm(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """Whether an image's score in training mode depends on the rest of the batch, as batch normalisation makes it."""
    if len(outputs) != 2:
        return wrong("the critic did not return one tensor")
    whole, half = outputs
    if np.allclose(whole[: len(half)], half, rtol=1e-3, atol=1e-4):
        return right("a score depends on its own image alone")
    return wrong(
        "The critic's score of an image depends on the other images of the batch, as with batch normalisation. The gradient penalty is "
        "about each image by itself: leave batch normalisation out of the critic, or use LayerNorm or InstanceNorm."
    )


def _mean(values: Floats) -> float:
    return float(values.astype(np.float64).mean())


NOISE_AND_CLASS_CODE = """
def probe(z, c):
    return [noise_and_class(z.to(device), c.long().to(device))]
"""

IMAGES_AND_CLASS_CODE = """
def probe(images, c):
    return [images_and_class(images.to(device), c.long().to(device))]
"""

CONDITIONAL_GENERATOR_CODE = """
def probe(one, other):
    network = Generator().to(device)
    with torch.no_grad():
        return [network(one.to(device)), network(other.to(device))]
"""

CRITIC_CODE = """
def probe(one, other):
    network = Discriminator().to(device).eval()
    with torch.no_grad():
        scores = [network(x.to(device)) for x in (one, other)]
        for p in network.parameters():
            p.mul_(1000)
        return [*scores, network(100 * one.to(device))]
"""

CRITIC_BATCH_CODE = """
def probe(one, other):
    network = Discriminator().to(device).train()
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    with torch.no_grad():
        return [network(one.to(device)), network(one[:4].to(device))]
"""

WLOSS_GENERATOR_CODE = """
def probe(score_fake):
    return [get_WLoss_generator(score_fake.to(device))]
"""

WLOSS_DISCRIMINATOR_CODE = """
def probe(score_fake, score_real, penalty, weight):
    given = score_fake.to(device), score_real.to(device), penalty[0].to(device)
    return [get_WLoss_discriminator(*given, float(weight)), get_WLoss_discriminator(*given)]
"""

GRADIENT_CODE = """
def probe(gradient, weights):
    images = torch.zeros_like(gradient, device=device, requires_grad=True)
    scores = (images * weights.to(device)).sum((1, 2, 3))
    linear = torch.autograd.grad(scores.sum(), images, create_graph=True)[0]
    return [get_gradient_regularisation(gradient.to(device)), get_gradient_regularisation(linear)]
"""

CHECKS = (
    UnitCheck("noise_and_class", ("noise_and_class",), NOISE_AND_CLASS_CODE, _noise_of_classes, judge_noise_and_class),
    UnitCheck("images_and_class", ("images_and_class",), IMAGES_AND_CLASS_CODE, _images_of_classes, judge_images_and_class),
    UnitCheck(
        "generator_conditional",
        ("generator_layers", "generator_forward"),
        CONDITIONAL_GENERATOR_CODE,
        _one_noise_of_two_classes,
        judge_generator_conditional,
    ),
    UnitCheck(
        "critic_scores",
        ("discriminator_layers", "discriminator_forward"),
        CRITIC_CODE,
        _one_image_of_two_classes,
        judge_critic_scores,
    ),
    UnitCheck(
        "critic_batch_norm",
        ("discriminator_layers", "discriminator_forward"),
        CRITIC_BATCH_CODE,
        _one_image_of_two_classes,
        judge_critic_batch_norm,
    ),
    UnitCheck("wloss_generator", ("wloss_generator",), WLOSS_GENERATOR_CODE, lambda rng: _scores(rng)[:1], judge_wloss_generator),
    UnitCheck("wloss_discriminator", ("wloss_discriminator",), WLOSS_DISCRIMINATOR_CODE, _scores, judge_wloss_discriminator),
    UnitCheck("gradient_regularisation", ("gradient_regularisation",), GRADIENT_CODE, _gradients, judge_gradient_regularisation),
)
