# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Lab 5, task 2: an auxiliary classifier GAN (AC-GAN) that draws the objects you ask for
#
# As in task 1, you ask for objects by a row of 24 zeros and ones, and the generator draws a scene that holds them. The
# discriminator is not told what was asked for: it has two heads, one that says how real an image looks and one that names the
# objects in it. The generator is rewarded when its image looks real, and when the second head finds what was asked for.
#
# Odena, Olah and Shlens made AC-GANs for images of one class. Here an image has several labels, and students' AC-GANs have often
# scored far below their conditional DCGANs. This notebook lets you find out why, and what helps.
#
# Write your code between the lines `##TODO##` and `##END TODO##`, and nowhere else: everything outside them is
# replaced by the original text before your notebook is graded. Imports, layers and functions of your own go into
# the `helpers` TODO. The cell below is the one exception: it holds run controls that you may set as you like, and that
# the grader sets for itself.
#
# You hand in this notebook and the file `handin.pt` that it writes, or a link to it. The grader runs the notebook with
# `TRAIN = False`, loads your checkpoint, calls your `generate(labels)` for 64 prompts and scores the pictures.

# %% tags=["parameters"]
TRAIN = True  # False: only load CHECKPOINT and generate
CHECKPOINT = "handin.pt"  # the generator that generate() uses
DEVICE = "auto"  # "auto", "cpu" or "cuda"
SEED = 0
DATA_DIR = "data"  # the folder that holds iclevr/iclevr.npz

# %%
import random
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

random.seed(SEED)
np.random.seed(SEED)
torch.manual_seed(SEED)

device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if DEVICE == "auto" else DEVICE)
noise_dim = 100
embedding_dim = 300
colours = ["gray", "red", "blue", "green", "brown", "purple", "cyan", "yellow"]
label_names = [f"{colour} {shape}" for shape in ("cube", "sphere", "cylinder") for colour in colours]
n_labels = len(label_names)

if TRAIN and "google.colab" in sys.modules:
    from google.colab import drive  # keeps checkpoints when Colab ends your session

    drive.mount("/content/drive")

print(f"torch {torch.__version__} on {device}")

# %% [markdown]
# ## Your own helpers
#
# Extra imports, layers and functions that your other TODOs use. Leave it as it is if you need none.

# %%
### BEGIN SOLUTION helpers: imports, layers and functions of your own (may stay empty)
import copy
from torch.nn.utils.parametrizations import spectral_norm

# Networks compute in bfloat16, weights and losses stay in float32: half the time on processors that have it.
lower_precision = torch.autocast(device.type, torch.bfloat16)


@torch.no_grad()
def update_average(average, network, decay):
    """Exponential moving average of the weights; BatchNorm buffers are recomputed when needed."""
    for kept, new in zip(average.parameters(), network.parameters()):
        kept.lerp_(new, 1 - decay)


@torch.no_grad()
def refresh_batch_norm(network, batches=20, batch_size=200):
    """Replace the running BatchNorm statistics by averages over fresh noise and labels of real images (standing statistics)."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches below
    network.train()
    with lower_precision:
        for _ in range(batches):
            network(*draw_noise(batch_size))
    network.eval()


def draw_noise(n):
    """Noise (n, 100) and the labels (n, 24) of real images chosen at random."""
    return torch.randn(n, noise_dim, device=device), real_labels[torch.randint(len(real_labels), (n,), device=device)]


def up(channels_in, channels_out, **sizes):
    """A transposed convolution to four times the area, batch normalisation and ReLU."""
    convolution = nn.ConvTranspose2d(channels_in, channels_out, 4, bias=False, **sizes)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]


def initialise(network):
    """Weights of the convolutions from N(0, 0.02), as in the DCGAN paper."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.02)


def flipped(images):
    """Half of the images mirrored: the labels stay right, and the discriminator sees twice as many scenes."""
    return torch.where(torch.rand(len(images), 1, 1, 1, device=device) < 0.5, images.flip(3), images)


def too_alike(images, z):
    """How much less than real images two images of the same labels differ, for as different noise (after Mao et al. 2019).

    Pairs are images i and i + B/2. Without it, a generator that is told the labels learns to ignore the noise.
    """
    (one, other), (z_one, z_other) = images.float().chunk(2), z.chunk(2)
    difference = (one - other).abs().mean((1, 2, 3)) / (z_one - z_other).abs().mean(1)
    return F.relu(0.045 - difference).mean()  # real images of the same labels: 0.051 apart on average, noise: 1.13


