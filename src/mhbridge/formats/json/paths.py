"""
What a path of a document finds: `$.a.b[c="x"].d` from the top, `.b` from where the loop stands.

A step goes to a member by name; lists on the way are gone through, entry by entry. `[2]` takes the second entry, and
`[c="x" and d.e!="y"]` those of which that is true. A name that is no word is written `["odd name"]`. All that a path
decides is decided once, when a mapping is compiled; this module must never look at a leaf but for the test of a
predicate.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, ClassVar, Final, NamedTuple

from mhbridge.formats import Cell, Path, PathError, Scope
from mhbridge.formats.json.tree import Node, each, said
from mhbridge.model import ABSENT, DELETED

__all__ = [
    "Hop",
    "JsonLoop",
    "JsonPath",
    "Predicate",
    "Step",
    "Test",
    "alone",
    "check",
    "entries_of",
    "every_reader",
    "first_reader",
    "hop",
    "make_loop",
    "names_of",
    "passes",
    "says_below",
    "scan_path",
    "scan_predicate",
    "scan_step",
    "told",
    "walk",
]

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


# --- following a path --------------------------------------------------------------------------------------


def told(node: Node, names: Sequence[str]) -> Iterator[Node]:
    """The leaves that names lead to from a node, lists gone through."""
    for one in each(node):
        if names:
            children = one.children
            if type(children) is dict and (child := children.get(names[0])) is not None:
                yield from told(child, names[1:])
        elif one.children is None and one.value is not None:
            yield one


def passes(node: Node, test: Test) -> bool:
    """Whether a test is true of an entry."""
    return _says(node, test.names, 0, test.text) is test.equal


def _says(node: Node, names: Sequence[str], at: int, text: str) -> bool:
    children = node.children
    if type(children) is dict:
        if at == len(names):
            return False
        child = children.get(names[at])
        return child is not None and _says(child, names, at + 1, text)
    if type(children) is list:
        return any(_says(one, names, at, text) for one in children)
    return at == len(names) and node.value is not None and said(node) == text


class Entries(NamedTuple):
    """
    What a test of one place finds in the entries of a list.

    Args:
        by_text: the entries, by what they say there.
        leaves: the cells that are looked at, in order.
        until: entry → how many of the leaves are looked at until its own have been.
    """

    by_text: dict[str, list[Node]]
    leaves: list[Cell]
    until: dict[int, int]


def entries_of(child: Node, names: tuple[str, ...]) -> Entries:
    """
    What a test of one place finds in the entries of a list.

    Many paths ask the same of a list, each for another text (every section of a letter), so it is looked at once.
    """
    try:
        known = child.asked
    except AttributeError:
        known = child.asked = {}
    found: Entries | None = known.get(names)
    if found is None:
        found = known[names] = Entries({}, [], {})
        by_text, leaves, until = found
        for one in each(child):
            looked = list(told(one, names))
            for text in frozenset(map(said, looked)):
                by_text.setdefault(text, []).append(one)
            leaves += [(leaf.first, 1) for leaf in looked if leaf.end > leaf.first]
            until[id(one)] = len(leaves)
    return found


def alone(step: Step) -> Test | None:
    """The one test that an entry is to pass, whatever else it says; `None` where that is not all."""
    tests = step.which.tests if step.which is not None and type(step) is Step else ()
    return tests[0] if len(tests) == 1 and tests[0].equal else None


#: From a node to all that one step leads to, in order.
Hop = Callable[[Node], Iterable[Node]]


def hop(step: Step) -> Hop:
    """How a step is taken, with all that can be known of it beforehand."""
    which, test = step.which, alone(step)
    if which is None:
        return _by_name(step.name) if type(step) is Step else step.led
    if which.position:
        return lambda node: islice(step.led(node), which.position - 1, which.position)
    if test is not None:
        return _by_text(step.name, test)
    return lambda node: [one for one in step.led(node) if all(passes(one, test) for test in which.tests)]


def _by_name(name: str) -> Hop:
    def led(node: Node) -> Iterable[Node]:
        children = node.children
        return each(children[name]) if type(children) is dict and name in children else ()

    return led


def _by_text(name: str, test: Test) -> Hop:
    names, text = test.names, test.text

    def led(node: Node) -> Iterable[Node]:
        children = node.children
        if type(children) is dict and name in children:
            return entries_of(children[name], names).by_text.get(text, ())
        return ()

    return led


def walk(node: Node, steps: Sequence[Step]) -> Iterable[Node]:
    """All that steps lead to, in order; what is empty too."""
    return _all(node, [hop(step) for step in steps])


def _all(node: Node, hops: Sequence[Hop]) -> Iterable[Node]:
    found: Iterable[Node] = (node,) if hops else each(node)
    for led in hops:
        found = [one for node in found for one in led(node)]
    return found


def _first(node: Node, hops: Sequence[Hop], at: int = 0) -> Node | None:
    """The first that says something of all that is led to, from a place on."""
    ahead = at + 1
    for one in hops[at](node):
        if ahead < len(hops):
            if (found := _first(one, hops, ahead)) is not None:
                return found
        elif one.end > one.first:
            return one
    return None


def says_below(node: Node, hops: Sequence[Hop]) -> bool:
    """Whether anything that is led to says something."""
    return _first(node, hops) is not None if hops else any(one.end > one.first for one in each(node))


def _state(node: Node) -> Any:
    """A populated node as the raw value that it is; `null` that is a leaf deletes."""
    return DELETED if node.children is None and node.value is None else node


def first_reader(path: JsonPath) -> Callable[[Any], Any]:
    """Cursor → the first value that says something, `ABSENT` if none does, or `DELETED`; of a path that is checked."""
    steps, relative = path.steps, path.relative
    if all(type(step) is Step and step.which is None for step in steps) and (steps or not relative):
        return _plain([step.name for step in steps], relative=relative)
    hops = [hop(step) for step in steps]

    def read(cursor: Node) -> Any:
        found = _first(cursor if relative else cursor.top, hops)
        return ABSENT if found is None else _state(found)

    def read_own(cursor: Node) -> Any:
        for node in each(cursor if relative else cursor.top):
            if node.end > node.first:
                return _state(node)
        return ABSENT

    return read if steps else read_own


def _plain(names: Sequence[str], *, relative: bool) -> Callable[[Any], Any]:
    """The same, of names alone: nearly every path."""

    def find(node: Node, at: int) -> Any:
        for name in names[at:]:
            children = node.children
            if type(children) is not dict:
                break
            inner = children.get(name)
            if inner is None or inner.end == inner.first:
                return ABSENT
            node = inner
            at += 1
        else:
            if type(node.children) is not list:
                return _state(node)
        if type(node.children) is list:
            for one in each(node):
                if one.end > one.first and (value := find(one, at)) is not ABSENT:
                    return value
        return ABSENT

    return (lambda cursor: find(cursor, 0)) if relative else (lambda cursor: find(cursor.top, 0))


def every_reader(path: JsonPath) -> Callable[[Any], list[Any]]:
    """Cursor → all values that say something, in order; of a path that is checked."""
    hops, relative = [hop(step) for step in path.steps], path.relative

    def read(cursor: Node) -> list[Any]:
        return [_state(node) for node in _all(cursor if relative else cursor.top, hops) if node.end > node.first]

    return read


@dataclass(frozen=True, slots=True)
class JsonLoop:
    """`$each` over all that a path finds; `names` lead there from the top."""

    steps: tuple[Step, ...]
    relative: bool
    names: tuple[str, ...]
    hops: tuple[Hop, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """How its steps are taken."""
        object.__setattr__(self, "hops", tuple(map(hop, self.steps)))

    def led(self, cursor: Node) -> Iterable[Node]:
        """All that it is led to from where it stands, what is empty too."""
        return _all(cursor if self.relative else cursor.top, self.hops)

    def cursors(self, cursor: Node) -> Iterator[Node]:
        """The entries that say something, in order."""
        for node in self.led(cursor):
            if node.end > node.first and not (node.children is None and node.value is None):
                yield node


def make_loop(path: Path, scope: Scope) -> tuple[JsonLoop, Scope]:
    """
    Raises:
        PathError: as `check`.
    """
    found = check(path, scope)
    loop = JsonLoop(found.steps, found.relative, names_of(found, scope))
    return loop, Scope(scope.source, (*scope.loops, loop))
