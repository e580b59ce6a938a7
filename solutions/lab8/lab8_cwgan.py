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
# # Lab 8, task 2: a conditional WGAN-GP that draws the garment you ask for
#
# In task 1 nobody could say which digit would come next. Here you ask: `generate(n, c)` draws n pictures of class c of
# Fashion-MNIST. Two things change:
#
# * the **condition**: both networks are told the class, as a one-hot vector of 10 numbers;
# * the **loss**: the discriminator becomes a *critic*. It gives a score without bounds instead of a probability, and the difference
#   of its mean scores on real and fake pictures estimates the Wasserstein distance of the two distributions, as long as the critic is
#   1-Lipschitz. A penalty on the norm of its gradient keeps it close to that.
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
DATA_DIR = "data"  # Fashion-MNIST is downloaded to this folder

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
class_names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
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

# Networks compute in bfloat16, weights and losses stay in float32: half the time on processors that have it.
lower_precision = torch.autocast(device.type, torch.bfloat16)


@torch.no_grad()
def update_average(average, network, decay):
    """Exponential moving average of the weights; BatchNorm buffers are recomputed when needed."""
    for kept, new in zip(average.parameters(), network.parameters()):
        kept.lerp_(new, 1 - decay)


@torch.no_grad()
def refresh_batch_norm(network, batches=60, batch_size=200):
    """Replace the running BatchNorm statistics by averages over fresh noise of all classes (standing statistics)."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches below
    network.train()
    for _ in range(batches):
        network(noise_and_class(*draw_noise(batch_size)))
    network.eval()


def up(channels_in, channels_out, kernel, **sizes):
    """A transposed convolution, batch normalisation and ReLU."""
    convolution = nn.ConvTranspose2d(channels_in, channels_out, kernel, bias=False, **sizes)
    return [convolution, nn.BatchNorm2d(channels_out), nn.ReLU()]


def draw_noise(n):
    """Noise (n, 100) and random classes (n,)."""
    return torch.randn(n, noise_dim, device=device), torch.randint(n_classes, (n,), device=device)


### END SOLUTION

# %% [markdown]
# ## Data
#
# Given: all 60,000 training pictures as one tensor on your device, scaled to [−1, 1], their classes, and a function that
# yields both in random batches. It runs only when you train.

# %%
if TRAIN:
    from torchvision.datasets import FashionMNIST

    have_data = (Path(DATA_DIR) / "FashionMNIST" / "raw" / "train-images-idx3-ubyte").exists()
    garments = FashionMNIST(DATA_DIR, train=True, download=not have_data)
    real_images = garments.data.to(device).float().div(127.5).sub(1).unsqueeze(1)  # (60000, 1, 28, 28)
    real_labels = garments.targets.to(device)  # (60000,)
    print(f"{len(real_images):,} training images from {DATA_DIR}")


def real_batches(batch_size):
    """One epoch of real images in random order: tensors (batch_size, 1, 28, 28) in [-1, 1] and their classes (batch_size,)."""
    order = torch.randperm(len(real_images), device=device)
    for start in range(0, len(order) - batch_size + 1, batch_size):
        chosen = order[start : start + batch_size]
        yield real_images[chosen], real_labels[chosen]


# %% tags=["optional"]
if TRAIN:
    import matplotlib.pyplot as plt

    examples = torch.stack([real_images[real_labels == c][:4, 0] for c in range(n_classes)]).cpu()  # (10, 4, 28, 28)
    plt.figure(figsize=(8, 3.5))
    plt.imshow(examples.permute(1, 2, 0, 3).reshape(4 * 28, 280), cmap="gray")
    plt.xticks([14 + 28 * c for c in range(n_classes)], class_names, rotation=45, ha="right")
    plt.yticks([])
    plt.title("real pictures, one class a column")
    plt.show()

# %% [markdown]
# ## The condition
#
# A class c in 0 … 9 becomes a one-hot vector: 10 numbers, a 1 at place c, 0 elsewhere. The generator gets noise and class as one
# vector of 100 + 10 numbers, the noise first. The critic gets picture and class as one picture of 1 + 10 channels, the picture
# first: channel 1 + c is all ones, the other nine are all zeros.


# %%
def noise_and_class(z, c):
    """z: noise (B, 100); c: classes (B,), integers 0-9 -> (B, 110), the noise first"""
    ### BEGIN SOLUTION noise_and_class: append the one-hot vector of the class to the noise
    return torch.cat([z, F.one_hot(c, n_classes).to(z.dtype)], dim=1)
    ### END SOLUTION


def images_and_class(images, c):
    """images: (B, 1, 28, 28); c: classes (B,), integers 0-9 -> (B, 11, 28, 28), the image first"""
    ### BEGIN SOLUTION images_and_class: append ten 28x28 planes, of which that of the class holds ones
    planes = F.one_hot(c, n_classes).to(images.dtype)[:, :, None, None].expand(-1, -1, *images.shape[2:])
    return torch.cat([images, planes], dim=1)
    ### END SOLUTION


# %% [markdown]
# ## The generator
#
# Input: what `noise_and_class` returns, shape (B, 110). Output: images of shape (B, 1, 28, 28) in [−1, 1]. Start from your
# generator of task 1.


# %%
class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION generator_layers: define the layers of the generator
        self.net = nn.Sequential(
            *up(noise_dim + n_classes, 192, 4),  # 1×1 → 4×4
            *up(192, 128, 3, stride=2, padding=1),  # → 7×7
            *up(128, 64, 4, stride=2, padding=1),  # → 14×14
            *up(64, 32, 4, stride=2, padding=1),  # → 28×28
            nn.Conv2d(32, 1, 3, padding=1),
            nn.Tanh(),
        )
        ### END SOLUTION

    def forward(self, noise_class):
        ### BEGIN SOLUTION generator_forward: (B, 110) -> images of shape (B, 1, 28, 28) in [-1, 1]
        return self.net(noise_class[:, :, None, None])
        ### END SOLUTION


# %% [markdown]
# ## The critic
#
# Input: what `images_and_class` returns, shape (B, 11, 28, 28). Output: for each image one score, any real number, shape (B, 1): no
# sigmoid at the end. Leave batch normalisation out: the penalty is on the gradient for each image by itself, and batch
# normalisation makes an image's score depend on the rest of the batch.


# %%
class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        ### BEGIN SOLUTION discriminator_layers: define the layers of the critic (11 input channels, no batch normalisation)
        self.conv1 = nn.Conv2d(1 + n_classes, 64, 4, stride=2, padding=1)  # → 14×14
        self.conv2 = nn.Conv2d(64, 128, 4, stride=2, padding=1)  # → 7×7
        self.conv3 = nn.Conv2d(128, 256, 3, stride=2, padding=1)  # → 4×4
        self.linear = nn.Linear(256 * 4 * 4, 1)
        ### END SOLUTION

    def forward(self, images_class):
        ### BEGIN SOLUTION discriminator_forward: (B, 11, 28, 28) -> scores of shape (B, 1), without bounds
        x = F.leaky_relu(self.conv1(images_class), 0.2)
        x = F.leaky_relu(self.conv2(x), 0.2)
        x = F.leaky_relu(self.conv3(x), 0.2)
        return self.linear(x.flatten(1))
        ### END SOLUTION


# %% [markdown]
# ## The losses
#
# All three return one number, a mean over the batch.
#
# * The generator wants high scores: its loss is −score_fake.
# * The critic wants low scores for fake and high scores for real images, and a gradient of norm 1: its loss is
#   score_fake − score_real + λ · penalty.
# * The penalty is (‖gradient‖₂ − 1)², with the norm over all numbers that belong to one image, then the mean over the batch.


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
    """gradient: of the critic's score by the image, (B, 1, 28, 28) -> scalar tensor, the penalty"""
    ### BEGIN SOLUTION gradient_regularisation: mean over the batch of (L2 norm of each image's gradient - 1) squared
    return (gradient.flatten(1).norm(2, dim=1) - 1).square().mean()
    ### END SOLUTION


