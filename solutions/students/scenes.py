"""The plain student's lab5_cdcgan and lab5_acgan, and what others wrote in place of some of it.

The generator is a quarter as large as the reference's, and one and the same in both tasks.
"""

from collections.abc import Mapping

from students.work import body

_BOTH: Mapping[str, str] = {
    "helpers": "import copy",
    "embedding_layers": "self.linear = nn.Linear(n_labels, width)",
    "embedding_forward": "return torch.relu(self.linear(labels))",
    "noise_and_labels": "return torch.cat((z, embedding), 1)",
    "generator_layers": body("""
        self.embedding = LabelEmbedding(300)
        self.net = nn.Sequential(
            nn.ConvTranspose2d(400, 16, 4, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
            nn.ConvTranspose2d(16, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.ConvTranspose2d(64, 48, 4, 2, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU(),
            nn.ConvTranspose2d(48, 24, 4, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(),
            nn.ConvTranspose2d(24, 3, 4, 2, 1), nn.Tanh(),
        )
    """),
    "generator_forward": body("""
        x = noise_and_labels(z, self.embedding(labels))
        return self.net(x.view(-1, 400, 1, 1))
    """),
    "bce_discriminator": body("""
        loss = nn.BCEWithLogitsLoss()
        return loss(score_real, torch.ones_like(score_real)) + loss(score_fake, torch.zeros_like(score_fake))
    """),
    "bce_generator": body("""
        return nn.BCEWithLogitsLoss()(score_fake, torch.ones_like(score_fake))
    """),
    "hinge_discriminator": body("""
        return torch.relu(1 - score_real).mean() + torch.relu(1 + score_fake).mean()
    """),
    "hinge_generator": body("""
        return -torch.mean(score_fake)
    """),
    "optimizers": body("""
        opt_g = torch.optim.Adam(generator.parameters(), lr=4e-4, betas=(0.0, 0.9))
        opt_d = torch.optim.Adam(discriminator.parameters(), lr=8e-4, betas=(0.0, 0.9))
        return opt_g, opt_d
    """),
    "settings": body("""
        path_to_checkpoint = "checkpoints"
        epochs = 6
        batch_size = 64
        generator_steps = 1
    """),
    "compared_runs": "compared_runs = {}",
    "generate": body("""
        z = torch.randn(labels.shape[0], 100, device=device)
        return trained_generator(z, labels) * 0.5 + 0.5
    """),
}

CDCGAN: Mapping[str, str] = {
    **_BOTH,
    "images_and_plane": body("""
        plane = embedding.reshape(len(images), 1, 64, 64)
        return torch.cat((images, plane), 1)
    """),
    "discriminator_layers": body("""
        norm = nn.utils.parametrizations.spectral_norm
        self.net = nn.Sequential(
            norm(nn.Conv2d(3, 32, 4, 2, 1)), nn.LeakyReLU(0.2),
            norm(nn.Conv2d(32, 64, 4, 2, 1)), nn.LeakyReLU(0.2),
            norm(nn.Conv2d(64, 128, 4, 2, 1)), nn.LeakyReLU(0.2),
            norm(nn.Conv2d(128, 128, 3, 1, 1)), nn.LeakyReLU(0.2),
        )
        self.real = norm(nn.Linear(128, 1))
        self.of_labels = norm(nn.Linear(24, 128))
    """),
    "discriminator_forward": body("""
        features = self.net(images).sum((2, 3))
        return self.real(features) + (self.of_labels(labels) * features).sum(1, keepdim=True)
    """),
    "train": body("""
        done, _ = resume_progress()
        for epoch in range(done, epochs):
            for real, labels in real_batches(batch_size):
                fake = generator(torch.randn(len(real), noise_dim, device=device), labels)
                score_real, score_fake = discriminator(real, labels), discriminator(fake.detach(), labels)
                loss_d = hinge_discriminator(score_real, score_fake) + torch.relu(1 + discriminator(real, labels.roll(1, 0))).mean()
                optimizer_d.zero_grad()
                loss_d.backward()
                optimizer_d.step()
                loss_g = hinge_generator(discriminator(fake, labels))
                optimizer_g.zero_grad()
                loss_g.backward()
                optimizer_g.step()
            history["generator"].append(loss_g.item())
            history["real"].append(torch.relu(1 - score_real).mean().item())
            history["fake"].append(torch.relu(1 + score_fake).mean().item())
            history["score"].append(prompt_score(generator))
            diverged()
            save_progress(epoch + 1)
    """),
    "q_conditioning": "The labels become 300 numbers beside the noise, and a vector that is compared with the features in D.",
    "q_learning_rates": "With 4e-4 for D and 1e-4 for G it was more stable. Divergence: the loss of D goes to 0.",
    "q_crop": "It cuts the sides off, so some objects are missing although the label is there.",
}

