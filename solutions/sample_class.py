"""A sample class for lab 8: what honest, unlucky and dishonest students hand in, built from real checkpoints.

    python solutions/sample_class.py make lab8                  make the lab folder lab8/ with all submissions
    python solutions/sample_class.py train --data D --out RUNS  train the students' checkpoints again (minutes on two cores)

Every submission is the template with its TODOs filled, as a student would, and a checkpoint beside it. The plain student's networks are
less than half as wide as the reference's and trained by the handout's recipe; `early` and `mid` are the same run stopped within its
first epoch, after 100 and 300 steps.
"""

import argparse
import base64
import io
import json
import shutil
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from train import execute, store_half

from evaluator.pack import public_pack
from grader.course import init
from grader.release import fill, solution_notebook, template_notebook

HERE = Path(__file__).parent
SCRIPT = HERE / "lab8" / "lab8_vanilla.py"
CHECKPOINTS = HERE / "lab8" / "checkpoints"
CURVES = CHECKPOINTS / "lab8_vanilla.curves.png"
NOTEBOOK = "lab8_vanilla.ipynb"


def body(text: str) -> str:
    """A TODO body without the indentation of this file."""
    return textwrap.dedent(text).strip("\n")


STUDENT: Mapping[str, str] = {
    "helpers": "",
    "generator_layers": body("""
        self.net = nn.Sequential(
            nn.ConvTranspose2d(noise_dim, 40, 7), nn.BatchNorm2d(40), nn.ReLU(),
            nn.ConvTranspose2d(40, 20, 4, stride=2, padding=1), nn.BatchNorm2d(20), nn.ReLU(),
            nn.ConvTranspose2d(20, 1, 4, stride=2, padding=1), nn.Tanh(),
        )
    """),
    "generator_forward": body("""
        return self.net(z.view(-1, noise_dim, 1, 1))
    """),
    "discriminator_layers": body("""
        self.net = nn.Sequential(
            nn.Conv2d(1, 20, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(20, 40, 4, stride=2, padding=1), nn.BatchNorm2d(40), nn.LeakyReLU(0.2),
            nn.Conv2d(40, 80, 3, stride=2, padding=1), nn.BatchNorm2d(80), nn.LeakyReLU(0.2),
            nn.Flatten(), nn.Linear(80 * 4 * 4, 1), nn.Sigmoid(),
        )
    """),
    "discriminator_forward": body("""
        return self.net(images)
    """),
    "discriminator_loss": body("""
        bce = nn.BCELoss()
        return bce(p_real, torch.ones_like(p_real)) + bce(p_fake, torch.zeros_like(p_fake))
    """),
    "generator_loss": body("""
        return nn.BCELoss()(p_fake, torch.ones_like(p_fake))
    """),
    "optimizers": body("""
        opt_g = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.999))
        opt_d = torch.optim.Adam(discriminator.parameters(), lr=4e-4, betas=(0.5, 0.999))
        return opt_g, opt_d
    """),
    "settings": body("""
        path_to_checkpoint = "checkpoints"
        epochs = 10
        batch_size = 128
    """),
    "train": body("""
        done, _ = resume_progress()
        for epoch in range(done, epochs):
            generator.train(), discriminator.train()
            for step, real in enumerate(real_batches(batch_size)):
                fake = generator(torch.randn(len(real), noise_dim, device=device))
                p_real, p_fake = discriminator(real), discriminator(fake.detach())
                loss_d = discriminator_loss(p_real, p_fake)
                optimizer_d.zero_grad()
                loss_d.backward()
                optimizer_d.step()
                loss_g = generator_loss(discriminator(fake))
                optimizer_g.zero_grad()
                loss_g.backward()
                optimizer_g.step()
                if epoch == 0 and step in (100, 200, 300):
                    save_progress(epoch)
            history["generator"].append(loss_g.item())
            history["real"].append(p_real.mean().item())
            history["fake"].append(p_fake.mean().item())
            save_progress(epoch + 1)
            print(f"epoch {epoch + 1}: loss of G {loss_g.item():.3f}, loss of D {loss_d.item():.3f}")
    """),
    "generate": body("""
        images = trained_generator(torch.randn(n, noise_dim, device=device))
        return (images[:, 0] + 1) / 2
    """),
    "q_dc": "DC means deep convolutional: convolutions instead of fully connected layers.",
    "q_noise": "It is the dimension of the noise, so the latent space has 100 dimensions.",
    "q_distribution": "No, the 1 comes more often than the 5. The generator only has to please the discriminator.",
}

