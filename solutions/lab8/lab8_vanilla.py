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
# # Lab 8, task 1: a DCGAN that writes digits
#
# You build two small convolutional networks and train them against each other on MNIST:
#
# * the **generator** turns a noise vector of 100 numbers into a 28×28 picture;
# * the **discriminator** looks at a picture and gives the probability that it is a real digit.
#
# Write your code between the lines `##TODO##` and `##END TODO##`, and nowhere else: everything outside them is
# replaced by the original text before your notebook is graded. Imports, layers and functions of your own go into
# the `helpers` TODO. The cell below is the one exception: it holds run controls that you may set as you like, and that
# the grader sets for itself.
#
# You hand in this notebook and the file `handin.pt` that it writes (or a link to it). The grader runs the notebook with
# `TRAIN = False`, loads your checkpoint, calls your `generate(n)` and scores the pictures.

# %% tags=["parameters"]
TRAIN = True  # False: only load CHECKPOINT and generate
CHECKPOINT = "handin.pt"  # the generator that generate() uses
DEVICE = "auto"  # "auto", "cpu" or "cuda"
SEED = 0
DATA_DIR = "data"  # MNIST is downloaded to this folder

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


def init_weights(module):
    """DCGAN initialisation: N(0, 0.02) weights, BatchNorm scales around 1."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


@torch.no_grad()
def update_average(average, network, decay):
    """Exponential moving average of the weights; BatchNorm buffers are recomputed when needed."""
    for kept, new in zip(average.parameters(), network.parameters()):
        kept.lerp_(new, 1 - decay)


@torch.no_grad()
def refresh_batch_norm(network, batches=60, batch_size=200):
    """Replace the running BatchNorm statistics by averages over fresh noise (standing statistics)."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches below
    network.train()
    for _ in range(batches):
        network(torch.randn(batch_size, noise_dim, device=device))
    network.eval()


### END SOLUTION

# %% [markdown]
# ## Data
#
# Given: all 60,000 training digits as one tensor on your device, scaled to [−1, 1], and a function that yields them in
# random batches. It runs only when you train.

# %%
if TRAIN:
    from torchvision.datasets import MNIST

    have_mnist = (Path(DATA_DIR) / "MNIST" / "raw" / "train-images-idx3-ubyte").exists()
    digits = MNIST(DATA_DIR, train=True, download=not have_mnist).data
    real_images = digits.to(device).float().div(127.5).sub(1).unsqueeze(1)  # (60000, 1, 28, 28)
    print(f"{len(real_images):,} training images from {DATA_DIR}")


def real_batches(batch_size):
    """One epoch of real images in random order: tensors (batch_size, 1, 28, 28) in [-1, 1]."""
    order = torch.randperm(len(real_images), device=device)
    for start in range(0, len(order) - batch_size + 1, batch_size):
        yield real_images[order[start : start + batch_size]]


# %% tags=["optional"]
if TRAIN:
    import matplotlib.pyplot as plt

    plt.figure(figsize=(8, 2))
    plt.imshow(torch.cat([torch.cat(list(row), 1) for row in real_images[:40, 0].cpu().view(4, 10, 28, 28)]), cmap="gray")
    plt.title("real digits")
    plt.axis("off")
    plt.show()

# %% [markdown]
# ## The generator
#
# Input: noise of shape (B, 100), each entry drawn from a standard normal distribution. Output: images of shape
# (B, 1, 28, 28) in [−1, 1]. Use two or three (transposed) convolutions; one way is 100 → 7×7 → 14×14 → 28×28, with
# batch normalisation and ReLU between, and tanh at the end.


# %%
class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION generator_layers: define the layers of the generator (2-3 convolutions)
        self.project = nn.ConvTranspose2d(noise_dim, 128, 7, bias=False)  # 1×1 → 7×7
        self.norm1 = nn.BatchNorm2d(128)
        self.up1 = nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1, bias=False)  # → 14×14
        self.norm2 = nn.BatchNorm2d(64)
        self.up2 = nn.ConvTranspose2d(64, 1, 4, stride=2, padding=1)  # → 28×28
        self.apply(init_weights)
        ### END SOLUTION

    def forward(self, z):
        ### BEGIN SOLUTION generator_forward: z of shape (B, 100) -> images of shape (B, 1, 28, 28) in [-1, 1]
        x = F.relu(self.norm1(self.project(z.view(-1, noise_dim, 1, 1))))
        x = F.relu(self.norm2(self.up1(x)))
        return torch.tanh(self.up2(x))
        ### END SOLUTION


