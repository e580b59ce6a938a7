import numpy as np
import pytest

from evaluator.metrics.multilabel import extra_labels, topk_accuracy
from evaluator.prompted import LabelSeen, PromptSeen, by_label, by_prompt

ASKED = np.array([[1, 1, 0, 0], [0, 0, 1, 0]] * 2)
SEEN = np.array([[0.9, 0.1, 0.8, 0.7], [0.1, 0.2, 0.9, 0.6], [0.6, 0.7, 0.1, 0.6], [0.3, 0.2, 0.1, 0.4]])


def test_prompts_by_hand():
    assert by_prompt(SEEN, ASKED, 2) == [
        PromptSeen(found={0: 1.0, 1: 0.5}, unasked={3: 1.0, 2: 0.5}),
        PromptSeen(found={2: 0.5}, unasked={3: 0.5}),
    ]


def test_labels_by_hand():
    assert by_label(SEEN, ASKED) == [
        LabelSeen(2, 1.0, 0.0),
        LabelSeen(2, 0.5, 0.0),
        LabelSeen(2, 0.5, 0.5),
        LabelSeen(0, None, 0.75),
    ]
    assert by_label(SEEN[:, :1], np.ones((4, 1), int)) == [LabelSeen(4, 1.0, None)]


def test_they_add_up_to_the_metrics():
    random = np.random.default_rng(0)
    seen = random.random((60, 6))
    asked = np.tile(random.permuted(np.tile([1, 1, 0, 0, 0, 0], (5, 1)), axis=1), (12, 1))
    prompts, labels = by_prompt(seen, asked, 5), by_label(seen, asked)
    value = topk_accuracy(seen, asked, "m").value
    assert np.mean([share for prompt in prompts for share in prompt.found.values()]) == pytest.approx(value)
    assert sum(label.asked * (label.found or 0) for label in labels) / asked.sum() == pytest.approx(value)
    extra = extra_labels(seen, asked, "m").value
    assert np.mean([sum(prompt.unasked.values()) for prompt in prompts]) == pytest.approx(extra)
