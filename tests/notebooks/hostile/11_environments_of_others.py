# %%
# ruff: noqa
import os

attempt("the driver's environment", lambda: open("/proc/1/environ").read())
attempt("the driver's descriptors", lambda: os.listdir("/proc/1/fd"))
attempt("the driver's maps", lambda: open("/proc/1/maps").read())
attempt("init of the machine", lambda: open("/proc/@GRADER@/environ").read())
others = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) not in (1, os.getpid())]
attempt("other processes", lambda: something(others))
attempt("secrets of our own", lambda: something([value for value in os.environ.values() if "@SECRET@" in value]))
