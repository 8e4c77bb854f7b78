from __future__ import annotations

import pytest

from mhbridge.mapping.nhs_number import check_digit, nhs_number
from mhbridge.mapping.types import BUILT_IN_RECORDS, PRIMITIVES, Type, parse_type


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dateTime", Type("dateTime")),
        (" nhs_number ", Type("nhs_number")),
        ("list of diagnosis", Type("diagnosis", many=True)),
        ("any of [Quantity, string]", Type("any", options=("Quantity", "string"))),
        ("list of any of [Quantity,string]", Type("any", many=True, options=("Quantity", "string"))),
        ("any of [dateTime]", Type("any", options=("dateTime",))),
        ("listing", Type("listing")),
        ("anybody", Type("anybody")),
    ],
)
def test_types_are_read_and_written(text, expected) -> None:
    assert parse_type(text) == expected
    assert parse_type(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a type is missing"),
        ("list of", "a type is missing"),
        ("list", "a list says what it is a list of: 'list of dateTime'"),
        ("list dateTime", "a list says what it is a list of: 'list of dateTime'"),
        ("list of list of code", "a list of lists is not possible: declare a record that holds the inner list"),
        ("any of Quantity", "alternatives are written 'any of [Quantity, string]'"),
        ("any", "alternatives are written 'any of [Quantity, string]'"),
        ("any of []", "a type is missing"),
        ("any of [Quantity,]", "a type is missing"),
        ("any of [Quantity, Quantity]", "'Quantity' stands twice in 'any of'"),
        ("any of [list, code]", "'list' stands before 'of', it is not a type itself"),
        ("any of [any of [a], b]", "'any of [a]' is not the name of a type"),
        ("date time", "'date time' is not the name of a type"),
        ("1st", "'1st' is not the name of a type"),
    ],
)
def test_what_is_no_type_says_why(text, message) -> None:
    with pytest.raises(ValueError) as refusal:
        parse_type(text)
    assert str(refusal.value) == message


def test_one_of_a_list_and_a_list_of_one() -> None:
    many = parse_type("list of any of [Quantity, string]")
    assert many.single() == parse_type("any of [Quantity, string]")
    assert many.single().listed() == many
    assert many.names == ("Quantity", "string")
    assert Type("code").names == ("code",)
    assert many.listed() is many
    assert Type("code").single() == Type("code")


def test_types_are_values() -> None:
    with pytest.raises(AttributeError):
        Type("code").name = "string"  # type: ignore[misc]
    assert len({Type("code"), Type("code"), Type("code", many=True)}) == 2


def test_fields_of_the_built_in_records_are_types_that_exist() -> None:
    known = (
        PRIMITIVES | BUILT_IN_RECORDS.keys() | {"Identifier", "HumanName", "CodeableConcept", "ContactPoint", "Address"}
    )
    for fields in BUILT_IN_RECORDS.values():
        assert {type_.name for type_ in fields.values()} <= known
        assert all(parse_type(str(type_)) == type_ for type_ in fields.values())


# --- NHS numbers -------------------------------------------------------------------------------------------


def valid() -> list[str]:
    """Numbers of the range that is never issued, made by the rule."""
    firsts = [f"999{number:06d}" for number in range(0, 1000, 7)]
    return [f"{first}{digit}" for first in firsts if (digit := check_digit(first)) is not None]


def test_every_other_last_digit_is_wrong() -> None:
    for number in valid():
        assert nhs_number(number) == number
        for digit in "0123456789":
            if digit != number[9]:
                with pytest.raises(ValueError):
                    nhs_number(number[:9] + digit)


def test_neighbours_exchanged_are_noticed() -> None:
    for number in valid():
        for at in range(8):
            exchanged = number[:at] + number[at + 1] + number[at] + number[at + 2 :]
            if exchanged != number:
                with pytest.raises(ValueError):
                    nhs_number(exchanged)


def test_some_nine_digits_have_no_number() -> None:
    # The first digits of the number that the mental health examples of the guides print, which fails the check.
    assert check_digit("123456789") is None
    assert [check_digit(first) for first in ("999000001", "999000005")] == [8, 0]


@pytest.mark.parametrize(
    "text", ["", "999000001", "99900000180", "999000001x", "٩٩٩٠٠٠٠٠١٨", "3333333333", "0000000000"]
)
def test_no_nhs_number(text) -> None:
    with pytest.raises(ValueError) as refusal:
        nhs_number(text)
    assert not text or text not in str(refusal.value)
