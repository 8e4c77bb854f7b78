"""Items survive being written and read, exactly; what could not is refused."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhbridge.mapping import record
from mhbridge.mapping.record import dumps, loads
from mhbridge.model import ABSENT, DELETED, MASKED, Unknown

# Names that the form itself uses.
NAMES = st.sampled_from(["$", "$deleted", "$decimal", "$unknown", "$object", "$integer", "value"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False)
    | st.text(st.characters(codec="utf-8"))
    | st.sampled_from([DELETED, MASKED, Unknown("asked-unknown")]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")) | NAMES, inner),
    max_leaves=20,
)


def exactly(value):
    """A value with what equality overlooks: 1 and True and 1.0, 1.10 and 1.1."""
    match value:
        case dict():
            return {name: exactly(part) for name, part in value.items()}, list(value)
        case list():
            return [exactly(part) for part in value]
    return type(value), str(value) if isinstance(value, Decimal) else value


@given(st.dictionaries(st.text(st.characters(codec="utf-8")) | NAMES, VALUES))
def test_what_comes_back_is_what_went_in(items):
    assert exactly(loads(dumps(items))) == exactly(items)


@pytest.mark.parametrize(
    "value",
    [
        Decimal("1.10"),
        Decimal("1E+3"),
        Decimal("-0.00"),
        Decimal("3.1415926535897932384626433832795028841971"),
        1 << 63,
        -(1 << 63),
        -(1 << 63) - 1,
        0,
        False,
        "line\nbreaks\t\x1f and \U0001f9e0",
        {"$decimal": "1.10"},
        {"$object": {"$deleted": True}},
        {"value": Decimal("1.10"), "given": ["A", None], "more": {"deep": [MASKED, {"$": DELETED}]}},
        [],
        {},
    ],
)
def test_hard_values_come_back_exactly(value):
    assert exactly(loads(dumps({"item": value}))) == exactly({"item": value})


def test_the_same_items_are_the_same_bytes():
    items = {"b": Decimal("1.10"), "a": [DELETED, Unknown("masked")]}
    assert dumps(items) == dumps(dict(items))


@pytest.mark.parametrize(
    ("value", "is_quick"),
    [
        (2, True), ((1 << 63) - 1, True), (-(1 << 63), True), (["A", 1, True, None, Decimal("1.10")], True),
        (1 << 63, False), ([{"deep": (1 << 64) - 1}], False), (-(1 << 63) - 1, False), ({"$deleted": 1}, False),
    ],
)  # fmt: skip
def test_what_is_written_at_once_is_what_is_written_one_by_one(value, is_quick):
    items = {"rank": value, "name": "A"}
    assert record._at_once(items) == (record._one_by_one(items) if is_quick else None)
    assert dumps(items) == record._one_by_one(items)


def test_a_tuple_is_a_list():
    assert loads(dumps({"given": ("A", "B")})) == {"given": ["A", "B"]}


@pytest.mark.parametrize("value", [1.5, date(2026, 3, 3), b"bytes", {1: "x"}, ABSENT, object(), {"deep": [1.5]}])
def test_what_has_no_exact_form_is_refused_without_its_value(value):
    with pytest.raises(TypeError) as raised:
        dumps({"weight": value})
    assert "'weight'" in str(raised.value)
    assert "1.5" not in str(raised.value)


def test_a_mark_of_another_version_is_refused():
    with pytest.raises(ValueError, match=r"\$later"):
        loads(b'{"item": {"$later": 1}}')