# %% [markdown]
# Given: the gradient that the penalty is about. Between each real and each fake image lies a line; at a random point of it, the gradient
# of the critic's score by the image is taken. `create_graph=True` keeps what is needed to differentiate the penalty itself.


# %%
def get_grad_function(critic, real, fake, c):
    """real, fake: images (B, 1, 28, 28) of the classes c (B,) -> gradient of the critic's score, (B, 1, 28, 28)"""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    mixed = (share * real + (1 - share) * fake.detach()).requires_grad_(True)
    scores = critic(images_and_class(mixed, c))
    return torch.autograd.grad(scores.sum(), mixed, create_graph=True)[0]


# %% [markdown]
# ## Optimizers and settings
#
# Two optimizers, one for each network. Adam with β₁ = 0 or 0.5 and β₂ = 0.9 works well here. `critic_steps` is how many steps
# the critic makes for one of the generator; the paper uses 5. `path_to_checkpoint` is the folder that receives
# `handin.pt` (what you hand in) and `resume.pt` (everything that is needed to go on training); use another one than in task 1.
# On Colab choose a folder of your Drive, for example `/content/drive/MyDrive/lab8/cwgan`.


# %%
def make_optimizers(generator, discriminator):
    """-> (optimizer of the generator, optimizer of the discriminator)"""
    ### BEGIN SOLUTION optimizers: create and return two optimizers, for example Adam
    return (
        torch.optim.Adam(generator.parameters(), lr=5e-4, betas=(0.0, 0.9)),
        torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.0, 0.9)),
    )
    ### END SOLUTION


