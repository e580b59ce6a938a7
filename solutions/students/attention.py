"""The plain student's three notebooks of lab 10, and what others wrote in place of some of it: small networks, short trainings."""

from collections.abc import Mapping

from students import photographs
from students.work import body

_GENERATE = body("""
    z = torch.randn(n, noise_dim, device=device)
    return trained_generator(z) * 0.5 + 0.5
""")

_TRAIN = body("""
    done, _ = resume_progress()
    for epoch in range(done, epochs):
        for real, _ in real_batches(batch_size):
            fake = generator(torch.randn(len(real), noise_dim, device=device))
            loss_d = LOSS_discriminator(discriminator(real), discriminator(fake.detach()))
            optimizer_d.zero_grad()
            loss_d.backward()
            optimizer_d.step()
            loss_g = LOSS_generator(discriminator(fake))
            optimizer_g.zero_grad()
            loss_g.backward()
            optimizer_g.step()
        history["generator"].append(loss_g.item())
        history["real"].append(loss_d.item() / 2)
        history["fake"].append(loss_d.item() / 2)
        generator.eval()
        history["score"].append(image_distance(generator))
        generator.train()
        save_progress(epoch + 1)
""")

DCGAN: Mapping[str, str] = {
    "helpers": "",
    "settings": body("""
        path_to_checkpoint = "checkpoints"
        epochs = 3
        batch_size = 64
        critic_steps = 1
    """),
    "generator_layers": body("""
        self.net = nn.Sequential(
            nn.ConvTranspose2d(100, 48, 4, bias=False), nn.BatchNorm2d(48), nn.ReLU(),
            nn.ConvTranspose2d(48, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh(),
        )
    """),
    "generator_forward": "return self.net(z.view(-1, 100, 1, 1))",
    "discriminator_layers": body("""
        self.net = nn.Sequential(
            nn.Conv2d(3, 24, 4, 2, 1), nn.LeakyReLU(0.2), nn.Dropout(0.2),
            nn.Conv2d(24, 48, 4, 2, 1), nn.BatchNorm2d(48), nn.LeakyReLU(0.2), nn.Dropout(0.2),
            nn.Conv2d(48, 96, 4, 2, 1), nn.BatchNorm2d(96), nn.LeakyReLU(0.2), nn.Dropout(0.2),
            nn.Flatten(), nn.Linear(96 * 16, 1),
        )
    """),
    "discriminator_forward": "return self.net(images)",
    "bce_discriminator": body("""
        bce = nn.BCEWithLogitsLoss()
        return bce(score_real, torch.ones_like(score_real)) + bce(score_fake, torch.zeros_like(score_fake))
    """),
    "bce_generator": photographs.CDCGAN["bce_generator"],
    "optimizers": body("""
        adam = torch.optim.Adam
        return adam(generator.parameters(), 2e-4, (0.5, 0.999)), adam(discriminator.parameters(), 2e-4, (0.5, 0.999))
    """),
    "train": _TRAIN.replace("LOSS", "bce"),
    "generate": _GENERATE,
    "q_transposed": "It is a convolution the other way round: each place writes 4 x 4 numbers. Odd overlaps give checkerboards.",
    "q_discriminator": "LeakyReLU has a gradient everywhere, dropout keeps it from overfitting.",
    "q_curves": "The losses went up and down. The distance fell for three epochs.",
}

_ATTENTION: Mapping[str, str] = {
    "helpers": "norm = nn.utils.parametrizations.spectral_norm",
    "attention_layers": body("""
        self.f = norm(nn.Conv2d(channels, channels // 8, 1))
        self.g = norm(nn.Conv2d(channels, channels // 8, 1))
        self.h = norm(nn.Conv2d(channels, channels // 2, 1))
        self.v = norm(nn.Conv2d(channels // 2, channels, 1))
        self.gamma = nn.Parameter(torch.zeros(1))
    """),
    "attention_forward": body("""
        f, g, h = self.f(x).flatten(2), self.g(x).flatten(2), self.h(x).flatten(2)
        weights = torch.softmax(torch.bmm(f.transpose(1, 2), g), dim=-1)
        o = torch.bmm(h, weights.transpose(1, 2)).view(len(x), -1, x.shape[2], x.shape[3])
        return x + self.gamma * self.v(o)
    """),
    "optimizers": photographs.SNGAN["optimizers"],
}

_UP = """
        nn.ConvTranspose2d({noise}, 48, 4, bias=False), nn.BatchNorm2d(48), nn.ReLU(),
        nn.ConvTranspose2d(48, 32, 4, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        SelfAttention(32),
        nn.ConvTranspose2d(32, 16, 4, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh(),
"""

_DOWN = """
        norm(nn.Conv2d(3, 24, 4, 2, 1)), nn.LeakyReLU(0.1),
        norm(nn.Conv2d(24, 48, 4, 2, 1)), nn.LeakyReLU(0.1),
        SelfAttention(48),
        norm(nn.Conv2d(48, 96, 3, 1, 1)), nn.LeakyReLU(0.1),
"""