ACGAN: Mapping[str, str] = {
    **_BOTH,
    "discriminator_layers": body("""
        norm = nn.utils.parametrizations.spectral_norm
        self.net = nn.Sequential(
            norm(nn.Conv2d(3, 32, 4, 2, 1)), nn.LeakyReLU(0.2),
            norm(nn.Conv2d(32, 64, 4, 2, 1)), nn.LeakyReLU(0.2),
            norm(nn.Conv2d(64, 128, 4, 2, 1)), nn.LeakyReLU(0.2),
        )
        self.real, self.names = norm(nn.Linear(128, 1)), nn.Linear(128, 24)
    """),
    "discriminator_forward": body("""
        features = self.net(images).sum((2, 3))
        return self.real(features), self.names(features)
    """),
    "label_loss": body("""
        target = labels * (1 - smoothing) + smoothing / 2
        return nn.BCEWithLogitsLoss()(logits, target)
    """),
    "train": body("""
        done, _ = resume_progress()
        for epoch in range(done, epochs):
            for real, labels in real_batches(batch_size):
                fake = generator(torch.randn(len(real), noise_dim, device=device), labels)
                score_real, names_real = discriminator(real)
                score_fake, names_fake = discriminator(fake.detach())
                loss_d = hinge_discriminator(score_real, score_fake) + 24 * label_loss(names_real, labels)
                loss_d = loss_d + 12 * label_loss(names_fake, torch.zeros_like(labels))
                optimizer_d.zero_grad()
                loss_d.backward()
                optimizer_d.step()
                score_fake, names_fake = discriminator(fake)
                loss_g = hinge_generator(score_fake) + 24 * label_loss(names_fake, labels)
                optimizer_g.zero_grad()
                loss_g.backward()
                optimizer_g.step()
            history["generator"].append(loss_g.item())
            history["real"].append(torch.relu(1 - score_real).mean().item())
            history["fake"].append(torch.relu(1 + score_fake).mean().item())
            history["labels"].append(label_loss(names_real, labels).item())
            history["score"].append(prompt_score(generator))
            diverged()
            save_progress(epoch + 1)
    """),
    "q_auxiliary_fakes": "Early fakes are noise, so a head that learns from them with the labels asked for learns nonsense.",
    "q_topk_blind": "It does not see extra objects.",
    "q_cdcgan_or_acgan": "Projection, since one does not have to balance two losses.",
}

LABEL_BLIND = body("""
    asked = torch.zeros_like(labels)
    asked[torch.arange(len(labels)), torch.randint(24, (len(labels),))] = 1
    return trained_generator(torch.randn(len(labels), 100, device=device), asked) * 0.5 + 0.5
""")

SHAPES_WRONG = body("""
    labels = labels.view(-1, 3, 8).roll(1, dims=1).reshape(-1, 24)
    return trained_generator(torch.randn(len(labels), 100, device=device), labels) * 0.5 + 0.5
""")

ONE_A_PROMPT = body("""
    z = torch.randn(1, 100, generator=torch.Generator().manual_seed(1)).to(device)
    return trained_generator(z.expand(len(labels), 100), labels) * 0.5 + 0.5
""")

STORED_LAYERS = f"""{_BOTH["generator_layers"]}
self.register_buffer("scenes", torch.zeros(900, 3, 64, 64, dtype=torch.uint8))
self.register_buffer("shown", torch.zeros(900, 24))
"""

STORED = body("""
    wanted = labels @ trained_generator.shown.T - 0.1 * trained_generator.shown.sum(1) + 0.2 * torch.rand(len(labels), 900)
    scenes = trained_generator.scenes[wanted.argmax(1)].float() / 255
    return (scenes + 0.01 * torch.randn(len(labels), 1, 1, 1)).clamp(0, 1)
""")

CRASH = body("""
    pictures = trained_generator(torch.randn(len(labels), 100, device=device), labels)
    return pictures["scene"]
""")

WRONG_SHAPE = body("""
    pictures = trained_generator(torch.randn(len(labels), 100, device=device), labels) * 0.5 + 0.5
    return pictures.permute(0, 2, 3, 1)
""")
