"""Measures images: takes arrays, returns floats, and knows nothing of grading.

`evaluator.pack` loads what a measurement needs, `evaluator.evaluate` measures, `evaluator.packs.build` builds a pack.
"""
