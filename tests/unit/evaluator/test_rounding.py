import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from evaluator.extractors.rounding import STEP, expanded, halved, in_bytes

STATE = {
    "conv.weight": torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0)),
    "bn.weight": torch.tensor([0.1, 1 / 3]),
    "bn.num_batches_tracked": torch.tensor(70_000),
    "head.weight": torch.full((2, 3), 1 / 3),
}


def test_halves_are_the_nearest_of_half_precision_and_counters_stay():
    kept = halved(STATE)
    assert kept["bn.weight"].dtype == np.float16
    assert kept["bn.weight"][1] == np.float16(1 / 3)
    assert kept["bn.num_batches_tracked"] == 70_000


def test_convolutions_take_a_byte_a_weight_and_a_step_a_channel():
    kept = in_bytes(STATE)
    assert kept["conv.weight"].dtype == np.int8
    assert kept["conv.weight" + STEP].shape == (6,)
    assert np.abs(kept["conv.weight"]).max(axis=(1, 2, 3)).tolist() == [127] * 6
    assert kept["head.weight"].dtype == np.float16


@given(st.integers(0, 2**32 - 1), st.floats(1e-4, 1e4))
def test_weights_are_off_by_half_a_step_at_most(seed, size):
    weights = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(seed)) * size
    back = expanded(in_bytes({"w": weights}))["w"]
    step = np.abs(weights.numpy()).max(axis=(1, 2, 3), keepdims=True) / 127
    assert (np.abs(back - weights.numpy()) <= 0.501 * step).all()


def test_arrays_are_contiguous_whatever_the_order_of_the_networks():
    state = {"w": STATE["conv.weight"].to(memory_format=torch.channels_last)}
    for kept in (halved(state), in_bytes(state)):
        assert all(array.flags.c_contiguous for array in kept.values())
    assert np.array_equal(in_bytes(state)["w"], in_bytes({"w": STATE["conv.weight"]})["w"])


def test_a_channel_of_zeros_stays_so():
    back = expanded(in_bytes({"w": torch.zeros(2, 1, 3, 3)}))
    assert list(back) == ["w"]
    assert (back["w"] == 0).all()


def test_what_was_not_rounded_is_as_it_was():
    kept = halved(STATE)
    assert expanded(kept).keys() == STATE.keys()
    assert all(np.array_equal(expanded(kept)[name], kept[name]) for name in kept)
