"""How many threads numerical libraries start: in grading one, since it is the workers that run side by side.

Libraries read these variables when they are first imported. On two cores, two workers with two threads each spend most of their time
waiting for each other's.
"""

import os

VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def pin() -> None:
    """Have libraries that are not imported yet start one thread each, unless the environment says otherwise."""
    for name in VARIABLES:
        os.environ.setdefault(name, "1")
