"""The plain student's lab8_cwgan, and what others wrote in place of some of it."""

from collections.abc import Mapping

from students.work import body

PLAIN: Mapping[str, str] = {
    "helpers": "",
    "noise_and_class": body("""
        onehot = torch.zeros(len(z), n_classes, device=z.device)
        onehot[torch.arange(len(z)), c] = 1
        return torch.cat((z, onehot), 1)
    """),
    "images_and_class": body("""
        planes = torch.zeros(len(images), n_classes, 28, 28, device=images.device)
        planes[torch.arange(len(images)), c] = 1
        return torch.cat((images, planes), 1)
    """),
    "generator_layers": body("""
        self.net = nn.Sequential(
            nn.ConvTranspose2d(noise_dim + n_classes, 40, 7), nn.BatchNorm2d(40), nn.ReLU(),
            nn.ConvTranspose2d(40, 20, 4, stride=2, padding=1), nn.BatchNorm2d(20), nn.ReLU(),
            nn.ConvTranspose2d(20, 1, 4, stride=2, padding=1), nn.Tanh(),
        )
    """),
    "generator_forward": body("""
        return self.net(noise_class.view(-1, noise_dim + n_classes, 1, 1))
    """),
    "discriminator_layers": body("""
        self.net = nn.Sequential(
            nn.Conv2d(1 + n_classes, 24, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(24, 48, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(48, 96, 3, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Flatten(), nn.Linear(96 * 4 * 4, 1),
        )
    """),
    "discriminator_forward": body("""
        return self.net(images_class)
    """),
    "wloss_generator": body("""
        return -torch.mean(score_fake)
    """),
    "wloss_discriminator": body("""
        return torch.mean(score_fake) - torch.mean(score_real) + lambda_ * penalty
    """),
    "gradient_regularisation": body("""
        norms = gradient.view(len(gradient), -1).norm(2, dim=1)
        return torch.mean((norms - 1) ** 2)
    """),
    "optimizers": body("""
        opt_g = torch.optim.Adam(generator.parameters(), lr=5e-4, betas=(0.5, 0.9))
        opt_d = torch.optim.Adam(discriminator.parameters(), lr=5e-4, betas=(0.5, 0.9))
        return opt_g, opt_d
    """),
    "settings": body("""
        path_to_checkpoint = "checkpoints"
        epochs = 8
        batch_size = 64
        critic_steps = 2
    """),
    "train": body("""
        done, _ = resume_progress()
        for epoch in range(done, epochs):
            generator.train(), discriminator.train()
            for step, (real, c) in enumerate(real_batches(batch_size)):
                z = torch.randn(len(real), noise_dim, device=device)
                fake = generator(noise_and_class(z, c)).detach()
                gradient = get_grad_function(discriminator, real, fake, c)
                penalty = get_gradient_regularisation(gradient)
                score_fake = discriminator(images_and_class(fake, c))
                score_real = discriminator(images_and_class(real, c))
                loss_d = get_WLoss_discriminator(score_fake, score_real, penalty)
                optimizer_d.zero_grad()
                loss_d.backward()
                optimizer_d.step()
                if step % critic_steps == critic_steps - 1:
                    z = torch.randn(len(real), noise_dim, device=device)
                    loss_g = get_WLoss_generator(discriminator(images_and_class(generator(noise_and_class(z, c)), c)))
                    optimizer_g.zero_grad()
                    loss_g.backward()
                    optimizer_g.step()
                if epoch == 0 and step in (150, 300, 600):
                    save_progress(epoch)
            history["generator"].append(loss_g.item())
            history["critic"].append((score_real - score_fake).mean().item())
            history["penalty"].append(penalty.item())
            save_progress(epoch + 1)
            print(f"epoch {epoch + 1}: loss of G {loss_g.item():.3f}, loss of D {loss_d.item():.3f}")
    """),
    "generate": body("""
        labels = torch.full((n,), c, device=device)
        images = trained_generator(noise_and_class(torch.randn(n, noise_dim, device=device), labels))
        return (images[:, 0] + 1) / 2
    """),
    "q_original_gan": "When the discriminator is too good, its output saturates and the generator gets no gradient.",
    "q_business": "Show customers of a shop new shoes before they are made. I would check that they look like shoes.",
    "q_conditioning": "One-hot vectors: 110 numbers go into G and 11 channels into D, so D can see if image and label fit.",
}

LABEL_BLIND = body("""
    labels = torch.randint(n_classes, (n,), device=device)
    images = trained_generator(noise_and_class(torch.randn(n, noise_dim, device=device), labels))
    return (images[:, 0] + 1) / 2
""")

LABEL_SWAPPED = body("""
    labels = torch.full((n,), 9 - c, device=device)
    images = trained_generator(noise_and_class(torch.randn(n, noise_dim, device=device), labels))
    return (images[:, 0] + 1) / 2
""")

SIGN_FLIPPED = {
    "wloss_generator": body("""
        return torch.mean(score_fake)
    """),
    "settings": body("""
        path_to_checkpoint = "checkpoints"
        epochs = 1
        batch_size = 64
        critic_steps = 3
    """),
}

NOISE = body("""
    return torch.rand(n, 28, 28)
""")

TANH_RANGE = body("""
    labels = torch.full((n,), c, device=device)
    return trained_generator(noise_and_class(torch.randn(n, noise_dim, device=device), labels))[:, 0]
""")

HARD_CUDA = body("""
    labels = torch.full((n,), c).cuda()
    images = trained_generator(noise_and_class(torch.randn(n, noise_dim).cuda(), labels))
    return (images[:, 0] + 1) / 2
""")

BATCH_NORM = {
    "discriminator_layers": body("""
    self.net = nn.Sequential(
        nn.Conv2d(1 + n_classes, 24, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(24, 48, 4, stride=2, padding=1), nn.BatchNorm2d(48), nn.LeakyReLU(0.2),
        nn.Conv2d(48, 96, 3, stride=2, padding=1), nn.BatchNorm2d(96), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(96 * 4 * 4, 1),
    )
""")
}
