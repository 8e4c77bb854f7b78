"""
What fonts of signs show: Adobe's Symbol, and of Wingdings what letters of clinics have.

In such a font a byte is a picture, and a letter of another font means nothing. This module must never guess a sign: one
that is not known says that one was there.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SIGN", "is_of_signs", "sign_of"]

#: What stands for a sign that is not known.
SIGN: Final = "[symbol]"
#: Adobe's Symbol encoding from U+0020 to U+007E, where most signs are not their ASCII; a blank: not known.
_SYMBOL_LOW: Final = " !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_ αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼"
#: The rest of it, as far as letters of clinics have it.
_SYMBOL_HIGH: Final = {
    0xA2: "′", 0xA3: "≤", 0xA5: "∞", 0xAB: "↔", 0xAC: "←", 0xAD: "↑", 0xAE: "→", 0xAF: "↓", 0xB0: "°", 0xB1: "±",
    0xB2: "″", 0xB3: "≥", 0xB4: "×", 0xB5: "∝", 0xB7: "•", 0xB8: "÷", 0xB9: "≠", 0xBA: "≡", 0xBB: "≈", 0xBC: "…",
}  # fmt: skip
#: Font → byte → sign. Of Wingdings, ticks and crosses matter; bullets are what lists begin with.
_OF_FONT: Final[dict[str, dict[int, str]]] = {
    "symbol": {0x20 + n: c for n, c in enumerate(_SYMBOL_LOW) if c != " " or not n} | _SYMBOL_HIGH,
    "wingdings": {
        0x20: " ", 0x6C: "•", 0x6E: "•", 0x6F: "☐", 0x71: "☐", 0x76: "•", 0x9F: "•", 0xA7: "•", 0xA8: "☐", 0xD8: "•",
        0xDF: "←", 0xE0: "→", 0xE1: "↑", 0xE2: "↓", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑",
    },
}  # fmt: skip
#: Fonts of signs of which no sign is known.
_OTHERS: Final = frozenset({"wingdings 2", "wingdings 3", "webdings", "zapfdingbats", "zapf dingbats", "marlett"})


def is_of_signs(font: str) -> bool:
    """Whether a font shows signs in the place of letters."""
    name = font.casefold()
    return name in _OF_FONT or name in _OTHERS


def sign_of(font: str, unit: int) -> str:
    """What a character of a font of signs shows."""
    # Such fonts are also addressed in the private area, at U+F000 and what the byte is.
    byte = unit - 0xF000 if 0xF000 <= unit <= 0xF0FF else unit
    return _OF_FONT.get(font.casefold(), {}).get(byte, SIGN)
