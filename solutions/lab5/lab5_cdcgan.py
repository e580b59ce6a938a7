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
# # Lab 5, task 1: a conditional DCGAN that draws the objects you ask for
#
# You ask for "red cube, gray sphere", and the generator draws a scene with these two objects. 8 colours times 3 shapes make 24
# labels, and a picture has one to three of them: the condition is no longer one class but a vector of 24 numbers, 1 for each
# label that is asked for and 0 for the others. `generate(labels)` draws a picture for every row of labels.
#
# A classifier then looks at your pictures. For a picture that was asked for k objects, it takes the k labels that it is surest
# of, and counts how many of them were asked for. Its score is the sum of these hits over all pictures, divided by the number of
# objects asked for. The classifier that grades you is not in this notebook: you train a second one here, to see how you are
# doing.
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


def other_shapes(labels):
    """The same colours with every shape exchanged: cube, sphere, cylinder by the next one or the one after it."""
    return labels.view(-1, 3, 8).roll(random.choice([1, 2]), dims=1).flatten(1)


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
# go on training). On Colab choose a folder of your Drive, for example `/content/drive/MyDrive/lab5/cdcgan`. `generator_steps`
# is how many steps the generator makes for one of the discriminator.
#
# A good start is the DCGAN of Radford et al.: layers of 512, 256, 128 and 64 channels, batch normalisation, weights from N(0,
# 0.02), binary cross-entropy, learning rates of 1e-4 for the generator and 4e-4 for the discriminator, four steps of the
# generator for one of the discriminator. What could be better: a discriminator with *spectral normalisation* and the *hinge
# loss*; the labels as a *projection* (an inner product of the labels' embedding and the picture's features) in place of a
# plane; real pictures with *wrong labels* as further fakes; a *moving average* of the generator's weights; a *mode-seeking*
# loss, since a generator that is told what to draw tends to ignore the noise. Keep each of them a switch, so that you can say
# what it is worth.

# %%
### BEGIN SOLUTION settings: set path_to_checkpoint (a folder), epochs, batch_size and generator_steps, and switches of your own
path_to_checkpoint = "checkpoints"
batch_size = 64
recipe = "improved"  # or "baseline"
on_gpu = device.type == "cuda"

if recipe == "improved":
    projection = True  # else a label plane beside the image
    normalisation = "spectral"  # of the discriminator, else "batch"
    hinge = True  # else binary cross-entropy
    wrong_labels = True  # real images with other labels are fakes as well
    warm_up_steps = 1500  # of the discriminator on real images alone: which labels are right?
    variety = 50.0  # weight of the loss of images that are too alike
    averaging = 0.998  # decay of the moving average of the generator's weights; 0: none
    rate_g, rate_d, betas = (1e-4, 4e-4, (0.0, 0.9)) if on_gpu else (4e-4, 8e-4, (0.0, 0.9))
    generator_steps = 1
else:
    projection, normalisation, hinge, wrong_labels, warm_up_steps = False, "batch", False, False, 0
    variety, averaging = 0.0, 0.0
    rate_g, rate_d, betas = 1e-4, 4e-4, (0.5, 0.999)  # for comparison: 2e-4 and 2e-4, 4e-4 and 1e-4
    generator_steps = 4

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
# numbers. The discriminator may get 64·64 of them as a fourth channel beside the image's three, the image first.


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


def images_and_plane(images, embedding):
    """images: (B, 3, 64, 64); embedding: of the labels, (B, 64*64) -> (B, 4, 64, 64), the image first"""
    ### BEGIN SOLUTION images_and_plane: append the embedding, row by row, as a fourth channel
    return torch.cat([images, embedding.view(-1, 1, *images.shape[2:])], dim=1)
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
# Input: images (B, 3, 64, 64) and labels (B, 24). Output: for each image one score of shape (B, 1), any real number: how real the
# image looks *and* how well it shows these labels. No sigmoid at the end; the cross-entropy below contains it.