def stored_widths(file):
    """Channels of the layers of the generator in a checkpoint, so that generators of any width can be loaded."""
    state = torch.load(file, map_location="cpu", weights_only=True)
    return tuple(state[f"net.{3 * layer}.weight"].shape[1] for layer in range(4))


### END SOLUTION

# %% [markdown]
# ## Data
#
# Given: the training images of i-CLEVR as one tensor on your device, scaled to [−1, 1], their labels, and a function that yields
# both in random batches. Every scene was drawn three times, while one object after another was put into it: 5,003 scenes for
# training and 1,000 that nobody trains on.

# %%
if TRAIN:
    with np.load(Path(DATA_DIR) / "iclevr" / "iclevr.npz") as stored:
        every_image, every_label = torch.from_numpy(stored["images"]), torch.from_numpy(stored["labels"])
        prompts = torch.from_numpy(np.concatenate([stored["test"], stored["new_test"]])).float().to(device)  # (64, 24)
    held_out = 3000  # the images of the last 1,000 scenes
    real_images = every_image[:-held_out].permute(0, 3, 1, 2).to(device).float().div(127.5).sub(1)  # (n, 3, 64, 64)
    real_labels = every_label[:-held_out].to(device).float()  # (n, 24)
    test_images = every_image[-held_out:].permute(0, 3, 1, 2).to(device).float().div(127.5).sub(1)
    test_labels = every_label[-held_out:].to(device).float()
    print(f"{len(real_images):,} training images from {DATA_DIR}")


def real_batches(batch_size):
    """One epoch of real images in random order: tensors (batch_size, 3, 64, 64) in [-1, 1] and their labels (batch_size, 24)."""
    order = torch.randperm(len(real_images), device=device)
    for start in range(0, len(order) - batch_size + 1, batch_size):
        chosen = order[start : start + batch_size]
        yield real_images[chosen], real_labels[chosen]


# %% [markdown]
# Given: twelve images; how often each label occurs, and how often each two occur together. Are there rare labels? Are there
# pairs that you will be asked for and never see? No label occurs twice in one picture: what can that teach a network that it
# should not learn?

# %% tags=["optional"]
if TRAIN:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 6, figsize=(13, 5))
    for axis, image, row in zip(axes.flat, real_images.cpu(), real_labels.cpu()):
        axis.imshow(image.permute(1, 2, 0).add(1).div(2))
        axis.set_title("\n".join(label_names[k] for k in row.nonzero().flatten()), fontsize=8)
        axis.axis("off")
    plt.show()

    figure, (bars, square) = plt.subplots(1, 2, figsize=(13, 5))
    bars.barh(label_names, real_labels.mean(0).cpu() * 100)
    bars.invert_yaxis()
    bars.set_xlabel("share of images with the label, in %")
    together = (real_labels.T @ real_labels).cpu()
    together.fill_diagonal_(0)
    shown = square.imshow(together)
    square.set_xticks(range(n_labels), label_names, rotation=90, fontsize=7)
    square.set_yticks(range(n_labels), label_names, fontsize=7)
    square.set_title("images with both labels")
    figure.colorbar(shown)
    plt.show()
    counts = real_labels.sum(1).long().bincount().tolist()
    print("images with 1, 2, 3 objects:", counts[1:])

# %% [markdown]
# ## A second classifier
#
# Given: a small classifier and its training, three minutes on one processor core. It is yours: you may look at its answers as
# often as you like. (Choosing among many generators by the classifier that grades them would turn a measurement into a target.)


# %%
class SecondClassifier(nn.Module):
    """Images (B, 3, 64, 64) -> logits (B, 24)."""

    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 24, 4, stride=2, padding=1), nn.ReLU()]  # → 32×32
        for channels_in, channels_out, pool in ((24, 48, True), (48, 96, True), (96, 160, False), (160, 160, False)):
            layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if pool else []
        self.features = nn.Sequential(*layers)  # → 8×8
        self.linear = nn.Linear(2 * 160, n_labels)

    def forward(self, images):
        features = self.features(images)
        return self.linear(torch.cat([features.amax((2, 3)), features.mean((2, 3))], dim=1))


def top_k_accuracy(logits, labels):
    """Share of the objects asked for that are among the k highest logits of their image, k being the objects of that image."""
    asked = labels.sum(1, keepdim=True).long()
    ranks = logits.argsort(1, descending=True).argsort(1)  # 0 is the label that the classifier is surest of
    return ((ranks < asked) * labels).sum().item() / labels.sum().item()


