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
# # Lab 10, task 2: a SAGAN, whose places look at each other
#
# Same photographs, same question, two better networks. A dog of task 1 has fur and perhaps three heads: convolutions know what
# is near and not what is far. Three things change:
#
# * **self-attention** in both networks: every place of a picture looks at all others;
# * **spectral normalisation** in both networks: each weight matrix is divided by its largest singular value, so that no layer can
#   stretch its input by much more than 1;
# * the **hinge loss**, which leaves alone what the discriminator already gets right.
#
# Write your code between the lines `##TODO##` and `##END TODO##`, and nowhere else: everything outside them is
# replaced by the original text before your notebook is graded. Imports, layers and functions of your own go into
# the `helpers` TODO. The cell below is the one exception: it holds run controls that you may set as you like, and that
# the grader sets for itself.
#
# You hand in this notebook and the file `handin.pt` that it writes, or a link to it. The grader runs the notebook with
# `TRAIN = False`, loads your checkpoint, calls your `generate(n)` and scores the pictures.

# %% tags=["parameters"]
TRAIN = True  # False: only load CHECKPOINT and generate
CHECKPOINT = "handin.pt"  # the generator that generate() uses
DEVICE = "auto"  # "auto", "cpu" or "cuda"
SEED = 0
DATA_DIR = "data"  # CIFAR-10 is looked for in this folder, and downloaded to it

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
def update_average(average, network, decay):
    """Exponential moving average of the weights; BatchNorm buffers are recomputed when needed."""
    for kept, new in zip(average.parameters(), network.parameters()):
        kept.lerp_(new, 1 - decay)


@torch.no_grad()
def refresh_batch_norm(network, batches=20, batch_size=200):
    """Replace the running BatchNorm statistics by averages over fresh noise (standing statistics)."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches below
    network.train()
    with lower_precision:
        for _ in range(batches):
            network(torch.randn(batch_size, noise_dim, device=device))
    network.eval()


def flipped(images):
    """Half of the images mirrored: a mirrored photograph is as real, and the discriminator sees twice as many."""
    return torch.where(torch.rand(len(images), 1, 1, 1, device=device) < 0.5, images.flip(3), images)


def up(channels_in, channels_out, **sizes):
    """A transposed convolution with spectral normalisation, batch normalisation and ReLU."""
    convolution = nn.ConvTranspose2d(channels_in, channels_out, 4, bias=False, **sizes)
    return [spectral_norm(convolution), nn.BatchNorm2d(channels_out), nn.ReLU()]


def down(channels_in, channels_out, kernel, **sizes):
    """A convolution with spectral normalisation and LeakyReLU."""
    return [spectral_norm(nn.Conv2d(channels_in, channels_out, kernel, padding=1, **sizes)), nn.LeakyReLU(0.1)]


@torch.no_grad()
def halves(loss, score_real, score_fake):
    """The discriminator's loss of real and of fake images alone: a score of the other kind that is right for certain adds nothing."""
    certain = torch.full_like(score_real, 1e4)
    return loss(score_real, -certain), loss(certain, score_fake)


def stored_widths(file):
    """Channels of the layers of the generator in a checkpoint, so that generators of any width can be loaded."""
    state = torch.load(file, map_location="cpu", weights_only=True)
    weights = [value for key, value in state.items() if key.startswith("net.") and key.endswith("weight.original")]
    return tuple(weight.shape[1] for weight in weights if weight.shape[-1] == 4)  # the transposed convolutions, 4×4


### END SOLUTION

# %% [markdown]
# ## Data
#
# Given: all 50,000 training photographs of CIFAR-10 as one tensor of bytes on your device, their classes, and a function that
# yields both in random batches, the images as floats in [−1, 1]. It runs only when you train.


# %%
def read_idx(file):
    """An array of bytes from an idx file: its number of dimensions, their sizes, then the values."""
    content = Path(file).read_bytes()
    sizes = np.frombuffer(content, ">u4", content[3], 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sizes).copy()


