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
# # Lab 10, task 3: a conditional SAGAN that paints what you ask for
#
# `generate(n, c)` paints n pictures of class c: 3 for cats, 8 for ships. Attention and spectral normalisation stay as they are
# in task 2. Two things change:
#
# * the **condition**: the generator gets the class as a learnt vector of 50 numbers beside the noise, and the critic judges
#   whether a picture looks real *and* shows its class;
# * the **loss**: the Wasserstein loss of lab 8, whose critic must not change too fast. Here this is the business of *weight
#   clipping*, the way of the first paper; the gradient penalty that you know is the alternative. Make it one switch, and compare.
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
embedding_dim = 50
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
            network(*draw_noise(batch_size))
    network.eval()


def draw_noise(n):
    """Noise (n, 100) and random classes (n,)."""
    return torch.randn(n, noise_dim, device=device), torch.randint(n_classes, (n,), device=device)


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
    c = torch.arange(n, device=device) % n_classes
    images = torch.cat([network(*part).float() for part in zip(noise.split(250), c.split(250))])
    return fid(features_of(images), real_features)


# %% [markdown]
# ## Settings
#
# `path_to_checkpoint` is the folder that receives `handin.pt` (what you hand in) and `resume.pt` (everything that is needed to
# go on training). On Colab choose a folder of your Drive, for example `/content/drive/MyDrive/lab10/csagan`. `critic_steps`
# is how many steps the discriminator makes for one of the generator.
#
# Use another folder than in tasks 1 and 2, and one for each run that you compare. A good start: Adam with β₁ = 0 and β₂ = 0.9,
# and a moving average of the generator's weights to hand in. With clipping, all weights of the critic end up within
# ±`clip_limit`, so that a step of the size of the learning rate is a big one: take a lower rate than with the penalty.

# %%
### BEGIN SOLUTION settings: set path_to_checkpoint (a folder), epochs, batch_size and critic_steps, and switches of your own
path_to_checkpoint = "checkpoints"
on_gpu = device.type == "cuda"
lipschitz = "clipping"  # or "penalty"
batch_size = 64
critic_steps = 2
clip_limit = 0.01
averaging = 0.999 if on_gpu else 0.998  # decay of the moving average of the generator's weights; 0: none
rate_g, rate_d, betas = 2e-4, (1e-4 if lipschitz == "clipping" else 4e-4), (0.0, 0.9)

