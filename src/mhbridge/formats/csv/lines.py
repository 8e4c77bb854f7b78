"""
Bytes to lines: of a body that is in memory, or of a file that is not and never will be.

Lines are cut while they are bytes, so that a row keeps exactly its own, and are decoded one at a time. This module must
never hold more of a file than a block and the line that it ends in.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from mhbridge.errors import MalformedMessage
from mhbridge.formats import Source
from mhbridge.formats.encoding import codec_named, decode

__all__ = ["BOM", "Lines", "codec_of", "ending", "lines_of_body", "lines_of_file", "one_byte_codec"]

BOM: Final = b"\xef\xbb\xbf"

_LINE: Final = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n|\Z)")
_BLOCK: Final = 1 << 20
#: Longer than any row with a letter in it; what has no line end for so long is not a table.
_LONGEST: Final = 16_000_000


def codec_of(source: Source) -> str:
    """Python's name of the character set that a source declares, UTF-8 if it does not."""
    return codec_named(source.charset or "UTF-8") or "utf-8"


def one_byte_codec(codec: str) -> bool:
    """Whether ASCII is written as itself in it, so that lines can be cut while they are bytes."""
    return not codec.startswith(("utf-16", "utf-32"))


def alone(lines: bytes, codec: str) -> bytes:
    """
    Lines that `lines_of_body` gave, as they can be read again by themselves.

    Args:
        codec: what the source declares.
    """
    return lines if one_byte_codec(codec) else lines.decode().removeprefix("\ufeff").encode(codec)


def lines_of_body(body: bytes, codec: str) -> tuple[Iterator[bytes], str]:
    """
    The lines of a body, each with its end, and the codec that they are in. A mark of UTF-8 is part of the first line.

    Raises:
        MalformedMessage: M704, of UTF-16 and UTF-32, which have to be decoded whole.
    """
    if not one_byte_codec(codec):
        body, codec = decode(body, codec, codec.upper()).removeprefix("\ufeff").encode(), "utf-8"
    return (found[0] for found in _LINE.finditer(body) if found[0]), codec


def lines_of_file(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """
    The lines of a file, a block in memory at a time.

    Raises:
        MalformedMessage: M776, a line that does not end.
    """
    rest = b""
    while block := read(_BLOCK):
        rest += block
        # The last line of a block may go on in the next; so may a carriage return, with its line feed.
        end = max(rest.rfind(b"\n"), rest.rfind(b"\r", 0, -1)) + 1
        for found in _LINE.finditer(rest[:end]):
            if found[0]:
                yield found[0]
        rest = rest[end:]
        if len(rest) > _LONGEST:
            raise MalformedMessage("M776", f"a line is longer than {_LONGEST} bytes")
    for found in _LINE.finditer(rest):
        if found[0]:
            yield found[0]


def ending(line: bytes) -> bytes:
    """How a line ends: carriage return and line feed, one of them, or nothing."""
    if line.endswith(b"\r\n"):
        return b"\r\n"
    return line[-1:] if line.endswith((b"\n", b"\r")) else b""


class Lines:
    """
    Lines as text, for the reader of the standard library, which asks for more inside quotes.

    Undecodable bytes are carried through as lone surrogates, which no text holds, and found in the row.

    Args:
        number: how many lines there were before.
        end: the offset after them.
    """

    __slots__ = ("_back", "_codec", "_lines", "end", "number", "taken")

    def __init__(self, lines: Iterator[bytes], codec: str, number: int = 0, end: int = 0) -> None:
        self._lines = lines
        self._codec = codec
        self._back: deque[bytes] = deque()
        self.number = number
        self.end = end
        #: The lines of the row in hand.
        self.taken: list[bytes] = []

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._lines)
        self.taken.append(line)
        self.end += len(line)
        self.number += 1
        return line.decode(self._codec, "surrogateescape")

    def begin(self) -> None:
        """The next line begins a row."""
        self.taken = []

    def give_back(self, kept: int) -> None:
        """Lines of the row in hand but for the first `kept` are still to be read."""
        rest = self.taken[kept:]
        self._back.extendleft(reversed(rest))
        self.end -= sum(map(len, rest))
        self.number -= len(rest)
        del self.taken[kept:]

    @property
    def own(self) -> bytes:
        """The bytes of the row in hand."""
        return self.taken[0] if len(self.taken) == 1 else b"".join(self.taken)

    def ahead(self, most: int) -> list[str]:
        """The next lines, which stay to be read."""
        missing = most - len(self._back)
        if missing > 0:
            self._back.extend(islice(self._lines, missing))
        return [line.decode(self._codec, "surrogateescape") for line in islice(self._back, most)]
