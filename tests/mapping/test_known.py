"""The fold of readings and the order that it needs, case by case and against any readings."""

from datetime import timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhbridge.mapping.known import fold, moment
from mhbridge.model import ABSENT, DELETED, MASKED, UNKNOWN_ERROR, Unknown


@pytest.mark.parametrize(
    ("readings", "known"),
    [
        ([], {}),
        ([{"ward": "Elm"}], {"ward": "Elm"}),
        ([{"ward": "Elm"}, {"ward": "Oak"}], {"ward": "Oak"}),
        ([{"ward": "Elm"}, {"bed": "4"}], {"ward": "Elm", "bed": "4"}),
        ([{"ward": "Elm"}, {"ward": ABSENT}], {"ward": "Elm"}),
        ([{"ward": "Elm"}, {"ward": DELETED}], {}),
        ([{"ward": DELETED}], {}),
        ([{"ward": "Elm"}, {"ward": DELETED}, {"ward": "Oak"}], {"ward": "Oak"}),
        ([{"ward": "Elm"}, {"ward": UNKNOWN_ERROR}], {"ward": UNKNOWN_ERROR}),
        ([{"ward": Unknown("asked-unknown")}, {"ward": "Oak"}], {"ward": "Oak"}),
        ([{"ward": MASKED}, {"ward": DELETED}], {}),
        ([{"n": [1, 2]}, {"n": [3]}], {"n": [3]}),
        ([{"n": [1]}, {"n": []}], {"n": []}),
        ([{"on": True}, {"on": False}], {"on": False}),
        ([{"n": Decimal("1.10")}, {"n": 0}], {"n": 0}),
    ],
)
def test_the_last_reading_that_says_something_decides(readings, known):
    assert fold(readings) == known


ITEMS = st.dictionaries(
    st.sampled_from("abc"), st.sampled_from([1, 2, "x", DELETED, UNKNOWN_ERROR, ABSENT, Unknown("masked")])
)


@given(st.lists(ITEMS), st.lists(ITEMS))
def test_a_fold_can_go_on_from_a_fold(first, second):
    # Deleting needs the item that is deleted, so only what was known before is folded on.
    assert fold([fold(first), *second]) == fold([*first, *second])


@given(st.lists(ITEMS))
def test_readings_are_left_as_they_are(readings):
    before = [dict(items) for items in readings]
    fold(readings)
    assert readings == before


HOUR = 3_600_000_000


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("1970", 0),
        ("1970-01-01", 0),
        ("19700101", 0),
        ("1970-01-02", 24),
        ("1970-02", 31 * 24),
        ("197002", 31 * 24),
        ("1970-01-01T06:00:00Z", 6),
        ("1970-01-01T06:00:00+01:00", 5),
        ("1970-01-01T06:00:00-05:00", 11),
        ("1970-01-01T06:00", 6),
        ("197001010600", 6),
        ("1970010106", 6),
        ("19700101060000", 6),
        ("19700101060000+0100", 5),
        ("19700101060000.0000+0100", 5),
        (" 19700101060000 ", 6),
    ],
)
def test_fhir_and_hl7_times_are_instants(text, hours):
    assert moment(text) == hours * HOUR


def test_fractions_of_a_second_count():
    assert moment("19700101000000.0001") == 100
    assert moment("1970-01-01T00:00:00.123456789Z") == 123_456


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "0000",
        "19701301",
        "19700230",
        "1970-01-01T24:00:00Z",
        "197001011",
        "1970-01-01+99:00",
        "１９７０",
    ],
)
def test_what_is_no_time_is_none(text):
    assert moment(text) is None


ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=ZONES), st.datetimes(timezones=ZONES))
def test_instants_are_ordered_like_their_times(first, second):
    assert (moment(first.isoformat()) < moment(second.isoformat())) == (first < second)
    assert (moment(first.isoformat()) == moment(second.isoformat())) == (first == second)