if TRAIN:
    raw = Path(DATA_DIR) / "CIFAR10" / "raw"
    if (raw / "train-images-idx4-ubyte").exists():
        photographs, classes = read_idx(raw / "train-images-idx4-ubyte"), read_idx(raw / "train-labels-idx1-ubyte")
    else:
        from torchvision.datasets import CIFAR10

        downloaded = CIFAR10(DATA_DIR, train=True, download=True)
        photographs, classes = downloaded.data.transpose(0, 3, 1, 2).copy(), np.array(downloaded.targets)
    real_images = torch.from_numpy(photographs).to(device)  # (50000, 3, 32, 32), 0 to 255
    real_labels = torch.from_numpy(classes).long().to(device)  # (50000,)
    print(f"{len(real_images):,} training images from {DATA_DIR}")


def scaled(images):
    """Bytes to floats in [-1, 1]; floats stay as they are."""
    return images if images.is_floating_point() else images.float().div(127.5).sub(1)


def real_batches(batch_size):
    """One epoch of real images in random order: tensors (batch_size, 3, 32, 32) in [-1, 1] and their classes (batch_size,)."""
    order = torch.randperm(len(real_images), device=device)
    for start in range(0, len(order) - batch_size + 1, batch_size):
        chosen = order[start : start + batch_size]
        yield scaled(real_images[chosen]), real_labels[chosen]


# %% [markdown]
# Given: ten photographs of each class, and the mean of all photographs of each class. What do the means say about where things
# are in a picture, and about colours? What will be hard for a generator of 32×32 pixels?

# %% tags=["optional"]
if TRAIN:
    import matplotlib.pyplot as plt

    examples = torch.stack([real_images[real_labels == c][:10] for c in range(n_classes)]).cpu()  # (10, 10, 3, 32, 32)
    means = torch.stack([real_images[real_labels == c].float().mean(0) for c in range(n_classes)]).cpu()  # (10, 3, 32, 32)
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 6), width_ratios=(10, 1.2))
    left.imshow(examples.permute(0, 3, 1, 4, 2).reshape(320, 320, 3))
    left.set_title("ten photographs of each class")
    right.imshow(means.permute(0, 2, 3, 1).reshape(320, 32, 3).byte())
    right.set_title("mean")
    for axis in (left, right):
        axis.set_xticks([])
        axis.set_yticks([16 + 32 * c for c in range(n_classes)], class_names)
    plt.show()

# %% [markdown]
# ## A second classifier, and a distance
#
# Losses do not say how good the pictures are. Given: the small classifier of lab 9, trained here in about a minute on a GPU, or
# three on two processor cores, and kept beside the data; and the *Fréchet distance* between what it sees in 2,000 of your
# pictures and in 10,000 real ones, of the means and covariances A and B of its 128 features:
#
# |mean₁ − mean₂|² + trace(A + B − 2 (A B)^½)
#
# The lower, the better. Compare it between epochs and between runs of yours, and with nothing else: the grader's classifier is
# another one, and its distances are not those of the literature either, which come from Inception.


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


second_classifier = None
if TRAIN:
    second_classifier = SecondClassifier().to(device)
    stored_classifier = Path(DATA_DIR) / "CIFAR10" / "second_classifier.pt"  # the one of lab 9, where you have it
    if stored_classifier.exists():
        second_classifier.load_state_dict(torch.load(stored_classifier, map_location=device, weights_only=True))
    else:
        train_classifier(second_classifier)
        stored_classifier.parent.mkdir(parents=True, exist_ok=True)
        torch.save(second_classifier.state_dict(), stored_classifier)
    second_classifier.eval()
    real_features = features_of(real_images[:10_000])


@torch.no_grad()
def image_distance(network, n=2000):
    """FID of n images of a generator in evaluation mode against real ones; nan where there is no classifier."""
    if second_classifier is None:
        return float("nan")
    noise = torch.randn(n, noise_dim, device=device)
    images = torch.cat([network(part).float() for part in noise.split(250)])
    return fid(features_of(images), real_features)


# %% [markdown]
# ## Settings
#
# `path_to_checkpoint` is the folder that receives `handin.pt` (what you hand in) and `resume.pt` (everything that is needed to
# go on training). On Colab choose a folder of your Drive, for example `/content/drive/MyDrive/lab10/sagan`. `critic_steps`
# is how many steps the discriminator makes for one of the generator.
#
# Use another folder than in task 1. A good start: Adam with β₁ = 0 and β₂ = 0.9, a rate of 1e-4 for the generator and of 4e-4
# for the discriminator (two time-scales), one step of each in turn, and a moving average of the generator's weights to hand in.

