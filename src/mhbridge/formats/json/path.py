"""
A path into a document, and what it may be: `$.a.b[c="x"].d` from the top, `.b` from where the loop stands.

A step goes to a member by name; lists on the way are gone through, entry by entry. `[2]` takes the second entry, and
`[c="x" and d.e!="y"]` those of which that is true. A name that is no word is written `["odd name"]`. This module must
never see a document: where a path leads is `reach`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, Final

from mhbridge.formats import Path, PathError, Scope
from mhbridge.formats.json.tree import Node, each

__all__ = ["JsonPath", "Predicate", "Step", "Test", "check", "names_of", "scan_path", "scan_predicate", "scan_step"]

NAME: Final = re.compile(r"[A-Za-z_@$][A-Za-z0-9_@$-]*")
_QUOTED: Final = re.compile(r'\["((?:[^"\\\r\n]|\\["\\])+)"\]')
_POSITION: Final = re.compile(r"[0-9]{1,6}")
_TEST: Final = re.compile(r' *(!?=) *"((?:[^"\\\r\n]|\\["\\])*)"')
_AND: Final = re.compile(r" +and +")
_BLANKS: Final = re.compile(r" *")
#: Steps of one path: no document is deeper than a hundred.
_MOST_STEPS: Final = 100


@dataclass(frozen=True, slots=True)
class Test:
    """`a.b = "x"`: whether any leaf at the names says so; with `equal` false, whether none does."""

    names: tuple[str, ...]
    text: str
    equal: bool = True


@dataclass(frozen=True, slots=True)
class Predicate:
    """Which entries are taken: the one at a position (from 1), or those of which all tests are true."""

    position: int = 0
    tests: tuple[Test, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One step: where it leads is its kind's own, and of what is there `which` takes some."""

    name: str
    which: Predicate | None = None
    #: Leaves say where it leads to.
    looks: ClassVar[bool] = False

    def led(self, node: Node) -> Iterable[Node]:
        """What the step leads to, whatever its predicate says: the entries of a list one by one."""
        children = node.children
        if type(children) is dict and (child := children.get(self.name)) is not None:
            return each(child)
        return ()

    def looked(self, node: Node) -> Iterable[Node]:  # noqa: ARG002  # that of other kinds of step
        """The leaves that say where the step leads to."""
        return ()

    @property
    def asks(self) -> bool:
        """It looks at leaves."""
        return self.which is not None and bool(self.which.tests)


@dataclass(frozen=True, slots=True)
class JsonPath(Path):
    """`$` or `.` and the steps below it; `starts` are the places of the steps in its text, for diagnostics."""

    steps: tuple[Step, ...] = ()
    starts: tuple[int, ...] = ()


# --- reading a path ----------------------------------------------------------------------------------------


def scan_path(text: str, start: int, end: int) -> tuple[JsonPath, int] | None:
    """
    The path that begins at `start`, and where it ends.

    Raises:
        PathError: E107, it begins like a path and then goes wrong.
    """
    if text.startswith("$", start, end):
        relative, at = False, start + 1
        if at < end and text[at] not in ".[" and not _ends(text, at):
            raise PathError("E107", "a path is '$' and then '.name'", offset=at - start, hint="$.patient.name")
    elif text.startswith(".", start, end):
        relative, at = True, start
        if not (at + 1 < end and NAME.match(text, at + 1, end)):
            # The value of the loop itself.
            return JsonPath(".", relative=True), start + 1
    else:
        return None
    steps: list[Step] = []
    starts: list[int] = []
    while at < end and text[at] in ".[":
        starts.append(at - start)
        step, at = scan_step(text, at, end, start)
        steps.append(step)
        if len(steps) > _MOST_STEPS:
            raise PathError("E107", f"more than {_MOST_STEPS} steps", width=at - start)
    return JsonPath(text[start:at], relative, tuple(steps), tuple(starts)), at


def _ends(text: str, at: int) -> bool:
    return text[at] in " \r\n),|=!"


def scan_step(text: str, at: int, end: int, start: int) -> tuple[Step, int]:
    """
    One step and its predicate.

    Raises:
        PathError: E107; its offset counts from `start`.
    """
    if text[at] == "[":
        quoted = _QUOTED.match(text, at, end)
        if quoted is None:
            raise PathError("E107", "a predicate follows a name", offset=at - start, hint='$.list[code="x"]')
        name, at = _unquoted(quoted[1]), quoted.end()
    else:
        word = NAME.match(text, at + 1, end)
        if word is None:
            hint = 'a name that is no word is written ["odd name"]'
            raise PathError("E107", "a name follows the '.'", offset=at - start, hint=hint)
        name, at = word[0], word.end()
    if text.startswith("[", at, end) and _QUOTED.match(text, at, end) is None:
        which, at = scan_predicate(text, at, end, start)
        return Step(name, which), at
    return Step(name), at


