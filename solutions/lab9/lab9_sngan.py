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
# # Lab 9, task 2: SNGAN with projection on CIFAR-10
#
# The second network of this lab is a residual one, and the class reaches it at better places: in the generator every batch
# normalisation has a scale and a shift for each class; in the discriminator the class's vector is *projected* on the features: their
# inner product is added to the score (Miyato and Koyama 2018). Spectral normalisation keeps the discriminator 1-Lipschitz, and
# the loss is the hinge. What brings the last points is how it is trained: more steps of the discriminator or a higher rate for it,
# large effective batches, augmentation that gradients pass through, a moving average of the weights with batch-norm
# statistics of its own, and noise cut off at a threshold.
#
# Write your code between the lines `##TODO##` and `##END TODO##`, and nowhere else: everything outside them is
# replaced by the original text before your notebook is graded. Imports, layers and functions of your own go into
# the `helpers` TODO. The cell below is the one exception: it holds run controls that you may set as you like, and that
# the grader sets for itself.
#
# You hand in this notebook and the file `handin.pt` that it writes, or a link to it. The grader runs the notebook with
# `TRAIN = False`, loads your checkpoint, calls your `generate(n, c)` for every class and scores the pictures.

# %% tags=["parameters"]
TRAIN = True  # False: only load CHECKPOINT and generate
CHECKPOINT = "handin.pt"  # the generator that generate() uses
DEVICE = "auto"  # "auto", "cpu" or "cuda"
SEED = 0
DATA_DIR = "data"  # CIFAR-10 is read from this folder, or downloaded to it

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
class_names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
n_classes = len(class_names)

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
def refresh_batch_norm(network, batches=20, batch_size=200):
    """Replace the running BatchNorm statistics by averages over fresh noise of all classes (standing statistics)."""
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
    """Noise (n, 100) and random classes (n,)."""
    return torch.randn(n, noise_dim, device=device), torch.randint(n_classes, (n,), device=device)


def initialised(layer):
    """A layer with weights as the setting `initial` says, and without bias to start with."""
    if initial == "orthogonal":
        nn.init.orthogonal_(layer.weight)
    else:
        nn.init.normal_(layer.weight, 0, 0.02)
    if getattr(layer, "bias", None) is not None:
        nn.init.zeros_(layer.bias)
    return layer


def conv(channels_in, channels_out, kernel=3):
    """A convolution that keeps the size."""
    return initialised(nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2))


class UpBlock(nn.Module):
    """Two convolutions at twice the size, and around them the input, enlarged."""

    def __init__(self, channels_in, channels):
        super().__init__()
        self.norm1, self.conv1 = ConditionalBatchNorm(channels_in), conv(channels_in, channels)
        self.norm2, self.conv2 = ConditionalBatchNorm(channels), conv(channels, channels)
        self.around = conv(channels_in, channels, 1)

    def forward(self, x, c):
        inner = F.interpolate(F.relu(self.norm1(x, c)), scale_factor=2, mode="nearest")
        inner = self.conv2(F.relu(self.norm2(self.conv1(inner), c)))
        return inner + F.interpolate(self.around(x), scale_factor=2, mode="nearest")


class DownBlock(nn.Module):
    """Two spectrally normalised convolutions, then half the size if wanted, and around them the input."""

    def __init__(self, channels_in, channels, *, halve, first=False):
        super().__init__()
        self.conv1, self.conv2 = spectral_norm(conv(channels_in, channels)), spectral_norm(conv(channels, channels))
        self.around = spectral_norm(conv(channels_in, channels, 1)) if halve or channels_in != channels else nn.Identity()
        self.first = first  # an image is not rectified
        self.halve = nn.AvgPool2d(2) if halve else nn.Identity()

    def forward(self, x):
        inner = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        around = self.around(self.halve(x)) if self.first else self.halve(self.around(x))
        return self.halve(inner) + around


def stored_width(file):
    """Channels of the generator in a checkpoint, so that generators of any width can be loaded."""
    return len(torch.load(file, map_location="cpu", weights_only=True)["last.weight"][0])


### END SOLUTION

# %% [markdown]
# ## Data
#
# Given: the 50,000 training and 10,000 test pictures as tensors of bytes on your device, their classes, and a function that yields
# the training pictures in random batches, scaled to [−1, 1]. It runs only when you train.


