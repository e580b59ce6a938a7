"""Unit checks of conditional GANs on small photographs: conditions, penalties, normalisations, augmentations."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grader.units.base import (
    BATCH,
    NOISE_DIM,
    Floats,
    UnitCheck,
    Verdict,
    compare_joined,
    compare_loss,
    random_noise,
    right,
    single,
    wrong,
)
from grader.units.gan import judge_generator_shape
from grader.units.multilabel import judge_bce_discriminator
from grader.units.wgan import judge_critic_scores

CLASSES = 10
EMBEDDING = 50
SHAPE = (3, 32, 32)
PIXELS = SHAPE[1] * SHAPE[2]
CHANNELS = 6
FEATURES = 32
SIGMA_TOLERANCE = 0.1
"""Power iterations in training get within a few hundredths of the largest singular value."""
MOST_SHIFT = 4
"""An eighth of the side, as Zhao et al. (2020) move images."""
HIDDEN = 16
"""Half of the side, as they hide."""
DRAWN = 4096
"""Noise vectors to tell cutting off from drawing again."""


def _classes(rng: np.random.Generator) -> Floats:
    """Classes (B,) in random order, every class among them; float32, as all inputs are."""
    return rng.permutation(np.arange(BATCH) % CLASSES).astype(np.float32)


def _images(rng: np.random.Generator) -> Floats:
    """(B, 3, 32, 32), uniform in [-1, 1]: no two pixels are alike, so that moves can be told."""
    return rng.uniform(-1, 1, (BATCH, *SHAPE)).astype(np.float32)


def _noise_and_embedding(rng: np.random.Generator) -> tuple[Floats, ...]:
    return (*random_noise(rng), rng.standard_normal((BATCH, EMBEDDING)).astype(np.float32))


def _images_and_embedding(rng: np.random.Generator) -> tuple[Floats, ...]:
    return _images(rng), rng.standard_normal((BATCH, PIXELS)).astype(np.float32)


def _noise_of_two_classes(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Noise, classes, and for each another class."""
    c = _classes(rng)
    return (*random_noise(rng), c, (c + 1) % CLASSES)


def _images_of_two_classes(rng: np.random.Generator) -> tuple[Floats, ...]:
    c = _classes(rng)
    return _images(rng), c, (c + 1) % CLASSES