def scan_predicate(text: str, at: int, end: int, start: int) -> tuple[Predicate, int]:
    """
    `[2]`, or `[path="text" and path!="text"]`, at `at`.

    Raises:
        PathError: E107; its offset counts from `start`.
    """
    opened = at
    at = _skip(text, at + 1)
    if (number := _POSITION.match(text, at, end)) is not None:
        if not text.startswith("]", _skip(text, number.end()), end) or int(number[0]) < 1:
            raise PathError("E107", "a position is one number, counted from 1", offset=at - start, width=len(number[0]))
        return Predicate(int(number[0])), _skip(text, number.end()) + 1
    tests: list[Test] = []
    while True:
        names, at = _names(text, at, end, start)
        found = _TEST.match(text, at, end)
        if found is None:
            hint = 'as in [type.code="DIS"]'
            raise PathError("E107", "a predicate compares with a text in double quotes", offset=at - start, hint=hint)
        tests.append(Test(names, _unquoted(found[2]), found[1] == "="))
        at = found.end()
        joined = _AND.match(text, at, end)
        if joined is None:
            break
        at = joined.end()
    at = _skip(text, at)
    if not text.startswith("]", at, end):
        what = "this '[' is not closed" if at >= end else "']' or 'and' is expected"
        where = opened if at >= end else at
        raise PathError("E107", what, offset=where - start)
    return Predicate(0, tuple(tests)), at + 1


def _names(text: str, at: int, end: int, start: int) -> tuple[tuple[str, ...], int]:
    if text.startswith(".", at, end) and (at + 1 >= end or text[at + 1] in " =!"):
        return (), at + 1
    names: list[str] = []
    while True:
        word = NAME.match(text, at, end)
        if word is None:
            raise PathError("E107", "a position or a path is expected", offset=at - start)
        names.append(word[0])
        at = word.end()
        if not text.startswith(".", at, end):
            return tuple(names), at
        at += 1


def _skip(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found is not None else at


def _unquoted(text: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", text)


# --- what a path may be ------------------------------------------------------------------------------------


def names_of(path: Path, scope: Scope) -> tuple[str, ...]:
    """The names from the top down to what a path finds."""
    assert isinstance(path, JsonPath)
    own = tuple(step.name for step in path.steps)
    return (scope.loops[-1].names if path.relative and scope.loops else ()) + own


def check(path: Path, scope: Scope) -> JsonPath:
    """
    Raises:
        PathError: E205, the documents have no such member; E206, there is no loop around a relative path.
    """
    assert isinstance(path, JsonPath)
    if path.relative and not scope.loops:
        raise PathError("E206", "a path that begins with a dot needs a $each around it", width=len(path.text))
    known: frozenset[tuple[str, ...]] = scope.source.options.get("fields", frozenset())
    if known:
        names = scope.loops[-1].names if path.relative else ()
        for step, at in zip(path.steps, path.starts, strict=True):
            around, names = names, (*names, step.name)
            if names not in known:
                raise PathError(
                    "E205", f"no document has a {'.'.join(names)}", offset=at, width=len(step.name) + 1,
                    hint=_near(step.name, around, known),
                )  # fmt: skip
            _check_tests(step, names, known, at)
    return path


def _check_tests(step: Step, names: tuple[str, ...], known: frozenset[tuple[str, ...]], at: int) -> None:
    for test in step.which.tests if step.which is not None else ():
        inner = names
        for name in test.names:
            around, inner = inner, (*inner, name)
            if inner not in known:
                raise PathError(
                    "E205", f"no document has a {'.'.join(inner)}", offset=at, width=len(step.name) + 1,
                    hint=_near(name, around, known),
                )  # fmt: skip


def _near(name: str, around: tuple[str, ...], known: frozenset[tuple[str, ...]]) -> str:
    """A hint at the member that was meant."""
    beside = sorted({one[len(around)] for one in known if one[: len(around)] == around and len(one) > len(around)})
    lowered = {one.casefold(): one for one in beside}
    found = difflib.get_close_matches(name.casefold(), lowered, n=1)
    if found:
        return f"did you mean {lowered[found[0]]!r}?"
    if not beside:
        return f"source: declares no members of {'.'.join(around)}" if around else ""
    return f"its members are {', '.join(beside[:12])}{', …' if len(beside) > 12 else ''}"