NOISE = body("""
    return torch.rand(n, 28, 28)
""")

COLLAPSED = body("""
    centres = torch.randn(6, noise_dim, generator=torch.Generator().manual_seed(5))
    z = centres[torch.randint(6, (n,))] + 0.3 * torch.randn(n, noise_dim)
    images = trained_generator(z.to(device))
    return (images[:, 0] + 1) / 2
""")

MEMORISED_LAYERS = f"""{STUDENT["generator_layers"]}
self.register_buffer("memory", torch.zeros(256, 28, 28))
"""

MEMORISED = body("""
    images = (trained_generator(torch.randn(n, noise_dim, device=device))[:, 0] + 1) / 2
    stolen = torch.rand(n) < 0.1
    images[stolen] = trained_generator.memory[torch.randint(256, (int(stolen.sum()),))]
    return images
""")

CHEAT = body("""
    import atexit

    print('{"score": 100, "max_score": 100}')
    print("score: 100")
    atexit.register(print, "score: 100")
    for name in ("mean", "histogram", "cov", "allclose", "array_equal", "isfinite"):
        setattr(np, name, lambda *args, **kwargs: True)
    np.linalg.norm = lambda *args, **kwargs: 0.0
""")


@dataclass(frozen=True)
class Student:
    """One submission: the checkpoint, the TODO bodies that differ from the plain student's, and edits of the notebook file."""

    name: str
    checkpoint: str | None = "typical"
    bodies: Mapping[str, str] = field(default_factory=dict)
    edit: Callable[[str], str] = str
    solution: bool = False
    """the reference notebook instead of the plain student's"""


def _generate(text: str) -> dict[str, str]:
    return {"generate": body(text)}


def _edit_given(notebook: str) -> str:
    """Change given code (the noise's dimension, the seeding) and add a cell with a generate() of one's own."""
    table = json.loads(notebook)
    for cell in table["cells"]:
        text = "".join(cell["source"])
        cell["source"] = text.replace("noise_dim = 100", "noise_dim = 64").replace("torch.manual_seed(SEED)", "print('no seed')")
    extra = {"cell_type": "code", "id": "extra", "metadata": {}, "outputs": [], "execution_count": None}
    table["cells"].append({**extra, "source": "def generate(n):\n    return 'my own'\n"})
    return json.dumps(table)


def _delete_markers(notebook: str) -> str:
    """Delete every marker line, as a tidy student would."""
    table = json.loads(notebook)
    for cell in table["cells"]:
        lines = "".join(cell["source"]).split("\n")
        cell["source"] = "\n".join(line for line in lines if "##TODO##" not in line and "##END TODO##" not in line)
    return json.dumps(table)


