# %%
# ruff: noqa
import threading
import time

started = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        started += 1
except RuntimeError:
    attempt("more than 64", lambda: something(started >= 64))
    raise