# %%
### BEGIN SOLUTION settings: set path_to_checkpoint (a folder), epochs, batch_size and critic_steps
path_to_checkpoint = "checkpoints"
epochs = 16
batch_size = 64
critic_steps = 2
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
    history = {"generator": [], "critic": [], "penalty": []}  # append one number an epoch, or one a step


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
# Write `train()`: for each batch of real images with their classes a step of the critic on as many fake images of the same classes,
# and after every `critic_steps` of them one step of the generator. Start with `resume_progress()`, show progress (`tqdm` is
# installed on Colab), fill `history`, and call `save_progress` after each epoch.


# %%
def train():
    ### BEGIN SOLUTION train: the training loop (both networks, progress bar, history, save_progress)
    from tqdm.auto import tqdm

    done, extra = resume_progress()
    average = copy.deepcopy(generator)
    if extra is not None:
        average.load_state_dict(extra["average"])
    rates = {optimizer_g: 5e-4, optimizer_d: 1e-3}
    steps_an_epoch = len(real_images) // batch_size
    for epoch in range(done, epochs):
        generator.train()
        discriminator.train()
        sums = dict.fromkeys(history, 0.0)
        bar = tqdm(real_batches(batch_size), total=steps_an_epoch, desc=f"epoch {epoch + 1}/{epochs}", mininterval=5)
        for step, (real, c) in enumerate(bar):
            # Constant rate for the first half, then linearly to zero: the moving average settles at the end.
            progress = (epoch + step / steps_an_epoch) / epochs
            for optimizer, rate in rates.items():
                optimizer.param_groups[0]["lr"] = rate * min(1.0, 2 * (1 - progress) + 1e-3)

            with lower_precision:
                with torch.no_grad():
                    fake = generator(noise_and_class(torch.randn(len(real), noise_dim, device=device), c)).float()
                both = images_and_class(torch.cat([fake, real]), torch.cat([c, c]))
                score_fake, score_real = discriminator(both).float().chunk(2)
                gradient = get_grad_function(discriminator, real, fake, c)
            penalty = get_gradient_regularisation(gradient)
            loss_d = get_WLoss_discriminator(score_fake, score_real, penalty)
            optimizer_d.zero_grad(set_to_none=True)
            loss_d.backward()
            optimizer_d.step()
            sums["critic"] += (score_real.mean() - score_fake.mean()).item() / steps_an_epoch
            sums["penalty"] += penalty.item() / steps_an_epoch
            if (step + 1) % critic_steps:
                continue

            discriminator.requires_grad_(False)  # the generator's step needs no gradient of the critic's weights
            z, c = draw_noise(batch_size)
            with lower_precision:
                score_fake = discriminator(images_and_class(generator(noise_and_class(z, c)), c))
            loss_g = get_WLoss_generator(score_fake.float())
            optimizer_g.zero_grad(set_to_none=True)
            loss_g.backward()
            optimizer_g.step()
            discriminator.requires_grad_(True)
            update_average(average, generator, decay=0.999 if epoch > 1 else 0.99)
            sums["generator"] += loss_g.item() * critic_steps / steps_an_epoch
        for name, total in sums.items():
            history[name].append(total)
        refresh_batch_norm(average)
        save_progress(epoch + 1, handin=average, extra={"average": average.state_dict()})
        print(f"epoch {epoch + 1}: " + ", ".join(f"{name} {values[-1]:.3f}" for name, values in history.items()))
    ### END SOLUTION