# %%
def read_idx(file):
    """The array of bytes in an idx file: two bytes 0, the type, the number of dimensions, their sizes, and the numbers."""
    content = Path(file).read_bytes()
    sizes = np.frombuffer(content, ">i4", count=content[3], offset=4)
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * len(sizes)).reshape(sizes).copy())


def load_cifar10(folder):
    """-> training images uint8 (50000, 3, 32, 32), their classes (50000,), test images (10000, 3, 32, 32), their classes"""
    raw = Path(folder) / "CIFAR10" / "raw"
    if raw.exists():
        names = ("train-images-idx4", "train-labels-idx1", "test-images-idx4", "test-labels-idx1")
        return [read_idx(raw / f"{name}-ubyte") for name in names]
    from torchvision.datasets import CIFAR10

    arrays = []
    for train in (True, False):
        part = CIFAR10(folder, train=train, download=True)
        arrays += [torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(part.targets, dtype=torch.uint8)]
    return arrays


if TRAIN:
    real_images, real_labels, test_images, test_labels = [part.to(device) for part in load_cifar10(DATA_DIR)]
    real_labels, test_labels = real_labels.long(), test_labels.long()
    print(f"{len(real_images):,} training images from {DATA_DIR}")


def scaled(images):
    """Bytes (B, 3, 32, 32) as floats in [-1, 1]; what is in floats already stays as it is."""
    return images if images.is_floating_point() else images.float().div(127.5).sub(1)


def real_batches(batch_size):
    """One epoch of real images in random order: tensors (batch_size, 3, 32, 32) in [-1, 1] and their classes (batch_size,)."""
    order = torch.randperm(len(real_images), device=device)
    for start in range(0, len(order) - batch_size + 1, batch_size):
        chosen = order[start : start + batch_size]
        yield scaled(real_images[chosen]), real_labels[chosen]


# %% [markdown]
# Given: ten pictures of each class, and each class's average picture. Which classes have a typical background? For which does
# the average still show something, and what does that say about how hard they are to learn?

# %% tags=["optional"]
if TRAIN:
    import matplotlib.pyplot as plt

    rows = torch.stack([scaled(real_images[real_labels == c][:10]) for c in range(n_classes)])  # (10, 10, 3, 32, 32)
    average_pictures = torch.stack([scaled(real_images[real_labels == c]).mean(0) for c in range(n_classes)])
    shown = torch.cat([rows, average_pictures[:, None]], dim=1).cpu()
    plt.figure(figsize=(10, 9))
    plt.imshow(shown.permute(0, 3, 1, 4, 2).reshape(n_classes * 32, 11 * 32, 3).add(1).div(2))
    plt.yticks([16 + 32 * c for c in range(n_classes)], class_names)
    plt.xticks([16 + 32 * 10], ["average"])
    plt.title("ten training pictures of each class, and the class's average")
    plt.show()

# %% [markdown]
# ## A second classifier, and distances in its features
#
# Given: a small classifier, trained in about a minute on a GPU, or three on two processor cores, and kept beside the data. It is
# yours: look at its answers as often as you like. (Choosing among many generators by the classifier that grades them would turn a
# measurement into a target.) Its 128 features give two distances between sets of pictures:
#
# * **FID**, the Fréchet distance of two normal distributions. It is biased: fewer pictures give a larger number, for real ones too.
# * **KID**, the squared maximum mean discrepancy with the kernel (x·y/d + 1)³. It is unbiased, so that for two sets of real
#   pictures it scatters around 0 and is negative about half of the time; its scale has nothing to do with FID's.
#
# The numbers for real test against real training pictures are the floor: no generator should be expected to do better.


# %%
class SecondClassifier(nn.Module):
    """Images (B, 3, 32, 32) in [-1, 1] -> class scores (B, 10)."""

    def __init__(self):
        super().__init__()
        layers = []
        for channels_in, channels_out in ((3, 32), (32, 64), (64, 128)):
            layers += [nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False), nn.BatchNorm2d(channels_out), nn.ReLU()]
            layers += [nn.Conv2d(channels_out, channels_out, 3, padding=1, stride=2, bias=False), nn.BatchNorm2d(channels_out)]
            layers += [nn.ReLU()]
        self.net = nn.Sequential(*layers)  # → 128 × 4×4
        self.linear = nn.Linear(128, n_classes)

    def features(self, images):
        return self.net(images).mean((2, 3))

    def forward(self, images):
        return self.linear(self.features(images))