def train_classifier(network, epochs=10):
    """Train on the real training images, mirrored and shifted, with noise; prints the accuracy on the held-out scenes."""
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * (len(real_images) // 64))
    for epoch in range(epochs):
        network.train()
        for images, labels in real_batches(64):
            images = images.flip(3) if random.random() < 0.5 else images
            images = images.roll((random.randint(-3, 3), random.randint(-3, 3)), (2, 3))
            images = images + torch.randn_like(images) * 0.05 * random.random()
            with torch.autocast(device.type, torch.bfloat16):
                logits = network(images)
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(logits.float(), labels).backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.no_grad():
            logits = torch.cat([network(images) for images in test_images.split(250)])
        print(f"classifier, epoch {epoch + 1}/{epochs}: accuracy {top_k_accuracy(logits, test_labels):.3f} on held-out scenes")


second_classifier = None
if TRAIN:
    stored_classifier = Path(DATA_DIR) / "iclevr" / "second_classifier.pt"
    second_classifier = SecondClassifier().to(device)
    if stored_classifier.exists():
        second_classifier.load_state_dict(torch.load(stored_classifier, map_location=device, weights_only=True))
    else:
        train_classifier(second_classifier)
        torch.save(second_classifier.state_dict(), stored_classifier)
    second_classifier.eval()


@torch.no_grad()
def prompt_score(network, seeds=8):
    """Accuracy of the second classifier on images of the 64 prompts, `seeds` of each; nan where there is no classifier."""
    if second_classifier is None:
        return float("nan")
    logits = []
    for _ in range(seeds):
        images = network(torch.randn(len(prompts), noise_dim, device=device), prompts)
        logits.append(second_classifier(images.float()))
    return top_k_accuracy(torch.cat(logits), prompts.repeat(seeds, 1))


# %% [markdown]
# The handouts of this lab have often told students to load the pictures, which are 320×240, with `CenterCrop(240)`, since
# square pictures are convenient. That cuts off 40 columns at either side. Given: what is left of the scenes, and what the
# classifier, trained on whole scenes, still finds in them. This notebook's pictures hold the whole scene, resized.

# %% tags=["optional"]
if TRAIN:
    cropped = F.interpolate(test_images[:, :, :, 8:-8], size=(64, 64), mode="bilinear", antialias=True)  # 240 of 320 columns
    with torch.no_grad():
        found = [top_k_accuracy(second_classifier(x), test_labels[: len(x)]) for x in (test_images[:600], cropped[:600])]
    figure, axes = plt.subplots(2, 8, figsize=(13, 3.6))
    for k, pair in enumerate(zip(test_images[2::3], cropped[2::3])):
        if k == 8:
            break
        for axis, image in zip(axes[:, k], pair):
            axis.imshow(image.cpu().permute(1, 2, 0).add(1).div(2).clamp(0, 1))
            axis.axis("off")
    figure.suptitle(f"whole scenes (classifier finds {found[0]:.1%} of the objects) and CenterCrop ({found[1]:.1%})")
    plt.show()

# %% [markdown]
# ## Settings
#
# `path_to_checkpoint` is the folder that receives `handin.pt` (what you hand in) and `resume.pt` (everything that is needed to
# go on training). On Colab choose a folder of your Drive, for example `/content/drive/MyDrive/lab5/acgan`. `generator_steps` is
# how many steps the generator makes for one of the discriminator.
#
# A good start are the networks of task 1 with spectral normalisation, the hinge loss and a moving average. Then there is the
# auxiliary loss: how much does it weigh for either network? And which images is the second head trained on: real ones alone, or
# fake ones as well, and if so, with what labels? *Label smoothing* and *dropout* keep the head from becoming too certain. Keep
# each of them a switch, so that you can say what it is worth.

# %%
### BEGIN SOLUTION settings: set path_to_checkpoint (a folder), epochs, batch_size and generator_steps, and switches of your own
path_to_checkpoint = "checkpoints"
batch_size = 64
recipe = "improved"  # or "baseline"
on_gpu = device.type == "cuda"

if recipe == "improved":
    normalisation = "spectral"  # of the discriminator, else "batch"
    hinge = True  # else binary cross-entropy
    head_on_fakes = "absent"  # what the head learns of fake images: "absent" (no object is there), "asked" or "nothing"
    head_weight, head_weight_g, head_weight_fakes = 1.0, 1.0, 0.5  # of the auxiliary loss, summed over the labels
    smoothing, dropout = 0.0, 0.0  # of the labels and of the head's features
    warm_up_steps = 1200  # of the head on real images alone
    variety = 50.0  # weight of the loss of images that are too alike
    averaging = 0.998  # decay of the moving average of the generator's weights; 0: none
    rate_g, rate_d, betas = (1e-4, 4e-4, (0.0, 0.9)) if on_gpu else (4e-4, 8e-4, (0.0, 0.9))
    generator_steps = 1
else:
    normalisation, hinge, head_on_fakes, warm_up_steps = "batch", False, "asked", 0
    variety, averaging = 0.0, 0.0
    head_weight, head_weight_g, head_weight_fakes, smoothing, dropout = 1 / 24, 1 / 24, 1 / 24, 0.1, 0.3
    rate_g, rate_d, betas = 2e-4, 2e-4, (0.5, 0.999)
    generator_steps = 1

# The large networks need a GPU; a checkpoint that is only loaded says itself how wide it is.
epochs, generator_widths, critic_widths = (
    (300, (512, 256, 128, 64), (64, 128, 256, 512)) if on_gpu else (24, (64, 128, 64, 32), (32, 64, 128, 128))
)
if not TRAIN and Path(CHECKPOINT).exists():
    generator_widths = stored_widths(CHECKPOINT)
### END SOLUTION

# %% [markdown]
# ## The condition
#
# 24 numbers, nearly all of them 0, are little beside 100 numbers of noise: a linear layer and an activation turn them into as
# many numbers as a network needs. The generator gets 300 of them, joined to the noise, the noise first: a vector of 400
# numbers. The discriminator gets none: it has to see for itself.


# %%
class LabelEmbedding(nn.Module):
    """Labels (B, 24) -> (B, width)."""

    def __init__(self, width):
        super().__init__()
        ### BEGIN SOLUTION embedding_layers: one linear layer from n_labels to width numbers
        self.linear = nn.Linear(n_labels, width)
        ### END SOLUTION

    def forward(self, labels):
        ### BEGIN SOLUTION embedding_forward: (B, 24) -> (B, width), with an activation at the end
        return F.relu(self.linear(labels))
        ### END SOLUTION


def noise_and_labels(z, embedding):
    """z: noise (B, 100); embedding: of the labels, (B, 300) -> (B, 400), the noise first"""
    ### BEGIN SOLUTION noise_and_labels: append the embedding to the noise
    return torch.cat([z, embedding], dim=1)
    ### END SOLUTION


# %% [markdown]
# ## The generator
#
# Input: noise (B, 100) and labels (B, 24). Output: images of shape (B, 3, 64, 64) in [−1, 1].


# %%
class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION generator_layers: define the embedding of the labels and the layers of the generator
        self.embedding = LabelEmbedding(embedding_dim)
        first, second, third, fourth = generator_widths
        self.net = nn.Sequential(
            *up(noise_dim + embedding_dim, first),  # 1×1 → 4×4
            *up(first, second, stride=2, padding=1),  # → 8×8
            *up(second, third, stride=2, padding=1),  # → 16×16
            *up(third, fourth, stride=2, padding=1),  # → 32×32
            nn.ConvTranspose2d(fourth, 3, 4, stride=2, padding=1),  # → 64×64
            nn.Tanh(),
        )
        initialise(self)
        self.to(memory_format=torch.channels_last)
        ### END SOLUTION

    def forward(self, z, labels):
        ### BEGIN SOLUTION generator_forward: (B, 100) and (B, 24) -> images of shape (B, 3, 64, 64) in [-1, 1]
        return self.net(noise_and_labels(z, self.embedding(labels))[:, :, None, None])
        ### END SOLUTION


# %% [markdown]
# ## The discriminator
#
# Input: images (B, 3, 64, 64). Output: two tensors. A score of shape (B, 1), any real number: how real the image looks. And
# logits of shape (B, 24), any real numbers: for each label, whether the image shows its object. No sigmoid at either end; the
# losses below contain it.


# %%
class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()

        ### BEGIN SOLUTION discriminator_layers: define the layers of the discriminator and its two heads
        def block(channels_in, channels_out, **sizes):
            convolution = nn.Conv2d(channels_in, channels_out, padding=1, **sizes)
            if normalisation == "spectral":
                return [spectral_norm(convolution), nn.LeakyReLU(0.1)]
            return [convolution, nn.BatchNorm2d(channels_out), nn.LeakyReLU(0.1)]

        first, second, third, fourth = critic_widths
        down, same = {"kernel_size": 4, "stride": 2}, {"kernel_size": 3}
        self.shared = nn.Sequential(*block(3, first, **down), *block(first, second, **down))  # 64 → 32 → 16
        self.realism = nn.Sequential(*block(second, third, **down), *block(third, fourth, **same))  # → 8 → 8
        # A branch of its own: what helps to tell real from fake must not wreck what tells a cube from a cylinder.
        self.objects = nn.Sequential(*block(second, third, **down), nn.Dropout2d(dropout), *block(third, fourth, **same))
        self.score = spectral_norm(nn.Linear(fourth, 1)) if normalisation == "spectral" else nn.Linear(fourth, 1)
        self.labels = nn.Linear(fourth, n_labels)
        nn.init.constant_(self.labels.bias, -2.0)  # most objects are absent
        if normalisation != "spectral":
            initialise(self)
        self.to(memory_format=torch.channels_last)
        ### END SOLUTION

    def forward(self, images):
        ### BEGIN SOLUTION discriminator_forward: (B, 3, 64, 64) -> scores (B, 1) and label logits (B, 24), without bounds
        shared = self.shared(images.contiguous(memory_format=torch.channels_last))
        # Sums over all places, since an object counts wherever it stands.
        realism, objects = (branch(shared).float().sum((2, 3)) for branch in (self.realism, self.objects))
        return self.score(realism), self.labels(objects)
        ### END SOLUTION


# %% [markdown]
# ## The losses
#
# The first four get scores without bounds and return one number, a mean over the batch. The discriminator's losses are the
# *sum* of a mean over real and a mean over fake images. The fifth is the auxiliary loss of the label logits.
#
# * **Binary cross-entropy**: real images have target 1, fake images 0; the generator's loss is the cross-entropy of its images
#   with target 1. The probability is the sigmoid of the score.
# * **Hinge**: max(0, 1 − score) of real images and max(0, 1 + score) of fake ones; the generator's loss is −score.
# * **Auxiliary**: each label by itself, binary cross-entropy with the sigmoid of its logit, the mean over labels and batch.
#   With smoothing s, targets are s/2 and 1 − s/2 in place of 0 and 1.


# %%
def bce_discriminator(score_real, score_fake):
    """score_real, score_fake: scores (B, 1) -> scalar tensor"""
    ### BEGIN SOLUTION bce_discriminator: cross-entropy of real images with target 1 plus that of fake images with target 0
    real = F.binary_cross_entropy_with_logits(score_real, torch.ones_like(score_real))
    return real + F.binary_cross_entropy_with_logits(score_fake, torch.zeros_like(score_fake))
    ### END SOLUTION


def bce_generator(score_fake):
    """score_fake: scores (B, 1) of fake images -> scalar tensor"""
    ### BEGIN SOLUTION bce_generator: cross-entropy of fake images with target 1
    return F.binary_cross_entropy_with_logits(score_fake, torch.ones_like(score_fake))
    ### END SOLUTION


def hinge_discriminator(score_real, score_fake):
    """score_real, score_fake: scores (B, 1) -> scalar tensor"""
    ### BEGIN SOLUTION hinge_discriminator: mean of max(0, 1 - score_real) plus mean of max(0, 1 + score_fake)
    return F.relu(1 - score_real).mean() + F.relu(1 + score_fake).mean()
    ### END SOLUTION


def hinge_generator(score_fake):
    """score_fake: scores (B, 1) of fake images -> scalar tensor"""
    ### BEGIN SOLUTION hinge_generator: minus the mean score of the fake images
    return -score_fake.mean()
    ### END SOLUTION


def label_loss(logits, labels, smoothing=0.0):
    """logits, labels: (B, 24) -> scalar tensor"""
    ### BEGIN SOLUTION label_loss: binary cross-entropy of each label, with smoothed targets; mean over labels and batch
    return F.binary_cross_entropy_with_logits(logits, labels * (1 - smoothing) + smoothing / 2)
    ### END SOLUTION


# %% [markdown]
# ## Optimizers
#
# Two optimizers, one for each network.


# %%
def make_optimizers(generator, discriminator):
    """-> (optimizer of the generator, optimizer of the discriminator)"""
    ### BEGIN SOLUTION optimizers: create and return two optimizers, for example Adam
    return (
        torch.optim.Adam(generator.parameters(), lr=rate_g, betas=betas),
        torch.optim.Adam(discriminator.parameters(), lr=rate_d, betas=betas),
    )
    ### END SOLUTION


# %% [markdown]
# Given: saving and resuming. Call `save_progress(epoch)` in your `train()` after each epoch. Running this notebook again
# goes on after the last epoch that was saved. `handin` may be another copy of the generator that you would rather
# hand in (a moving average of the weights, say); `extra` may hold more tensors or numbers to resume from.

# %%
if TRAIN:
    generator = Generator().to(device)
    discriminator = Discriminator().to(device)
    optimizer_g, optimizer_d = make_optimizers(generator, discriminator)
    # Append one number an epoch: losses of G, of D on real and on fake images, the auxiliary loss on real images, and prompt_score().
    history = {"generator": [], "real": [], "fake": [], "labels": [], "score": []}


def save_progress(epoch, handin=None, extra=None):
    """Write handin.pt and resume.pt to path_to_checkpoint; each file is replaced in one piece."""
    folder = Path(path_to_checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    states = {
        "handin.pt": (handin if handin is not None else generator).state_dict(),
        "resume.pt": {
            "epoch": epoch,
            "generator": generator.state_dict(),
            "discriminator": discriminator.state_dict(),
            "optimizer_g": optimizer_g.state_dict(),
            "optimizer_d": optimizer_d.state_dict(),
            "history": history,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if device.type == "cuda" else [],
            "extra": extra,
        },
    }
    for name, state in states.items():
        torch.save(state, folder / (name + ".part"))
        (folder / (name + ".part")).replace(folder / name)


def resume_progress():
    """-> (number of epochs already trained, extra); (0, None) when there is nothing to resume from."""
    file = Path(path_to_checkpoint) / "resume.pt"
    if not file.exists():
        return 0, None
    state = torch.load(file, map_location=device, weights_only=True)
    generator.load_state_dict(state["generator"])
    discriminator.load_state_dict(state["discriminator"])
    optimizer_g.load_state_dict(state["optimizer_g"])
    optimizer_d.load_state_dict(state["optimizer_d"])
    history.update(state["history"])
    torch.set_rng_state(state["rng"].cpu())
    if device.type == "cuda" and state["cuda_rng"]:
        torch.cuda.set_rng_state_all([s.cpu() for s in state["cuda_rng"]])
    print(f"resumed after epoch {state['epoch']}")
    return state["epoch"], state["extra"]


# %% [markdown]
# Given: the signature of a training that has gone wrong. When the discriminator has won, its loss is next to 0, the generator's
# is far above (about 9 with cross-entropy: the discriminator gives its images a probability of e⁻⁹), and the score collapses.
# From there it does not come back by itself: start again with a slower discriminator, or from an earlier checkpoint. Call
# `diverged()` after each epoch.


# %%
def diverged():
    """Whether the last epoch in `history` shows the signature; prints a warning if so."""
    last = {name: values[-1] for name, values in history.items() if values}
    won = last["real"] + last["fake"] < 0.1 and last["generator"] > 6
    collapsed = len(history["score"]) > 1 and last["score"] < 0.5 * max(history["score"])
    if won:
        print(
            f"WARNING: loss of D {last['real'] + last['fake']:.3f}, loss of G {last['generator']:.1f}: the discriminator has won"
        )
    if collapsed:
        print(f"WARNING: the score fell to {last['score']:.2f} from {max(history['score']):.2f}")
    return won or collapsed


# %% [markdown]
# ## Training
#
# Write `train()`: for each batch of real images with their labels a step of the discriminator, with both its losses, on these
# and on as many fake images of the same labels, and `generator_steps` steps of the generator, whose loss is that of its scores
# and that of the labels asked for. Start with `resume_progress()`, show progress (`tqdm` is installed on Colab), fill
# `history`, and call `diverged` and `save_progress` after each epoch.


# %%
def train():
    ### BEGIN SOLUTION train: the training loop (both networks, progress bar, history, diverged, save_progress)
    from tqdm.auto import tqdm

    loss_of_d, loss_of_g = (hinge_discriminator, hinge_generator) if hinge else (bce_discriminator, bce_generator)

    def head_loss(logits, labels, amount=0.0):
        """Summed over the labels, so that its weight does not depend on how many there are."""
        return n_labels * label_loss(logits.float(), labels, amount)

    def warm_up(steps):
        """Teach the head what objects look like before there are fakes."""
        for step, (real, labels) in zip(range(steps), (b for _ in range(steps) for b in real_batches(batch_size))):
            optimizer_d.param_groups[0]["lr"] = 2e-3 * min(1, step / 100) * (1 - step / steps) + 1e-4
            with lower_precision:
                logits = discriminator(flipped(real))[1]
            loss = head_loss(logits, labels)
            optimizer_d.zero_grad(set_to_none=True)
            loss.backward()
            optimizer_d.step()

    done, extra = resume_progress()
    average = copy.deepcopy(generator)
    if extra is not None:
        average.load_state_dict(extra["average"])
    steps_an_epoch = len(real_images) // batch_size
    if done == 0 and second_classifier is not None:
        warm_up(warm_up_steps)
    for epoch in range(done, epochs):
        generator.train()
        discriminator.train()
        sums = dict.fromkeys(("generator", "real", "fake", "labels"), 0.0)
        bar = tqdm(real_batches(batch_size), total=steps_an_epoch, desc=f"epoch {epoch + 1}/{epochs}", mininterval=5)
        for step, (real, labels) in enumerate(bar):
            # Constant rates for the first half, then linearly to zero: the moving average settles at the end.
            progress = (epoch + step / steps_an_epoch) / epochs
            for optimizer, rate in ((optimizer_g, rate_g), (optimizer_d, rate_d)):
                optimizer.param_groups[0]["lr"] = rate * min(1.0, 2 * (1 - progress) + 1e-3)

            with lower_precision:
                with torch.no_grad():
                    fake = generator(torch.randn(len(real), noise_dim, device=device), labels).float()
                scores, logits = discriminator(torch.cat([flipped(real), fake]))
            (score_real, score_fake), (logits_real, logits_fake) = scores.float().chunk(2), logits.chunk(2)
            loss_labels = head_loss(logits_real, labels, smoothing)
            loss_d = loss_of_d(score_real, score_fake) + head_weight * loss_labels
            if head_on_fakes != "nothing":
                # "absent": a fake object is none, so that the head, too, tells real from fake, object by object.
                target = labels if head_on_fakes == "asked" else torch.zeros_like(labels)
                loss_d = loss_d + head_weight_fakes * head_loss(logits_fake, target)
            optimizer_d.zero_grad(set_to_none=True)
            loss_d.backward()
            optimizer_d.step()
            with torch.no_grad():
                certain = torch.full_like(score_real, 1e4)  # as a score of the other kind, it adds nothing
                sums["real"] += loss_of_d(score_real, -certain).item() / steps_an_epoch
                sums["fake"] += loss_of_d(certain, score_fake).item() / steps_an_epoch
                sums["labels"] += loss_labels.item() / n_labels / steps_an_epoch

            discriminator.requires_grad_(False)  # the generator's step needs no gradient of the discriminator's weights
            for _ in range(generator_steps):
                z, labels = draw_noise(batch_size)
                labels = labels[: batch_size // 2].repeat(2, 1)  # two images for each row of labels
                with lower_precision:
                    fake = generator(z, labels)
                    score_fake, logits_fake = discriminator(fake)
                loss_g = loss_of_g(score_fake.float()) + head_weight_g * head_loss(logits_fake, labels)
                loss_g = loss_g + variety * too_alike(fake, z)
                optimizer_g.zero_grad(set_to_none=True)
                loss_g.backward()
                optimizer_g.step()
                sums["generator"] += loss_g.item() / steps_an_epoch / generator_steps
            discriminator.requires_grad_(True)
            update_average(average, generator, decay=averaging if epoch > 1 else min(averaging, 0.97))
        refresh_batch_norm(average)
        for name, total in {**sums, "score": prompt_score(average)}.items():
            history[name].append(total)
        diverged()
        save_progress(epoch + 1, handin=average, extra={"average": average.state_dict()})
        print(f"epoch {epoch + 1}: " + ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items() if values))
    ### END SOLUTION


# %%
if TRAIN:
    train()

# %% tags=["optional"]
if TRAIN:
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4))
    for name, title in {
        "generator": "loss of G",
        "real": "loss of D, real",
        "fake": "loss of D, fake",
        "labels": "auxiliary loss",
    }.items():
        left.plot(range(1, len(history[name]) + 1), history[name], label=title)
    left.set_xlabel("epoch")
    left.legend()
    right.plot(range(1, len(history["score"]) + 1), history["score"])
    right.set_xlabel("epoch")
    right.set_title("accuracy of the second classifier on the prompts")
    plt.show()

