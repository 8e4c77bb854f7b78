"""
The fuzzer without its compass: inputs made from the seeds by chance alone, the same on every machine and each time.

What Atheris tries depends on what an input reaches, and that on addresses and times: two runs differ although their
seed is one. That is right for finding faults, and wrong for saying whether a change may land. So what guards a change
is this: a number of inputs, each a seed that was changed in one to six places by a generator of its own. It knows the
words of the seeds, so that it writes headers and names where chance alone would write noise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final

__all__ = ["inputs"]

#: Bytes that mean something to one parser or another, or that programs mistake.
_TELLING = (
    *(bytes([one]) for one in b"\x00\x0b\x1c\r\n\t \"'|^~\\&<>[]{}():;,=#/.-0159aZ\x7f\x80\xa0\xff"),
    *(
        b"\r\n",
        b'""',
        b"\\.br\\",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xc2\xa0",
        b"\xe2\x80\xa8",
        b"\x1c\r",
        b"]]>",
        b"<!--",
    ),
    *(b"--x", b"\n\n", b"1e9", b"-1", b"99999999999999999999", b"0.10", b"&#0;", b"&amp;", b"\\u0000", b"\xed\xa0\x80"),
)
_WORD = re.compile(rb"[\w.\-]{2,40}")


def inputs(seeds: list[bytes], number: int, longest: int, begin: int = 1) -> Iterator[bytes]:
    """
    Inputs for a target.

    Args:
        seeds: what is changed; each is given once as it is.
        number: how many inputs besides the seeds.
        longest: no input is longer (bytes).
        begin: the same number gives the same inputs.
    """
    seeds = [seed[:longest] for seed in seeds] or [b""]
    words = sorted({word for seed in seeds for word in _WORD.findall(seed)}) or [b"x"]
    changes = _Changes(Random(begin), seeds, words)
    yield from seeds
    for _ in range(number):
        yield bytes(changes.made()[:longest])


@dataclass(frozen=True, slots=True)
class _Changes:
    chance: Random
    seeds: list[bytes]
    words: list[bytes]

    def made(self) -> bytearray:
        """One input."""
        data = bytearray(self.chance.choice(self.seeds))
        for _ in range(self.chance.randint(1, 6)):
            self.chance.choice(_CHANGES)(self, data)
        return data

    def part(self, data: bytes | bytearray) -> tuple[int, int]:
        """A part of it: short ones are likelier."""
        start = self.chance.randint(0, len(data))
        return start, min(len(data), start + int(self.chance.paretovariate(0.6)))

    def flip(self, data: bytearray) -> None:
        """One bit."""
        if data:
            data[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)

    def leave_out(self, data: bytearray) -> None:
        """A part less."""
        start, end = self.part(data)
        del data[start:end]

    def repeat(self, data: bytearray) -> None:
        """A part again."""
        start, end = self.part(data)
        data[start:start] = data[start:end] * self.chance.choice((1, 1, 2, 7))

    def move(self, data: bytearray) -> None:
        """A part elsewhere."""
        start, end = self.part(data)
        moved = data[start:end]
        del data[start:end]
        place = self.chance.randint(0, len(data))
        data[place:place] = moved

    def insert(self, data: bytearray) -> None:
        """What means something to a parser."""
        place = self.chance.randint(0, len(data))
        data[place:place] = self.chance.choice(_TELLING)

    def overwrite(self, data: bytearray) -> None:
        """The same in the place of a part."""
        start, end = self.part(data)
        data[start:end] = self.chance.choice(_TELLING)

    def word(self, data: bytearray) -> None:
        """One word of the seeds where another stood."""
        found = list(_WORD.finditer(data))
        place = self.chance.choice(found).span() if found else (0, 0)
        data[slice(*place)] = self.chance.choice(self.words)

    def graft(self, data: bytearray) -> None:
        """A part of another seed."""
        other = self.chance.choice(self.seeds)
        start, end = self.part(other)
        place, until = self.part(data)
        data[place : self.chance.choice((place, until))] = other[start:end]


_CHANGES: Final[tuple[Callable[[_Changes, bytearray], None], ...]] = (
    _Changes.flip,
    _Changes.leave_out,
    _Changes.repeat,
    _Changes.move,
    _Changes.insert,
    _Changes.overwrite,
    _Changes.word,
    _Changes.graft,
)