def train_classifier(network, epochs=4):
    """Train on the real training images, mirrored at random."""
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * (len(real_images) // 128))
    network.train()
    for _ in range(epochs):
        for images, classes in real_batches(128):
            images = images.flip(3) if random.random() < 0.5 else images
            with torch.autocast(device.type, torch.bfloat16):
                scores = network(images)
            optimizer.zero_grad()
            F.cross_entropy(scores.float(), classes).backward()
            optimizer.step()
            schedule.step()
    network.eval()


@torch.no_grad()
def features_of(images):
    """Features (n, 128) of images (n, 3, 32, 32), bytes or floats in [-1, 1], in double precision."""
    return torch.cat([second_classifier.features(scaled(part.to(device)).float()) for part in images.split(500)]).double()


def fid(one, other):
    """Fréchet distance of features (n, D) and (m, D): |difference of means|² + tr(A + B − 2 √(A B))."""
    a, b = torch.cov(one.T), torch.cov(other.T)
    values, vectors = torch.linalg.eigh(a)
    root = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
    overlap = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()
    return ((one.mean(0) - other.mean(0)).square().sum() + a.trace() + b.trace() - 2 * overlap).item()


def kid(one, other):
    """Unbiased squared maximum mean discrepancy of features (n, D) and (m, D)."""

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x):
        k = kernel(x, x)
        return (k.sum() - k.trace()) / (len(x) * (len(x) - 1))

    return (within(one) + within(other) - 2 * kernel(one, other).mean()).item()


second_classifier = None
if TRAIN:
    second_classifier = SecondClassifier().to(device)
    stored_classifier = Path(DATA_DIR) / "CIFAR10" / "second_classifier.pt"
    if stored_classifier.exists():
        second_classifier.load_state_dict(torch.load(stored_classifier, map_location=device, weights_only=True))
    else:
        train_classifier(second_classifier)
        stored_classifier.parent.mkdir(parents=True, exist_ok=True)
        torch.save(second_classifier.state_dict(), stored_classifier)
    second_classifier.eval()
    test_features = features_of(test_images)
    with torch.no_grad():
        right = (second_classifier.linear(test_features.float()).argmax(1) == test_labels).float().mean().item()
    print(f"the second classifier names {right:.1%} of the test images rightly")
    floor_features = features_of(real_images[:2000])
    print(f"floor, 2,000 training against 10,000 test images: FID {fid(floor_features, test_features):.2f}", end=", ")
    print(f"KID {kid(floor_features, test_features[:2000]):.5f}")


@torch.no_grad()
def progress_scores(network, n=1000):
    """FID of n images of a generator, equally many of each class, and the share that the second classifier puts in their class."""
    if second_classifier is None:
        return float("nan"), float("nan")
    c = torch.arange(n, device=device) % n_classes
    z = torch.randn(n, noise_dim, device=device)
    images = torch.cat([network(*part).float() for part in zip(z.split(250), c.split(250))])
    features = features_of(images)
    seen = second_classifier.linear(features.float()).argmax(1)
    return fid(features, test_features), (seen == c).float().mean().item()


# %% [markdown]
# Given, on a GPU where torch-fidelity is installed (`pip install torch-fidelity`): IS, FID and KID of real test against real training
# pictures in the features of publications. An FID of your pictures can only be compared with published ones if the number of pictures,
# the reference set and the network are the same.

# %% tags=["optional"]
if TRAIN and device.type == "cuda":
    try:
        from torch_fidelity import calculate_metrics
        from torch.utils.data import TensorDataset

        class Pictures(TensorDataset):
            """Images alone, as torch-fidelity wants them."""

            def __getitem__(self, index):
                return super().__getitem__(index)[0]

        both = {"input1": Pictures(test_images.cpu()), "input2": Pictures(real_images.cpu())}
        print(calculate_metrics(**both, isc=True, fid=True, kid=True, cuda=True, verbose=False))
    except (ImportError, OSError) as error:  # OSError: the network's weights cannot be downloaded
        print(f"no figures in the features of publications: {error}")

# %% [markdown]
# ## Settings
#
# `path_to_checkpoint` is the folder that receives `handin.pt` (what you hand in) and `resume.pt` (everything that is needed to
# go on training). On Colab choose a folder of your Drive, for example `/content/drive/MyDrive/lab9/sngan`. What there is to choose:
#
# * **steps or rates**: `critic_steps` steps of the discriminator for one of the generator, 4 or 5 at equal rates (2e-4), or one at
#   four times the generator's rate (TTUR: 1e-4 and 4e-4), which is several times as fast;
# * **batches**: `accumulate` batches make up one step. 32 of 64 images are an effective batch of 2,048; try it at two rates;
# * **`initial`** weights, orthogonal or normal; `r1_gamma`; `augment`, which augmentations are used.

