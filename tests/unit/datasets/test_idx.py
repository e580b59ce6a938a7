import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from datasets.errors import DatasetCorruptError
from datasets.idx import decode, encode


@given(hnp.arrays(np.uint8, hnp.array_shapes(max_dims=3, min_side=0, max_side=5)))
def test_decode_undoes_encode(array):
    assert np.array_equal(decode(encode(array), "x"), array)
    assert decode(encode(array), "x").shape == array.shape


def test_encode_writes_the_published_header():
    # From the format's description: magic 0x00000803 for a cube of unsigned bytes, then sizes, big-endian.
    assert encode(np.zeros((2, 3, 1), np.uint8))[:16] == bytes.fromhex("00000803 00000002 00000003 00000001")


@given(st.binary(max_size=40))
def test_any_bytes_decode_or_raise_dataset_corrupt(data):
    try:
        array = decode(data, "x")
    except DatasetCorruptError:
        return
    assert encode(array) == data


@pytest.mark.parametrize("cut", [1, 5, 10, 16])
def test_truncated_file_is_named_with_both_lengths(cut):
    whole = encode(np.ones((1, 2, 2), np.uint8))
    with pytest.raises(DatasetCorruptError, match="some-file"):
        decode(whole[:-cut], "some-file")


def test_trailing_bytes_are_an_error():
    with pytest.raises(DatasetCorruptError, match=r"21 bytes.*20"):
        decode(encode(np.ones((1, 2, 2), np.uint8)) + b"x", "f")