# %%
class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()

        ### BEGIN SOLUTION discriminator_layers: define the layers of the discriminator
        def normalised(layer):
            return spectral_norm(layer) if normalisation == "spectral" else layer

        channels, layers = (3 if projection else 4), []
        for k, width in enumerate(critic_widths):
            sizes = {"kernel_size": 4, "stride": 2} if k < 3 else {"kernel_size": 3}  # 64 → 32 → 16 → 8 → 8
            layers.append(normalised(nn.Conv2d(channels, width, **sizes, padding=1)))
            if normalisation == "batch" and k > 0:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(0.1))
            channels = width
        self.features = nn.Sequential(*layers)
        self.linear = normalised(nn.Linear(channels, 1))
        if projection:
            self.projection = normalised(nn.Linear(n_labels, channels, bias=False))
        else:
            self.embedding = LabelEmbedding(64 * 64)
        if normalisation != "spectral":
            initialise(self)
        self.to(memory_format=torch.channels_last)
        ### END SOLUTION

    ### BEGIN SOLUTION discriminator_methods: methods of your own (may stay empty)
    def summed(self, images):
        """Features (B, width) of images: the sum over all places, since an object may stand anywhere."""
        return self.features(images.contiguous(memory_format=torch.channels_last)).float().sum((2, 3))

    def score(self, features, labels):
        """Scores (B, 1) of summed features, with another row of labels where one likes."""
        return self.linear(features) + (self.projection(labels) * features).sum(1, keepdim=True)

    ### END SOLUTION

    def forward(self, images, labels):
        ### BEGIN SOLUTION discriminator_forward: (B, 3, 64, 64) and (B, 24) -> scores of shape (B, 1), without bounds
        if projection:
            return self.score(self.summed(images), labels)
        return self.linear(self.summed(images_and_plane(images, self.embedding(labels))) / 64)
        ### END SOLUTION


# %% [markdown]
# ## The losses
#
# All four get scores without bounds and return one number, a mean over the batch. The discriminator's losses are the *sum* of a
# mean over real and a mean over fake images.
#
# * **Binary cross-entropy**: real images have target 1, fake images 0; the generator's loss is the cross-entropy of its images
#   with target 1. The probability is the sigmoid of the score.
# * **Hinge**: max(0, 1 − score) of real images and max(0, 1 + score) of fake ones; the generator's loss is −score.


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
    # Append one number an epoch: losses of G, of D on real and on fake images, and prompt_score() of the generator.
    history = {"generator": [], "real": [], "fake": [], "score": []}


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
# Write `train()`: for each batch of real images with their labels a step of the discriminator on as many fake images of the
# same labels, and `generator_steps` steps of the generator. Start with `resume_progress()`, show progress (`tqdm` is installed
# on Colab), fill `history`, and call `diverged` and `save_progress` after each epoch.