# %%
### BEGIN SOLUTION settings: set path_to_checkpoint (a folder), epochs, batch_size, critic_steps, accumulate and your switches
path_to_checkpoint = "checkpoints"
recipe = "steps"  # or "ttur", "large batches"
critic_steps, accumulate, rate_g, rate_d = {
    "steps": (5, 1, 2e-4, 2e-4),
    "ttur": (1, 1, 1e-4, 4e-4),
    "large batches": (2, 32, 4e-4, 4e-4),  # and at 1e-4, to compare
}[recipe if device.type == "cuda" else "ttur"]
betas = (0.0, 0.9)
initial = "orthogonal"  # or "normal"
r1_gamma, r1_every = 0.2, 16  # every so many steps, and so many times as strong
augment = ("colour", "translation", "cutout") if device.type == "cuda" else ("translation",)
averaging = 0.999  # decay of the moving average of the generator's weights
truncation = None  # threshold of the noise in generate(); None: all of it

# The wide network needs a GPU; a checkpoint that is only loaded says itself how wide it is.
epochs, batch_size, width, critic_width = (1000, 64, 256, 128) if device.type == "cuda" else (2, 64, 32, 32)
if not TRAIN and Path(CHECKPOINT).exists():
    width = stored_width(CHECKPOINT)
### END SOLUTION

# %% [markdown]
# ## The condition in the generator
#
# Batch normalisation brings each channel to mean 0 and variance 1 over the batch, then scales and shifts it. In *conditional*
# batch normalisation scale and shift are looked up by the class: two embeddings of `channels` numbers, scales that start at 1
# and shifts that start at 0.


# %%
class ConditionalBatchNorm(nn.Module):
    """Responses (B, channels, H, W) and classes (B,) -> (B, channels, H, W)."""

    def __init__(self, channels):
        super().__init__()
        ### BEGIN SOLUTION batch_norm_layers: batch normalisation without its own scale and shift, and two embeddings of the class
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale, self.shift = nn.Embedding(n_classes, channels), nn.Embedding(n_classes, channels)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)
        ### END SOLUTION

    def forward(self, x, c):
        ### BEGIN SOLUTION batch_norm_forward: normalise, then scale and shift each channel by the numbers of the class
        return self.norm(x) * self.scale(c)[:, :, None, None] + self.shift(c)[:, :, None, None]
        ### END SOLUTION


# %% [markdown]
# ## The generator
#
# Input: noise (B, 100) and classes (B,), integers 0 … 9. Output: images of shape (B, 3, 32, 32) in [−1, 1]. In the paper: a linear
# layer to 4×4, three residual blocks of 256 channels, each of which enlarges by nearest neighbours, batch normalisation, ReLU,
# a convolution and tanh.


# %%
class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION generator_layers: define the layers of the generator
        self.first = initialised(nn.Linear(noise_dim, width * 4 * 4))
        self.blocks = nn.ModuleList([UpBlock(width, width) for _ in range(3)])  # → 8×8 → 16×16 → 32×32
        self.norm = nn.BatchNorm2d(width)
        self.last = conv(width, 3)
        self.to(memory_format=torch.channels_last)
        ### END SOLUTION

    def forward(self, z, c):
        ### BEGIN SOLUTION generator_forward: (B, 100) and classes (B,) -> images of shape (B, 3, 32, 32) in [-1, 1]
        x = self.first(z).view(len(z), -1, 4, 4).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x, c)
        return torch.tanh(self.last(F.relu(self.norm(x))))
        ### END SOLUTION


# %% [markdown]
# ## The discriminator
#
# Input: images (B, 3, 32, 32) and classes (B,). Output: for each image one score of shape (B, 1), any real number. In the paper: four
# residual blocks of 128 channels, the first two of which halve the size, ReLU, the sum over all places, and from these features a linear
# layer's score plus the projection. `spectral_norm` (from `torch.nn.utils.parametrizations`) on every layer.