# %%
### BEGIN SOLUTION settings: set path_to_checkpoint (a folder), epochs, batch_size and critic_steps, and switches of your own
path_to_checkpoint = "checkpoints"
on_gpu = device.type == "cuda"
batch_size = 64
critic_steps = 1
averaging = 0.999 if on_gpu else 0.998  # decay of the moving average of the generator's weights; 0: none
rate_g, rate_d, betas = (1e-4, 4e-4, (0.0, 0.9)) if on_gpu else (2e-4, 4e-4, (0.0, 0.9))

# The large networks need a GPU; a checkpoint that is only loaded says itself how wide it is.
epochs, generator_widths, critic_widths = (
    (150, (512, 256, 128, 64), (64, 128, 256, 512)) if on_gpu else (6, (64, 48, 32, 16), (16, 32, 64, 96))
)
if not TRAIN and Path(CHECKPOINT).exists():
    generator_widths = stored_widths(CHECKPOINT)
### END SOLUTION

# %% [markdown]
# ## Self-attention
#
# A convolution sees a few pixels around each place; what is far away reaches it only through many layers. Self-attention (Zhang
# et al. 2019) lets every place look at all others. Of features x with C channels at N = H·W places, 1×1 convolutions make
#
# * queries and keys, C/8 channels each: place i looks at place j with the weight softmaxⱼ(queryᵢ · keyⱼ), so that the weights
#   of all places that i looks *at* have sum 1;
# * values, C/2 channels: at each place the mean of all values with these weights, which a last 1×1 convolution brings back to C
#   channels: o.
#
# The output is x + γ·o, with γ a learnt number that starts at 0 (an `nn.Parameter` named `gamma`): at the start the layer
# changes nothing, and the network learns first what is near. All places count alike: no pooling, no positions.