# %%
def train():
    ### BEGIN SOLUTION train: the training loop (both networks, progress bar, history, diverged, save_progress)
    from tqdm.auto import tqdm

    loss_of_d, loss_of_g = (hinge_discriminator, hinge_generator) if hinge else (bce_discriminator, bce_generator)

    def of_wrong_labels(features, labels):
        """The discriminator's loss for real images as fakes, of other images' labels and of labels with other shapes."""
        others = discriminator.score(features, labels.roll(1, 0))
        shapes = discriminator.score(features, other_shapes(labels))
        return F.relu(1 + others).mean() + 0.5 * F.relu(1 + shapes).mean()

    def warm_up(steps):
        """Teach the discriminator which labels are right before there are fakes to tell from real images."""
        for step, (real, labels) in zip(range(steps), (b for _ in range(steps) for b in real_batches(batch_size))):
            optimizer_d.param_groups[0]["lr"] = 2e-3 * min(1, step / 100) * (1 - step / steps) + 1e-4
            with lower_precision:
                features = discriminator.summed(flipped(real))
            loss = F.relu(1 - discriminator.score(features, labels)).mean() + of_wrong_labels(features, labels)
            optimizer_d.zero_grad(set_to_none=True)
            loss.backward()
            optimizer_d.step()

    done, extra = resume_progress()
    average = copy.deepcopy(generator)
    if extra is not None:
        average.load_state_dict(extra["average"])
    steps_an_epoch = len(real_images) // batch_size
    if done == 0 and second_classifier is not None:
        warm_up(warm_up_steps if wrong_labels else 0)
    for epoch in range(done, epochs):
        generator.train()
        discriminator.train()
        sums = dict.fromkeys(("generator", "real", "fake"), 0.0)
        bar = tqdm(real_batches(batch_size), total=steps_an_epoch, desc=f"epoch {epoch + 1}/{epochs}", mininterval=5)
        for step, (real, labels) in enumerate(bar):
            # Constant rates for the first half, then linearly to zero: the moving average settles at the end.
            progress = (epoch + step / steps_an_epoch) / epochs
            for optimizer, rate in ((optimizer_g, rate_g), (optimizer_d, rate_d)):
                optimizer.param_groups[0]["lr"] = rate * min(1.0, 2 * (1 - progress) + 1e-3)

            real = flipped(real)
            with lower_precision:
                with torch.no_grad():
                    fake = generator(torch.randn(len(real), noise_dim, device=device), labels).float()
                if projection:
                    features = discriminator.summed(torch.cat([real, fake]))
                    both = discriminator.score(features, torch.cat([labels, labels]))
                else:
                    both = discriminator(torch.cat([real, fake]), torch.cat([labels, labels]))
            score_real, score_fake = both.float().chunk(2)
            loss_d = loss_of_d(score_real, score_fake)
            if wrong_labels:
                loss_d = loss_d + of_wrong_labels(features[: len(real)], labels)
            optimizer_d.zero_grad(set_to_none=True)
            loss_d.backward()
            optimizer_d.step()
            with torch.no_grad():
                certain = torch.full_like(score_real, 1e4)  # as a score of the other kind, it adds nothing
                sums["real"] += loss_of_d(score_real, -certain).item() / steps_an_epoch
                sums["fake"] += loss_of_d(certain, score_fake).item() / steps_an_epoch

            discriminator.requires_grad_(False)  # the generator's step needs no gradient of the discriminator's weights
            for _ in range(generator_steps):
                z, labels = draw_noise(batch_size)
                labels = labels[: batch_size // 2].repeat(2, 1)  # two images for each row of labels
                with lower_precision:
                    fake = generator(z, labels)
                    score_fake = discriminator(fake, labels)
                loss_g = loss_of_g(score_fake.float()) + variety * too_alike(fake, z)
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
    for name, title in {"generator": "loss of G", "real": "loss of D, real", "fake": "loss of D, fake"}.items():
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
# Does the discriminator want the higher rate, or should both be equal? Train once with 2e-4 for both, and once with 4e-4 for
# the discriminator and 1e-4 for the generator, each for a few epochs and with a `path_to_checkpoint` of its own, and name the
# folders here. Given: their curves beside each other, for these or any other two settings.

# %%
### BEGIN SOLUTION compared_runs: a dictionary from names to folders with a resume.pt (may stay empty)
compared_runs = {}  # {"2e-4 and 2e-4": "runs/equal", "4e-4 and 1e-4": "runs/ttur"}
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
# **Q: Describe your conditioning: what does each network get, with which shapes, and what would happen if the discriminator did
# not see the labels?**
#
# ### BEGIN SOLUTION q_conditioning: your answer
# The generator gets the 24 labels through a linear layer with ReLU as 300 numbers, joined to 100 numbers of noise. The
# discriminator sums its features (128 channels) over the 8×8 places and adds two things: a score of the features alone, and the
# inner product of the features with the sum of the vectors of the labels asked for (projection). The sum over places suits the
# task, since an object counts wherever it stands. Without the labels, the discriminator could only ask whether a scene looks
# real, and a generator that ignores them would lose nothing. With them it can still lazily judge realism alone; real images
# with wrong labels as fakes force it to look.
# ### END SOLUTION

# %% [markdown]
# **Q: Compare two pairs of learning rates, or two other settings, by their curves. Which symptoms tell you that a training has
# diverged?**
#
# ### BEGIN SOLUTION q_learning_rates: your answer
# A discriminator with the higher rate (two time-scales) is near its optimum for the current generator at every step, so that
# the generator follows a useful gradient without many steps of the discriminator; with equal rates the discriminator lags
# behind, or both oscillate. If it gets too far ahead the loss of D falls to 0 while that of G climbs to about 9: with
# cross-entropy the discriminator is certain, and the score collapses because the generator gets next to no gradient that says
# where to go. The losses alone do not tell which of two healthy runs is better; the score against epochs does.
# ### END SOLUTION

# %% [markdown]
# **Q: What does `CenterCrop(240)` do to this data set, and why does it lower the score although the pictures look fine?**
#
# ### BEGIN SOLUTION q_crop: your answer
# It cuts 40 of 320 columns from either side. Objects that stand there vanish or are cut, while their labels stay: some real
# images are then pictures with wrong labels. The discriminator learns that a label may be missing, and the generator that
# it may leave out what was asked for. Resizing the whole picture changes the aspect ratio but keeps every object.
# ### END SOLUTION
