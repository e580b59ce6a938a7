# %%
# ruff: noqa
import os

attempt("the driver's environment", lambda: open(f"/proc/{DRIVER}/environ").read())
attempt("the driver's descriptors", lambda: os.listdir(f"/proc/{DRIVER}/fd"))
attempt("the driver's maps", lambda: open(f"/proc/{DRIVER}/maps").read())
attempt("init of the machine", lambda: open("/proc/@GRADER@/environ").read())
attempt(
    "other processes",
    lambda: something([pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (DRIVER, os.getpid())]),
)
attempt("secrets of our own", lambda: something([value for value in os.environ.values() if "@SECRET@" in value]))
