# %%
# ruff: noqa
def generate(n):
    return np.broadcast_to(np.float64(0), (10**6, 10**6))
