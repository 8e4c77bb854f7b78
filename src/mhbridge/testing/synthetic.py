"""
Makes a fixture of a message that may be a real patient's: the same places, and nothing of what stands in them.

Every leaf is replaced by something invented of the same kind, but for those that the caller names: delimiters, message
types, issuers, names of lists and parts. What is put there depends on the kind of value and on how many came before,
and never on the value itself, so that nothing can be found out backwards; equal values stay equal, and instants keep
their order. This module must never leave a value where it cannot tell its kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from mhbridge.errors import MessageError
from mhbridge.formats import Message
from mhbridge.mapping import nodes
from mhbridge.mapping.codes import Table
from mhbridge.mapping.nhs_number import check_digit
from mhbridge.mapping.supplier import SupplierMapping
from mhbridge.testing.letters import letter_like

__all__ = ["Invented", "synthetic"]

_HL7_TIME: Final = re.compile(r"(\d{8}|\d{10}|\d{12}|\d{14})(\.\d+)?([+-]\d{4})?")
_ISO_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)?)?")
_DAY_TIME: Final = re.compile(r"(\d{1,2})([-/. ])(\d{1,2})\2(\d{4})( \d{1,2}:\d\d(?::\d\d)?)?")
_CLOCK: Final = re.compile(r"\d{1,2}:\d\d(:\d\d)?")
_POSTCODE: Final = re.compile(r"[A-Za-z]{1,2}\d[A-Za-z\d]? ?\d[A-Za-z]{2}")
_PHONE: Final = re.compile(r"\+?[\d ()-]{9,17}")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")
_SIGNS: Final = re.compile(r"[\W_]")
_OID: Final = re.compile(r"[0-2](\.[0-9]+){3,}", re.ASCII)
_CODE: Final = re.compile(r"[A-Z0-9][A-Z0-9_.&/-]{0,19}")
#: From here on dates are of a stay; those much earlier are dates of birth and the like.
_RECENT: Final = datetime(2025, 2, 3, 9, 30)  # noqa: DTZ001  # written without an offset, as it was
_OLD: Final = datetime(1961, 5, 4, 8, 15)  # noqa: DTZ001  # as above
_NAMES: Final = ("Inventname", "Fictname", "Imagname", "Madename", "Specname", "Pretname")


class Invented:
    """
    What is put in the place of values.

    Args:
        chosen: path of leaves alike → what may stand there, where the mapping only understands certain words.
        dates: how the source writes dates, where not as HL7 v2 or ISO 8601 do.
    """

    def __init__(self, chosen: Mapping[str, str] | None = None, dates: str = "") -> None:
        self._chosen = chosen or {}
        self._month_first = dates.startswith("mm")
        self._made: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}
        self._instants: dict[datetime, datetime] = {}

    def know(self, texts: Collection[str]) -> None:
        """The values there are, so that instants can keep their order."""
        found = sorted({when for text in texts if (when := self._read(text)) is not None})
        last = found[-1] if found else _RECENT
        recent = old = 0
        for when in found:
            if last - when < timedelta(days=800):
                self._instants[when] = _RECENT + timedelta(hours=5, minutes=15) * recent
                recent += 1
            else:
                self._instants[when] = _OLD + timedelta(days=400) * old
                old += 1

    def __call__(self, like: str, text: str) -> str:
        """What stands in the place of a value."""
        if like in self._chosen:
            return self._chosen[like]
        kind, make = self._kind(text)
        key = (kind, text)
        if key not in self._made:
            self._counts[kind] = number = self._counts.get(kind, 0) + 1
            self._made[key] = make(number)
        return self._made[key]

    def in_name(self, like: str, text: str) -> str:
        """What stands in the place of a part of a file's name: with no sign that could part it from the next."""
        made = self(like, text)
        if _SIGNS.findall(made) == _SIGNS.findall(text):
            return made
        key = ("part", text)
        if key not in self._made:
            self._counts["part"] = self._counts.get("part", 0) + 1
            self._made[key] = f"Invented{self._counts['part']}"
        return self._made[key]

    def _kind(self, text: str) -> tuple[str, Callable[[int], str]]:  # one return a kind
        when = self._read(text)
        if when is not None:
            return "time", lambda _: self._written(text, when)
        plain = text.strip()
        if _CLOCK.fullmatch(plain):
            return "clock", lambda _: "10:30" + (":00" if plain.count(":") == 2 else "")
        ten = re.sub(r"[ -]", "", plain)
        if len(ten) == 10 and ten.isascii() and ten.isdecimal() and check_digit(ten[:9]) == int(ten[9]):
            return "nhs", _nhs_number
        if _POSTCODE.fullmatch(plain) and " " in plain:
            return "postcode", lambda _: "ZZ1 1ZZ"
        if _OID.fullmatch(plain):
            # ITU-T X.660: 2.999 is the arc for examples.
            return "oid", lambda n: f"2.999.{n}"
        if plain.startswith("tel:"):
            return "tel", lambda n: f"tel:01632960{n % 1000:03}"
        if plain.startswith("mailto:"):
            return "mailto", lambda n: f"mailto:invented.{n}@post.example"
        if "@" in plain and " " not in plain:
            return "email", lambda n: f"invented.{n}@post.example"
        if _PHONE.fullmatch(plain) and sum(c.isdigit() for c in plain) >= 10:
            # Ofcom keeps 01632 960000 to 960999 for drama.
            return "phone", lambda n: f"01632 960{n % 1000:03}"
        if _NUMBER.fullmatch(plain):
            width, point = len(plain.lstrip("-")), "." in plain
            return f"number{width}{point}", lambda n: _digits(n, plain)
        if _CODE.fullmatch(plain) and (len(plain) <= 4 or any(c.isdigit() for c in plain)):
            return f"code{len(plain)}", lambda n: _coded(n, plain)
        if " " not in plain and plain.isalpha():
            return "name", lambda n: _name(n, plain)
        if not any(character.isalnum() for character in plain):
            return "sign", lambda _: plain
        return "text", lambda n: f"Invented text {n}."

    def _read(self, text: str) -> datetime | None:
        """The instant that a text is. A code of eight digits may look like one, but not of a year that is any use."""
        found = self._parsed(text.strip())
        return found if found is not None and 1880 <= found.year <= 2100 else None

    def _parsed(self, plain: str) -> datetime | None:
        try:
            if _HL7_TIME.fullmatch(plain):
                return datetime.strptime(f"{plain[:14]:0<14}" if len(plain) > 8 else f"{plain}000000", "%Y%m%d%H%M%S")  # noqa: DTZ007
            if _ISO_TIME.fullmatch(plain):
                return datetime.fromisoformat(plain[:19].replace(" ", "T"))
            if found := _DAY_TIME.fullmatch(plain):
                day, month = (found[3], found[1]) if self._month_first else (found[1], found[3])
                return datetime(int(found[4]), int(month), int(day))  # noqa: DTZ001  # as it is written
        except ValueError:
            return None
        return None

    def _written(self, text: str, when: datetime) -> str:
        """Another instant, as this one is written."""
        now, plain = self._instants.get(when, _RECENT), text.strip()
        if found := _DAY_TIME.fullmatch(plain):
            first, second = (now.month, now.day) if self._month_first else (now.day, now.month)
            clock = "" if not found[5] else f" {now:%H:%M}" + (":00" if found[5].count(":") == 2 else "")
            return f"{first:02}{found[2]}{second:02}{found[2]}{now.year}{clock}"
        if "-" in plain[:8]:
            iso = now.isoformat()[: len(plain[:19])]
            return iso.replace("T", " ") if " " in plain else iso + ("Z" if plain.endswith("Z") else "")
        length = len(_HL7_TIME.fullmatch(plain)[1])  # type: ignore[index]
        return f"{now:%Y%m%d%H%M%S}"[:length]