# %%
def projection(score, features, class_vectors):
    """score: (B, 1), of the features alone; features: (B, D); class_vectors: of each image's class, (B, D) -> (B, 1)"""
    ### BEGIN SOLUTION projection: add the inner product of features and class vector to the score
    return score + (features * class_vectors).sum(1, keepdim=True)
    ### END SOLUTION


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION discriminator_layers: define the layers of the discriminator, each with spectral normalisation
        self.blocks = nn.Sequential(
            DownBlock(3, critic_width, halve=True, first=True),  # → 16×16
            DownBlock(critic_width, critic_width, halve=True),  # → 8×8
            DownBlock(critic_width, critic_width, halve=False),
            DownBlock(critic_width, critic_width, halve=False),
        )
        self.score = spectral_norm(initialised(nn.Linear(critic_width, 1)))
        self.of_class = spectral_norm(initialised(nn.Embedding(n_classes, critic_width)))
        self.to(memory_format=torch.channels_last)
        ### END SOLUTION

    def forward(self, images, c):
        ### BEGIN SOLUTION discriminator_forward: (B, 3, 32, 32) and classes (B,) -> scores of shape (B, 1), without bounds
        features = F.relu(self.blocks(images.contiguous(memory_format=torch.channels_last))).float().sum((2, 3))
        return projection(self.score(features), features, self.of_class(c))
        ### END SOLUTION


# %% [markdown]
# ## The losses
#
# Hinge: the mean of max(0, 1 − score) of real images plus the mean of max(0, 1 + score) of fake ones; the generator's loss is minus
# the mean score. R1: γ/2 times the mean over the batch of ‖∇D(x)‖², the squared norm of the gradient of a real image's score by the
# image; `create_graph=True` keeps what is needed to differentiate the penalty itself.


# %%
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


def r1_penalty(critic, real, c, gamma=0.2):
    """critic(images, classes) -> scores; real: images (B, 3, 32, 32) of the classes c (B,) -> scalar tensor"""
    ### BEGIN SOLUTION r1_penalty: gamma / 2 times the mean over the batch of the squared norms of the gradients
    real = real.detach().requires_grad_(True)
    gradient = torch.autograd.grad(critic(real, c).sum(), real, create_graph=True)[0]
    return gamma / 2 * gradient.square().flatten(1).sum(1).mean()
    ### END SOLUTION


# %% [markdown]
# ## Augmentation that gradients pass through
#
# Real *and* fake images are augmented before the discriminator sees them, in its steps and in the generator's (Zhao et al. 2020): the
# discriminator cannot learn the real images by heart, and the generator is not led to draw augmented images. Every image of the batch
# gets its own. Given: colour. Yours: **translation** by up to 4 pixels each way (an eighth of the side), 0 coming in, and
# **cutout**, a square of 16×16 pixels (half of the side) set to 0, whose centre may lie anywhere, so that the frame may cut it off.


# %%
def augment_colour(images):
    """images: (B, 3, 32, 32) -> the same with another brightness, saturation and contrast for each"""
    brightness, saturation, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    images = images + (brightness - 0.5)
    grey = images.mean(1, keepdim=True)
    images = grey + (images - grey) * (2 * saturation)
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (images - mean) * (contrast + 0.5)


def augment_translation(images, most=4):
    """images: (B, 3, 32, 32) -> the same, each moved by up to `most` whole pixels down or up and right or left"""
    ### BEGIN SOLUTION augment_translation: pad with zeros, and cut out another window for each image
    n, _, height, width_ = images.shape
    wide = F.pad(images, [most] * 4)
    down, right = torch.randint(0, 2 * most + 1, (2, n, 1), device=images.device)
    rows = down + torch.arange(height, device=images.device)
    columns = right + torch.arange(width_, device=images.device)
    image = torch.arange(n, device=images.device)[:, None, None]
    return wide.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    ### END SOLUTION


def augment_cutout(images, size=16):
    """images: (B, 3, 32, 32) -> the same, in each a square of size x size pixels set to 0; the frame may cut it off"""
    ### BEGIN SOLUTION augment_cutout: multiply by a mask that is 0 in a square around a random place
    n, _, height, width_ = images.shape
    top, left = torch.randint(-size // 2, height - size // 2 + 1, (2, n, 1), device=images.device)
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width_, device=images.device)
    hidden = ((rows >= top) & (rows < top + size))[:, :, None] & ((columns >= left) & (columns < left + size))[:, None, :]
    return images * ~hidden[:, None]
    ### END SOLUTION


def augmented(images):
    """The images with all augmentations that the setting `augment` names."""
    for name, change in (("colour", augment_colour), ("translation", augment_translation), ("cutout", augment_cutout)):
        images = change(images) if name in augment else images
    return images


