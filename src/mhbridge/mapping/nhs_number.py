"""
NHS numbers: ten digits of which the last one checks the others (Modulus 11).

The rule is the NHS Data Dictionary's for NHS NUMBER. A number that passes is well formed, which says nothing about
whose it is: that is the verification status, another value. This module must never put a number into a message.
"""

from __future__ import annotations

from itertools import accumulate
from operator import mul
from typing import Final

__all__ = ["check_digit", "nhs_number"]

_WEIGHTS: Final = (10, 9, 8, 7, 6, 5, 4, 3, 2)
#: What the characters of nine noughts add up to.
_OF_NOUGHTS: Final = ord("0") * sum(_WEIGHTS)


def check_digit(nine: str) -> int | None:
    """
    The tenth digit for the first nine; `None` when there is none, so that no such number is ever issued.
    """
    if len(nine) != len(_WEIGHTS):
        raise ValueError("there are nine digits before the check digit")
    check = 11 - (sum(map(mul, nine.encode("ascii"), _WEIGHTS)) - _OF_NOUGHTS) % 11
    # 11 stands for 0; 10 has no digit, and numbers that would need it are not used.
    return None if check == 10 else check % 11


def nhs_number(text: str) -> str:
    """
    The ten digits without the blanks that people write between them (`999 123 4567`).

    Raises:
        ValueError: it is not an NHS number; the message says why, without the number.
    """
    digits = text.replace(" ", "")
    if not (len(digits) == 10 and digits.isascii() and digits.isdecimal()):
        raise ValueError("an NHS number has ten digits")
    # 3333333333 and its like pass the check, and are what people type to get past a form.
    if digits == digits[0] * 10:
        raise ValueError("an NHS number is not one digit ten times")
    # Each digit is in as many of the running sums as it weighs: ten, nine … one, the check digit's own. What the
    # characters are more than their digits is 48 × 55, which is a multiple of 11 itself.
    if sum(accumulate(digits.encode())) % 11:
        raise ValueError("the check digit of the NHS number is wrong (Modulus 11)")
    return digits
