"""The plain student's lab9_cdcgan and lab9_sngan, and what others wrote in place of some of it: small networks, short trainings."""

from collections.abc import Mapping

from students.work import body

_BOTH: Mapping[str, str] = {
    "helpers": "import copy",
    "optimizers": body("""
        opt_g = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.0, 0.9))
        opt_d = torch.optim.Adam(discriminator.parameters(), lr=4e-4, betas=(0.0, 0.9))
        return opt_g, opt_d
    """),
    "r1_penalty": body("""
        x = real.clone().requires_grad_(True)
        g = torch.autograd.grad(critic(x, c).sum(), x, create_graph=True)[0]
        return 0.5 * gamma * (g ** 2).sum((1, 2, 3)).mean()
    """),
    "compared_runs": "compared_runs = {}",
    "generate": body("""
        z = torch.randn(n, noise_dim, device=device)
        return trained_generator(z, torch.full((n,), c, device=device)) * 0.5 + 0.5
    """),
}

CDCGAN: Mapping[str, str] = {
    **_BOTH,
    "settings": body("""
        path_to_checkpoint = "checkpoints"
        epochs = 3
        batch_size = 64
    """),
    "noise_and_embedding": "return torch.cat((z, embedding), 1)",
    "images_and_plane": "return torch.cat((images, embedding.reshape(len(images), 1, 32, 32)), 1)",
    "generator_layers": body("""
        self.names = nn.Embedding(10, 50)
        self.net = nn.Sequential(
            nn.ConvTranspose2d(150, 64, 4, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
            nn.ConvTranspose2d(64, 48, 4, 2, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU(),
            nn.ConvTranspose2d(48, 24, 4, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(),
            nn.ConvTranspose2d(24, 3, 4, 2, 1), nn.Tanh(),
        )
    """),
    "generator_forward": body("""
        x = noise_and_embedding(z, self.names(c))
        return self.net(x.view(-1, 150, 1, 1))
    """),
    "discriminator_layers": body("""
        norm = nn.utils.parametrizations.spectral_norm
        self.names = nn.Embedding(10, 32 * 32)
        self.net = nn.Sequential(
            norm(nn.Conv2d(4, 24, 4, 2, 1)), nn.LeakyReLU(0.2),
            norm(nn.Conv2d(24, 48, 4, 2, 1)), nn.LeakyReLU(0.2),
            norm(nn.Conv2d(48, 96, 4, 2, 1)), nn.LeakyReLU(0.2),
            nn.Flatten(), norm(nn.Linear(96 * 16, 1)),
        )
    """),
    "discriminator_forward": "return self.net(images_and_plane(images, self.names(c)))",
    "bce_discriminator": body("""
        bce = nn.BCEWithLogitsLoss()
        return bce(score_real, torch.ones_like(score_real) * (1 - smoothing)) + bce(score_fake, torch.zeros_like(score_fake))
    """),
    "bce_generator": "return nn.BCEWithLogitsLoss()(score_fake, torch.ones_like(score_fake))",
    "horizontal_flip": body("""
        chosen = torch.rand(len(images), device=images.device) < p
        images = images.clone()
        images[chosen] = torch.flip(images[chosen], [3])
        return images
    """),
    "train": body("""
        done, _ = resume_progress()
        for epoch in range(done, epochs):
            for step, (real, c) in enumerate(real_batches(batch_size)):
                real = horizontal_flip(real, 0.3)
                fake = generator(torch.randn(len(real), noise_dim, device=device), c)
                loss_d = bce_discriminator(discriminator(real, c), discriminator(fake.detach(), c), 0.1)
                optimizer_d.zero_grad()
                loss_d.backward()
                optimizer_d.step()
                loss_g = bce_generator(discriminator(fake, c))
                optimizer_g.zero_grad()
                loss_g.backward()
                optimizer_g.step()
            history["generator"].append(loss_g.item())
            history["real"].append(loss_d.item() / 2)
            history["fake"].append(loss_d.item() / 2)
            generator.eval()
            distance, share = progress_scores(generator)
            generator.train()
            history["fid"].append(distance)
            history["score"].append(share)
            save_progress(epoch + 1)
    """),
    "q_conditioning": "The generator gets 50 numbers of the class beside the noise, the discriminator a plane of 32 x 32 numbers.",
    "q_ablation": "Spectral normalisation was worth most. Without it the discriminator won after two epochs.",
    "q_floor": "KID is unbiased, so it is negative sometimes. FID is biased.",
}

