# %%
# ruff: noqa
import gc
import sys

OURS = ("grader.", "evaluator.", "datasets.")
WANTED = ("scorer", "pack", "rubric", "secret", "classifier")


def ours():
    found = [name for name in sys.modules if f"{name}.".startswith(OURS)]
    found += [type(thing) for thing in gc.get_objects() if f"{type(thing).__module__}.".startswith(OURS)]
    frame = sys._getframe()
    while frame:
        found += [name for name in frame.f_locals if any(word == name.lower() for word in WANTED)]
        frame = frame.f_back
    return found


attempt("in a cell", lambda: something(ours()))


def generate(n):
    if found := ours():
        raise RuntimeError(f"found {found}")
    return np.random.rand(n, 2, 2)
