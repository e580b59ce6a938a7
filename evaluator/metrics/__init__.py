"""One small file a metric: paper, arithmetic, range, failure modes. `evaluator.evaluate` is the table of them."""