SAGAN: Mapping[str, str] = {
    **_ATTENTION,
    "settings": body("""
        path_to_checkpoint = "checkpoints"
        epochs = 3
        batch_size = 64
        critic_steps = 1
    """),
    "generator_layers": f"self.net = nn.Sequential({_UP.format(noise='100')})",
    "generator_forward": "return self.net(z.view(-1, 100, 1, 1))",
    "discriminator_layers": f"self.net = nn.Sequential({_DOWN})\nself.linear = norm(nn.Linear(96, 1))",
    "discriminator_forward": "return self.linear(self.net(images).sum((2, 3)))",
    "hinge_discriminator": photographs.SNGAN["hinge_discriminator"],
    "hinge_generator": photographs.SNGAN["hinge_generator"],
    "train": _TRAIN.replace("LOSS", "hinge"),
    "dcgan_checkpoint": 'dcgan_checkpoint = ""',
    "generate": _GENERATE,
    "q_attention": "Every place sees all others. It costs N x N weights.",
    "q_gamma": "So that the layer does nothing at first.",
    "q_spectral": "The Lipschitz constant of each layer.",
}

CSAGAN: Mapping[str, str] = {
    **_ATTENTION,
    "settings": body("""
        path_to_checkpoint = "checkpoints"
        epochs = 3
        batch_size = 64
        critic_steps = 1
    """),
    "class_embedding": "return nn.Embedding(10, 50)",
    "generator_layers": f"self.names = class_embedding()\nself.net = nn.Sequential({_UP.format(noise='150')})",
    "generator_forward": "return self.net(torch.cat((z, self.names(c)), 1).view(-1, 150, 1, 1))",
    "discriminator_layers": body("""
        self.names = nn.Embedding(10, 32 * 32)
        self.net = nn.Sequential(DOWN)
        self.linear = norm(nn.Linear(96, 1))
    """).replace("DOWN", _DOWN.replace("Conv2d(3,", "Conv2d(4,")),
    "discriminator_forward": body("""
        plane = self.names(c).view(-1, 1, 32, 32)
        return self.linear(self.net(torch.cat((images, plane), 1)).sum((2, 3)))
    """),
    "wloss_generator": photographs.SNGAN["hinge_generator"],
    "wloss_discriminator": "return torch.mean(score_fake) - torch.mean(score_real) + lambda_ * penalty",
    "gradient_regularisation": "return ((gradient.reshape(len(gradient), -1).pow(2).sum(1) + 1e-12).sqrt() - 1).pow(2).mean()",
    "clip_weights": body("""
        for p in critic.parameters():
            p.data = p.data.clamp(-limit, limit)
    """),
    "train": body("""
        done, _ = resume_progress()
        for epoch in range(done, epochs):
            for real, c in real_batches(batch_size):
                fake = generator(torch.randn(len(real), noise_dim, device=device), c)
                score_real, score_fake = discriminator(real, c), discriminator(fake.detach(), c)
                penalty = get_gradient_regularisation(get_grad_function(discriminator, real, fake, c))
                loss_d = get_WLoss_discriminator(score_fake, score_real, penalty)
                optimizer_d.zero_grad()
                loss_d.backward()
                optimizer_d.step()
                loss_g = get_WLoss_generator(discriminator(fake, c))
                optimizer_g.zero_grad()
                loss_g.backward()
                optimizer_g.step()
            history["generator"].append(loss_g.item())
            history["real"].append(score_real.mean().item())
            history["fake"].append(score_fake.mean().item())
            history["penalty"].append(penalty.item())
            generator.eval()
            history["score"].append(image_distance(generator))
            generator.train()
            save_progress(epoch + 1)
    """),
    "compared_runs": "compared_runs = {}",
    "generate": photographs.SNGAN["generate"],
    "q_clipping": "It keeps the critic Lipschitz. Most weights end at the limit.",
    "q_conditioning": "The generator gets 50 numbers of the class, the critic a plane of 32 x 32.",
    "q_comparison": "The penalty was slower and better.",
}

ONE_IMAGE = body("""
    torch.manual_seed(0)
    return trained_generator(torch.randn(1, noise_dim, device=device).expand(n, -1)) * 0.5 + 0.5
""")

FEW_IMAGES = body("""
    z = torch.randn(8, noise_dim, generator=torch.Generator().manual_seed(0)).to(device)
    return trained_generator(z[torch.randint(8, (n,))]) * 0.5 + 0.5
""")

TANH_OUTPUT = "return trained_generator(torch.randn(n, noise_dim, device=device))"

STORED_LAYERS = f"{DCGAN['generator_layers']}\nself.register_buffer('pictures', torch.zeros(120, 3, 32, 32))"

STORED = "return trained_generator.pictures[torch.randint(120, (n,))]"

SLIPS_OF_DCGAN: Mapping[str, str] = {
    "discriminator_forward": "return torch.sigmoid(self.net(images))",
    "bce_generator": "return nn.BCEWithLogitsLoss()(score_fake, torch.zeros_like(score_fake))",
}

SLIPS_OF_SAGAN: Mapping[str, str] = {
    "attention_layers": _ATTENTION["attention_layers"].replace("torch.zeros(1)", "torch.ones(1)"),
    "attention_forward": _ATTENTION["attention_forward"].replace("dim=-1", "dim=1"),
    "hinge_discriminator": "return torch.relu(1 - score_real).mean() + torch.relu(1 - score_fake).mean()",
}

SLIPS_OF_CSAGAN: Mapping[str, str] = {
    "clip_weights": body("""
        for p in critic.parameters():
            p = p.clamp(-limit, limit)
    """),
    "wloss_discriminator": "return torch.mean(score_real) - torch.mean(score_fake) + lambda_ * penalty",
}
