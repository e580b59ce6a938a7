# %%
# ruff: noqa
import time

kept = []
while True:
    kept.append(np.ones(2_500_000))
    time.sleep(0.02)