# %% [markdown]
# ## Comparing runs
#
# What is the auxiliary loss worth, and on which images? Train for a few epochs with the head learning from real images alone,
# and with it learning from fake ones too, each with a `path_to_checkpoint` of its own, and name the folders here. Given: their
# curves beside each other, for these or any other two settings.

# %%
### BEGIN SOLUTION compared_runs: a dictionary from names to folders with a resume.pt (may stay empty)
compared_runs = {}  # {"real images alone": "runs/nothing", "fakes show no object": "runs/absent"}
### END SOLUTION

# %% tags=["optional"]
if TRAIN and compared_runs:
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6))
    for name, folder in compared_runs.items():
        run = torch.load(Path(folder) / "resume.pt", map_location="cpu", weights_only=True)["history"]
        loss_of_discriminator = [real + fake for real, fake in zip(run["real"], run["fake"])]
        for axis, values in zip(axes, (run["score"], run["generator"], loss_of_discriminator)):
            axis.plot(range(1, len(values) + 1), values, label=name)
    for axis, title in zip(axes, ("accuracy of the second classifier", "loss of G", "loss of D")):
        axis.set_title(title)
        axis.set_xlabel("epoch")
    axes[0].legend()
    plt.show()

# %% [markdown]
# ## Generating
#
# Given: the generator of your checkpoint, in evaluation mode. When you have just trained, it is the one that you would
# hand in.


