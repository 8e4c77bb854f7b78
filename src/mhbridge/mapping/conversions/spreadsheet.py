"""
What a spreadsheet does to the cells of an extract that somebody opened and saved, and how each damage is told.

Damage is named, never mended: the digits that a spreadsheet took away are nowhere in the file. This module must never
guess a value.
"""

from __future__ import annotations

import re
from typing import Final

from mhbridge.mapping.conversions import Context, Unconvertible

__all__ = [
    "LOST_ZEROS",
    "note_garbled",
    "note_lost_zero",
    "refuse_debris",
    "refuse_reworked",
    "refuse_scientific",
    "why_no_date",
    "why_no_number",
]

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
_POINT_ZERO: Final = re.compile(r"\d{3,}\.0+", re.ASCII)
_THOUSANDS: Final = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", re.ASCII)
#: Excel keeps fifteen digits of a number, and writes zeros for the others. A SNOMED CT code of eighteen never ends in
#: three zeros (its partition is before its check digit); one of sixteen may well end in one.
_ROUNDED: Final = re.compile(r"[1-9]\d{14}0{3,10}", re.ASCII)
_SHORTEST_ROUNDED: Final = 18
#: Quotation marks, apostrophes, dashes and the hyphen that does not break a line (Unicode 15, General Punctuation).
_TYPOGRAPHIC: Final = re.compile("[\u2010-\u2015\u2018-\u201f\u2212]")
_BEYOND: Final = re.compile(r"[^\x00-\x7f]{2,}")
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


def refuse_reworked(text: str) -> None:
    """
    What was done to digits that are no number: to an identifier, a code, a telephone number.

    Raises:
        Unconvertible: I641 it was rounded, I646 `.0` was written behind it, I647 separators were put into it, I649
            signs were put in the place of plain quotes and hyphens.
    """
    if len(text) < _SHORTEST_ROUNDED and text.isascii() and text.isalnum():
        return  # what was done to it would leave a sign in it, or more digits
    refuse_scientific(text)
    if _POINT_ZERO.fullmatch(text):
        raise Unconvertible("a spreadsheet has made a number of it, and written .0 behind it", code="I646")
    if _THOUSANDS.fullmatch(text):
        raise Unconvertible("a spreadsheet has made a number of it, and put commas between its thousands", code="I647")
    if _ROUNDED.fullmatch(text):
        raise Unconvertible("a spreadsheet has rounded the number: it keeps fifteen digits", code="I641")
    if _TYPOGRAPHIC.search(text):
        raise Unconvertible("a quote or hyphen was replaced by one that a printer has", code="I649")


def why_no_number(text: str, error: Unconvertible) -> Unconvertible:
    """Why a text is no number, where separators were put into it: whether a comma is one, nobody can say."""
    if _THOUSANDS.fullmatch(text):
        return Unconvertible("not a number: what the comma in it separates, cannot be said", code="I647")
    return error


def note_garbled(text: str, context: Context) -> None:
    """
    Say that a text was read in a wrong encoding before it came here. It is kept as it is: a person can read it.

    The bytes of UTF-8 taken for Windows-1252 give runs of signs that are UTF-8 again when they are written as such.
    """
    if text.isascii():
        return
    for run in _BEYOND.findall(text):
        try:
            run.encode("cp1252").decode("utf-8")
        except UnicodeError:
            continue
        context.note("I648", "a program has read the text in a wrong encoding: signs are garbled")
        return
    if "\ufffd" in text:
        context.note("I648", "a program could not read a sign of the text, and put another in its place")


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
