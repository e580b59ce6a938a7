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
# # Lab 9, task 1: a conditional DCGAN on CIFAR-10
#
# Photographs in colour are harder than digits: the ten classes of CIFAR-10 share neither background nor pose. You start from the
# plain conditional DCGAN, in which the class is a learnt vector, joined to the noise and given to the discriminator as a fourth
# plane of the picture. Then you switch on one improvement after another and say what each is worth:
#
# * **one-sided label smoothing**: real pictures have target 0.9 in place of 1;
# * **R1**: a penalty on the discriminator's gradient at real pictures;
# * **spectral normalisation** of the discriminator;
# * **horizontal flips** of the real pictures.
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
def update_average(average, network, decay):
    """Exponential moving average of the weights; BatchNorm buffers are recomputed when needed."""
    for kept, new in zip(average.parameters(), network.parameters()):
        kept.lerp_(new, 1 - decay)


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


def up(channels_in, channels_out, **sizes):
    """A transposed convolution, batch normalisation and ReLU."""
    convolution = nn.ConvTranspose2d(channels_in, channels_out, 4, bias=False, **sizes)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]


def initialise(network):
    """Weights of the convolutions from N(0, 0.02), as in the DCGAN paper."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.02)


def stored_widths(file):
    """Channels of the layers of the generator in a checkpoint, so that generators of any width can be loaded."""
    state = torch.load(file, map_location="cpu", weights_only=True)
    return tuple(state[f"net.{3 * layer}.weight"].shape[1] for layer in range(3))


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
# go on training). On Colab choose a folder of your Drive, for example `/content/drive/MyDrive/lab9/cdcgan`. Each improvement is one
# number or switch, with which it can be turned off: `smoothing` (0: off), `r1_gamma` (0: off), `spectral`, `flip` (probability).

# %%
### BEGIN SOLUTION settings: set path_to_checkpoint (a folder), epochs, batch_size and the four improvements
path_to_checkpoint = "checkpoints"
batch_size = 64
smoothing = 0.1
r1_gamma = 0.2
spectral = True  # else batch normalisation in the discriminator
flip = 0.3
averaging = 0.999  # decay of the moving average of the generator's weights; 0: none
rate_g, rate_d, betas = 2e-4, 2e-4, (0.5, 0.999)
on_gpu = device.type == "cuda"

# The large networks need a GPU; a checkpoint that is only loaded says itself how wide it is.
epochs, generator_widths, critic_widths = (200, (512, 256, 128), (128, 256, 512)) if on_gpu else (5, (96, 64, 32), (32, 64, 128))
if not TRAIN and Path(CHECKPOINT).exists():
    generator_widths = stored_widths(CHECKPOINT)
### END SOLUTION

# %% [markdown]
# ## The condition
#
# The class becomes a learnt vector, an *embedding*: `nn.Embedding(10, 50)` in the generator, whose 50 numbers are joined to the
# noise, the noise first; `nn.Embedding(10, 32 * 32)` in the discriminator, whose numbers are a fourth channel beside the
# picture's three, row by row, the picture first.


# %%
embedding_dim = 50


def noise_and_embedding(z, embedding):
    """z: noise (B, 100); embedding: of the class, (B, 50) -> (B, 150), the noise first"""
    ### BEGIN SOLUTION noise_and_embedding: append the embedding to the noise
    return torch.cat([z, embedding], dim=1)
    ### END SOLUTION


def images_and_plane(images, embedding):
    """images: (B, 3, 32, 32); embedding: of the class, (B, 32*32) -> (B, 4, 32, 32), the image first"""
    ### BEGIN SOLUTION images_and_plane: append the embedding, row by row, as a fourth channel
    return torch.cat([images, embedding.view(-1, 1, *images.shape[2:])], dim=1)
    ### END SOLUTION


# %% [markdown]
# ## The generator
#
# Input: noise (B, 100) and classes (B,), integers 0 … 9. Output: images of shape (B, 3, 32, 32) in [−1, 1].


# %%
class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION generator_layers: define the embedding of the class and the layers of the generator
        self.embedding = nn.Embedding(n_classes, embedding_dim)
        first, second, third = generator_widths
        self.net = nn.Sequential(
            *up(noise_dim + embedding_dim, first),  # 1×1 → 4×4
            *up(first, second, stride=2, padding=1),  # → 8×8
            *up(second, third, stride=2, padding=1),  # → 16×16
            nn.ConvTranspose2d(third, 3, 4, stride=2, padding=1),  # → 32×32
            nn.Tanh(),
        )
        initialise(self)
        self.to(memory_format=torch.channels_last)
        ### END SOLUTION

    def forward(self, z, c):
        ### BEGIN SOLUTION generator_forward: (B, 100) and classes (B,) -> images of shape (B, 3, 32, 32) in [-1, 1]
        return self.net(noise_and_embedding(z, self.embedding(c))[:, :, None, None])
        ### END SOLUTION


# %% [markdown]
# ## The discriminator
#
# Input: images (B, 3, 32, 32) and classes (B,). Output: for each image one score of shape (B, 1), any real number. No sigmoid at
# the end; the cross-entropy below contains it. With `spectral`, every layer gets `spectral_norm` (from
# `torch.nn.utils.parametrizations`), the embedding too, and batch normalisation is left out.


# %%
class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()

        ### BEGIN SOLUTION discriminator_layers: define the embedding of the class and the layers of the discriminator
        def normalised(layer):
            return spectral_norm(layer) if spectral else layer

        self.embedding = normalised(nn.Embedding(n_classes, 32 * 32))
        channels, layers = 4, []
        for k, width in enumerate(critic_widths):  # 32 → 16 → 8 → 4
            layers.append(normalised(nn.Conv2d(channels, width, 4, stride=2, padding=1)))
            if not spectral and k > 0:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(0.2))
            channels = width
        self.net = nn.Sequential(*layers, nn.Flatten(), normalised(nn.Linear(channels * 4 * 4, 1)))
        if not spectral:
            initialise(self)
        self.to(memory_format=torch.channels_last)
        ### END SOLUTION

    def forward(self, images, c):
        ### BEGIN SOLUTION discriminator_forward: (B, 3, 32, 32) and classes (B,) -> scores of shape (B, 1), without bounds
        # Times 32: spectral normalisation makes the embedding's vectors short, as many numbers as they have.
        planes = self.embedding(c) * (32 if spectral else 1)
        both = images_and_plane(images, planes.to(images.dtype))
        return self.net(both.contiguous(memory_format=torch.channels_last))
        ### END SOLUTION


# %% [markdown]
# ## The losses
#
# Both get scores without bounds and return one number, a mean over the batch. The discriminator's is the *sum* of a mean over real
# and a mean over fake images. With smoothing s, the target of real images is 1 − s; that of fake images stays 0.


# %%
def bce_discriminator(score_real, score_fake, smoothing=0.0):
    """score_real, score_fake: scores (B, 1) -> scalar tensor"""
    ### BEGIN SOLUTION bce_discriminator: cross-entropy of real images with target 1 - smoothing plus that of fake images with target 0
    real = F.binary_cross_entropy_with_logits(score_real, torch.full_like(score_real, 1 - smoothing))
    return real + F.binary_cross_entropy_with_logits(score_fake, torch.zeros_like(score_fake))
    ### END SOLUTION


def bce_generator(score_fake):
    """score_fake: scores (B, 1) of fake images -> scalar tensor"""
    ### BEGIN SOLUTION bce_generator: cross-entropy of fake images with target 1
    return F.binary_cross_entropy_with_logits(score_fake, torch.ones_like(score_fake))
    ### END SOLUTION


# %% [markdown]
# ## R1
#
# At the equilibrium the discriminator should be flat at real images. R1 is γ/2 times the mean over the batch of ‖∇D(x)‖², the
# squared norm of the gradient of a real image's score by the image. `create_graph=True` keeps what is needed to differentiate
# the penalty itself.


# %%
def r1_penalty(critic, real, c, gamma=0.2):
    """critic(images, classes) -> scores; real: images (B, 3, 32, 32) of the classes c (B,) -> scalar tensor"""
    ### BEGIN SOLUTION r1_penalty: gamma / 2 times the mean over the batch of the squared norms of the gradients
    real = real.detach().requires_grad_(True)
    gradient = torch.autograd.grad(critic(real, c).sum(), real, create_graph=True)[0]
    return gamma / 2 * gradient.square().flatten(1).sum(1).mean()
    ### END SOLUTION


def horizontal_flip(images, p):
    """images: (B, 3, H, W) -> the same, each mirrored left to right with probability p"""
    ### BEGIN SOLUTION horizontal_flip: decide for each image by itself
    return torch.where(torch.rand(len(images), 1, 1, 1, device=images.device) < p, images.flip(3), images)
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
# same classes, and a step of the generator. Start with `resume_progress()`, show progress (`tqdm` is installed on Colab), fill
# `history`, and call `progress_scores` and `save_progress` after each epoch.


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
        sums = {name: torch.zeros((), device=device) for name in ("generator", "real", "fake", "penalty")}
        bar = tqdm(real_batches(batch_size), total=steps_an_epoch, desc=f"epoch {epoch + 1}/{epochs}", mininterval=5)
        for step, (real, c) in enumerate(bar):
            # Constant rates for the first half, then linearly to zero: the moving average settles at the end.
            progress = (epoch + step / steps_an_epoch) / epochs
            for optimizer, rate in ((optimizer_g, rate_g), (optimizer_d, rate_d)):
                optimizer.param_groups[0]["lr"] = rate * min(1.0, 2 * (1 - progress) + 1e-3)

            real = horizontal_flip(real, flip)
            with lower_precision:
                with torch.no_grad():
                    fake = generator(torch.randn(len(real), noise_dim, device=device), c).float()
                score_real, score_fake = discriminator(real, c).float(), discriminator(fake, c).float()
                # Lazily, in every fourth step and four times as strong: R1 costs as much as all the rest of a step.
                lazily = 4 * r1_penalty(discriminator, real, c, r1_gamma) if r1_gamma and step % 4 == 0 else None
            loss_d = bce_discriminator(score_real, score_fake, smoothing)
            optimizer_d.zero_grad(set_to_none=True)
            (loss_d if lazily is None else loss_d + lazily).backward()
            optimizer_d.step()

            discriminator.requires_grad_(False)  # the generator's step needs no gradient of the discriminator's weights
            z, c = draw_noise(len(real))
            with lower_precision:
                score_new = discriminator(generator(z, c), c)
            loss_g = bce_generator(score_new.float())
            optimizer_g.zero_grad(set_to_none=True)
            loss_g.backward()
            optimizer_g.step()
            discriminator.requires_grad_(True)
            update_average(average, generator, decay=averaging if epoch > 0 else min(averaging, 0.99))
            with torch.no_grad():  # summed on the device: reading a number out waits for it
                sums["generator"] += loss_g / steps_an_epoch
                sums["real"] += F.softplus(-score_real).mean() / steps_an_epoch
                sums["fake"] += F.softplus(score_fake).mean() / steps_an_epoch
                sums["penalty"] += 0 if lazily is None else lazily / steps_an_epoch
        refresh_batch_norm(average)
        distance, share = progress_scores(average)
        measured = {**{name: total.item() for name, total in sums.items()}, "fid": distance, "score": share}
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
# Write `generate(n, c)`: n new pictures of class c, an integer 0 … 9, as an array or tensor of shape (n, 3, 32, 32), floats in [0,
# 1] or uint8. Use `trained_generator` and fresh noise for every call, and mind that the network's output lies in [−1, 1].


# %%
@torch.no_grad()
def generate(n, c):
    """-> n generated pictures of class c (0-9), shape (n, 3, 32, 32), floats in [0, 1] or uint8"""
    ### BEGIN SOLUTION generate: draw noise, run trained_generator with the class, map [-1, 1] to [0, 1]
    z = torch.randn(n, noise_dim, device=device)
    return (trained_generator(z, torch.full((n,), c, device=device)) + 1) / 2
    ### END SOLUTION


# %% tags=["optional"]
if TRAIN:
    samples = torch.stack([torch.as_tensor(generate(10, c)).cpu() for c in range(n_classes)])  # (10, 10, 3, 32, 32)
    plt.figure(figsize=(9, 9))
    plt.imshow(samples.permute(0, 3, 1, 4, 2).reshape(n_classes * 32, 10 * 32, 3))
    plt.yticks([16 + 32 * c for c in range(n_classes)], class_names)
    plt.xticks([])
    plt.title("generated pictures, one class a row")
    plt.show()

# %% [markdown]
# ## Questions

# %% [markdown]
# **Q: Describe your conditioning: what does each network get, with which shapes, and what would happen if the discriminator did
# not see the class?**
#
# ### BEGIN SOLUTION q_conditioning: your answer
# The class is looked up as 50 numbers that are learnt with the generator and joined to 100 numbers of noise: (B, 150). The
# discriminator has an embedding of its own with 1,024 numbers, which become a fourth plane: (B, 4, 32, 32). If it did not see the
# class, it could only judge whether a picture looks real; a generator that ignores its class would lose nothing.
# ### END SOLUTION

# %% [markdown]
# **Q: Which of the four improvements was worth most in your runs, by which figures, and why do you think so? Which made no
# difference?**
#
# ### BEGIN SOLUTION q_ablation: your answer
# The table above is the evidence: the FID in the second classifier's features at the same number of epochs, with one switch changed at
# a time. Spectral normalisation and R1 both keep the discriminator's slope small, so that it gives the generator a usable gradient even
# when it is ahead; the two overlap, and either alone brings most of it. Smoothing stops the discriminator from growing ever more
# certain of real pictures. Flips double the pictures that a discriminator would otherwise learn by heart, which shows late in training.
# ### END SOLUTION

# %% [markdown]
# **Q: Why is the KID of real test against real training pictures sometimes negative, and why is the FID of two sets of real pictures
# not 0?**
#
# ### BEGIN SOLUTION q_floor: your answer
# KID is an unbiased estimate of a squared distance that is about 0 here, so its errors fall on both sides of 0. FID's estimate is biased:
# means and covariances of finitely many pictures differ by chance, and every difference adds to the distance, the more the fewer pictures
# there are. FIDs can only be compared for the same number of pictures and the same reference.
# ### END SOLUTION
