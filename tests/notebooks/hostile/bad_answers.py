# %%
# ruff: noqa
# generate() misbehaves in a different way for each n.
import os

import numpy as np


class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/pwned",))


class Sub(np.ndarray):
    pass


def images(n, value=0.5):
    return np.full((n, 2, 2), value)


def nan(n):
    array = images(n)
    array[0, 0, 0] = np.nan
    return array


def none(n):
    return


def raising(n):
    return np.zeros(3)[n]


def asking(n):
    return input("how many? ")


BEHAVIOUR = {
    1: none,
    2: lambda n: images(n)[:, None],
    3: nan,
    4: lambda n: images(n) * 2 - 1.9,
    5: lambda n: np.array([Evil()] * n, dtype=object),
    6: lambda n: np.broadcast_to(np.float64(0), (10**6, 10**6)),
    7: lambda n: list(images(n)),
    8: lambda n: images(n) * 200,
    9: lambda n: images(n).view(Sub),
    10: raising,
    11: asking,
    12: lambda n: images(n, True).astype(int),
    13: lambda n: images(n + 1),
    14: lambda n: images(n, np.inf),
}


def generate(n):
    return BEHAVIOUR[n](n)
