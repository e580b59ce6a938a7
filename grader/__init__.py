"""Release, execute and grade GAN labs."""

__version__ = "0.1.0"
