import numpy as np
import pytest

from evaluator.errors import FeaturesError
from evaluator.features import check_dimension, check_features, checked_features, squared_distances


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros(3), r"shape \(3,\), expected \(images, dimensions\)"),
        (np.zeros((4, 3)), "4 images, expected at least 5"),
        (np.full((5, 3), np.nan, np.float32), "NaN"),
        (np.full((5, 3), -np.inf), "infinity"),
    ],
)
def test_unfit_features_are_refused(features, message):
    with pytest.raises(FeaturesError, match=message):
        check_features(features, least=5)


def test_a_single_nan_far_down_is_found():
    features = np.zeros((6_000, 2))
    features[-1, 1] = np.nan
    with pytest.raises(FeaturesError, match="NaN"):
        check_features(features, least=1)


def test_single_precision_becomes_double_with_the_same_values():
    features = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    found = checked_features(features, least=5)
    assert found.dtype == np.float64
    assert np.array_equal(found, features)


def test_another_dimension_is_refused():
    check_dimension(3, 3)
    with pytest.raises(FeaturesError, match="4 dimensions, the reference 3"):
        check_dimension(4, 3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_cover_all_pairs_with_the_brute_force_distance(dtype):
    random = np.random.default_rng(0)
    x, y = random.normal(7, 1, (1_100, 2)).astype(dtype), random.normal(7, 1, (5_300, 2)).astype(dtype)
    found = np.full((1_100, 5_300), np.nan)
    for rows, columns, tile in squared_distances(x, y):
        assert np.isnan(found[rows, columns]).all()
        found[rows, columns] = tile
    expected = np.square(x[:, None].astype(float) - y[None]).sum(axis=2)
    assert np.abs(found - expected).max() < 1e-12


def test_distances_survive_a_large_common_offset():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(30, 4)), random.normal(size=(20, 4))
    (_, _, near), (_, _, far) = next(squared_distances(x, y)), next(squared_distances(x + 1e6, y + 1e6))
    assert far == pytest.approx(near, abs=1e-8)