# The large networks need a GPU; a checkpoint that is only loaded says itself how wide it is.
epochs, generator_widths, critic_widths = (
    (150, (512, 256, 128, 64), (64, 128, 256, 512)) if on_gpu else (8, (64, 48, 32, 16), (16, 32, 64, 96))
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
# ## The condition
#
# A class is a name, not a quantity: 9 is not nine times 1. A learnt table turns it into 50 numbers, which join the 100 numbers
# of noise: a vector of 150, the noise first. The critic may get the class in two ways: as a plane, a fourth channel beside the
# picture, or as a *projection*, the inner product of the picture's features with a vector of the class, added to the score.


# %%
def class_embedding():
    """-> a layer that turns classes (B,), integers 0-9, into vectors (B, 50) and is trained with the network that holds it"""
    ### BEGIN SOLUTION class_embedding: a table with a row of embedding_dim numbers for each of the n_classes classes
    return nn.Embedding(n_classes, embedding_dim)
    ### END SOLUTION


# %% [markdown]
# ## The generator
#
# Input: noise (B, 100) and classes (B,), integers 0 to 9. Output: images of shape (B, 3, 32, 32) in [−1, 1]. Start from your
# generator of task 2.


# %%
class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION generator_layers: define the embedding of the class and the layers of the generator
        self.embedding = class_embedding()
        first, second, third, fourth = generator_widths
        self.net = nn.Sequential(
            *up(noise_dim + embedding_dim, first),  # 1×1 → 4×4
            *up(first, second, stride=2, padding=1),  # → 8×8
            *up(second, third, stride=2, padding=1),  # → 16×16
            SelfAttention(third),
            *up(third, fourth, stride=2, padding=1),  # → 32×32
            spectral_norm(nn.Conv2d(fourth, 3, 3, padding=1)),
            nn.Tanh(),
        )
        self.to(memory_format=torch.channels_last)
        ### END SOLUTION

    def forward(self, z, c):
        ### BEGIN SOLUTION generator_forward: (B, 100) and (B,) -> images of shape (B, 3, 32, 32) in [-1, 1]
        return self.net(torch.cat([z, self.embedding(c)], dim=1)[:, :, None, None])
        ### END SOLUTION


# %% [markdown]
# ## The critic
#
# Input: images (B, 3, 32, 32) and classes (B,), integers 0 to 9. Output: for each image one score of shape (B, 1), any real
# number. Spectral normalisation and self-attention as in task 2, no batch normalisation.


# %%
class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION discriminator_layers: define the layers of the critic (spectral normalisation, self-attention, the class)
        channels, layers = 3, []
        for k, width in enumerate(critic_widths):
            layers += down(channels, width, 4, stride=2) if k else down(channels, width, 3)  # 32 → 32 → 16 → 8 → 4
            layers += [SelfAttention(width)] if k == 1 else []
            channels = width
        self.features = nn.Sequential(*layers)
        self.linear = spectral_norm(nn.Linear(channels, 1))
        self.projection = spectral_norm(nn.Embedding(n_classes, channels))
        self.to(memory_format=torch.channels_last)
        ### END SOLUTION

    def forward(self, images, c):
        ### BEGIN SOLUTION discriminator_forward: (B, 3, 32, 32) and (B,) -> scores of shape (B, 1), without bounds
        features = self.features(images).float().sum((2, 3))
        return self.linear(features) + (self.projection(c) * features).sum(1, keepdim=True)
        ### END SOLUTION


# %% [markdown]
# ## The losses
#
# The first three return one number, a mean over the batch; they are those of lab 8.
#
# * The generator wants high scores: its loss is −score_fake.
# * The critic wants low scores for fake and high scores for real images: its loss is score_fake − score_real + λ · penalty. With
#   clipping, the penalty is 0.
# * The penalty is (‖gradient‖₂ − 1)², with the norm over all numbers that belong to one image, then the mean over the batch.
# * Clipping cuts every parameter of the critic to [−limit, limit], in place, after each of its steps.


# %%
def get_WLoss_generator(score_fake):
    """score_fake: the critic's scores (B, 1) of fake images -> scalar tensor"""
    ### BEGIN SOLUTION wloss_generator: minus the mean score of the fake images
    return -score_fake.mean()
    ### END SOLUTION


def get_WLoss_discriminator(score_fake, score_real, penalty, lambda_=10.0):
    """score_fake, score_real: scores (B, 1); penalty: scalar tensor; lambda_: its weight -> scalar tensor"""
    ### BEGIN SOLUTION wloss_discriminator: mean score of fake minus mean score of real images plus lambda_ times the penalty
    return score_fake.mean() - score_real.mean() + lambda_ * penalty
    ### END SOLUTION


def get_gradient_regularisation(gradient):
    """gradient: of the critic's score by the image, (B, channels, height, width) -> scalar tensor, the penalty"""
    ### BEGIN SOLUTION gradient_regularisation: mean over the batch of (L2 norm of each image's gradient - 1) squared
    return (gradient.flatten(1).norm(2, dim=1) - 1).square().mean()
    ### END SOLUTION


@torch.no_grad()
def clip_weights(critic, limit=0.01):
    """critic: a network; limit: a positive number. Changes its parameters in place and returns nothing."""
    ### BEGIN SOLUTION clip_weights: cut all parameters of the critic, biases too, to [-limit, limit]
    for parameter in critic.parameters():
        parameter.clamp_(-limit, limit)
    ### END SOLUTION


# %% [markdown]
# Given: the gradient that the penalty is about. Between each real and each fake image lies a line; at a random point of it, the
# gradient of the critic's score by the image is taken. `create_graph=True` keeps what is needed to differentiate the penalty
# itself.


# %%
def get_grad_function(critic, real, fake, c):
    """real, fake: images (B, 3, 32, 32) of the classes c (B,) -> gradient of the critic's score, (B, 3, 32, 32)"""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    mixed = (share * real + (1 - share) * fake.detach()).requires_grad_(True)
    scores = critic(mixed, c)
    return torch.autograd.grad(scores.sum(), mixed, create_graph=True)[0]


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
    # Append one number an epoch: loss of G, mean scores of real and of fake images, penalty, and image_distance() of the generator.
    history = {"generator": [], "real": [], "fake": [], "penalty": [], "score": []}


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
# Write `train()`: for each batch of real images with their classes a step of the critic on as many fake ones of the same
# classes, and after every `critic_steps` of them one step of the generator. With clipping, call `clip_weights` after each step
# of the critic. Start with `resume_progress()`, show progress (`tqdm` is installed on Colab), fill `history`, and call
# `save_progress` after each epoch.


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
        sums = dict.fromkeys(("generator", "real", "fake", "penalty"), 0.0)
        bar = tqdm(real_batches(batch_size), total=steps_an_epoch, desc=f"epoch {epoch + 1}/{epochs}", mininterval=5)
        for step, (real, c) in enumerate(bar):
            # Constant rates for the first half, then linearly to zero: the moving average settles at the end.
            number = epoch * steps_an_epoch + step
            for optimizer, rate in ((optimizer_g, rate_g), (optimizer_d, rate_d)):
                optimizer.param_groups[0]["lr"] = rate * min(1.0, 2 * (1 - number / steps_an_epoch / epochs) + 1e-3)

            real = flipped(real)
            with lower_precision:
                with torch.no_grad():
                    fake = generator(torch.randn(len(real), noise_dim, device=device), c).float()
                score_real, score_fake = discriminator(torch.cat([real, fake]), torch.cat([c, c])).float().chunk(2)
                if lipschitz == "penalty":
                    penalty = get_gradient_regularisation(get_grad_function(discriminator, real, fake, c).float())
                else:
                    penalty = torch.zeros((), device=device)
            loss_d = get_WLoss_discriminator(score_fake, score_real, penalty)
            optimizer_d.zero_grad(set_to_none=True)
            loss_d.backward()
            optimizer_d.step()
            if lipschitz == "clipping":
                clip_weights(discriminator, clip_limit)
            for name, value in (("real", score_real.mean()), ("fake", score_fake.mean()), ("penalty", penalty)):
                sums[name] += value.detach() / steps_an_epoch
            if (step + 1) % critic_steps:
                continue

            discriminator.requires_grad_(False)  # the generator's step needs no gradient of the critic's weights
            z, c = draw_noise(batch_size)
            with lower_precision:
                score_fake = discriminator(generator(z, c), c)
            loss_g = get_WLoss_generator(score_fake.float())
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
    titles = {"generator": "loss of G", "real": "score of real", "fake": "score of fake", "penalty": "gradient penalty"}
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
# ## Comparing runs
#
# Train once with clipping and once with the penalty (or with another two settings), each for a few epochs and with a
# `path_to_checkpoint` of its own, and name the folders here. Given: their curves beside each other.

# %%
### BEGIN SOLUTION compared_runs: a dictionary from names to folders with a resume.pt (may stay empty)
compared_runs = {}  # {"clipping": "runs/clipping", "penalty": "runs/penalty"}
### END SOLUTION

# %% tags=["optional"]
if TRAIN and compared_runs:
    figure, axes = plt.subplots(1, 3, figsize=(13, 3.6))
    for name, folder in compared_runs.items():
        run = torch.load(Path(folder) / "resume.pt", map_location="cpu", weights_only=True)["history"]
        difference = [real - fake for real, fake in zip(run["real"], run["fake"])]
        for axis, values in zip(axes, (run["score"], difference, run["generator"])):
            axis.plot(range(1, len(values) + 1), values, label=name)
    for axis, title in zip(axes, ("distance to real images", "score of real − score of fake", "loss of G")):
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
# Write `generate(n, c)`: n new pictures of class c, an integer 0 … 9, as an array or tensor of shape (n, 3, 32, 32), floats in
# [0, 1] or uint8. Use `trained_generator` and fresh noise for every call, and mind that the network's output lies in [−1, 1].


# %%
@torch.no_grad()
def generate(n, c):
    """-> n generated pictures of class c (0-9), shape (n, 3, 32, 32), floats in [0, 1] or uint8"""
    ### BEGIN SOLUTION generate: draw noise, add the class, run trained_generator, map [-1, 1] to [0, 1]
    z = torch.randn(n, noise_dim, device=device)
    return (trained_generator(z, torch.full((n,), c, device=device)) + 1) / 2
    ### END SOLUTION


# %% tags=["optional"]
if TRAIN:
    pictures = torch.stack([torch.as_tensor(generate(10, c)).cpu() for c in range(n_classes)])  # (10, 10, 3, 32, 32)
    plt.figure(figsize=(7, 7))
    plt.imshow(pictures.permute(0, 3, 1, 4, 2).reshape(320, 320, 3))
    plt.xticks([])
    plt.yticks([16 + 32 * c for c in range(n_classes)], class_names)
    plt.title("generated pictures, one class a row")
    plt.show()

# %% [markdown]
# ## Questions

# %% [markdown]
# **Q: What is weight clipping for, and which troubles does it bring? What is left of its effect in a critic with spectral
# normalisation?**
#
# ### BEGIN SOLUTION q_clipping: your answer
# The Wasserstein loss estimates a distance only if the critic is K-Lipschitz. Weights within ±0.01 bound how fast it can
# change, crudely: most weights end at one of the two bounds, the critic becomes a simple function, and its gradients vanish or
# explode with the limit and the depth. Spectral normalisation divides each weight matrix by its largest singular value, so the
# scale that clipping takes away comes back; the bound is then the work of the normalisation. What stays is that entries far
# above the others are cut, that biases are held near 0, and so is the γ of the critic's attention, which has no norm to be
# divided by: the layer hardly counts.
# ### END SOLUTION

# %% [markdown]
# **Q: Describe your conditioning: what does each network get, with which shapes, and why an embedding and not the number of the
# class?**
#
# ### BEGIN SOLUTION q_conditioning: your answer
# The generator gets (B, 150): 100 numbers of noise and the 50 of the class's row in a learnt table. The critic sums its
# features over the places, (B, 96) in the small network, and adds to a score of the features alone their inner product with
# the class's row of a second table. A number would say that a truck (9) is more than a ship (8) and near to it; the rows have
# no order, and training puts classes that look alike near each other. Without the class in the critic, the generator would lose
# nothing by ignoring it.
# ### END SOLUTION

# %% [markdown]
# **Q: Compare two of your runs by their curves and pictures: clipping and penalty, or another two settings. Which would you
# hand in, and why?**
#
# ### BEGIN SOLUTION q_comparison: your answer
# I compare at the same number of steps of the generator, since the penalty makes each step of the critic about twice as dear.
# The difference of the scores falls in both runs while the pictures improve, but its scale depends on the bound, so it cannot
# be compared across runs; the distance and the pictures can. I hand in the run whose distance is lower and still falls, after
# looking whether each row shows its class and whether the pictures of a row differ.
# ### END SOLUTION
