# %%
# ruff: noqa
import os
import signal

driver = os.getppid()
for number in (signal.SIGKILL, signal.SIGSTOP):
    try:
        os.kill(driver, number)
    except PermissionError:
        pass  # Landlock refuses what process 1 of a pid namespace merely ignores
print("the driver is still there")

# %%
try:
    os.kill(-1, signal.SIGKILL)
except (ProcessLookupError, PermissionError):
    pass  # nobody but the driver and this one
os.kill(os.getpid(), signal.SIGKILL)