# %% [markdown]
# ## The moving average
#
# GANs circle around; an exponential moving average of the generator's weights lies in the middle. After each step every parameter of
# the average becomes decay times itself plus 1 − decay times the network's.


# %%
@torch.no_grad()
def update_average(average, network, decay):
    """Move the parameters of `average` towards those of `network`, in place."""
    ### BEGIN SOLUTION update_average: decay times the average plus 1 - decay times the network, for every parameter
    for kept, new in zip(average.parameters(), network.parameters()):
        kept.lerp_(new, 1 - decay)
    ### END SOLUTION


# %% [markdown]
# ## Optimizers
#
# Two optimizers, one for each network: Adam with β = (0, 0.9).


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
# hand in (a moving average of the weights, say); `extra` may hold more tensors or numbers to resume from. Where TensorBoard is
# installed, the history is also written for it.

# %%
if TRAIN:
    generator = Generator().to(device)
    discriminator = Discriminator().to(device)
    optimizer_g, optimizer_d = make_optimizers(generator, discriminator)
    # Append one number an epoch: losses of G, of D on real and on fake images, R1, and what progress_scores() returns.
    history = {"generator": [], "real": [], "fake": [], "penalty": [], "fid": [], "score": []}


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
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return
    with SummaryWriter(folder / "tensorboard") as writer:
        for name, values in history.items():
            if values:
                writer.add_scalar(name, values[-1], epoch)


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
# ## Training
#
# Write `train()`: for each batch of real images with their classes a step of the discriminator on as many fake images of the
# same classes, and after every `critic_steps` of them a step of the generator, each on `accumulate` batches. Start with
# `resume_progress()`, show progress (`tqdm` is installed on Colab), fill `history`, and call `progress_scores` and `save_progress`
# after each epoch.


# %%
def train():
    ### BEGIN SOLUTION train: the training loop (both networks, accumulation, progress bar, history, save_progress)
    from tqdm.auto import tqdm

    done, extra = resume_progress()
    average = copy.deepcopy(generator)
    if extra is not None:
        average.load_state_dict(extra["average"])
    batches = len(real_images) // batch_size
    together = min(accumulate, batches)
    sums = {}

    def add(name, value):
        sums[name] = sums.get(name, 0) + value.detach() / batches  # on the device: reading a number out waits for it

    def accumulate_discriminator(real, c, penalise):
        with lower_precision:
            with torch.no_grad():
                fake = generator(torch.randn(len(real), noise_dim, device=device), c).float()
            both = discriminator(augmented(torch.cat([real, fake])), torch.cat([c, c]))
        score_real, score_fake = both.float().chunk(2)
        loss = hinge_discriminator(score_real, score_fake)
        add("real", F.relu(1 - score_real).mean())
        add("fake", F.relu(1 + score_fake).mean())
        if penalise:
            penalty = r1_every * r1_penalty(discriminator, real, c, r1_gamma)
            add("penalty", penalty)
            loss = loss + penalty
        (loss / together).backward()

    def accumulate_generator(n):
        z, c = draw_noise(n)
        with lower_precision:
            score = discriminator(augmented(generator(z, c).float()), c)
        loss = hinge_generator(score.float())
        add("generator", loss * critic_steps)
        (loss / together).backward()

    for epoch in range(done, epochs):
        generator.train()
        discriminator.train()
        sums.clear()
        bar = tqdm(real_batches(batch_size), total=batches, desc=f"epoch {epoch + 1}/{epochs}", mininterval=5)
        for step, (real, c) in enumerate(bar, start=1):
            real = torch.where(torch.rand(len(real), 1, 1, 1, device=device) < 0.5, real.flip(3), real)
            accumulate_discriminator(real, c, penalise=r1_gamma > 0 and step % r1_every == 0)
            if step % together:
                continue
            # Constant rates for the first half, then linearly to zero: the moving average settles at the end.
            left = 1 - (epoch + step / batches) / epochs
            for optimizer, rate in ((optimizer_g, rate_g), (optimizer_d, rate_d)):
                optimizer.param_groups[0]["lr"] = rate * min(1.0, 2 * left + 1e-3)
            optimizer_d.step()
            optimizer_d.zero_grad(set_to_none=True)
            if step // together % critic_steps:
                continue
            discriminator.requires_grad_(False)  # the generator's step needs no gradient of the discriminator's weights
            for _ in range(together):
                accumulate_generator(len(real))
            optimizer_g.step()
            optimizer_g.zero_grad(set_to_none=True)
            discriminator.requires_grad_(True)
            update_average(average, generator, averaging if epoch > 0 else min(averaging, 0.99))
        refresh_batch_norm(average)
        distance, share = progress_scores(average)
        measured = {name: float(sums.get(name, 0)) for name in ("generator", "real", "fake", "penalty")}
        measured |= {"fid": distance, "score": share}
        for name, value in measured.items():
            history[name].append(value)
        save_progress(epoch + 1, handin=average, extra={"average": average.state_dict()})
        print(f"epoch {epoch + 1}: " + ", ".join(f"{name} {value:.3f}" for name, value in measured.items()))
    ### END SOLUTION


