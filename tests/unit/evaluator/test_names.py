import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluator.errors import UnknownMetricError
from evaluator.names import MetricName, count

words = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
names = st.builds(
    MetricName,
    metric=st.lists(words, min_size=1, max_size=3).map("_".join),
    n=st.integers(1, 10**7),
    reference=st.none() | words,
    extractor=words,
)


@given(names)
def test_a_name_is_read_as_it_was_written(name):
    assert MetricName.parse(str(name)) == name


@given(st.text(alphabet="fid_k0123456789-", max_size=20))
def test_what_is_read_is_written_the_same(text):
    try:
        name = MetricName.parse(text)
    except UnknownMetricError:
        return
    assert str(name) == text


@pytest.mark.parametrize(
    "text", ["fid", "fid2k", "fid2000_test_indomain", "fid0_test_indomain", "2k_test", "fid2k_a_b_c", "FID2k_test_x", ""]
)
def test_other_texts_are_no_names(text):
    with pytest.raises(UnknownMetricError, match="expected metric, number of images, reference, extractor"):
        MetricName.parse(text)


def test_counts_are_written_one_way():
    assert [count(n) for n in (1, 999, 1_000, 2_000, 2_500, 50_000)] == ["1", "999", "1k", "2k", "2500", "50k"]
