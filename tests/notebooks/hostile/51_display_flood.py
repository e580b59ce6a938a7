# %%
# ruff: noqa
from IPython.display import HTML, display

for number in range(2_000):
    display({"text/plain": "x" * 10_000, "image/png": "A" * 10_000}, raw=True)
    display(HTML("<script>alert(1)</script>"))
