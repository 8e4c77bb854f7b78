"""
The door that every source format comes through: bytes → messages, paths into a message, and the answer to its sender.

A format is one module that implements `Format` and is registered here, or by the entry point `mhbridge.formats`
(the built-in ones are registered the same way). Formats are pure: they must never open, log, wait or read a clock,
and must raise nothing but `MalformedMessage` for bad bytes, `PathError` for a bad path, `DeclarationError` for a bad
`source:` block.

Words: a *message* is parsed lazily; a *cursor* is a place in it (the message itself, a segment, a repetition, a row);
a *raw* value is what a path finds there, before the mapping language converts it to the item's type.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, BinaryIO, Final, Protocol, TypeAlias, runtime_checkable

from mhbridge.errors import MalformedMessage, MessageError
from mhbridge.model import ABSENT, Answer, Before, Issue, MessageFacts

__all__ = [
    "BUILT_IN",
    "PLACE",
    "PLACE_BITS",
    "STATE_BITS",
    "Asked",
    "Became",
    "BrokenMessage",
    "Cell",
    "DeclarationError",
    "Divisible",
    "Format",
    "Gathered",
    "Gathering",
    "Ignoring",
    "Loop",
    "LoopSpot",
    "Message",
    "Nested",
    "NestedLoopSpot",
    "NestedSpot",
    "Part",
    "Path",
    "PathError",
    "Plain",
    "PlainValue",
    "Plan",
    "Planned",
    "Prefixed",
    "Scope",
    "Source",
    "Spill",
    "Spot",
    "States",
    "Typed",
    "format_named",
    "formats",
    "no_more",
    "nowhere",
    "sniff",
]


class PathError(Exception):
    """
    A path that is not well formed, or not possible here. `code` is E107 (malformed), E205 (unknown segment, column),
    E206 (relative path outside a loop) or E207 (not below this loop in the outline); `offset` counts from the start of
    the path.
    """

    def __init__(self, code: str, message: str, *, offset: int = 0, width: int = 1, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.offset, self.width, self.hint = code, message, offset, width, hint


class DeclarationError(Exception):
    """
    A `source:` block says something the format does not understand; `key` is the key concerned, with `/` before one
    that is within it.
    """

    def __init__(self, key: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.key, self.message, self.hint = key, message, hint


class BrokenMessage(MalformedMessage):
    """
    A message of which only some can be read: enough to say whose it is, and its own bytes, to be sent again.

    Args:
        facts: as far as they can be read; `kind` is `unreadable` where it cannot.
        body: the bytes of this message alone.
    """

    def __init__(self, error: MalformedMessage, facts: MessageFacts, body: bytes) -> None:
        super().__init__(error.code, error.message, path=error.path, offset=error.offset)
        self.facts = facts
        self.body = body


@dataclass(frozen=True, slots=True)
class Source:
    """
    What a mapping declares of the messages it takes (its `source:` block), checked by the format.

    Args:
        format: the format's name.
        timezone: IANA name for times without an offset.
        charset: encoding where the message itself does not name one; empty means the format's default.
        options: the format's own keys, as the format's `declare` returned them; immutable.
    """

    format: str
    timezone: str = "Europe/London"
    charset: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


class Message(Protocol):
    """One parsed message. Lazy: nothing is taken apart before a path asks for it."""

    @property
    def facts(self) -> MessageFacts:
        """What the message says about itself."""

    @property
    def body(self) -> bytes:
        """The bytes of this message alone, as received."""

    @property
    def patients(self) -> int:
        """How many patients the message names; more than one, and only a merge may be worked by itself."""

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """(what, value) of identifiers worth finding a message by; `what` is `control_id`, `patient` or `visit`."""

    def noted(self, issues: Sequence[Issue]) -> tuple[Issue, ...]:
        """What was found while it was read, and `issues` with their places as a person finds them in the original."""


@dataclass(frozen=True, slots=True)
class Part:
    """
    Some messages of a large file, as a body that can be read alone.

    Args:
        before: what there is of the file before it.
        after: where the next part begins.
    """

    body: bytes
    before: Before
    after: Before


@dataclass(frozen=True, slots=True)
class Path:
    """
    A parsed path. Formats subclass it with what they need; equal text parses to equal paths.

    Args:
        text: the path as written.
        relative: it starts at the cursor of the innermost loop.
    """

    text: str
    relative: bool = False


def nowhere(kind: str, place: int) -> int:  # noqa: ARG001  # as `Format.ignoring` has it
    """What is ignored in every message, in a format whose places mean nothing before a message is read."""
    return 0


def no_more(message: Any, cells: Sequence[Cell]) -> tuple[Cell, ...]:  # noqa: ARG001  # as `Format.ignoring` has it
    """What is ignored in one message and not in all, where there is nothing."""
    return ()


Spill: TypeAlias = Callable[[], BinaryIO]
"""Makes a file without a name, which ends with whoever holds it."""

#: A place of a message that holds something, as a number that the format makes, and the leaves in it as a bit mask.
Cell: TypeAlias = tuple[int, int]
#: The low bits of a cell's number say where it is in its *group* (a segment, a row), the others which group that is.
PLACE_BITS: Final = 20
PLACE: Final = (1 << PLACE_BITS) - 1
#: Where the ledger puts cells together as one number, the lowest bits are its own.
STATE_BITS: Final = 2
#: A cell whose leaves a predicate looked at, and whether it said yes.
Asked: TypeAlias = tuple[int, int, bool]
#: Of a message that is one group: place → mask of what is bound, of selectors, and of what failed.
States: TypeAlias = tuple[Mapping[int, int], Mapping[int, int], Mapping[int, int]]
#: (message, cells) → those of them that are ignored.
Ignoring: TypeAlias = Callable[[Any, Sequence[Cell]], Iterable[Cell]]


class LoopSpot(Protocol):
    """
    What the predicates of a path look at, told to the field ledger: of a `$each`, they are all that it reads.

    Args:
        asks: the path has predicates that look at leaves.
        subject: what its predicate looks at, where that is the same leaves whatever it wants to see there; else `None`.
        question: the same, where it looks at all of them; paths with the same question need to be asked only once.
        within: a question of others that looks at all that its predicate looks at; else `None`.
        kind: the kind of group that is asked, if it is asked from the outermost cursor; empty: any.
        everywhere: (kind of group, a place or `Format.like` of places, mask) of what the question looks at, where that
            is in every group of the kind if it is asked from the outermost cursor; else `None`.
    """

    @property
    def kind(self) -> str:
        """See above."""

    @property
    def asks(self) -> bool:
        """See above."""

    @property
    def subject(self) -> Any:
        """See above."""

    @property
    def question(self) -> Any:
        """See above."""

    @property
    def within(self) -> Any:
        """See above."""

    @property
    def everywhere(self) -> tuple[str, int, int] | None:
        """See above."""

    def questioned(self, cursor: Any) -> Iterable[Cell]:
        """The leaves that the `question` looks at."""

    def asked(self, cursor: Any) -> Iterable[Asked]:
        """The leaves that predicates of the path look at."""


@runtime_checkable
class Spot(LoopSpot, Protocol):
    """What one path of a mapping reads, and its predicates. `parts` are those of `Conversion.reads`."""

    def touches(self, parts: frozenset[str]) -> frozenset[Any]:
        """What `Format.touched` gives for the cells that the path may read."""

    def cells(self, raw: Any, parts: frozenset[str]) -> Iterable[Cell]:
        """The leaves of a raw value, and of its companion fields, that `parts` names."""

    def take(self, raw: Any, parts: frozenset[str], into: Sequence[list[int]], state: int) -> None:
        """
        The same cells, each as `(mask << PLACE_BITS | place) << STATE_BITS | state`, added to what is taken of their
        group.
        """

    def present(self, raw: Any) -> Iterable[Cell]:
        """The leaf without which the raw value would not be there; none when there are several."""

    def every(self, cursor: Any, parts: frozenset[str]) -> Iterable[Cell]:
        """The leaves that `parts` names of all that stands at the path, whether or not it was read."""

    def deleted(self, cursor: Any) -> Sequence[Cell]:
        """The leaves that delete at the path, in order."""


class NestedLoopSpot(LoopSpot, Protocol):
    """
    The same of a format that is `Nested`.

    Args:
        inside: nothing is found but in the cursor.
    """

    @property
    def inside(self) -> bool:
        """See above."""

    def holds(self, raw: Any, places: Sequence[int]) -> bool:
        """Whether any of some places, in order, may be in a raw value."""


class NestedSpot(NestedLoopSpot, Spot, Protocol):
    """The same of a format that is `Nested`."""

    def hold(self, raw: Any, parts: frozenset[str], states: Sequence[dict[int, int]], state: int) -> None:
        """What `take` adds, added to the states that `Nested.became` gets."""

    def standing(self, cursor: Any, parts: frozenset[str], places: Sequence[int]) -> Iterable[Cell]:
        """Of `every` the cells at some places, which are in order."""


class Loop(Protocol):
    """What `$each` runs over: `cursors(cursor)` yields the places below, in the order of the message."""

    def cursors(self, cursor: Any) -> Iterator[Any]:
        """The places below `cursor`."""


@dataclass(frozen=True, slots=True)
class Scope:
    """
    Where an expression stands: the loops around it, outermost first. Static: known before any message is read.

    Args:
        known: what a format has worked out for this place, so that it need not for each path.
    """

    source: Source
    loops: tuple[Any, ...] = ()
    known: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


class Format(Protocol):
    """
    A source format. Instances are stateless singletons.

    The generated code calls what `first`, `every` and `loop` return; these are made once, when a mapping is compiled,
    so all that can be decided from the path and the scope is decided there and not once per message.
    """

    name: str
    #: Keys accepted in `source:` besides `format`, `timezone` and `charset`, with one line of help each.
    keys: Mapping[str, str]
    #: What a path without predicates reaches is decided by the kinds and the shapes of a message's groups (`shapes`).
    reached_by_shape: bool

    def declare(self, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
        """Check a `source:` block's own keys (plain strings, lists and dicts). Raises `DeclarationError`."""

    def recognise(self, head: bytes) -> bool:
        """Whether bytes that begin like `head` (up to 4 kB) are of this format, as far as their beginning tells."""

    def messages(
        self, body: bytes, sources: Sequence[Source]
    ) -> Iterator[tuple[Message | MessageError, tuple[int, ...]]]:
        """
        The messages of an envelope in order, each with the indexes of the sources that take it (none, one or more).

        A format that takes files to pieces (`Divisible`) has a third parameter, `before`.

        A message that is broken is yielded as the error that says why, a `BrokenMessage` where its own bytes are known;
        the others go on. Raises `MalformedMessage` when nothing of the envelope can be read.
        """

    def scan(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """
        The longest path that begins exactly at `start` of `text`, and where it ends; `None` when there is none.

        Raises `PathError` when it begins like a path and then goes wrong.
        """

    def source_type(self, path: Path, scope: Scope) -> str:
        """
        The type of what `path` finds: an HL7 v2 data type of the declared version (`CX`), `varies`, `undeclared`
        (a Z segment: the item's type decides), or `text`. Raises `PathError` when the path is impossible in this scope.
        """

    def first(self, path: Path, scope: Scope) -> Callable[[Any], Any]:
        """Cursor → the first raw value, `ABSENT`, or `DELETED`."""

    def every(self, path: Path, scope: Scope) -> Callable[[Any], list[Any]]:
        """Cursor → all raw values, in order, `DELETED` among them where the source deletes; empty if there is none."""

    def loop(self, path: Path, scope: Scope) -> tuple[Loop, Scope]:
        """What `$each` over `path` runs over, and the scope inside it. Raises `PathError`."""

    def scan_loop(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """Like `scan`, for the path of a `$each`: there a whole segment or table may be named."""

    def cursor(self, message: Message) -> Any:
        """The outermost cursor of a message."""

    # -- for the field ledger: where things are ---------------------------------------------------------------

    def populated(self, message: Message) -> Iterable[Cell]:
        """Every cell in which something is, in the order of the message, with the mask of its populated leaves."""

    def shapes(self, message: Message) -> tuple[Sequence[str], Sequence[Hashable]]:
        """
        The groups of a message: what kind each is, and its shape.

        A shape tells where in a group something is, and nothing of what: groups of one kind and shape are populated
        alike. The ledger remembers what it found for shapes, so they must hold no content.
        """

    def layout(self, kind: str, shape: Any) -> Sequence[Cell]:
        """What is populated in a group of a shape: places in the group, in order, each with the mask of its leaves."""

    def like(self, place: int) -> int:
        """What places in a group have in common that one question looks at: a number that is no place, or the only."""

    def structural(self, message: Message, source: Source) -> Iterable[Cell]:
        """
        What the format itself reads and mhbridge acts upon: how the message is to be read, whose it is, its number.
        A leaf belongs here only if changing it changes what becomes of the message or what its sender is told.
        """

    def spot(self, path: Path, scope: Scope, *, many: bool) -> Spot:
        """What a path reads: all values, or the first one."""

    def loop_spot(self, path: Path, scope: Scope) -> LoopSpot:
        """What the predicates of a loop's path look at."""

    def ignored(self, path: Path) -> Callable[[Any], Iterable[Cell]]:
        """Message → the cells that an entry of `ignore:` names."""

    def ignoring(self, paths: Sequence[Path]) -> tuple[Callable[[str, int], int], Ignoring]:
        """
        What all entries of `ignore:` together name: (kind of group, place) → mask of what is ignored there in every
        message; and (message, cells) → at least those of the cells that the other entries name in this message.
        """

    def touched(self, message: Message, cell: int) -> Any:
        """What cells of the same kind have in common: those that a path may read (`Spot.touches`)."""

    def path(self, message: Message, cell: int, bit: int, source: Source, *, exact: bool) -> str:
        """
        The path of one leaf.

        Args:
            bit: the number of its bit in the mask.
            exact: of this leaf and no other (`PID-3[2].4`); otherwise of all leaves like it (`PID-3.4`).
        """

    def leaf(self, message: Message, cell: int, bit: int) -> str:
        """What one leaf says, as it stands; for tests of the ledger."""

    def altered(self, message: Message, cell: int, bit: int, encoded: str, source: Source) -> bytes:
        """The bytes of a message with one leaf replaced, as they stand; for tests of the ledger."""

    def text(self, raw: Any) -> str:
        """A raw value as unescaped text, line breaks kept: what `=` compares, and what a failed conversion keeps."""

    def acknowledge(self, body: bytes, answer: Answer, *, name: str) -> bytes:
        """
        The answer in the sender's own format, for transports that answer in kind; empty when the format has none.

        Args:
            body: the envelope's bytes; may be malformed.
            name: this gateway's own name, where the answer names its sender.
        """


PlainValue: TypeAlias = tuple[list[str], Any, Any, int]
"""
The components of a value, what stands there, the row, and the number of the value among those at its place, which is in
the lowest bits of the place.
"""


@dataclass(frozen=True, slots=True)
class Plain:
    """
    How all values of a path are found where all are plain (`Plan.parts`), without making raw values of them.

    Args:
        find: cursor → all values in order; `None` where one is not plain, or may not be one.
        opened: (what stands there, the row, its place as the ledger has it) → the raw value all the same.
    """

    find: Callable[[Any], list[PlainValue] | None]
    opened: Callable[[Any, Any, int], Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """
    How the first value of a path is found, in steps of which paths share the first.

    A *row* is what several paths look into: a segment, a line of a file. Generated code asks for a row once for all of
    them, looks at a place in it without calling anything, and calls `value` only where something stands there.

    Args:
        key: plans with equal keys find the same row from the same cursor.
        row: (cursor, width) → the row, and what stands at its places, which are at least so many: nothing stands at
            those that it lacks, or at any where there is no row.
        place: the index of the place.
        value: (what stands at the place, the row) → the raw value, `ABSENT`, or `DELETED`.
        parts: (the same) → the components of the raw value as texts, where it has no other parts and nothing in it is
            escaped or deleted: then no raw value need be made of it. Else `None`. Rows of such plans have a `position`,
            the number of their group, and `delimiters`: what stands at places of two rows with the same means the same.
            The spot of the path has `codes`.
        chosen: the same of a path that chooses among the values at its place; see `Plain.find`.
        common: what stands at the place says where something is, or which organisation it is: the same comes again in
            messages about others, so that all that is read of it is worth remembering.
    """

    key: Hashable
    row: Callable[[Any, int], tuple[Any, Sequence[Any]]]
    place: int
    value: Callable[[Any, Any], Any]
    parts: Callable[[Any, Any], list[str] | None] | None = None
    chosen: Callable[[Any, Any], PlainValue | None] | None = None
    common: bool = False

    def find(self, cursor: Any) -> Any:
        """What `Format.first` finds; what generated code does instead is exactly this."""
        row, places = self.row(cursor, self.place + 1)
        return self.value(places[self.place], row) if places[self.place] else ABSENT


@dataclass(frozen=True, slots=True)
class Became:
    """What became of the leaves of a message, before it is asked what was passed over: counts, and cells in order."""

    bound: int
    selectors: int
    ignored: int
    failed: list[Cell]
    open: list[Cell]


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


class Planned(Format, Protocol):
    """A format whose paths look into rows. It need not be one: paths of other formats are read by `first`."""

    def plan(self, path: Path, scope: Scope) -> Plan | None:
        """How `first` finds its value, or `None` where no row is looked into."""

    def plain(self, path: Path, scope: Scope) -> Plain | None:
        """How `every` finds plain values, or `None` where there are none of the path."""


class Typed(Format, Protocol):
    """A format whose places have types by themselves."""

    def alternatives(self, path: Path, scope: Scope) -> Iterable[tuple[str, str]]:
        """What else could be named near a path whose type does not suit: paths and their types, the nearest first."""


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


BUILT_IN: Mapping[str, str] = {
    "hl7v2": "mhbridge.formats.hl7v2:FORMAT",
    "csv": "mhbridge.formats.csv:FORMAT",
    "fhir": "mhbridge.formats.fhir:FORMAT",  # before the formats that its documents are written in
    "json": "mhbridge.formats.json:FORMAT",
    "xml": "mhbridge.formats.xml:FORMAT",
    "document": "mhbridge.formats.document:FORMAT",
}


def _load(target: str) -> Format:
    module, _, attribute = target.partition(":")
    loaded: Format = getattr(import_module(module), attribute)
    return loaded


@cache
def formats() -> Mapping[str, Format]:
    """All registered formats by name: the built-in ones and those of the entry point `mhbridge.formats`."""
    found = {name: _load(target) for name, target in BUILT_IN.items()}
    for point in entry_points(group="mhbridge.formats"):
        found.setdefault(point.name, point.load())
    return found


def format_named(name: str) -> Format | None:
    """The format of this name; loads only the one module when it is built in."""
    return _load(BUILT_IN[name]) if name in BUILT_IN else formats().get(name)


def sniff(body: bytes) -> Format | None:
    """
    The format that recognises the beginning of `body`; `None` when none does, or when it is empty.

    Formats are asked in their order, and one that is not asked is not imported.
    """
    head = body[:4096]
    for target in BUILT_IN.values():
        if (found := _load(target)).recognise(head):
            return found
    return next((found for found in formats().values() if found.recognise(head)), None)
