"""A remembered fold is the fold: against folding anew, for any order of arrival; and it reads no more than it must."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhbridge.adapters.sqlite.folds import Folds
from mhbridge.mapping.known import fold
from mhbridge.model import DELETED, NOTHING_KNOWN, UNKNOWN_ERROR

ITEMS = st.dictionaries(st.sampled_from("abc"), st.sampled_from([1, 2, DELETED, UNKNOWN_ERROR]), min_size=1)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), ITEMS)), st.integers(1, 3))
def test_the_fold_is_the_same_as_anew(arrivals, most):
    readings = {}
    folds = Folds(lambda number: readings[number][1], most)
    episodes = {}
    for number, (episode, time, items) in enumerate(arrivals, 1):
        readings[number] = (time, items)
        episodes.setdefault(episode, []).append(number)
        for one, numbers in episodes.items():
            ordered = tuple(sorted(numbers, key=lambda number: (readings[number][0], number)))
            known = folds.known(one, ordered)
            assert known.items == fold(readings[number][1] for number in ordered)
            assert known == Folds(lambda number: readings[number][1]).known(one, ordered)


def test_only_what_is_new_is_read():
    read = []

    def reading(number):
        read.append(number)
        return {"n": number}

    folds = Folds(reading)
    assert folds.known("e", ()) == NOTHING_KNOWN
    folds.known("e", (1, 2))
    folds.known("e", (1, 2))
    folds.known("e", (1, 2, 3))
    assert read == [1, 2, 3]
    # A late one before the last is no going on.
    assert folds.known("e", (1, 4, 2, 3)).items == {"n": 3}
    assert read == [1, 2, 3, 1, 4, 2, 3]


def test_what_could_not_be_read_is_not_remembered():
    def reading(number):
        raise LookupError(number)

    folds = Folds(reading)
    for _ in range(2):
        with pytest.raises(LookupError):
            folds.known("e", (1,))