SNGAN: Mapping[str, str] = {
    **_BOTH,
    "settings": body("""
        path_to_checkpoint = "checkpoints"
        epochs = 1
        batch_size = 64
        critic_steps = 1
        accumulate = 1
        augment = ()
    """),
    "batch_norm_layers": body("""
        self.bn = nn.BatchNorm2d(channels, affine=False)
        self.gamma_beta = nn.Embedding(n_classes, channels * 2)
        self.gamma_beta.weight.data[:, :channels] = 1.0
        self.gamma_beta.weight.data[:, channels:] = 0.0
    """),
    "batch_norm_forward": body("""
        gamma, beta = self.gamma_beta(c).chunk(2, 1)
        return gamma[:, :, None, None] * self.bn(x) + beta[:, :, None, None]
    """),
    "generator_layers": body("""
        self.linear = nn.Linear(noise_dim, 48 * 16)
        self.bn = nn.ModuleList([ConditionalBatchNorm(48) for _ in range(3)])
        self.conv = nn.ModuleList([nn.Conv2d(48, 48, 3, padding=1) for _ in range(3)])
        self.last_bn, self.last_conv = nn.BatchNorm2d(48), nn.Conv2d(48, 3, 3, padding=1)
    """),
    "generator_forward": body("""
        x = self.linear(z).view(-1, 48, 4, 4)
        for bn, conv in zip(self.bn, self.conv):
            x = F.interpolate(x, scale_factor=2)
            x = x + conv(torch.relu(bn(x, c)))
        return torch.tanh(self.last_conv(torch.relu(self.last_bn(x))))
    """),
    "projection": "return score + torch.sum(features * class_vectors, dim=1, keepdim=True)",
    "discriminator_layers": body("""
        norm = nn.utils.parametrizations.spectral_norm
        self.net = nn.Sequential(
            norm(nn.Conv2d(3, 32, 4, 2, 1)), nn.LeakyReLU(0.1),
            norm(nn.Conv2d(32, 64, 4, 2, 1)), nn.LeakyReLU(0.1),
            norm(nn.Conv2d(64, 128, 3, 1, 1)), nn.LeakyReLU(0.1),
        )
        self.linear, self.embed = norm(nn.Linear(128, 1)), norm(nn.Embedding(n_classes, 128))
    """),
    "discriminator_forward": body("""
        h = self.net(images).sum((2, 3))
        return projection(self.linear(h), h, self.embed(c))
    """),
    "hinge_discriminator": "return torch.relu(1 - score_real).mean() + torch.relu(1 + score_fake).mean()",
    "hinge_generator": "return -torch.mean(score_fake)",
    "augment_translation": body("""
        wide = F.pad(images, (most, most, most, most))
        moved = []
        for image in wide:
            top, left = random.randint(0, 2 * most), random.randint(0, 2 * most)
            moved.append(image[:, top : top + 32, left : left + 32])
        return torch.stack(moved)
    """),
    "augment_cutout": body("""
        mask = torch.ones_like(images)
        for m in mask:
            y, x = random.randint(0, 31), random.randint(0, 31)
            m[:, max(0, y - size // 2) : y + size // 2, max(0, x - size // 2) : x + size // 2] = 0
        return images * mask
    """),
    "update_average": body("""
        for a, b in zip(average.parameters(), network.parameters()):
            a.data = decay * a.data + (1 - decay) * b.data
    """),
    "truncated_noise": body("""
        z = torch.empty(n, noise_dim, device=device)
        return nn.init.trunc_normal_(z, a=-threshold, b=threshold)
    """),
    "train": body("""
        done, _ = resume_progress()
        for epoch in range(done, epochs):
            for step, (real, c) in enumerate(real_batches(batch_size)):
                fake = generator(torch.randn(len(real), noise_dim, device=device), c)
                score_real = discriminator(augmented(real), c)
                score_fake = discriminator(augmented(fake.detach()), c)
                loss_d = hinge_discriminator(score_real, score_fake)
                optimizer_d.zero_grad()
                loss_d.backward()
                optimizer_d.step()
                loss_g = hinge_generator(discriminator(augmented(fake), c))
                optimizer_g.zero_grad()
                loss_g.backward()
                optimizer_g.step()
            history["generator"].append(loss_g.item())
            history["real"].append(torch.relu(1 - score_real).mean().item())
            history["fake"].append(torch.relu(1 + score_fake).mean().item())
            generator.eval()
            distance, share = progress_scores(generator)
            generator.train()
            history["fid"].append(distance)
            history["score"].append(share)
            save_progress(epoch + 1)
    """),
    "q_projection": "The inner product with the class vector is what an optimal discriminator looks like for simple class distributions.",
    "q_steps": "TTUR was faster for me. Bigger batches were smoother, but slower.",
    "q_truncation": "With 0.5 the pictures are more alike.",
}

LABEL_BLIND = body("""
    z = torch.randn(n, noise_dim, device=device)
    return trained_generator(z, torch.randint(10, (n,), device=device)) * 0.5 + 0.5
""")

NEXT_CLASS = body("""
    z = torch.randn(n, noise_dim, device=device)
    return trained_generator(z, torch.full((n,), (c + 1) % 10, device=device)) * 0.5 + 0.5
""")

ONE_A_CLASS = body("""
    torch.manual_seed(c)
    z = torch.randn(1, noise_dim, device=device).expand(n, -1)
    return trained_generator(z, torch.full((n,), c, device=device)) * 0.5 + 0.5
""")

CRASH = body("""
    z = torch.randn(n, noise_dim, device=device)
    return trained_generator(z, c) * 0.5 + 0.5
""")

CHANNELS_LAST = body("""
    z = torch.randn(n, noise_dim, device=device)
    images = trained_generator(z, torch.full((n,), c, device=device)) * 0.5 + 0.5
    return images.permute(0, 2, 3, 1)
""")

STORED_LAYERS = f"{CDCGAN['generator_layers']}\nself.register_buffer('pictures', torch.zeros(10, 12, 3, 32, 32))"

STORED = body("""
    chosen = torch.randint(12, (n,))
    return trained_generator.pictures[c, chosen]
""")

SLIPS_OF_CDCGAN: Mapping[str, str] = {
    "r1_penalty": body("""
        x = real.clone().requires_grad_(True)
        g = torch.autograd.grad(critic(x, c).sum(), x, create_graph=True)[0]
        return gamma * (g ** 2).sum((1, 2, 3)).mean()
    """),
    "horizontal_flip": "return torch.flip(images, [3]) if random.random() < p else images",
}

SLIPS_OF_SNGAN: Mapping[str, str] = {
    "projection": "return (features * class_vectors).sum(1, keepdim=True)",
    "truncated_noise": "return torch.randn(n, noise_dim, device=device).clamp(-threshold, threshold)",
    "update_average": body("""
        for a, b in zip(average.parameters(), network.parameters()):
            a.data = (1 - decay) * a.data + decay * b.data
    """),
}