def synthetic(mapping: SupplierMapping, message: Message, keep: Collection[str]) -> bytes:
    """
    The bytes of a message with every value replaced.

    Args:
        keep: paths whose values stay: `PID-3.4`, and `OBX-3` with all below it; `//@use` wherever it stands.

    Raises:
        MessageError: what came out cannot be read any more.
    """
    format_, source = mapping.format, mapping.source
    invented = Invented(_understood(mapping), str(source.options.get("dates", "")))
    cells = [
        (cell, bit) for cell, mask in format_.populated(message) for bit in range(mask.bit_length()) if mask >> bit & 1
    ]
    likes = {at: format_.path(message, *at, source, exact=False) for at in cells}
    cells = [at for at in cells if not any(_kept(likes[at], one) for one in keep)]
    invented.know([format_.leaf(message, cell, bit) for cell, bit in cells])
    body: bytes = message.body
    rewritten = getattr(format_, "rewritten", None)
    if rewritten is not None:
        # A document has thousands of leaves: to write and read it again for each would take minutes.
        body = rewritten(message, {at: invented(likes[at], format_.leaf(message, *at)) for at in cells})
        _only(format_.messages(body, [source]))
        return body
    for cell, bit in cells:
        like = likes[cell, bit]
        text = format_.leaf(message, cell, bit)
        if like == "[file:content]":
            made = letter_like(text)
        else:
            made = invented.in_name(like, text) if like.startswith("[file:") else invented(like, text)
        body = format_.altered(message, cell, bit, made, source)
        message = _only(format_.messages(body, [source]))
    return body


