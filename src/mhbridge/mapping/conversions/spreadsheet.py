"""
What a spreadsheet does to the cells of an extract that somebody opened and saved, and how each damage is told.

Damage is named, never mended: the digits that a spreadsheet took away are nowhere in the file. This module must never
guess a value.
"""

from __future__ import annotations

import re
from typing import Final

from mhbridge.mapping.conversions import Context, Unconvertible

__all__ = ["LOST_ZEROS", "note_lost_zero", "refuse_debris", "refuse_scientific", "why_no_date"]

#: A code that would be in the table with the zeros that spreadsheets take away.
LOST_ZEROS: Final = "I643"

#: The error values of Excel, LibreOffice and Google Sheets, and a column that was too narrow when it was exported.
_DEBRIS: Final = re.compile(
    r"#(?:REF!|N/A|NAME\?|VALUE!|DIV/0!|NUM!|NULL!|SPILL!|CALC!|FIELD!|BLOCKED!|CONNECT!|UNKNOWN!|GETTING_DATA|ERROR!|#+)",
    re.IGNORECASE,
)
_SCIENTIFIC: Final = re.compile(r"\d(?:[.,]\d+)?E\+?\d{1,2}", re.IGNORECASE | re.ASCII)
#: Excel counts days from 1900, with a fraction for the time; five digits are the years 1927 to 2173.
_SERIAL: Final = re.compile(r"\d{5}(?:\.\d+)?", re.ASCII)
_ZERO_LOST: Final = re.compile(r"[12378]\d{8,9}", re.ASCII)
_LAYOUT: Final = re.compile(r"[\s()./-]")
_DAY: Final = re.compile(r"(\d\d?)([-/. ])(\d\d?)\2\d{4}(?!\d)", re.ASCII)
_ORDER: Final = re.compile(r"(dd?|mm?)[-/. ](dd?|mm?)[-/. ]yyyy", re.IGNORECASE)


def refuse_debris(text: str) -> None:
    """
    Raises:
        Unconvertible: I640, the cell holds the error of a formula.
    """
    if text.startswith("#") and _DEBRIS.fullmatch(text):
        raise Unconvertible("the error of a spreadsheet stands where the value was", code="I640")


def refuse_scientific(text: str) -> None:
    """
    Raises:
        Unconvertible: I641, an identifier was written as a rounded number.
    """
    if "+" in text and _SCIENTIFIC.fullmatch(text):
        raise Unconvertible("a spreadsheet has rounded the number and written it with an exponent", code="I641")


def note_lost_zero(text: str, context: Context) -> None:
    """
    Say that a telephone number has lost its zero. It is kept: whoever calls can tell, and a number is better than none.

    Ofcom, National Telephone Numbering Plan: a number is dialled with 0 and nine or ten digits.
    """
    if _ZERO_LOST.fullmatch(_LAYOUT.sub("", text)):
        context.note("I645", "a telephone number without its zero, which a spreadsheet takes away")


def why_no_date(text: str, dates: str, error: Unconvertible) -> Unconvertible:
    """Why a text is no date of the declared order, where a spreadsheet did it."""
    if _SERIAL.fullmatch(text):
        return Unconvertible("the number that a spreadsheet counts days by stands where a date was", code="I642")
    day, order = _DAY.match(text), _ORDER.match(dates.strip())
    if day is not None and order is not None:
        first, second = int(day[1]), int(day[3])
        month, other = (second, first) if order[1][0] in "dD" else (first, second)
        if month > 12 >= other > 0:
            return Unconvertible(
                f"not a date of the form {dates}; it would be one with day and month changed", code="I644"
            )
    return error
