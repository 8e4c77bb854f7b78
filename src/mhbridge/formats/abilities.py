"""
What some formats do besides: each is a format that has one thing more. This module must never name one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, Protocol, runtime_checkable

from mhbridge.errors import MessageError
from mhbridge.formats.format import Format
from mhbridge.formats.messages import Message, Part, Spill
from mhbridge.formats.paths import Path, PathError, Plain, Plan, Scope
from mhbridge.formats.places import Became, Ignoring, NestedLoopSpot, NestedSpot, States
from mhbridge.formats.sources import Source
from mhbridge.model import Before

__all__ = ["Divisible", "Doubting", "Gathered", "Gathering", "Nested", "Planned", "Prefixed", "Typed"]


class Planned(Format, Protocol):
    """A format whose paths look into rows. It need not be one: paths of other formats are read by `first`."""

    def plan(self, path: Path, scope: Scope) -> Plan | None:
        """How `first` finds its value, or `None` where no row is looked into."""

    def plain(self, path: Path, scope: Scope) -> Plain | None:
        """How `every` finds plain values, or `None` where there are none of the path."""


@runtime_checkable
class Nested(Format, Protocol):
    """
    A format whose messages are one group, in which cells stand inside others and are numbered in that order.

    It finds by itself what of a message was left open.
    """

    def spot(self, path: Path, scope: Scope, *, many: bool) -> NestedSpot:
        """What a path reads: all values, or the first one."""

    def loop_spot(self, path: Path, scope: Scope) -> NestedLoopSpot:
        """What the predicates of a loop's path look at."""

    def became(self, message: Message, states: States, ignoring: Sequence[Ignoring]) -> Became:
        """
        Args:
            states: place → mask of what is bound, of selectors, and of what failed.
            ignoring: what each mapping ignores (the second that `ignoring` gave).
        """


class Typed(Format, Protocol):
    """A format whose places have types by themselves."""

    def alternatives(self, path: Path, scope: Scope) -> Iterable[tuple[str, str]]:
        """What else could be named near a path whose type does not suit: paths and their types, the nearest first."""


class Doubting(Format, Protocol):
    """A format in which a path may be possible and hardly meant."""

    def doubt(self, path: Path, scope: Scope) -> PathError | None:
        """What is to be said of such a path, as a warning; `None`: nothing."""


class Prefixed(Format, Protocol):
    """A format whose paths have prefixes that only the `source:` block explains."""

    def resolved(self, path: Path, source: Source) -> Path:
        """The path with what its prefixes stand for, for `ignored` and `ignoring`, which know no source."""


class Divisible(Format, Protocol):
    """A format whose files may be larger than what is held in memory: it takes them to pieces."""

    def messages(
        self, body: bytes, sources: Sequence[Source], before: Before = ...
    ) -> Iterator[tuple[Message | MessageError, tuple[int, ...]]]:
        """The messages of a part; `before` is what there was of its file before it, so that places are the file's."""

    def parts(self, file: BinaryIO, sources: Sequence[Source], before: Before = ...) -> Iterator[Part] | None:
        """
        The parts of a file from `before` on, or `None` when it is to be read whole.

        The same file gives the same parts at every time. Raises `MalformedMessage` where what follows cannot be read.
        """


class Gathering(Protocol):
    """
    Files that belong together, as the sources of a feed declare it: told by their names, worked when all are there.

    Args:
        wait: seconds that some of them wait for the others.
    """

    @property
    def wait(self) -> float:
        """See above."""

    def place(self, name: str) -> tuple[str, str] | None:
        """What a file belongs to, and what it is there, both by its name; `None`: it is none of these."""

    def lacking(self, present: Collection[str]) -> bool:
        """Whether of what belongs together something is still to come."""

    def parts(self, files: Mapping[str, tuple[str, BinaryIO]], before: Before, spill: Spill) -> Iterator[Part] | None:
        """
        Parts of what belongs together, each an envelope by itself; `None`: the files are one envelope, whole.

        Args:
            files: what each is → its name, and the file, open and seekable.
            spill: makes files without names, for what does not go into memory.
        """


class Gathered(Format, Protocol):
    """A format whose messages may come as several files."""

    def gathers(self, sources: Sequence[Source]) -> Gathering | None:
        """Which files belong together; `None`: each is by itself."""
