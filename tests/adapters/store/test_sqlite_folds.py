"""A remembered fold is the fold: against folding anew, for any order of arrival; and it reads no more than it must."""

from hypothesis import given
from hypothesis import strategies as st

from mhbridge.adapters.sql.folds import Folds, Said
from mhbridge.mapping.known import fold
from mhbridge.model import DELETED, NOTHING_KNOWN, UNKNOWN_ERROR

ITEMS = st.dictionaries(st.sampled_from("abc"), st.sampled_from([1, 2, DELETED, UNKNOWN_ERROR]), min_size=1)
PATIENTS = (b"p", b"q", b"r")
EVENT, LETTER = "event", "letter"


class Stored:
    """What the store holds, and how often it was read."""

    def __init__(self):
        self.readings = []
        self.reads = 0

    def __call__(self, patient):
        self.reads += 1
        return [said for whose, said in self.readings if whose == patient]


def some(said, document, episode):
    return said.document == (document or said.document) and said.episode == (episode or said.episode)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(PATIENTS), st.sampled_from([EVENT, LETTER]), st.sampled_from([b"1", b"2"]),
            st.integers(0, 9), ITEMS, st.sampled_from(["told", "told late", "never told"]),
        )
    ),
    st.integers(1, 3),
)  # fmt: skip
def test_the_fold_is_the_same_as_anew(arrivals, most):
    stored = Stored()
    folds = Folds(stored, most)
    waiting = []
    for number, (patient, document, episode, at, items, how) in enumerate(arrivals, 1):
        said = Said(number, document, episode, at, 0, items)
        stored.readings.append((patient, said))
        if how != "never told":
            waiting.append((number, patient, said))
        if how == "told":
            for one in waiting:
                folds.note(*one)
            waiting.clear()
        if waiting or how != "told":
            # Until it is told, what was remembered before it holds.
            continue
        for whose in PATIENTS:
            for kind, stay in ((document, episode), (document, b""), ("", b"")):
                wanted = sorted((s for p, s in stored.readings if p == whose and some(s, kind, stay)), key=order)
                known = folds.known(whose, kind, stay)
                assert known.items == fold(said.items for said in wanted)
                assert known == Folds(stored).known(whose, kind, stay)


def order(said):
    return said.event_at, said.sent_at, said.id


def test_what_is_told_is_not_read():
    stored = Stored()
    folds = Folds(stored)
    assert folds.known(b"p", EVENT, b"1") == NOTHING_KNOWN
    for number in (1, 2, 3):
        folds.note(number, b"p", Said(number, EVENT, b"1", number, 0, {"n": number}))
    assert folds.known(b"p", EVENT, b"1").items == {"n": 3}
    assert folds.known(b"p", "", b"").items == {"n": 3}
    assert folds.known(b"p", LETTER, b"") == NOTHING_KNOWN
    assert stored.reads == 1


def test_what_was_read_meanwhile_is_not_told_twice():
    stored = Stored()
    folds = Folds(stored)
    said = Said(7, EVENT, b"1", 1, 0, {"n": 1})
    stored.readings.append((b"p", said))
    before = folds.known(b"p", EVENT, b"1")
    folds.note(1, b"p", said)
    assert folds.known(b"p", EVENT, b"1") == before


def test_after_a_gap_and_for_a_late_one_all_is_read_again():
    stored = Stored()
    folds = Folds(stored)
    readings = [Said(number, EVENT, b"1", at, 0, {"n": number}) for number, at in ((1, 5), (2, 6), (3, 4), (4, 7))]
    folds.known(b"p", EVENT, b"1")
    for number, said in enumerate(readings[:3], 1):
        stored.readings.append((b"p", said))
        folds.note(number, b"p", said)
    assert folds.known(b"p", EVENT, b"1").items == {"n": 2}
    assert stored.reads == 2
    stored.readings.append((b"p", readings[3]))
    folds.note(9, b"q", readings[3])
    assert folds.known(b"p", EVENT, b"1").items == {"n": 4}
    assert stored.reads == 3


def test_what_could_not_be_read_is_not_remembered():
    def stored(_patient):
        raise LookupError

    folds = Folds(stored)
    for _ in range(2):
        try:
            folds.known(b"p", EVENT, b"1")
        except LookupError:
            continue
        raise AssertionError