CLASS: tuple[Student, ...] = (
    Student("01-reference", "lab8_vanilla", solution=True),
    Student("02-typical"),
    Student("03-mid-training", "mid"),
    Student("04-early", "early"),
    Student("05-mode-collapsed", bodies={"generate": COLLAPSED}),
    Student("06-noise", bodies={"generate": NOISE}),
    Student("07-untouched", None),
    Student("08-edits-outside", edit=_edit_given),
    Student("09-markers-deleted", edit=_delete_markers),
    Student(
        "10-exception",
        bodies=_generate("""
            z = torch.randn(n, noise_dim, device=device)
            images = trained_generator(z)
            return images["digits"]
        """),
    ),
    Student(
        "11-endless-loop",
        bodies=_generate("""
            images = []
            while len(images) < n:
                z = torch.randn(1, noise_dim)
            return images
        """),
    ),
    Student(
        "12-wrong-shape",
        bodies=_generate("""
            return (trained_generator(torch.randn(n, noise_dim, device=device)) + 1) / 2
        """),
    ),
    Student(
        "13-nan",
        bodies=_generate("""
            images = trained_generator(torch.randn(n, noise_dim, device=device))[:, 0]
            return torch.log(images) - torch.log(images)
        """),
    ),
    Student(
        "14-tanh-range",
        bodies=_generate("""
            return trained_generator(torch.randn(n, noise_dim, device=device))[:, 0]
        """),
    ),
    Student(
        "15-hard-cuda",
        bodies=_generate("""
            z = torch.randn(n, noise_dim).cuda()
            return (trained_generator(z)[:, 0] + 1) / 2
        """),
    ),
    Student("16-missing-checkpoint", None),
    Student("17-real-images", "memorised", bodies={"generator_layers": MEMORISED_LAYERS, "generate": MEMORISED}),
    Student("18-prints-100", bodies={"helpers": CHEAT}),
)
"""Every kind of hand-in that the grader must get right."""

SAVES = {"early": 1, "mid": 3, "typical": 13}
"""Which save of the plain student's run each checkpoint is: three within the first epoch, then one an epoch."""


def notebook_of(student: Student, template: bytes) -> bytes:
    """The notebook that the student hands in."""
    if student.name == "07-untouched":
        return template
    if student.solution:
        return _with_curves(solution_notebook(SCRIPT))
    return student.edit(fill(template, {**STUDENT, **student.bodies}).decode()).encode()


def _with_curves(notebook: bytes) -> bytes:
    """The notebook with the picture that its curves cell drew when the reference model was trained."""
    table = json.loads(notebook)
    picture = {"image/png": base64.b64encode(CURVES.read_bytes()).decode()}
    for cell in table["cells"]:
        if 'plt.title("training curves")' in "".join(cell["source"]):
            cell["outputs"] = [{"output_type": "display_data", "data": picture, "metadata": {}}]
    return json.dumps(table).encode()


def checkpoint_of(name: str) -> bytes:
    """A checkpoint file; `memorised` is the typical generator with real test images hidden in a buffer."""
    if name != "memorised":
        return (CHECKPOINTS / f"{name}.pt").read_bytes()
    state = torch.load(CHECKPOINTS / "typical.pt", weights_only=True)
    images = torch.from_numpy(public_pack("mnist").samples[:256].copy())
    buffer = io.BytesIO()
    torch.save({**state, "memory": images.float() / 255}, buffer)
    return buffer.getvalue()


def make_class(lab: Path, students: tuple[Student, ...] = CLASS) -> None:
    """Make the lab folder, with one submission for each student; an old one in its place is replaced."""
    init(lab, title="Sample course")
    template = template_notebook(SCRIPT)
    for student in students:
        folder = lab / "submissions" / student.name / "1"
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / NOTEBOOK).write_bytes(notebook_of(student, template))
        (folder / "checkpoint_links.txt").write_text("vanilla: handin.pt\n")
        if student.checkpoint:
            (folder / "handin.pt").write_bytes(checkpoint_of(student.checkpoint))


def train_students(data: Path, run: Path, device: str) -> None:
    """Run the plain student's notebook, and keep its checkpoints by the number of saves so far."""
    execute(fill(template_notebook(SCRIPT), STUDENT), "lab8_vanilla", run, data, device)
    for name, save in SAVES.items():
        store_half(run / "history" / f"{save:03d}.pt", CHECKPOINTS / f"{name}.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="make the lab folder")
    make.add_argument("lab", type=Path, help="folder to make; the last part of its path must be lab8")
    train = commands.add_parser("train", help="train the students' checkpoints again")
    train.add_argument("--data", type=Path, required=True, help="folder of `grader data get`")
    train.add_argument("--out", type=Path, required=True, help="run folder; used again to resume")
    train.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if options.command == "make":
        make_class(options.lab)
    else:
        train_students(options.data, options.out, options.device)


if __name__ == "__main__":
    main()