# %%
if TRAIN:
    train()

# %% tags=["optional"]
if TRAIN:
    labels = {"generator": "loss of G", "critic": "score of real − score of fake", "penalty": "gradient penalty"}
    for name, values in history.items():
        plt.plot(range(1, len(values) + 1), values, label=labels.get(name, name))
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
# Write `generate(n, c)`: n new pictures of class c, an integer 0 … 9, as an array or tensor of shape (n, 28, 28), floats in [0, 1] or
# uint8. Use `trained_generator` and fresh noise for every call, and mind that the network's output lies in [−1, 1].


# %%
@torch.no_grad()
def generate(n, c):
    """-> n generated pictures of class c (0-9), shape (n, 28, 28), floats in [0, 1] or uint8"""
    ### BEGIN SOLUTION generate: draw noise, add the class, run trained_generator, map [-1, 1] to [0, 1]
    z = torch.randn(n, noise_dim, device=device)
    classes = torch.full((n,), c, device=device)
    return (trained_generator(noise_and_class(z, classes)).squeeze(1) + 1) / 2
    ### END SOLUTION


# %% tags=["optional"]
if TRAIN:
    samples = torch.stack([torch.as_tensor(generate(8, c)).cpu() for c in range(n_classes)])  # (10, 8, 28, 28)
    plt.figure(figsize=(8, 7))
    plt.imshow(samples.permute(1, 2, 0, 3).reshape(8 * 28, 280), cmap="gray")
    plt.xticks([14 + 28 * c for c in range(n_classes)], class_names, rotation=45, ha="right")
    plt.yticks([])
    plt.title("generated pictures, one class a column")
    plt.show()

# %% [markdown]
# ## Questions

# %% [markdown]
# **Q: What is tricky about training the original GAN, and what does the Wasserstein loss change about it? A drawing is welcome.**
#
# ### BEGIN SOLUTION q_original_gan: your answer
# The original loss compares distributions by the Jensen–Shannon divergence, which is constant (log 2) where the two do not
# overlap. A good discriminator then answers 0 and 1 everywhere, its sigmoid is saturated, and the generator gets no gradient: the
# discriminator must be neither too weak nor too strong. The generator can also win by a few good images (mode collapse), and
# the loss says nothing about quality. The Wasserstein distance grows with the distance between the distributions even
# without overlap, so a 1-Lipschitz critic gives a useful gradient everywhere, may be trained to near its optimum, and its
# value falls as the images improve.
# ### END SOLUTION

# %% [markdown]
# **Q: How would you use a conditional generator in a business? Name the condition, and what you would check before relying on it.**
#
# ### BEGIN SOLUTION q_business: your answer
# A shop could sketch variants of a garment from category, colour and season, for designers to choose from, or make training
# images of rare classes for a classifier that sorts returns. Before relying on it I would check that the images follow the condition (a
# classifier's agreement), that they are varied, that none is a copy of a training image (rights, privacy), and whether the classifier
# trained with them is better on real images.
# ### END SOLUTION

# %% [markdown]
# **Q: Describe your conditioning: what does each network get, with which shapes, and why does the critic need the class at all?**
#
# ### BEGIN SOLUTION q_conditioning: your answer
# The class is a one-hot vector of 10 numbers. The generator gets (B, 110), noise and one-hot vector side by side. The critic gets
# (B, 11, 28, 28): the image and ten planes, that of the class filled with ones. Without the class, the critic could only ask whether an
# image looks real, and the generator would lose nothing by ignoring c; with it, a real-looking shirt for class "bag" gets a low score.
# ### END SOLUTION
