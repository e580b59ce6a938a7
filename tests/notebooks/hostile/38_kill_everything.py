# %%
# ruff: noqa
import os
import signal

try:
    os.kill(-1, signal.SIGKILL)
except (ProcessLookupError, PermissionError):
    pass  # nobody but the driver and this one
os.kill(os.getpid(), signal.SIGKILL)
