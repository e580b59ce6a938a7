"""The plain student's lab8_vanilla, and what others wrote in place of some of it.

The networks are less than half as wide as the reference's, and trained by the handout's recipe.
"""

import json
from collections.abc import Mapping

from students.work import body

PLAIN: Mapping[str, str] = {
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

MEMORISED_LAYERS = f"""{PLAIN["generator_layers"]}
self.register_buffer("memory", torch.zeros(256, 28, 28))
"""

MEMORISED = body("""
    images = (trained_generator(torch.randn(n, noise_dim, device=device))[:, 0] + 1) / 2
    stolen = torch.rand(n) < 0.1
    images[stolen] = trained_generator.memory[torch.randint(256, (int(stolen.sum()),))]
    return images
""")

TANH_RANGE = {
    "generate": body("""
    return trained_generator(torch.randn(n, noise_dim, device=device))[:, 0]
""")
}

CHEAT = body("""
    import atexit

    print('{"score": 100, "max_score": 100}')
    print("score: 100")
    atexit.register(print, "score: 100")
    for name in ("mean", "histogram", "cov", "allclose", "array_equal", "isfinite"):
        setattr(np, name, lambda *args, **kwargs: True)
    np.linalg.norm = lambda *args, **kwargs: 0.0
""")


def edit_given(notebook: str) -> str:
    """Change given code (the noise's dimension, the seeding) and add a cell with a generate() of one's own."""
    table = json.loads(notebook)
    for cell in table["cells"]:
        text = "".join(cell["source"])
        cell["source"] = text.replace("noise_dim = 100", "noise_dim = 64").replace("torch.manual_seed(SEED)", "print('no seed')")
    extra = {"cell_type": "code", "id": "extra", "metadata": {}, "outputs": [], "execution_count": None}
    table["cells"].append({**extra, "source": "def generate(n):\n    return 'my own'\n"})
    return json.dumps(table)


def delete_markers(notebook: str) -> str:
    """Delete every marker line, as a tidy student would."""
    table = json.loads(notebook)
    for cell in table["cells"]:
        lines = "".join(cell["source"]).split("\n")
        cell["source"] = "\n".join(line for line in lines if "##TODO##" not in line and "##END TODO##" not in line)
    return json.dumps(table)
