# %%
# ruff: noqa
import ctypes
import platform

libc = ctypes.CDLL(None, use_errno=True)
column = ("x86_64", "aarch64").index(platform.machine())
CALLS = {
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "perf_event_open": (298, 241),
    "init_module": (175, 105),
    "kexec_load": (246, 104),
    "open_by_handle_at": (304, 265),
    "personality": (135, 92),
}
for name, numbers in CALLS.items():
    attempt(name, lambda: call(libc.syscall, numbers[column], 0, 0, 0, 0, 0))