# %% [markdown]
# ## The discriminator
#
# Input: images of shape (B, 1, 28, 28) in [−1, 1]. Output: for each image one probability in [0, 1] that it is real,
# shape (B, 1). Use three or four convolutions and one linear layer; strided convolutions with LeakyReLU work well.


# %%
class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION discriminator_layers: define the layers of the discriminator (3-4 convolutions, 1 linear layer)
        self.conv1 = nn.Conv2d(1, 48, 4, stride=2, padding=1)  # → 14×14
        self.conv2 = nn.Conv2d(48, 96, 4, stride=2, padding=1, bias=False)  # → 7×7
        self.norm2 = nn.BatchNorm2d(96)
        self.conv3 = nn.Conv2d(96, 192, 3, stride=2, padding=1, bias=False)  # → 4×4
        self.norm3 = nn.BatchNorm2d(192)
        self.linear = nn.Linear(192 * 4 * 4, 1)
        self.apply(init_weights)
        ### END SOLUTION

    def forward(self, images):
        ### BEGIN SOLUTION discriminator_forward: images of shape (B, 1, 28, 28) -> probabilities of shape (B, 1)
        x = F.leaky_relu(self.conv1(images), 0.2)
        x = F.leaky_relu(self.norm2(self.conv2(x)), 0.2)
        x = F.leaky_relu(self.norm3(self.conv3(x)), 0.2)
        return torch.sigmoid(self.linear(x.flatten(1)))
        ### END SOLUTION


# %% [markdown]
# ## The two losses
#
# Both are binary cross-entropies (BCE), averaged over the batch. The discriminator should say 1 for real and 0 for
# fake images: its loss is the **sum** of the BCE on the real and the BCE on the fake batch. The generator wants its
# images to be called real: use the non-saturating loss, the BCE of the fake batch against the label 1.


# %%
def discriminator_loss(p_real, p_fake):
    """p_real, p_fake: probabilities of shape (B, 1) that D gave to a real and to a fake batch -> scalar tensor."""
    ### BEGIN SOLUTION discriminator_loss: BCE of the real batch against 1 plus BCE of the fake batch against 0
    return F.binary_cross_entropy(p_real, torch.ones_like(p_real)) + F.binary_cross_entropy(p_fake, torch.zeros_like(p_fake))
    ### END SOLUTION


def generator_loss(p_fake):
    """p_fake: probabilities of shape (B, 1) that D gave to a fake batch -> scalar tensor."""
    ### BEGIN SOLUTION generator_loss: BCE of the fake batch against 1
    return F.binary_cross_entropy(p_fake, torch.ones_like(p_fake))
    ### END SOLUTION


# %% [markdown]
# ## Optimizers and settings
#
# Two optimizers, one for each network. `path_to_checkpoint` is the folder that receives `handin.pt` (what you hand in) and
# `resume.pt` (everything that is needed to go on training). On Colab choose a folder of your Drive, for example
# `/content/drive/MyDrive/lab8`, so that nothing is lost when the session ends.


# %%
def make_optimizers(generator, discriminator):
    """-> (optimizer of the generator, optimizer of the discriminator)"""
    ### BEGIN SOLUTION optimizers: create and return two optimizers, for example Adam
    return (
        torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999)),
        torch.optim.Adam(discriminator.parameters(), lr=5e-4, betas=(0.5, 0.999)),
    )
    ### END SOLUTION


# %%
### BEGIN SOLUTION settings: set path_to_checkpoint (a folder), epochs and batch_size
path_to_checkpoint = "checkpoints"
epochs = 22
batch_size = 128
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
    history = {"generator": [], "real": [], "fake": []}  # append one number an epoch, or one a step


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
# Write `train()`: for each epoch and each batch of real images, first a step of the discriminator, then a step of the
# generator. Start with `resume_progress()`, show progress (`tqdm` is installed on Colab), fill `history`, and
# call `save_progress` after each epoch.


