# %%
# ruff: noqa
import os
import time

children = 0
try:
    while children < 500:
        if os.fork() == 0:
            time.sleep(1000)
        children += 1
except OSError as error:
    print(f"refused after fewer than 64: {children < 64}, {type(error).__name__}")