def _kept(like: str, path: str) -> bool:
    return like.endswith(path[1:]) if path.startswith("//") else like == path or like.startswith(f"{path}.")


def _only(found: Any) -> Message:
    for message, _ in found:
        if isinstance(message, MessageError):
            raise message
        one: Message = message
        return one
    raise MessageError("M700", "there is no message in it")


def _understood(mapping: SupplierMapping) -> dict[str, str]:
    """Path → a word that the mapping understands there: of a table, of a flag."""
    found: dict[str, str] = {}
    for node in nodes.walk(tuple(item.body for item in mapping.file.items)):
        if not isinstance(node, nodes.Apply):
            continue
        paths = [read.path for read in nodes.walk(node.args) if isinstance(read, nodes.Read)]
        word = ""
        for argument in node.args:
            if isinstance(argument, nodes.Literal) and isinstance(argument.value, Table) and argument.value.rows:
                word = _plain_row(argument.value)
            elif isinstance(argument, nodes.Literal) and node.name == "flag":
                word = str(argument.value)
        if word:
            for path in paths:
                found[path] = found[f"{path}.1"] = word
    return found


def _plain_row(table: Table) -> str:
    """A code of a table that withholds nothing and takes nothing back, so that a document comes of it."""
    special = {"restricted", "cancel", "merge", "unlink", "none"}
    plain = (code for code, rows in table.rows.items() if not special & {row.target_code for row in rows})
    return next(plain, next(iter(table.rows)))


def _digits(number: int, like: str) -> str:
    width = len(like.partition(".")[0].lstrip("-"))
    whole = str(number % 10 if width == 1 else 9 * 10 ** (width - 1) + number)[-width:]
    return f"{whole}.{'5' * len(like.partition('.')[2])}" if "." in like else whole


def _coded(number: int, like: str) -> str:
    """Letters become X, digits 9, and the last of them tells several apart."""
    made = re.sub("[A-Z]", "X", re.sub(r"\d", "9", like))
    tail = chr(ord("A") + number % 26) if made[-1] == "X" else str(number % 10)
    return made[:-1] + tail if made[-1] in "X9" else made


def _name(number: int, like: str) -> str:
    name = _NAMES[(number - 1) % len(_NAMES)] + ("" if number <= len(_NAMES) else chr(ord("a") + number // len(_NAMES)))
    return name.upper() if like.isupper() and len(like) > 1 else name


def _nhs_number(number: int) -> str:
    """An NHS number of the range that is never issued."""
    while (check := check_digit(f"999{number:06}")) is None:
        number += 1000
    return f"999{number:06}{check}"
