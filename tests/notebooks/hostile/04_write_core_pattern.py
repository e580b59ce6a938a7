# %%
# ruff: noqa
attempt("core_pattern", lambda: write("/proc/sys/kernel/core_pattern", "|/tmp/evil"))
attempt("modprobe", lambda: write("/proc/sys/kernel/modprobe", "@HOME@/evil"))
attempt("sysrq", lambda: write("/proc/sysrq-trigger", "h"))
attempt("uevent_helper", lambda: write("/sys/kernel/uevent_helper", "@HOME@/evil"))
attempt("release_agent", lambda: write("/sys/fs/cgroup/memory/release_agent", "@HOME@/evil"))