# %%
def load_generator(file):
    """The generator of a checkpoint, on `device`, in evaluation mode."""
    network = Generator().to(device)
    if not Path(file).exists():
        raise FileNotFoundError(f"no checkpoint at {file}: train first, or set CHECKPOINT to the file that you hand in")
    state = torch.load(file, map_location=device, weights_only=True)
    state = {key.removeprefix("module.").removeprefix("_orig_mod."): value for key, value in state.items()}
    network.load_state_dict(state)
    return network.float().eval()


trained_generator = load_generator(Path(path_to_checkpoint) / "handin.pt" if TRAIN else CHECKPOINT)

# %% [markdown]
# Write `generate(labels)`: one new picture for each row of labels, as an array or tensor of shape (n, 3, 64, 64), floats in [0,
# 1] or uint8. Use `trained_generator` and fresh noise for every picture, and mind that the network's output lies in [−1, 1].


# %%
@torch.no_grad()
def generate(labels):
    """labels: (n, 24), 1 for each object asked for -> n generated pictures (n, 3, 64, 64), floats in [0, 1] or uint8"""
    labels = torch.as_tensor(labels, dtype=torch.float32, device=device)
    ### BEGIN SOLUTION generate: draw noise, run trained_generator with the labels, map [-1, 1] to [0, 1]
    z = torch.randn(len(labels), noise_dim, device=device)
    return (trained_generator(z, labels) + 1) / 2
    ### END SOLUTION