# %%
if TRAIN:
    train()

# %% tags=["optional"]
if TRAIN:
    figure, (left, middle, right_) = plt.subplots(1, 3, figsize=(14, 3.8))
    for name, title in {"generator": "G", "real": "D, real", "fake": "D, fake", "penalty": "R1"}.items():
        left.plot(range(1, len(history[name]) + 1), history[name], label=title)
    left.set_title("losses")
    left.legend()
    for axis, name, title in ((middle, "fid", "FID in the second classifier"), (right_, "score", "share in the class asked for")):
        axis.plot(range(1, len(history[name]) + 1), history[name])
        axis.set_title(title)
    for axis in (left, middle, right_):
        axis.set_xlabel("epoch")
    figure.suptitle("training curves")
    plt.show()

# %% [markdown]
# ## Comparing runs
#
# What is each improvement worth? Train again with one of them switched off (or on), a `path_to_checkpoint` of its own and the same
# number of epochs, and name the folders here. Given: a table of where the runs ended, and their curves.

# %%
### BEGIN SOLUTION compared_runs: a dictionary from names to folders with a resume.pt (may stay empty)
compared_runs = {}  # {"all": "runs/all", "without R1": "runs/without_r1"}
### END SOLUTION

# %% tags=["optional"]
if TRAIN and compared_runs:
    runs = {
        name: torch.load(Path(folder) / "resume.pt", map_location="cpu", weights_only=True)
        for name, folder in compared_runs.items()
    }
    print(f"{'run':32} epochs    best FID    last FID    in their class")
    for name, run in runs.items():
        curves = run["history"]
        print(f"{name:32} {run['epoch']:6} {min(curves['fid']):11.1f} {curves['fid'][-1]:11.1f} {curves['score'][-1]:17.1%}")
        plt.plot(range(1, len(curves["fid"]) + 1), curves["fid"], label=name)
    plt.xlabel("epoch")
    plt.ylabel("FID in the second classifier")
    plt.legend()
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
# ## Truncation
#
# Noise near 0 was seen most often in training. If the generator gets normal numbers of which those beyond a threshold are drawn
# again (drawn again, not cut off at it), the pictures get better and more alike (Brock et al. 2019). Does it pay here?


# %%
def truncated_noise(n, threshold):
    """-> noise (n, 100) on `device`: normal numbers, those whose absolute value is above the threshold drawn again"""
    ### BEGIN SOLUTION truncated_noise: draw normal numbers again until all lie within the threshold
    z = torch.randn(n, noise_dim, device=device)
    while (beyond := z.abs() > threshold).any():
        z[beyond] = torch.randn(int(beyond.sum()), device=device)
    return z
    ### END SOLUTION


# %% [markdown]
# Given: FID, KID and the share of pictures in their class for several thresholds, in the second classifier's features.

# %% tags=["optional"]
if TRAIN:
    print("threshold      FID       KID    in their class")
    c = torch.arange(2000, device=device) % n_classes
    for threshold in (0.5, 0.8, 0.85, 0.9, None):
        z = torch.randn(len(c), noise_dim, device=device) if threshold is None else truncated_noise(len(c), threshold)
        with torch.no_grad():
            pictures = torch.cat([trained_generator(*part) for part in zip(z.split(250), c.split(250))])
            found = features_of(pictures)
            share = (second_classifier.linear(found.float()).argmax(1) == c).float().mean().item()
        print(f"{threshold or 'none':>9} {fid(found, test_features):8.2f} {kid(found, test_features[:2000]):9.4f} {share:17.1%}")

# %% [markdown]
# ## Your pictures
#
# Write `generate(n, c)`: n new pictures of class c, an integer 0 … 9, as an array or tensor of shape (n, 3, 32, 32), floats in [0,
# 1] or uint8. Use `trained_generator` and fresh noise for every call, and mind that the network's output lies in [−1, 1].


