"""How many different images a generator can draw, from how often two of a sample are alike: the birthday paradox.

Arora and Zhang, Do GANs learn the distribution?, ICLR 2018. Of n images drawn from S equally likely ones, the n (n − 1) / 2
pairs are equal once in S: the number of equal pairs is nearly Poisson, its mean the number of pairs divided by S. Where images
are not equally likely, what is found is 1 / Σ p²: the images drawn again and again decide, and the support may be larger.

Being alike is a matter of a pixel distance (`duplicates.near_others`), where the paper asked people. One cluster of images in
that distance counts as one image. Where no pair is found, the support is n² / 5 at least, and may be infinite.
"""

from __future__ import annotations

from scipy import special

from evaluator.interval import LEVEL
from evaluator.measurement import Measurement


def support(pairs: int, n: int, name: str) -> Measurement:
    """Number of different images behind n ≥ 2 of which `pairs` pairs are alike; k equal images are k (k − 1) / 2 pairs.

    n (n − 1) / 2 ÷ (pairs + ½), with Jeffreys' interval for a Poisson mean, which a gamma distribution of shape pairs + ½ gives.
    The half keeps all three finite: with no pair at all, the value says that the support is larger than can be told from n
    images, and `low` how large it is at least.
    """
    among = n * (n - 1) / 2
    shape = pairs + 0.5
    fewest, most = (float(special.gammaincinv(shape, 0.5 + sign * LEVEL / 2)) for sign in (-1, 1))
    return Measurement(name, among / shape, among / most, among / fewest, n)