# %%
def train():
    ### BEGIN SOLUTION train: the training loop (both networks, progress bar, history, save_progress)
    from tqdm.auto import tqdm

    done, extra = resume_progress()
    average = copy.deepcopy(generator)
    if extra is not None:
        average.load_state_dict(extra["average"])
    rates = {optimizer_g: 1e-3, optimizer_d: 5e-4}
    steps_an_epoch = len(real_images) // batch_size
    for epoch in range(done, epochs):
        generator.train()
        discriminator.train()
        sums = dict.fromkeys(history, 0.0)
        bar = tqdm(real_batches(batch_size), total=steps_an_epoch, desc=f"epoch {epoch + 1}/{epochs}", mininterval=5)
        for step, real in enumerate(bar):
            # Constant rate for the first third, then linearly to zero: the moving average settles at the end.
            progress = (epoch + step / steps_an_epoch) / epochs
            for optimizer, rate in rates.items():
                optimizer.param_groups[0]["lr"] = rate * min(1.0, 1.5 * (1 - progress) + 1e-3)
            fake = generator(torch.randn(len(real), noise_dim, device=device))

            p_real, p_fake = discriminator(real), discriminator(fake.detach())
            optimizer_d.zero_grad(set_to_none=True)
            discriminator_loss(p_real, p_fake).backward()
            optimizer_d.step()

            discriminator.requires_grad_(False)  # the generator's step needs no gradient of D's weights
            loss_g = generator_loss(discriminator(fake))
            optimizer_g.zero_grad(set_to_none=True)
            loss_g.backward()
            optimizer_g.step()
            discriminator.requires_grad_(True)

            update_average(average, generator, decay=0.998 if epoch else 0.98)
            sums["generator"] += loss_g.item()
            sums["real"] += p_real.mean().item()
            sums["fake"] += p_fake.mean().item()
        for name, total in sums.items():
            history[name].append(total / steps_an_epoch)
        refresh_batch_norm(average)
        save_progress(epoch + 1, handin=average, extra={"average": average.state_dict()})
        print(f"epoch {epoch + 1}: " + ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items()))
    ### END SOLUTION


# %%
if TRAIN:
    train()

# %% tags=["optional"]
if TRAIN:
    for name, values in history.items():
        plt.plot(range(1, len(values) + 1), values, label={"generator": "loss of G"}.get(name, f"mean D({name})"))
    plt.xlabel("epoch")
    plt.legend()
    plt.title("training curves")
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
# Write `generate(n)`: n new digits as an array or tensor of shape (n, 28, 28), floats in [0, 1] or uint8. Use
# `trained_generator` and fresh noise for every call, and mind that the network's output lies in [−1, 1].


# %%
@torch.no_grad()
def generate(n):
    """-> n generated digits, shape (n, 28, 28), floats in [0, 1] or uint8"""
    ### BEGIN SOLUTION generate: draw noise, run trained_generator, map [-1, 1] to [0, 1]
    z = torch.randn(n, noise_dim, device=device)
    return (trained_generator(z).squeeze(1) + 1) / 2
    ### END SOLUTION


# %% tags=["optional"]
if TRAIN:
    plt.figure(figsize=(8, 8))
    plt.imshow(torch.as_tensor(generate(100)).cpu().view(10, 10, 28, 28).permute(0, 2, 1, 3).reshape(280, 280), cmap="gray")
    plt.title("generated digits")
    plt.axis("off")
    plt.show()

# %% [markdown]
# ## Questions

# %% [markdown]
# **Q: What does “DC” stand for, and which design rules does it bring compared with the first GANs?**
#
# ### BEGIN SOLUTION q_dc: your answer
# Deep convolutional. The fully connected networks of the first GANs are replaced by (transposed) convolutions; strides
# take the place of pooling, batch normalisation is used in both networks, the generator ends in tanh after ReLUs, and the
# discriminator uses LeakyReLU.
# ### END SOLUTION

# %% [markdown]
# **Q: What does the number 100 in the generator's input signify? Use the word *dimension*.**
#
# ### BEGIN SOLUTION q_noise: your answer
# It is the dimension of the latent space: each image is the picture of one point of a 100-dimensional space, drawn from
# a standard normal distribution. The dimension bounds how many independent factors of variation the generator can express.
# ### END SOLUTION

# %% [markdown]
# **Q: How are the generated digits distributed? Is every digit generated with equal probability? Why, or why not?**
#
# ### BEGIN SOLUTION q_distribution: your answer
# The unconditional generator imitates the mixture in the training data, in which the classes hold 9.0 % (5) to 11.2 % (1) of the
# images, so equal shares are not even the target. Nothing in the loss enforces the shares, so those of the samples
# differ further: easy digits such as 1 tend to be over-represented, and a collapsed generator leaves some out.
# ### END SOLUTION
