# %%
# ruff: noqa
import os

attempt("results.json", lambda: write("@NEIGHBOUR@/results.json", '{"score": 100}'))
attempt("beside it", lambda: open("@NEIGHBOUR@/evil", "w"))
attempt("in its place", lambda: os.replace("@HOME@/work", "@NEIGHBOUR@"))
attempt("where Gradescope has it", lambda: write("/autograder/results/results.json", '{"score": 100}'))
os.makedirs("@HOME@/results", exist_ok=True)
for place in ("@HOME@/results/results.json", "results.json"):
    write(place, '{"score": 100}')
