import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from evaluator.threads import SMALL, alone_if_small


def blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize(("rows", "threads"), [(SMALL, {1}), (SMALL + 1, {2})])
def test_small_matrices_get_one_thread_and_the_setting_comes_back(rows, threads):
    np.linalg.eigvalsh(np.eye(2))  # loads the library
    with threadpool_limits(2, user_api="blas"):
        with alone_if_small(rows):
            assert blas_threads() == threads
        assert blas_threads() == {2}
