# %%
# ruff: noqa
def generate(n):
    return np.full((n, 2, 2), float(input("which grey? ")))
