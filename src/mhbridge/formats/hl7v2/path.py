"""
The paths of HL7 v2 (mapping language §3.3): text in, frozen `Hl7Path` out.

Grammar::

    path      = segment , "-" , field | relative ;
    loop      = segment , { "/" , segment } , [ "-" , FIELD , [ predicate ] ] ;
    segment   = SEGMENT , [ predicate ] ;
    field     = FIELD , [ predicate ] , [ "." , COMPONENT , [ "." , SUBCOMPONENT ] ] ;
    relative  = "." , [ COMPONENT , [ "." , SUBCOMPONENT ] ] ;
    predicate = "[" , ( POSITION | test , { "and" , test } ) , "]" ;
    test      = NUMBER , { "." , NUMBER } , ( "=" | "!=" ) , STRING ;

All numbers are 1-based. A test of a segment begins with a field (`3.1` is component 1 of field 3), a test of a field
with a component. This module knows the shape of a path and must never judge whether it is possible in a place.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from mhbridge.formats import Path, PathError

__all__ = ["Hl7Path", "Predicate", "Step", "Test", "scan_loop", "scan_path"]


class Test(NamedTuple):
    """One `path = "text"` of a predicate; `numbers` is the path."""

    numbers: tuple[int, ...]
    equal: bool
    text: str


class Predicate(NamedTuple):
    """Which of several: the one at `position`, or those that pass all `tests`."""

    position: int = 0
    tests: tuple[Test, ...] = ()


class Step(NamedTuple):
    """A segment by name, and which of them. `at` is where it stands in the path."""

    segment: str
    which: Predicate | None = None
    at: int = 0


@dataclass(frozen=True, slots=True)
class Hl7Path(Path):
    """
    Args:
        steps: the segments on the way; none in a relative path, several only in a loop's.
        field: number of the field; 0 where a whole segment is meant, or in a relative path.
        which: which repetitions of the field.
        component: 0 where the whole repetition is meant.
        subcomponent: 0 where the whole component is meant.
        at: where the numbers of the field and of the component stand in the text; 0 where there is none.
    """

    steps: tuple[Step, ...] = ()
    field: int = 0
    which: Predicate | None = None
    component: int = 0
    subcomponent: int = 0
    at: tuple[int, int] = dataclasses.field(default=(0, 0), compare=False)


#: What a path begins with.
_BEGINS: Final = frozenset(".ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WORD: Final = re.compile(r"[A-Za-z0-9_]+")
_NUMBER: Final = re.compile(r"[0-9]+")
_SEGMENT: Final = re.compile(r"[A-Z][A-Z0-9]{2}")
_BLANKS: Final = re.compile(r"[ \t]*")
#: A word without quotes, or in those of other languages.
_BARE: Final = re.compile(r"'?([\w^.-]+)'?")
_STRING: Final = re.compile(r'"((?:[^"\\\r\n]|\\["\\])*)"')
_AND: Final = re.compile(r"and(?![A-Za-z0-9_])")

#: A path of nothing but names and numbers, as nearly all are, where nothing follows that could belong to it.
_PLAIN: Final = re.compile(r"[A-Z][A-Z0-9]{2}-[1-9][0-9]{0,2}(?:\.[1-9][0-9]{0,2}){0,2}(?![0-9.\[-])")

#: The same with a segment that is chosen by the text of one of its fields.
_CHOSEN: Final = re.compile(
    r"([A-Z][A-Z0-9]{2})"
    r'\[([1-9][0-9]{0,2})(?:\.([1-9][0-9]{0,2}))?="([^"\\\r\n]+)"\]'
    r"-([1-9][0-9]{0,2})(?:\.([1-9][0-9]{0,2}))?(?:\.([1-9][0-9]{0,2}))?(?![0-9.\[-])"
)

#: Beyond any field, component or repetition that a message may have.
_HIGHEST: Final = 1_000


def scan_path(text: str, start: int, end: int) -> tuple[Hl7Path, int] | None:
    """
    The longest path of an expression that begins at `start`; `None` when none does.

    Raises:
        PathError: E107 or E205, when it begins like a path and goes wrong.
    """
    if text[start : start + 1] not in _BEGINS:
        return None
    plain = _PLAIN.match(text, start, end)
    if plain is not None:
        return _plain(plain[0]), plain.end()
    chosen = _CHOSEN.match(text, start, end)
    if chosen is not None:
        return _chosen(chosen[0]), chosen.end()
    scan = _Scan(text, start, end)
    if scan.sees("."):
        # A letter behind the dot is the field of a name (`a.contentType`), which is no business of this format.
        return None if text[start + 1 : min(start + 2, end)].isalpha() else scan.relative()
    if not scan.sees_capital():
        return None
    step = scan.segment()
    if not scan.takes("-"):
        raise scan.error(f"{step.segment} is a whole segment", f"name a field of it: {step.segment}-3", whole=True)
    return scan.field((step,), components=True), scan.at


@lru_cache(maxsize=1024)
def _plain(text: str) -> Hl7Path:
    """A path of nothing but names and numbers. The same ones stand in every mapping, again and again."""
    segment, _, numbers = text.partition("-")
    field, component, subcomponent, *_ = (*map(int, numbers.split(".")), 0, 0)
    at = len(segment) + 1, (text.index(".") + 1 if component else 0)
    return Hl7Path(text, steps=(Step(segment),), field=field, component=component, subcomponent=subcomponent, at=at)


@lru_cache(maxsize=1024)
def _chosen(text: str) -> Hl7Path:
    """A path into the segment of which one field says something."""
    found = _CHOSEN.fullmatch(text)
    assert found is not None
    segment, tested, part, said, field, component, subcomponent = found.groups()
    numbers = (int(tested), int(part)) if part else (int(tested),)
    step = Step(segment, Predicate(tests=(Test(numbers, True, said),)))
    at = found.start(5), found.start(6) if component else 0
    return Hl7Path(
        text, steps=(step,), field=int(field), component=int(component or 0),
        subcomponent=int(subcomponent or 0), at=at,
    )  # fmt: skip


def scan_loop(text: str, start: int, end: int) -> tuple[Hl7Path, int] | None:
    """
    Like `scan_path`, for what a `$each` runs over: segments, or the repetitions of a field.

    Raises:
        PathError: E107 or E205.
    """
    scan = _Scan(text, start, end)
    if scan.sees("."):
        return None if text[start + 1 : min(start + 2, end)].isalpha() else scan.relative()
    if not scan.sees_capital():
        return None
    steps = [scan.segment()]
    while scan.takes("/"):
        steps.append(scan.segment())
    if scan.takes("-"):
        return scan.field(tuple(steps), components=False), scan.at
    return Hl7Path(scan.taken, steps=tuple(steps)), scan.at


class _Scan:
    """A place in the text, moved forward by the rules of the grammar. One object per path."""

    __slots__ = ("at", "end", "start", "text")

    def __init__(self, text: str, start: int, end: int) -> None:
        self.text, self.start, self.at, self.end = text, start, start, min(end, len(text))

    @property
    def taken(self) -> str:
        return self.text[self.start : self.at]

    def sees(self, character: str) -> bool:
        return self.at < self.end and self.text[self.at] == character

    def sees_capital(self) -> bool:
        return self.at < self.end and "A" <= self.text[self.at] <= "Z"

    def takes(self, character: str) -> bool:
        if not self.sees(character):
            return False
        self.at += 1
        return True

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at, self.end)
        if found is not None:
            self.at = found.end()
        return found

    def error(self, message: str, hint: str = "", *, code: str = "E107", whole: bool = False) -> PathError:
        """An error at this place, or under all that was taken."""
        offset, width = (0, self.at - self.start) if whole else (self.at - self.start, 1)
        return PathError(code, message, offset=offset, width=max(1, width), hint=hint)

    # --- rules ---------------------------------------------------------------------------------------------

    def relative(self) -> tuple[Hl7Path, int]:
        self.at += 1
        component = subcomponent = 0
        begin = self.at - self.start
        if self.at < self.end and self.text[self.at].isdigit():
            component = self.number("component")
            if self.takes("."):
                subcomponent = self.number("subcomponent")
                self.no_deeper()
        found = Hl7Path(self.taken, relative=True, component=component, subcomponent=subcomponent, at=(0, begin))
        return found, self.at

    def segment(self) -> Step:
        begin = self.at
        word = self.match(_WORD)
        name = word[0] if word else ""
        if not _SEGMENT.fullmatch(name):
            raise PathError(
                "E205",
                "a segment's name is a capital letter and two more capitals or digits",
                offset=begin - self.start,
                width=max(1, len(name)),
                hint=f"did you mean {name.upper()}?" if _SEGMENT.fullmatch(name.upper()) else "for example PID or PV1",
            )
        return Step(name, self.predicate(first="field"), begin - self.start)

    def field(self, steps: tuple[Step, ...], *, components: bool) -> Hl7Path:
        begin = self.at - self.start
        number = self.number("field")
        which = self.predicate(first="component")
        component = subcomponent = below = 0
        if self.sees(".") and not components:
            raise self.error("a loop runs over repetitions, not over components", "leave the component out")
        if self.takes("."):
            below = self.at - self.start
            component = self.number("component")
            if self.takes("."):
                subcomponent = self.number("subcomponent")
                self.no_deeper()
        if self.sees("-"):
            raise self.error(
                "a component is written with a dot",
                f"{steps[-1].segment}-{number}.1 is component 1 of field {number}",
            )
        return Hl7Path(
            self.taken,
            steps=steps,
            field=number,
            which=which,
            component=component,
            subcomponent=subcomponent,
            at=(begin, below),
        )

    def no_deeper(self) -> None:
        if self.sees("."):
            raise self.error("nothing is below a subcomponent")

    def number(self, what: str) -> int:
        begin = self.at
        digits = self.match(_NUMBER)
        if digits is None:
            raise self.error(f"the number of a {what} is missing", f"{what}s are named by their number, from 1")
        number = int(digits[0]) if len(digits[0]) <= 4 else _HIGHEST + 1
        if not 1 <= number <= _HIGHEST:
            self.at = begin
            raise self.error(f"there is no {what} of this number", f"{what}s are counted from 1")
        return number

    def predicate(self, *, first: str) -> Predicate | None:
        if not self.takes("["):
            return None
        opened = self.at - 1
        self.match(_BLANKS)
        begin = self.at
        position = self.match(_NUMBER)
        if position is not None:
            self.match(_BLANKS)
            if self.takes("]"):
                closed, self.at = self.at, begin
                number = self.number("position")
                self.at = closed
                return Predicate(position=number)
            self.at = begin
        tests = [self.test(first)]
        while True:
            self.match(_BLANKS)
            if self.takes("]"):
                return Predicate(tests=tuple(tests))
            if self.match(_AND) is None:
                if self.at >= self.end:
                    self.at = opened
                    raise self.error("this '[' is not closed")
                raise self.error("expected 'and' or ']'", "a position stands alone; tests are joined by 'and'")
            self.match(_BLANKS)
            tests.append(self.test(first))

    def test(self, first: str) -> Test:
        numbers = [self.number(first)]
        for what in ("component", "subcomponent") if first == "field" else ("subcomponent",):
            if not self.takes("."):
                break
            numbers.append(self.number(what))
        self.match(_BLANKS)
        if self.takes("="):
            equal = True
        elif self.takes("!"):
            equal = False
            if not self.takes("="):
                raise self.error("expected '='")
        else:
            raise self.error("expected '=' or '!='", 'for example [4="NHS"]')
        self.match(_BLANKS)
        found = self.match(_STRING)
        if found is None:
            bare = _BARE.match(self.text, self.at, self.end)
            raise self.error("expected a text in double quotes", f'write "{bare[1]}"' if bare else "")
        text = found[1].replace('\\"', '"').replace("\\\\", "\\")
        if not text:
            self.at = found.start()
            raise self.error("an empty text never matches", "what is not there is tested with $when")
        return Test(tuple(numbers), equal, text)