def _scores(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Scores of real and of fake images, and a smoothing that is not 0."""
    real, fake = (rng.permutation(np.linspace(-3, 3, BATCH) + shift).reshape(-1, 1) for shift in (0.6, -0.4))
    return real.astype(np.float32), fake.astype(np.float32), rng.uniform(0.1, 0.4, 1).astype(np.float32)


def _quadratic(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Images, classes, the weights and the curvature of a critic whose gradient is known, and a γ that is not the default."""
    weights, curvature = rng.standard_normal((2, 1, *SHAPE)) / 30
    gamma = rng.uniform(1, 3, 1)
    return _images(rng), _classes(rng), *(a.astype(np.float32) for a in (weights, curvature, gamma))


def _channels(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Responses (B, C, 4, 4), far from normalised, with two lists of classes."""
    spread = rng.uniform(1, 3, (1, CHANNELS, 1, 1))
    x = rng.standard_normal((BATCH, CHANNELS, 4, 4)) * spread + rng.uniform(-2, 2, (1, CHANNELS, 1, 1))
    c = _classes(rng)
    return x.astype(np.float32), c, (c + 1) % CLASSES


def _projected(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Scores (B, 1), features (B, D) and vectors of their classes (B, D)."""
    return tuple(rng.standard_normal((BATCH, width)).astype(np.float32) for width in (1, FEATURES, FEATURES))


def _parameters(rng: np.random.Generator) -> tuple[Floats, ...]:
    """Weights of the average and of the network, and a decay."""
    average, network = rng.standard_normal((2, FEATURES, FEATURES)).astype(np.float32)
    return average, network, rng.uniform(0.3, 0.9, 1).astype(np.float32)


def judge_noise_and_embedding(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """(B, 100) noise ‖ (B, 50) embedding, exactly."""
    z, embedding = inputs
    slips = {"the embedding comes first; the noise must": np.concatenate([embedding, z], axis=1)}
    return compare_joined(single(outputs), np.concatenate([z, embedding], axis=1), slips, "noise and embedding")


def judge_photograph_and_plane(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """(B, 3, 32, 32) image ‖ (B, 1, 32, 32) plane that holds the embedding row by row, exactly."""
    images, embedding = inputs
    plane = embedding.reshape(-1, 1, *SHAPE[1:])
    slips = {
        "the plane comes first; the image must": np.concatenate([plane, images], axis=1),
        "the plane is filled column by column; fill it row by row": np.concatenate([images, plane.swapaxes(2, 3)], axis=1),
    }
    return compare_joined(single(outputs), np.concatenate([images, plane], axis=1), slips, "image and plane")


def judge_class_generator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """Images in range for both classes, which differ although the noise is the same."""
    if len(outputs) != 2:
        return wrong("the generator did not return one tensor")
    for images in outputs:
        verdict = judge_generator_shape(inputs, (images,), SHAPE)
        if verdict.share < 1:
            return verdict
    if np.array_equal(outputs[0], outputs[1]):
        return wrong("the same noise gave the same images for two different classes; the output must depend on the class")
    return right(f"images of shape {outputs[0].shape} in [-1, 1] that depend on the class")


def judge_class_discriminator(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """One unbounded score an image, depending on the image and on the class."""
    return judge_critic_scores(inputs, outputs, "discriminator", "class")


def judge_bce_smoothed(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """BCE(real, 1 - smoothing) + BCE(fake, 0), with smoothing given and left at 0 (Salimans et al. 2016, section 3.4)."""
    if len(outputs) != 2:
        return wrong("the loss could not be computed both with and without smoothing")
    real, fake = (a.astype(np.float64) for a in inputs[:2])
    smoothing = float(inputs[2][0])

    def loss(of_real: float, of_fake: float) -> float:
        return float((np.logaddexp(0, real) - of_real * real).mean() + (np.logaddexp(0, fake) - of_fake * fake).mean())

    expected = loss(1 - smoothing, 0)
    slips = {
        "the loss without smoothing": loss(1, 0),
        "smoothed on both sides; the target of fake images stays 0": loss(1 - smoothing, smoothing),
        "smoothed by half of it; the target of real images is 1 - smoothing": loss(1 - smoothing / 2, 0),
        "the target of fake images smoothed, in place of that of real ones": loss(1, smoothing),
        "half of it; add the two terms, do not average them": expected / 2,
        "its negative": -expected,
    }
    verdict = compare_loss(outputs[0], expected, slips, f"fresh scores (smoothing {smoothing:.2f})")
    return verdict if verdict.share < 1 else judge_bce_discriminator(inputs[:2], outputs[1:])


def judge_r1_penalty(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """γ/2 · mean(‖∇D(real)‖²) for a critic whose gradient is known (Mescheder, Geiger and Nowozin 2018, equation 9)."""
    images, _, weights, curvature, gamma = (a.astype(np.float64) for a in inputs)
    gradient = weights + curvature * images
    squares = np.square(gradient).sum((1, 2, 3))
    factor = float(gamma[0]) / 2
    expected = factor * float(squares.mean())
    slips = {
        "twice it: the factor is gamma / 2": 2 * expected,
        "without gamma / 2": float(squares.mean()),
        "with a gamma of 0.2 in place of the argument": 0.1 * float(squares.mean()),
        "the norm, not its square": factor * float(np.sqrt(squares).mean()),
        "the penalty of WGAN-GP, (norm - 1)²; R1 wants the gradient to vanish on real images": factor
        * float(np.square(np.sqrt(squares) - 1).mean()),
        "the sum over the batch; take the mean": expected * len(images),
        "a mean over the pixels; sum each image's squares": expected / np.prod(SHAPE),
        "its negative": -expected,
    }
    if len(outputs) != 2:
        return wrong("the penalty could not be computed")
    verdict = compare_loss(outputs[0], expected, slips, f"a critic of known gradient (γ = {2 * factor:.2f})")
    if verdict.share == 1 and not np.any(outputs[1]):
        return wrong("the penalty has no gradient by the critic's weights; compute it with create_graph=True")
    return verdict


def judge_spectral_norms(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """Every weight of the discriminator, as a matrix of a row an output, has a largest singular value of 1 (Miyato et al. 2018)."""
    if not outputs:
        return wrong("the discriminator has no convolution and no linear layer")
    norms = [float(np.linalg.norm(weight.astype(np.float64), 2)) for weight in outputs]
    worst = max(norms, key=lambda sigma: abs(sigma - 1))
    if abs(worst - 1) > SIGMA_TOLERANCE:
        return wrong(
            f"a layer's weight has a largest singular value of {worst:.2f}; expected 1: apply spectral_norm to every layer"
        )
    return right(f"the largest singular values of {len(norms)} layers are from {min(norms):.3f} to {max(norms):.3f}")


def judge_horizontal_flip(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """No image mirrored for p = 0, all for p = 1, some for p = 0.5, each left to right."""
    (images,) = inputs
    if len(outputs) != 3 or any(found.shape != images.shape for found in outputs):
        return wrong(f"images of shape {images.shape} gave {[found.shape for found in outputs]}; expected the same shape")
    never, always, some = outputs
    mirrored = images[..., ::-1]
    if np.array_equal(always, images[:, :, ::-1]):
        return wrong("the images are turned upside down; mirror them left to right: the width is the last dimension")
    if not np.array_equal(never, images) or not np.array_equal(always, mirrored):
        return wrong("p = 0 must leave all images as they are and p = 1 mirror them all")
    turned = (some == mirrored).all((1, 2, 3))
    if not (turned | (some == images).all((1, 2, 3))).all():
        return wrong("for p = 0.5, some images are neither as they were nor mirrored")
    if turned.all() or not turned.any():
        return wrong("for p = 0.5, all images of the batch got the same; decide for each image by itself")
    return right("each image is mirrored or left as it is")


def judge_conditional_batch_norm(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """Normalised over the batch to start with; then for each class a scale and a shift a channel (Dumoulin et al. 2017)."""
    if len(outputs) != 3:
        return wrong("the layer did not return one tensor")
    x, c, other = inputs
    start, changed, of_other = outputs
    for found in outputs:
        if found.shape != x.shape:
            return wrong(f"input of shape {x.shape} gave shape {found.shape}; expected the same")
    plain = _normalised(x)
    if not np.allclose(start, plain, atol=2e-3):
        return wrong("a fresh layer in training must normalise each channel over the batch: scale 1 and shift 0 for every class")
    if np.allclose(changed, of_other, atol=1e-5):
        return wrong("the output is the same for two different classes; scale and shift must depend on the class")
    for k in np.unique(c):
        for found, labels in ((changed, c), (of_other, other)):
            if not _affine(plain[labels == k], found[labels == k]):
                return wrong("the output is no scale and shift of the normalised input that a class has for each channel")
    return right("each class has a scale and a shift of its own for every channel")


def _normalised(x: Floats) -> NDArray[np.float64]:
    exact = x.astype(np.float64)
    centred = exact - exact.mean((0, 2, 3), keepdims=True)
    return np.asarray(centred / np.sqrt(np.square(centred).mean((0, 2, 3), keepdims=True) + 1e-5))


def _affine(plain: NDArray[np.float64], found: Floats) -> bool:
    """Whether each channel of `found` is a scale and a shift of that of `plain`, (n, C, h, w)."""
    for channel in range(plain.shape[1]):
        x, y = plain[:, channel].ravel(), found[:, channel].astype(np.float64).ravel()
        design = np.stack([x, np.ones_like(x)], axis=1)
        solved = np.linalg.lstsq(design, y, rcond=None)[0]
        if not np.allclose(design @ solved, y, atol=1e-2):
            return False
    return True


def judge_projection(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """score + ⟨features, vector of the class⟩, one for each image (Miyato and Koyama 2018, equation 4)."""
    score, features, vectors = (a.astype(np.float64) for a in inputs)
    inner = (features * vectors).sum(1, keepdims=True)
    found = single(outputs)
    if found is None or found.shape not in {(BATCH, 1), (BATCH,)}:
        shape = "several values" if found is None else f"shape {found.shape}"
        return wrong(f"the projection has {shape}; expected {(BATCH, 1)}")
    slips = {
        "the inner product alone; add the score": inner,
        "score - inner product; add it": score - inner,
        "the mean over the features; sum them": score + inner / FEATURES,
        "the score alone": score,
    }
    if np.allclose(found.reshape(-1, 1), score + inner, rtol=1e-3, atol=1e-4):
        return right("score and inner product added for each image")
    slip = next((name for name, other in slips.items() if np.allclose(found.reshape(-1, 1), other, rtol=1e-3, atol=1e-4)), None)
    hint = f": this is {slip}" if slip else ""
    return wrong(f"{float(found.ravel()[0]):.4f} for the first image; expected {float((score + inner)[0, 0]):.4f}{hint}")


def judge_moving_average(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """decay · average + (1 - decay) · network, in place, the network unchanged."""
    average, network, (decay,) = (a.astype(np.float64) for a in inputs)
    if len(outputs) != 2:
        return wrong("the average could not be updated")
    if not np.allclose(outputs[1], network, atol=1e-6):
        return wrong("the network's own weights were changed; only the average's may be")
    if np.allclose(outputs[0], decay * average + (1 - decay) * network, atol=1e-5):
        return right("the average moved towards the network by 1 - decay")
    if np.allclose(outputs[0], (1 - decay) * average + decay * network, atol=1e-5):
        return wrong("decay and 1 - decay are swapped; the average keeps the share `decay` of itself")
    if np.allclose(outputs[0], average, atol=1e-6):
        return wrong("the average stayed as it was; change its parameters in place, without gradients")
    return wrong("the average is not decay · average + (1 - decay) · network")


def judge_truncated_noise(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """Normal numbers, those beyond the threshold drawn again (Brock, Donahue and Simonyan 2019, section 3.1)."""
    limit = float(inputs[0][0])
    z = single(outputs)
    if z is None or z.shape != (DRAWN, NOISE_DIM):
        return wrong(f"the noise has shape {None if z is None else z.shape}; expected {(DRAWN, NOISE_DIM)}")
    largest = float(np.abs(z).max())
    if not largest <= limit + 1e-5:
        return wrong(f"numbers up to {largest:.2f} for a threshold of {limit:.2f}")
    if float((np.abs(z) > limit - 1e-5).mean()) > 1e-3:
        return wrong("many numbers lie on the threshold itself: draw those beyond it again in place of cutting them off")
    grid = np.linspace(-limit, limit, 20_001)
    weight = np.exp(-np.square(grid) / 2)
    expected = float(np.sqrt((np.square(grid) * weight).sum() / weight.sum()))
    if abs(float(z.std()) / expected - 1) > 0.02:
        return wrong(f"a standard deviation of {z.std():.3f}; expected {expected:.3f}, that of a normal cut off at {limit:.2f}")
    return right(f"normal numbers within {limit:.2f}")


def judge_translation(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """Each image moved by whole pixels, up to an eighth of the side each way, black coming in (Zhao et al. 2020)."""
    (images,) = inputs
    if len(outputs) != 2 or outputs[0].shape != images.shape:
        return wrong(f"images of shape {images.shape} gave {[found.shape for found in outputs]}; expected the same shape")
    moves = [_move(before, after) for before, after in zip(images, outputs[0], strict=True)]
    if None in moves:
        return wrong(f"an image is not the given one moved by up to {MOST_SHIFT} pixels, with 0 where nothing was")
    if len(set(moves)) == 1:
        return wrong("all images of the batch were moved the same way; move each by itself")
    if not np.any(outputs[1]):
        return wrong("no gradient comes back to the images; the generator could not learn through it")
    return right("each image moved by itself, and gradients pass")


def _move(before: Floats, after: Floats) -> tuple[int, int] | None:
    """By how many pixels (down, right) an image was moved; None where it was not, within reach."""
    reach = range(-MOST_SHIFT, MOST_SHIFT + 1)
    wide = np.pad(before, ((0, 0), (MOST_SHIFT, MOST_SHIFT), (MOST_SHIFT, MOST_SHIFT)))
    side = before.shape[-1]
    for down in reach:
        for to_right in reach:
            top, left = MOST_SHIFT - down, MOST_SHIFT - to_right
            if np.allclose(wide[:, top : top + side, left : left + side], after, atol=1e-6):
                return down, to_right
    return None


def judge_cutout(inputs: Sequence[Floats], outputs: Sequence[Floats]) -> Verdict:
    """In each image a square of half the side set to 0, which the frame may cut off (DeVries and Taylor 2017; Zhao et al. 2020)."""
    (images,) = inputs
    if len(outputs) != 2 or outputs[0].shape != images.shape:
        return wrong(f"images of shape {images.shape} gave {[found.shape for found in outputs]}; expected the same shape")
    holes = [_hole(before, after) for before, after in zip(images, outputs[0], strict=True)]
    if None in holes:
        return wrong(f"an image is not the given one with one square of {HIDDEN}×{HIDDEN} pixels set to 0 in all channels")
    if len(set(holes)) == 1:
        return wrong("the square is at the same place in all images of the batch; choose one for each")
    if not np.any(outputs[1]):
        return wrong("no gradient comes back to the images; the generator could not learn through it")
    return right("each image has a square of its own hidden, and gradients pass")


def _hole(before: Floats, after: Floats) -> tuple[int, int, int, int] | None:
    """Top, bottom, left and right of the one rectangle of 0 that tells the images apart; None where it is no cut-off square."""
    changed = (before != after).any(0)
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    if len(rows) == 0:
        return None
    top, bottom, left, to_right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    whole = changed[top:bottom, left:to_right].all() and not after[:, top:bottom, left:to_right].any()
    side = before.shape[-1]
    for low, high in ((top, bottom), (left, to_right)):
        cut_off = low == 0 or high == side
        whole = whole and (high - low == HIDDEN or (high - low < HIDDEN and cut_off))
    return (top, bottom, left, to_right) if whole else None


NOISE_AND_EMBEDDING_CODE = """
def probe(z, embedding):
    return [noise_and_embedding(z.to(device), embedding.to(device))]
"""

IMAGES_AND_PLANE_CODE = """
def probe(images, embedding):
    return [images_and_plane(images.to(device), embedding.to(device))]
"""

CLASS_GENERATOR_CODE = """
def probe(z, c, other):
    network = Generator().to(device)
    with torch.no_grad():
        for p in network.parameters():  # conditional layers may start alike for all classes
            p.add_(0.1 * torch.randn_like(p))
        return [network(z.to(device), x.long().to(device)) for x in (c, other)]
"""

CLASS_DISCRIMINATOR_CODE = """
def probe(images, c, other):
    network = Discriminator().to(device).eval()
    images, c, other = images.to(device), c.long().to(device), other.long().to(device)
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.05 * torch.randn_like(p))
        scores = [network(images, x) for x in (c, other)]
        for p in network.parameters():
            p.mul_(1000)
        return [*scores, network(10_000 * images, c)]
"""

BCE_SMOOTHED_CODE = """
def probe(score_real, score_fake, smoothing):
    given = score_real.to(device), score_fake.to(device)
    return [bce_discriminator(*given, smoothing=float(smoothing)), bce_discriminator(*given)]
"""

R1_CODE = """
def probe(images, c, weights, curvature, gamma):
    weights = weights.to(device).requires_grad_(True)
    curvature = curvature.to(device)

    def critic(x, c):
        return (weights * x + curvature * x * x / 2).sum((1, 2, 3)).view(-1, 1)

    penalty = r1_penalty(critic, images.to(device), c.long().to(device), gamma=float(gamma))
    slope = torch.autograd.grad(penalty, weights, allow_unused=True)[0] if penalty.requires_grad else None
    return [penalty.detach(), torch.zeros(1) if slope is None else slope]
"""

SPECTRAL_CODE = """
def probe(images, c, other):
    network = Discriminator().to(device).train()
    images, c = images.to(device), c.long().to(device)
    with torch.no_grad():
        for _ in range(40):
            network(images, c)
        network.eval()
        layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
        weights = sorted((m.weight.detach().flatten(1) for m in layers), key=lambda w: w.numel())
        kept, room = [], 900_000
        for weight in weights:  # the smallest ones: what comes back is capped
            room -= weight.numel()
            if room >= 0:
                kept.append(weight)
        return kept
"""

FLIP_CODE = """
def probe(images):
    images = images.to(device)
    return [horizontal_flip(images, p) for p in (0.0, 1.0, 0.5)]
"""

BATCH_NORM_CODE = f"""
def probe(x, c, other):
    layer = ConditionalBatchNorm({CHANNELS}).to(device).train()
    x, c, other = x.to(device), c.long().to(device), other.long().to(device)
    with torch.no_grad():
        start = layer(x, c)
        for p in layer.parameters():
            p.add_(torch.randn_like(p))
        return [start, layer(x, c), layer(x, other)]
"""

PROJECTION_CODE = """
def probe(score, features, vectors):
    return [projection(score.to(device), features.to(device), vectors.to(device))]
"""

AVERAGE_CODE = """
def probe(average, network, decay):
    pair = [nn.Linear(len(w), len(w), bias=False).to(device) for w in (average, network)]
    with torch.no_grad():
        for layer, w in zip(pair, (average, network)):
            layer.weight.copy_(w.to(device))
    update_average(*pair, float(decay))
    return [layer.weight.detach() for layer in pair]
"""

TRUNCATED_CODE = f"""
def probe(limit):
    return [truncated_noise({DRAWN}, float(limit))]
"""

_AUGMENT_CODE = """
def probe(images):
    images = images.to(device).requires_grad_(True)
    found = {name}(images)
    slope = torch.autograd.grad(found.sum(), images, allow_unused=True)[0] if found.requires_grad else None
    return [found.detach(), torch.zeros(1) if slope is None else slope]
"""

_GENERATOR = ("generator_layers", "generator_forward")
_DISCRIMINATOR = ("discriminator_layers", "discriminator_forward")
_BATCH_NORM = ("batch_norm_layers", "batch_norm_forward")


def _only_images(rng: np.random.Generator) -> tuple[Floats, ...]:
    return (_images(rng),)


def _threshold(rng: np.random.Generator) -> tuple[Floats, ...]:
    return (rng.uniform(0.5, 0.9, 1).astype(np.float32),)


CHECKS = (
    UnitCheck(
        "noise_and_embedding", ("noise_and_embedding",), NOISE_AND_EMBEDDING_CODE, _noise_and_embedding, judge_noise_and_embedding
    ),
    UnitCheck(
        "photograph_and_plane", ("images_and_plane",), IMAGES_AND_PLANE_CODE, _images_and_embedding, judge_photograph_and_plane
    ),
    UnitCheck("class_generator", _GENERATOR, CLASS_GENERATOR_CODE, _noise_of_two_classes, judge_class_generator),
    UnitCheck("class_discriminator", _DISCRIMINATOR, CLASS_DISCRIMINATOR_CODE, _images_of_two_classes, judge_class_discriminator),
    UnitCheck("bce_smoothed", ("bce_discriminator",), BCE_SMOOTHED_CODE, _scores, judge_bce_smoothed),
    UnitCheck("r1_penalty", ("r1_penalty",), R1_CODE, _quadratic, judge_r1_penalty),
    UnitCheck("spectral_norms", _DISCRIMINATOR, SPECTRAL_CODE, _images_of_two_classes, judge_spectral_norms),
    UnitCheck("horizontal_flip", ("horizontal_flip",), FLIP_CODE, _only_images, judge_horizontal_flip),
    UnitCheck("conditional_batch_norm", _BATCH_NORM, BATCH_NORM_CODE, _channels, judge_conditional_batch_norm),
    UnitCheck("projection", ("projection",), PROJECTION_CODE, _projected, judge_projection),
    UnitCheck("moving_average", ("update_average",), AVERAGE_CODE, _parameters, judge_moving_average),
    UnitCheck("truncated_noise", ("truncated_noise",), TRUNCATED_CODE, _threshold, judge_truncated_noise),
    UnitCheck(
        "translation", ("augment_translation",), _AUGMENT_CODE.format(name="augment_translation"), _only_images, judge_translation
    ),
    UnitCheck("cutout", ("augment_cutout",), _AUGMENT_CODE.format(name="augment_cutout"), _only_images, judge_cutout),
)
