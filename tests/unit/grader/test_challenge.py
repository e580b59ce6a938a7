import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from grader.challenge import Answers, derive_seed

SECRET = bytes(range(32))
names = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=8), max_size=4)


def test_a_seed_is_the_start_of_the_hmac_of_the_length_prefixed_names() -> None:
    message = b"\0\0\0\3ada" + b"\0\0\0\7vanilla" + b"\0\0\0\2\xc3\xa9"
    digest = hmac.new(SECRET, message, hashlib.sha256).hexdigest()
    assert derive_seed(SECRET, "ada", "vanilla", "é") == int(digest[:8], 16)


@given(names)
def test_seeds_are_stable_and_fit_numpy_and_torch(parts: list[str]) -> None:
    seed = derive_seed(SECRET, *parts)
    assert seed == derive_seed(SECRET, *parts)
    assert 0 <= seed < 2**32


@given(names, names)
def test_only_the_same_names_give_the_same_seed(first: list[str], second: list[str]) -> None:
    assert (derive_seed(SECRET, *first) == derive_seed(SECRET, *second)) == (first == second)


@given(st.text("ab", min_size=2, max_size=12), st.data())
def test_where_one_name_ends_and_the_next_begins_matters(text: str, data: st.DataObject) -> None:
    one, other = (data.draw(st.integers(0, len(text))) for _ in range(2))
    seeds = [derive_seed(SECRET, text[:cut], text[cut:]) for cut in (one, other)]
    assert (seeds[0] == seeds[1]) == (one == other)


def test_another_secret_gives_other_seeds() -> None:
    tasks = [f"task{i}" for i in range(50)]
    ours = [derive_seed(SECRET, task) for task in tasks]
    theirs = [derive_seed(bytes(32), task) for task in tasks]
    assert not set(ours) & set(theirs)


def test_seeds_of_students_look_independent() -> None:
    """Bits of 4,000 seeds: each is set in half of them, within five standard deviations (0.5 ± 0.04)."""
    seeds = [derive_seed(SECRET, f"student{i}", "vanilla", "twin") for i in range(4000)]
    assert len(set(seeds)) > 3990  # 4000² / 2³³ ≈ 0.002 collisions are expected
    for bit in range(32):
        assert abs(sum(seed >> bit & 1 for seed in seeds) / 4000 - 0.5) < 0.04


def test_answers_start_empty() -> None:
    assert not Answers().arrays
    assert not Answers().problems