# %% tags=["optional"]
if TRAIN:
    for title, asked in (("test", prompts[:32]), ("new_test", prompts[32:])):
        pictures = torch.as_tensor(generate(asked)).cpu()
        plt.figure(figsize=(12, 6.5))
        plt.imshow(pictures.view(4, 8, 3, 64, 64).permute(0, 3, 1, 4, 2).reshape(4 * 64, 8 * 64, 3))
        plt.xticks([])
        plt.yticks([])
        plt.title(f"one picture for each prompt of {title}")
        plt.show()

# %% [markdown]
# ## Questions

# %% [markdown]
# **Q: Should the auxiliary head learn from fake images? What happens when it is taught that they show what was asked for, when it
# sees real images alone, and when it is taught otherwise?**
#
# ### BEGIN SOLUTION q_auxiliary_fakes: your answer
# Early fakes show nothing recognisable. If the head is taught that they show what was asked for, it learns to read whatever
# pattern the generator already makes for a label, and generator and head agree on a code that has nothing to do with objects.
# With real images alone, the head is honest, but it was never asked about images such as the generator's, and the generator
# finds patterns that it takes for objects. What worked best here was to teach it that a fake object is no object: then its
# answers cannot be won by a pattern, since it learns to tell each pattern from the real thing, label by label.
# ### END SOLUTION

# %% [markdown]
# **Q: For an image of k labels, the grading rule takes the classifier's k highest outputs. What does it not see, and which
# other numbers in your report show it?**
#
# ### BEGIN SOLUTION q_topk_blind: your answer
# It looks at the order of the outputs only. Objects that nobody asked for cost nothing as long as the right ones stand higher,
# the outputs may all be low, as in an image with no object that one could recognise, and quality and variety do not count.
# Exact match asks for all outputs above one half to be those asked for, extra labels counts the superfluous ones, FID and the
# duplicates look at quality and variety.
# ### END SOLUTION

# %% [markdown]
# **Q: Which way of conditioning would you choose for a task with thousands of labels, and why?**
#
# ### BEGIN SOLUTION q_cdcgan_or_acgan: your answer
# A discriminator that is told the labels, with a projection: each label costs one vector, and the discriminator answers the
# very question that counts, whether this image belongs to these labels. An auxiliary head needs an output for each label and
# its own loss, whose weight must be balanced against realism, and it pulls towards images that are easy to recognise rather
# than true to the data. What speaks for the head is that it tells what is in an image, which one can watch during training.
# ### END SOLUTION