# %%
@torch.no_grad()
def generate(n, c):
    """-> n generated pictures of class c (0-9), shape (n, 3, 32, 32), floats in [0, 1] or uint8"""
    ### BEGIN SOLUTION generate: draw noise, run trained_generator with the class, map [-1, 1] to [0, 1]
    z = torch.randn(n, noise_dim, device=device) if truncation is None else truncated_noise(n, truncation)
    return (trained_generator(z, torch.full((n,), c, device=device)) + 1) / 2
    ### END SOLUTION


# %% [markdown]
# Given: 100 pictures of each class, as the hand-in asks, in `samples.npz` beside your checkpoint (`images`, bytes (1000, 3, 32, 32), and
# `labels`), and ten of each to look at. Below them: in each class the two pictures that are nearest to each other in the second
# classifier's features, with their distance, and the distance of the two nearest among as many real ones. Where yours is far
# below, the generator repeats itself: mode collapse within a class.

# %% tags=["optional"]
if TRAIN:
    drawn = [torch.as_tensor(generate(100, c)).cpu() for c in range(n_classes)]
    samples = torch.stack([s.float().div(255) if s.dtype == torch.uint8 else s for s in drawn])  # (10, 100, 3, 32, 32)
    np.savez_compressed(
        Path(path_to_checkpoint) / "samples.npz",
        images=samples.flatten(0, 1).mul(255).round().byte().numpy(),
        labels=np.repeat(np.arange(n_classes), 100),
    )
    plt.figure(figsize=(9, 9))
    plt.imshow(samples[:, :10].permute(0, 3, 1, 4, 2).reshape(n_classes * 32, 10 * 32, 3))
    plt.yticks([16 + 32 * c for c in range(n_classes)], class_names)
    plt.xticks([])
    plt.title("generated pictures, one class a row")
    plt.show()

    def nearest_pair(images):
        """Distance and places of the two nearest of images (n, 3, 32, 32), in the second classifier's features."""
        apart = torch.cdist(features_of(images), features_of(images))
        apart.fill_diagonal_(float("inf"))
        place = apart.argmin().item()
        return apart.min().item(), place // len(images), place % len(images)

    figure, axes = plt.subplots(2, n_classes, figsize=(14, 3.6))
    for c in range(n_classes):
        distance, one, other = nearest_pair(samples[c].mul(2).sub(1).to(device))
        of_real = nearest_pair(real_images[real_labels == c][:100])[0]
        for axis, image in zip(axes[:, c], (samples[c, one], samples[c, other])):
            axis.imshow(image.permute(1, 2, 0))
            axis.axis("off")
        axes[0, c].set_title(f"{class_names[c]}\n{distance:.2f} (real {of_real:.2f})", fontsize=8)
    plt.show()

# %% [markdown]
# ## Questions

# %% [markdown]
# **Q: Why is the class projected on the features instead of being joined to the picture as in task 1?**
#
# ### BEGIN SOLUTION q_projection: your answer
# If the classes' distributions of the features are of a simple form (log-linear in them), the optimal discriminator's score is a part that
# depends on the features alone plus an inner product with a vector of the class. The projection has just that form, so that it must be
# learnt neither by convolutions nor from planes of constants, and the class acts where the features are most abstract.
# ### END SOLUTION

# %% [markdown]
# **Q: Compare several steps of the discriminator with two time-scales, and small batches with accumulated ones, at equal time of
# training. Which figures do you judge by?**
#
# ### BEGIN SOLUTION q_steps: your answer
# Both keep the discriminator near its optimum. Five steps cost five times the discriminator's work for each step of the generator; TTUR
# gets there with one, at a rate four times as high, and makes more steps of the generator in the same time. Accumulated
# batches have less noisy gradients, but as many fewer steps; they only pay with a higher rate. I compare the FID of the moving
# average in the second classifier's features after the same minutes, with the same number of images.
# ### END SOLUTION

# %% [markdown]
# **Q: What did truncation do to FID, to the share of pictures in their class and to the nearest pairs, and which threshold do you
# hand in?**
#
# ### BEGIN SOLUTION q_truncation: your answer
# With a lower threshold more pictures are in their class, and the nearest pairs get nearer: the pictures are more typical and less
# varied. FID sees both; it has its minimum at a high threshold or at none, and grows quickly below. I hand in the one with the
# lowest FID.
# ### END SOLUTION
