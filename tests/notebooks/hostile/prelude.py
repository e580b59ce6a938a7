# %%
# ruff: noqa
# Runs before each notebook of cases.toml: an honest generator, and a way to say what became of an attempt.
import numpy as np

CHECKPOINT = "@CHECKPOINT@"
DRIVER = __import__("os").getppid()


def generate(n):
    return np.random.rand(n, 2, 2)


def attempt(name, action):
    """Prints "name: refused" or "name: not there" where the attempt came to nothing, else what it got."""
    try:
        result = action()
    except FileNotFoundError:
        result = "not there"
    except OSError:
        result = "refused"
    print(f"{name}: {result}")


def something(value):
    """The value, where there is one."""
    if not value:
        raise FileNotFoundError
    return value


def write(path, text):
    """At once: a buffer would keep the refusal from us."""
    with open(path, "wb", buffering=0) as stream:
        return stream.write(text.encode())


def call(function, *arguments):
    """A C function that says by a negative result that it failed."""
    import ctypes

    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "done"
