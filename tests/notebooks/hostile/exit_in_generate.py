# %%
# ruff: noqa
import os

import numpy as np


def generate(n):
    if n == 2:
        os._exit(0)
    return np.zeros((n, 2, 2), np.uint8)
