# %%
# ruff: noqa
import os
import signal

for name in ("SIGKILL", "SIGSTOP", "SIGTERM", "SIGINT"):
    attempt(name, lambda: os.kill(DRIVER, getattr(signal, name)))
