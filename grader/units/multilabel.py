"""Unit checks of conditional GANs on images with several labels: embeddings, losses of scores without bounds, an auxiliary head."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grader.units.base import BATCH, Floats, UnitCheck, Verdict, compare_joined, compare_loss, random_noise, right, single, wrong
from grader.units.gan import judge_generator_shape
from grader.units.wgan import judge_critic_scores, squashing

LABELS = 24
EMBEDDING = 300
SHAPE = (3, 64, 64)
PIXELS = SHAPE[1] * SHAPE[2]


def _labels(rng: np.random.Generator, n: int = BATCH) -> Floats:
    """(n, 24) of 0 and 1: one to three labels in each row."""
    asked = rng.permutation(np.arange(n) % 3 + 1)[:, None]
    return (rng.random((n, LABELS)).argsort(axis=1) < asked).astype(np.float32)


def _images(rng: np.random.Generator) -> Floats:
    """(B, 3, 64, 64), uniform in [-1, 1]."""
    return rng.uniform(-1, 1, (BATCH, *SHAPE)).astype(np.float32)


def _each_label(rng: np.random.Generator) -> tuple[Floats, ...]:
    """One row for each label alone, in random order."""
    return (rng.permutation(np.eye(LABELS, dtype=np.float32)),)


def _noise_and_embedding(rng: np.random.Generator) -> tuple[Floats, ...]:
    return (*random_noise(rng), rng.standard_normal((BATCH, EMBEDDING)).astype(np.float32))


def _images_and_embedding(rng: np.random.Generator) -> tuple[Floats, ...]:
    return _images(rng), rng.standard_normal((BATCH, PIXELS)).astype(np.float32)


def _noise_of_two_conditions(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Noise, labels, and the same labels each moved by one place, which no row keeps."""
    labels = _labels(rng)
    return (*random_noise(rng), labels, np.roll(labels, 1, axis=1))


def _images_of_two_conditions(rng: np.random.Generator) -> tuple[Floats, ...]:
    labels = _labels(rng)
    return _images(rng), labels, np.roll(labels, 1, axis=1)