# %%
class SelfAttention(nn.Module):
    """Features (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels):
        super().__init__()
        ### BEGIN SOLUTION attention_layers: four 1x1 convolutions (query, key, value, output) and the parameter gamma, 0 at the start
        narrow, half = max(1, channels // 8), channels // 2
        self.query = spectral_norm(nn.Conv2d(channels, narrow, 1, bias=False))
        self.key = spectral_norm(nn.Conv2d(channels, narrow, 1, bias=False))
        self.value = spectral_norm(nn.Conv2d(channels, half, 1, bias=False))
        self.output = spectral_norm(nn.Conv2d(half, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION attention_forward: x + gamma * o, with o from the values of all places, weighted by a softmax
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))  # (B, channels, N)
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=2)  # (B, N, N): row i holds what place i looks at
        seen = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gamma * self.output(seen)
        ### END SOLUTION


# %% [markdown]
# ## The generator
#
# Input: noise of shape (B, 100), each entry drawn from a standard normal distribution. Output: images of shape
# (B, 3, 32, 32) in [−1, 1]. Start from your generator of task 1, with spectral normalisation around its convolutions, and put the
# attention where there are 8×8 or 16×16 places.


# %%
class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION generator_layers: define the layers of the generator (spectral normalisation, self-attention)
        first, second, third, fourth = generator_widths
        self.net = nn.Sequential(
            *up(noise_dim, first),  # 1×1 → 4×4
            *up(first, second, stride=2, padding=1),  # → 8×8
            *up(second, third, stride=2, padding=1),  # → 16×16
            SelfAttention(third),
            *up(third, fourth, stride=2, padding=1),  # → 32×32
            spectral_norm(nn.Conv2d(fourth, 3, 3, padding=1)),
            nn.Tanh(),
        )
        self.to(memory_format=torch.channels_last)
        ### END SOLUTION

    def forward(self, z):
        ### BEGIN SOLUTION generator_forward: z of shape (B, 100) -> images of shape (B, 3, 32, 32) in [-1, 1]
        return self.net(z[:, :, None, None])
        ### END SOLUTION


# %% [markdown]
# ## The discriminator
#
# Input: images of shape (B, 3, 32, 32) in [−1, 1]. Output: for each image one score of shape (B, 1), any real number, no
# sigmoid at the end. Spectral normalisation around every layer takes the place of batch normalisation; self-attention at 16×16
# or 8×8.


# %%
class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION discriminator_layers: define the layers of the discriminator (spectral normalisation, self-attention)
        channels, layers = 3, []
        for k, width in enumerate(critic_widths):
            layers += down(channels, width, 4, stride=2) if k else down(channels, width, 3)  # 32 → 32 → 16 → 8 → 4
            layers += [SelfAttention(width)] if k == 1 else []
            channels = width
        self.features = nn.Sequential(*layers)
        self.linear = spectral_norm(nn.Linear(channels, 1))
        self.to(memory_format=torch.channels_last)
        ### END SOLUTION

    def forward(self, images):
        ### BEGIN SOLUTION discriminator_forward: images of shape (B, 3, 32, 32) -> scores of shape (B, 1), without bounds
        return self.linear(self.features(images).sum((2, 3)))
        ### END SOLUTION


# %% [markdown]
# ## The two losses
#
# Both get scores without bounds and return one number, a mean over the batch. The discriminator's hinge loss is the **sum** of
# the mean of max(0, 1 − score) over real images and of the mean of max(0, 1 + score) over fake ones; the generator's loss is
# −score.


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
    # Append one number an epoch: losses of G, of D on real and on fake images, and image_distance() of the generator.
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
# ## Training
#
# Write `train()`: for each batch of real images a step of the discriminator on as many fake ones, and after every `critic_steps`
# of them one step of the generator. Start with `resume_progress()`, show progress (`tqdm` is installed on Colab), fill `history`,
# and call `save_progress` after each epoch.


# %%
def train():
    ### BEGIN SOLUTION train: the training loop (both networks, progress bar, history, save_progress)
    from tqdm.auto import tqdm

    done, extra = resume_progress()
    average = copy.deepcopy(generator)
    if extra is not None:
        average.load_state_dict(extra["average"])
    steps_an_epoch = len(real_images) // batch_size
    for epoch in range(done, epochs):
        generator.train()
        discriminator.train()
        sums = dict.fromkeys(("generator", "real", "fake"), 0.0)
        bar = tqdm(real_batches(batch_size), total=steps_an_epoch, desc=f"epoch {epoch + 1}/{epochs}", mininterval=5)
        for step, (real, _) in enumerate(bar):
            # Constant rates for the first half, then linearly to zero: the moving average settles at the end.
            number = epoch * steps_an_epoch + step
            for optimizer, rate in ((optimizer_g, rate_g), (optimizer_d, rate_d)):
                optimizer.param_groups[0]["lr"] = rate * min(1.0, 2 * (1 - number / steps_an_epoch / epochs) + 1e-3)

            real = flipped(real)
            with lower_precision:
                with torch.no_grad():
                    fake = generator(torch.randn(len(real), noise_dim, device=device)).float()
                score_real, score_fake = discriminator(torch.cat([real, fake])).float().chunk(2)
            loss_d = hinge_discriminator(score_real, score_fake)
            optimizer_d.zero_grad(set_to_none=True)
            loss_d.backward()
            optimizer_d.step()
            for name, part in zip(("real", "fake"), halves(hinge_discriminator, score_real, score_fake)):
                sums[name] += part / steps_an_epoch
            if (step + 1) % critic_steps:
                continue

            discriminator.requires_grad_(False)  # the generator's step needs no gradient of the discriminator's weights
            with lower_precision:
                score_fake = discriminator(generator(torch.randn(batch_size, noise_dim, device=device)))
            loss_g = hinge_generator(score_fake.float())
            optimizer_g.zero_grad(set_to_none=True)
            loss_g.backward()
            optimizer_g.step()
            discriminator.requires_grad_(True)
            update_average(average, generator, min(averaging, number / (number + 10)))  # forgets the start
            sums["generator"] += loss_g.detach() * critic_steps / steps_an_epoch
        refresh_batch_norm(average)
        for name, total in {**sums, "score": image_distance(average)}.items():
            history[name].append(float(total))
        save_progress(epoch + 1, handin=average, extra={"average": average.state_dict()})
        print(f"epoch {epoch + 1}: " + ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items() if values))
    ### END SOLUTION


# %%
if TRAIN:
    train()

# %% tags=["optional"]
if TRAIN:
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4))
    titles = {"generator": "loss of G", "real": "loss of D, real", "fake": "loss of D, fake"}
    for name, title in titles.items():
        left.plot(range(1, len(history[name]) + 1), history[name], label=title)
    left.set_xlabel("epoch")
    left.legend()
    right.plot(range(1, len(history["score"]) + 1), history["score"])
    right.set_xlabel("epoch")
    right.set_ylim(0)
    right.set_title("distance to real images")
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
# Write `generate(n)`: n new pictures as an array or tensor of shape (n, 3, 32, 32), floats in [0, 1] or uint8. Use
# `trained_generator` and fresh noise for every call, and mind that the network's output lies in [−1, 1].


# %%
@torch.no_grad()
def generate(n):
    """-> n generated pictures, shape (n, 3, 32, 32), floats in [0, 1] or uint8"""
    ### BEGIN SOLUTION generate: draw noise, run trained_generator, map [-1, 1] to [0, 1]
    z = torch.randn(n, noise_dim, device=device)
    return (trained_generator(z) + 1) / 2
    ### END SOLUTION


# %% tags=["optional"]
if TRAIN:
    pictures = torch.as_tensor(generate(100)).cpu()
    plt.figure(figsize=(7, 7))
    plt.imshow(pictures.view(10, 10, 3, 32, 32).permute(0, 3, 1, 4, 2).reshape(320, 320, 3))
    plt.title("generated pictures")
    plt.axis("off")
    plt.show()

# %% [markdown]
# ## Beside the DCGAN
#
# Name the `handin.pt` of task 1. Given: the 64 pictures that its notebook kept beside it in `samples.pt`, and 64 of this
# notebook.

# %%
### BEGIN SOLUTION dcgan_checkpoint: the path of the handin.pt of task 1 (may stay empty)
dcgan_checkpoint = ""  # "/content/drive/MyDrive/lab10/dcgan/handin.pt"
### END SOLUTION

# %% tags=["optional"]
if TRAIN and dcgan_checkpoint:
    of_dcgan = torch.load(Path(dcgan_checkpoint).with_name("samples.pt"), map_location="cpu", weights_only=True)
    figure, axes = plt.subplots(1, 2, figsize=(13, 6.5))
    for axis, title, pictures in zip(axes, ("DCGAN", "SAGAN"), (of_dcgan, torch.as_tensor(generate(64)).cpu())):
        axis.imshow(pictures.view(8, 8, 3, 32, 32).permute(0, 3, 1, 4, 2).reshape(256, 256, 3))
        axis.set_title(title)
        axis.axis("off")
    plt.show()

# %% [markdown]
# ## Questions

# %% [markdown]
# **Q: What can self-attention do that a convolution cannot, and what does it cost? Why is it not at 32×32 in your networks?**
#
# ### BEGIN SOLUTION q_attention: your answer
# A 3×3 convolution links neighbours, with the same weights at every place and for every image; two distant places meet only
# after many layers. Attention links each place with all others in one layer, with weights that depend on the image: a leg can
# be drawn to match the other legs, a background can be kept of one piece. The weights of N places are N² numbers: 65,536 for
# each image at 16×16, and 16 times as many at 32×32, where features are edges and colours, for which neighbours are enough.
# ### END SOLUTION

# %% [markdown]
# **Q: Why does γ start at 0? What did yours end at, and what does that tell you?**
#
# ### BEGIN SOLUTION q_gamma: your answer
# At the start the attention is over random features: it would add the average of the whole image, noise, to every place. With γ
# = 0 the network starts as a convolutional one, learns the easy, local structure, and lets the attention in as far as it pays,
# since the gradient of γ is not 0. The sign of γ does not matter, since the last convolution can turn it around; its size does.
# A γ that is still next to 0 at the end says that the layer is hardly used, and that the network without it would paint the
# same pictures.
# ### END SOLUTION

# %% [markdown]
# **Q: What does spectral normalisation bound, and why does that help the discriminator? Why is it in the generator as well?**
#
# ### BEGIN SOLUTION q_spectral: your answer
# Each layer's weight matrix is divided by its largest singular value, which one step of the power iteration per training step
# keeps track of. With activations of slope at most 1, the discriminator then cannot change faster than its input by much more
# than 1: its scores do not become arbitrarily steep, and the generator's gradients neither vanish nor explode, for any learning
# rate. In the generator it keeps single layers from growing, which Zhang et al. found to need fewer steps of the discriminator
# for one of the generator.
# ### END SOLUTION