def _scores(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Scores of real and of fake images on both sides of the hinges at 1 and -1."""
    return tuple(rng.permutation(np.linspace(-3, 3, BATCH) + shift).reshape(-1, 1).astype(np.float32) for shift in (0.6, -0.4))


def _logits(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Label logits, higher where there is a label, so that slips differ clearly; labels; and a smoothing that is not 0."""
    labels = _labels(rng)
    logits = rng.normal(0, 2, labels.shape) + 3 * labels
    return logits.astype(np.float32), labels, rng.uniform(0.1, 0.4, 1).astype(np.float32)


def judge_label_embedding(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """As many numbers as asked for, twice, and different ones for each label."""
    if len(outputs) != 2:
        return wrong("the embedding did not return one tensor")
    for width, found in zip((EMBEDDING, PIXELS), outputs, strict=True):
        if found.shape != (LABELS, width):
            return wrong(f"labels {inputs[0].shape} gave shape {found.shape} for a width of {width}; expected {(LABELS, width)}")
        if not np.isfinite(found).all():
            return wrong("the embedding contains NaN or infinity")
        if len(np.unique(found, axis=0)) < LABELS:
            return wrong("two labels got the same embedding; it must depend on every label")
    return right(f"{LABELS} labels embedded as {EMBEDDING} and as {PIXELS} numbers")


def judge_noise_and_labels(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """(B, 100) noise ‖ (B, 300) embedding, exactly."""
    z, embedding = inputs
    slips = {"the embedding comes first; the noise must": np.concatenate([embedding, z], axis=1)}
    return compare_joined(single(outputs), np.concatenate([z, embedding], axis=1), slips, "noise and embedding")


def judge_images_and_plane(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """(B, 3, 64, 64) image ‖ (B, 1, 64, 64) plane that holds the embedding row by row, exactly."""
    images, embedding = inputs
    plane = embedding.reshape(-1, 1, *SHAPE[1:])
    slips = {
        "the plane comes first; the image must": np.concatenate([plane, images], axis=1),
        "the plane is filled column by column; fill it row by row": np.concatenate([images, plane.swapaxes(2, 3)], axis=1),
    }
    return compare_joined(single(outputs), np.concatenate([images, plane], axis=1), slips, "image and plane")


def judge_labelled_generator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """Images in range for both conditions, which differ although the noise is the same."""
    if len(outputs) != 2:
        return wrong("the generator did not return one tensor")
    for images in outputs:
        verdict = judge_generator_shape(inputs, (images,), SHAPE)
        if verdict.share < 1:
            return verdict
    if np.array_equal(outputs[0], outputs[1]):
        return wrong("the same noise gave the same images for different labels; the output must depend on the labels")
    return right(f"images of shape {outputs[0].shape} in [-1, 1] that depend on the labels")


def judge_labelled_discriminator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """One unbounded score an image, depending on the image and on the labels."""
    return judge_critic_scores(inputs, outputs, "discriminator", "labels")


def judge_auxiliary_discriminator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """A score and 24 logits an image, neither with bounds (Odena, Olah and Shlens 2017, for several labels an image).

    The third and fourth output are those of larger weights on larger inputs.
    """
    if len(outputs) != 4:
        return wrong("the discriminator did not return two tensors, the scores and the label logits")
    batch = len(inputs[0])
    for what, width, found, amplified in zip(("scores", "label logits"), (1, LABELS), outputs[:2], outputs[2:], strict=True):
        if found.shape not in {(batch, width), *([(batch,)] if width == 1 else [])}:
            return wrong(f"{batch} images gave {what} of shape {found.shape}; expected {(batch, width)}")
        if not np.isfinite(found).all():
            return wrong(f"the {what} contain NaN or infinity")
        if np.ptp(found, axis=0).min() == 0:
            return wrong(f"every image got the same {what}; they must depend on the image")
        if (end := squashing(amplified)) is not None:
            return wrong(f"the {what} stay within {end}; the losses expect them without bounds: leave it out")
    return right(f"one score and {LABELS} label logits for each image")


def _cross_entropy(scores: NDArray[np.float32], targets: float | NDArray[np.floating]) -> NDArray[np.float64]:
    """Binary cross-entropy of each score's sigmoid against targets in [0, 1], in float64."""
    x = scores.astype(np.float64)
    return np.logaddexp(0, x) - targets * x


def _bce(scores: Floats, target: float) -> float:
    return float(_cross_entropy(scores, target).mean())


def _sigmoid(scores: Floats) -> Floats:
    return (1 / (1 + np.exp(-scores))).astype(np.float32)


def judge_bce_discriminator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """BCE(real, 1) + BCE(fake, 0) of the scores' sigmoids, each a mean over the batch (Goodfellow et al. 2014, equation 1)."""
    real, fake = inputs
    expected = _bce(real, 1) + _bce(fake, 0)
    slips = {
        "half of it; add the two terms, do not average them": expected / 2,
        "the loss with the labels swapped": _bce(real, 0) + _bce(fake, 1),
        "the sum over the batch; take the mean": expected * len(real),
        "the term of the real batch alone": _bce(real, 1),
        "the term of the fake batch alone": _bce(fake, 0),
        "the sigmoid taken twice": _bce(_sigmoid(real), 1) + _bce(_sigmoid(fake), 0),
        "its negative": -expected,
    }
    return compare_loss(single(outputs), expected, slips, "fresh scores")


def judge_bce_generator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """BCE(fake, 1) of the scores' sigmoids, the non-saturating loss (Goodfellow et al. 2014, section 3)."""
    (fake,) = inputs
    expected = _bce(fake, 1)
    slips = {
        "the cross-entropy against the label 0": _bce(fake, 0),
        "the saturating loss log(1 - D(G(z)))": -_bce(fake, 0),
        "the sum over the batch; take the mean": expected * len(fake),
        "the sigmoid taken twice": _bce(_sigmoid(fake), 1),
        "its negative": -expected,
    }
    return compare_loss(single(outputs), expected, slips, "fresh scores")


def _hinge(scores: Floats, sign: int) -> float:
    """Mean of max(0, 1 + sign · score)."""
    return float(np.maximum(0, 1 + sign * scores.astype(np.float64)).mean())


def judge_hinge_discriminator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """mean(max(0, 1 - real)) + mean(max(0, 1 + fake)) (Lim and Ye 2017; Miyato et al. 2018, equation 16)."""
    real, fake = inputs
    expected = _hinge(real, -1) + _hinge(fake, 1)
    difference = float(fake.astype(np.float64).mean() - real.astype(np.float64).mean())
    slips = {
        "half of it; add the two terms, do not average them": expected / 2,
        "the loss with the signs of the scores swapped": _hinge(real, 1) + _hinge(fake, -1),
        "2 - score_real + score_fake: max(0, ...) is missing": 2 + difference,
        "score_fake - score_real, the Wasserstein loss": difference,
        "the sum over the batch; take the mean": expected * len(real),
        "the term of the real batch alone": _hinge(real, -1),
        "the term of the fake batch alone": _hinge(fake, 1),
        "its negative": -expected,
    }
    return compare_loss(single(outputs), expected, slips, "fresh scores")


def judge_hinge_generator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """-mean(fake) (Miyato et al. 2018, equation 17)."""
    (fake,) = inputs
    expected = -float(fake.astype(np.float64).mean())
    slips = {
        "+score_fake: the sign is flipped; the generator wants high scores, so its loss is -score_fake": -expected,
        "max(0, 1 - score_fake): the hinge is for the discriminator alone": _hinge(fake, -1),
        "the sum over the batch; take the mean": expected * len(fake),
    }
    return compare_loss(single(outputs), expected, slips, "fresh scores")


def judge_label_loss(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """Mean of the binary cross-entropies of all labels of all images, with smoothing given and with smoothing left at 0."""
    if len(outputs) != 2:
        return wrong("the loss could not be computed both with and without smoothing")
    logits, labels, (smoothing,) = inputs
    for amount, found in ((float(smoothing), outputs[0]), (0.0, outputs[1])):
        verdict = _label_loss(logits, labels, amount, found)
        if verdict.share < 1:
            return verdict
    return verdict


def _label_loss(logits: Floats, labels: Floats, smoothing: float, found: Floats) -> Verdict:
    """Against targets smoothing/2 and 1 - smoothing/2 (Szegedy et al. 2016, for two classes a label)."""

    def loss(targets: NDArray[np.floating]) -> float:
        return float(_cross_entropy(logits, targets).mean())

    x = logits.astype(np.float64)
    softmax = (np.log(np.exp(x).sum(1, keepdims=True)) - x) * labels
    expected = loss(labels * (1 - smoothing) + smoothing / 2)
    slips = {
        "the loss without smoothing": loss(labels),
        "smoothed on one side alone; the targets are smoothing/2 and 1 - smoothing/2": loss(labels * (1 - smoothing / 2)),
        "with targets 0 and 1 - smoothing; they are smoothing/2 and 1 - smoothing/2": loss(labels * (1 - smoothing)),
        "with targets smoothing and 1 - smoothing; take smoothing/2": loss(labels * (1 - 2 * smoothing) + smoothing),
        "a softmax over the labels, which allows one label an image": float(softmax.sum(1).mean()),
        "the sum over the labels; take the mean": expected * LABELS,
        "the sum over labels and batch; take the mean": expected * logits.size,
        "the sigmoid taken twice": float(_cross_entropy(_sigmoid(logits), labels).mean()),
        "its negative": -expected,
    }
    return compare_loss(found, expected, slips, f"fresh logits (smoothing {smoothing:.2f})")


EMBEDDING_CODE = f"""
def probe(labels):
    with torch.no_grad():
        return [LabelEmbedding(width).to(device)(labels.to(device)) for width in ({EMBEDDING}, {PIXELS})]
"""

NOISE_AND_LABELS_CODE = """
def probe(z, embedding):
    return [noise_and_labels(z.to(device), embedding.to(device))]
"""

IMAGES_AND_PLANE_CODE = """
def probe(images, embedding):
    return [images_and_plane(images.to(device), embedding.to(device))]
"""

LABELLED_GENERATOR_CODE = """
def probe(z, labels, others):
    network = Generator().to(device)
    with torch.no_grad():
        return [network(z.to(device), x.to(device)) for x in (labels, others)]
"""

LABELLED_DISCRIMINATOR_CODE = """
def probe(images, labels, others):
    network = Discriminator().to(device).eval()
    images, labels, others = images.to(device), labels.to(device), others.to(device)
    with torch.no_grad():
        scores = [network(images, x) for x in (labels, others)]
        for p in network.parameters():
            p.mul_(1000)
        return [*scores, network(10_000 * images, labels)]
"""

AUXILIARY_DISCRIMINATOR_CODE = """
def probe(images):
    network = Discriminator().to(device).eval()
    with torch.no_grad():
        found = list(network(images.to(device)))
        for p in network.parameters():
            p.mul_(1000)
        return [*found, *network(10_000 * images.to(device))]
"""

BCE_DISCRIMINATOR_CODE = """
def probe(score_real, score_fake):
    return [bce_discriminator(score_real.to(device), score_fake.to(device))]
"""

BCE_GENERATOR_CODE = """
def probe(score_fake):
    return [bce_generator(score_fake.to(device))]
"""

HINGE_DISCRIMINATOR_CODE = """
def probe(score_real, score_fake):
    return [hinge_discriminator(score_real.to(device), score_fake.to(device))]
"""

HINGE_GENERATOR_CODE = """
def probe(score_fake):
    return [hinge_generator(score_fake.to(device))]
"""

LABEL_LOSS_CODE = """
def probe(logits, labels, smoothing):
    given = logits.to(device), labels.to(device)
    return [label_loss(*given, smoothing=float(smoothing)), label_loss(*given)]
"""

_GENERATOR = ("embedding_layers", "embedding_forward", "noise_and_labels", "generator_layers", "generator_forward")
_DISCRIMINATOR = ("discriminator_layers", "discriminator_forward")

CHECKS = (
    UnitCheck("label_embedding", ("embedding_layers", "embedding_forward"), EMBEDDING_CODE, _each_label, judge_label_embedding),
    UnitCheck("noise_and_labels", ("noise_and_labels",), NOISE_AND_LABELS_CODE, _noise_and_embedding, judge_noise_and_labels),
    UnitCheck("images_and_plane", ("images_and_plane",), IMAGES_AND_PLANE_CODE, _images_and_embedding, judge_images_and_plane),
    UnitCheck("labelled_generator", _GENERATOR, LABELLED_GENERATOR_CODE, _noise_of_two_conditions, judge_labelled_generator),
    UnitCheck(
        "labelled_discriminator",
        _DISCRIMINATOR,
        LABELLED_DISCRIMINATOR_CODE,
        _images_of_two_conditions,
        judge_labelled_discriminator,
    ),
    UnitCheck(
        "auxiliary_discriminator",
        _DISCRIMINATOR,
        AUXILIARY_DISCRIMINATOR_CODE,
        lambda rng: (_images(rng),),
        judge_auxiliary_discriminator,
    ),
    UnitCheck("bce_discriminator", ("bce_discriminator",), BCE_DISCRIMINATOR_CODE, _scores, judge_bce_discriminator),
    UnitCheck("bce_generator", ("bce_generator",), BCE_GENERATOR_CODE, lambda rng: _scores(rng)[:1], judge_bce_generator),
    UnitCheck("hinge_discriminator", ("hinge_discriminator",), HINGE_DISCRIMINATOR_CODE, _scores, judge_hinge_discriminator),
    UnitCheck("hinge_generator", ("hinge_generator",), HINGE_GENERATOR_CODE, lambda rng: _scores(rng)[:1], judge_hinge_generator),
    UnitCheck("label_loss", ("label_loss",), LABEL_LOSS_CODE, _logits, judge_label_loss),
)
