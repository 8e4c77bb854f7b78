r"""
Paths of XML documents as text: a small part of XPath 1.0, read with exact places.

    path       = ( "/" | "//" ) , steps | ( "." | ".." | "@" name ) , [ ( "/" | "//" ) , steps ] ;
    steps      = step , { ( "/" | "//" ) , step } ;
    step       = ( name | "*" | ".." | "@" , ( name | "*" ) | "text()" ) , { "[" , predicate , "]" } ;
    predicate  = number | "last()" | test , { "and" , test } ;
    test       = "not(" , test , ")" | inner , [ ( "=" | "!=" ) , STRING ] ;
    inner      = a path without predicates that begins at the element: code/@code, @root, text(), .
    name       = [ prefix , ":" ] , local name ;

What means the same as in XPath is written as in XPath; `a != "x"` is `not(a = "x")`, as in all of the mapping language.
A whole XPath could be neither checked when a mapping is loaded nor told to the field ledger. This module must never
decide what a prefix stands for: that is the declaration's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from mhbridge.formats import Path, PathError

__all__ = ["FUNCTIONS", "LAST", "Name", "Predicate", "Step", "Test", "XmlPath", "scan_path"]

#: Functions of XPath that a path may call.
FUNCTIONS: Final = ("last", "not", "text")
#: Position of the last.
LAST: Final = -1
#: Steps of one path, and tests of one predicate: so many are no path to a value any more.
_MOST: Final = 40

# Names have the characters of XML 1.0, fifth edition, §2.3 [4] and [4a], less the colon: these are not those of `\w`.
_LETTER: Final = (
    r"A-Z_a-z\xC0-\xD6\xD8-\xF6\xF8-\u02FF\u0370-\u037D\u037F-\u1FFF\u200C\u200D\u2070-\u218F\u2C00-\u2FEF"
    r"\u3001-\uD7FF\uF900-\uFDCF\uFDF0-\uFFFD\U00010000-\U000EFFFF"
)
_NAME: Final = re.compile(rf"[{_LETTER}][{_LETTER}0-9.\-\xB7\u0300-\u036F\u203F\u2040]*")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,5}", re.ASCII)
_STRING: Final = re.compile(r'"((?:[^"\\\n]|\\["\\])*)"')
_BLANKS: Final = re.compile(r"\s*")
_AND: Final = re.compile(r"and(?![\w.\-:(])")
_CALL: Final = re.compile(r"\s*\(")
_BEGINS: Final = re.compile(rf"//?(?=[{_LETTER}]|[*@.])|\.\.?(?![\w.])|@")


class Name(NamedTuple):
    """A name as written; `local` is `*` for any. `offset` counts from the start of the path."""

    prefix: str
    local: str
    offset: int = 0


class Test(NamedTuple):
    """What a predicate asks of an element: whether something at a path of it is there, or says a text."""

    steps: tuple[Step, ...]
    #: `=` or `!=`; empty asks whether anything is there.
    operator: str = ""
    text: str = ""
    negated: bool = False


class Predicate(NamedTuple):
    """A position, or tests that all hold."""

    position: int = 0
    tests: tuple[Test, ...] = ()


class Step(NamedTuple):
    """
    One step.

    Args:
        axis: `child`, `attribute`, `text`, `parent` or `self`.
        deep: it is looked for at any depth below (`//`).
    """

    axis: str
    name: Name | None = None
    deep: bool = False
    predicates: tuple[Predicate, ...] = ()


@dataclass(frozen=True, slots=True)
class XmlPath(Path):
    """
    A path of an XML document.

    Args:
        namespaces: what its prefixes stand for, where that is known already (`Xml.resolved`).
    """

    steps: tuple[Step, ...] = ()
    namespaces: tuple[tuple[str, str], ...] = ()

    @property
    def names(self) -> Iterator[Name]:
        """Every name in it."""
        waiting = list(self.steps)
        while waiting:
            step = waiting.pop()
            if step.name is not None:
                yield step.name
            waiting += [inner for predicate in step.predicates for test in predicate.tests for inner in test.steps]


def scan_path(text: str, start: int, end: int) -> tuple[XmlPath, int] | None:
    """
    The longest path that begins at `start`, and where it ends.

    Raises:
        PathError: E107, it begins like a path and then goes wrong; E530, it calls a function that paths do not have.
    """
    if _BEGINS.match(text, start, end) is None:
        return None
    reader = _Reader(text, start, end)
    steps, relative = reader.path()
    return XmlPath(text[start : reader.at], relative, tuple(steps)), reader.at


class _Reader:
    def __init__(self, text: str, start: int, end: int) -> None:
        self.text, self.start, self.at, self.end = text, start, start, end

    def error(self, message: str, hint: str = "", *, code: str = "E107", at: int = -1, width: int = 1) -> PathError:
        return PathError(code, message, offset=(self.at if at < 0 else at) - self.start, width=width, hint=hint)

    def takes(self, literal: str) -> bool:
        if self.text.startswith(literal, self.at, self.end):
            self.at += len(literal)
            return True
        return False

    def match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at, self.end)
        if found is not None:
            self.at = found.end()
        return found

    # --- rules

    def path(self) -> tuple[list[Step], bool]:
        if self.text.startswith("/", self.at, self.end):
            return self.steps([], predicates=True), False
        return self.relative(predicates=True), True

    def relative(self, *, predicates: bool) -> list[Step]:
        """A path that begins at an element; in a predicate, at a name of its own."""
        first: list[Step] = []
        if self.takes(".."):
            first.append(Step("parent"))
        elif self.text.startswith(".", self.at, self.end):
            self.at += 1
            first.append(Step("self"))
        else:
            first.append(self.step(deep=False, predicates=predicates))
        return self.steps(first, predicates=predicates)

    def steps(self, found: list[Step], *, predicates: bool) -> list[Step]:
        while self.text.startswith("/", self.at, self.end):
            if found and found[-1].axis in ("attribute", "text"):
                raise self.error("nothing is below an attribute or a text")
            deep = self.takes("//") or not self.takes("/")
            if len(found) >= _MOST:
                raise self.error(f"more than {_MOST} steps")
            found.append(self.step(deep=deep, predicates=predicates))
        return found

    def step(self, *, deep: bool, predicates: bool) -> Step:
        begin = self.at
        if self.takes(".."):
            if deep:
                raise self.error("'//' is followed by a name", at=begin)
            return Step("parent")
        axis = "attribute" if self.takes("@") else "child"
        if self.takes("*"):
            name = Name("", "*", begin - self.start)
        else:
            name = self.name()
            if (call := _CALL.match(self.text, self.at, self.end)) is not None:
                if axis == "child" and name == Name("", "text", begin - self.start):
                    self.at = call.end()
                    self.match(_BLANKS)
                    if not self.takes(")"):
                        raise self.error("expected ')'")
                    return Step("text", deep=deep)
                raise self.function(begin, name)
            if self.text.startswith("::", self.at, self.end):
                what = f"a path has no axes: {name.local}::"
                raise self.error(what, "child is written a/b, descendant a//b, parent ..", at=begin)
        if not predicates:
            if self.text.startswith("[", self.at, self.end):
                raise self.error("a predicate has no predicates of its own", "loop over the inner element with $each")
            return Step(axis, name, deep)
        return Step(axis, name, deep, tuple(self.predicates(axis)))

    def name(self) -> Name:
        begin = self.at
        found = self.match(_NAME)
        if found is None:
            raise self.error("expected a name, '*', '@', '..' or text()", "for example /hl7:id/@root")
        if self.text.startswith(":", self.at, self.end) and not self.text.startswith("::", self.at, self.end):
            self.at += 1
            if self.takes("*"):
                raise self.error("a name in a namespace is whole, or '*' alone", at=begin)
            local = self.match(_NAME)
            if local is None:
                raise self.error("expected a name after the prefix")
            return Name(found[0], local[0], begin - self.start)
        return Name("", found[0], begin - self.start)

    def function(self, begin: int, name: Name) -> PathError:
        said = f"{name.prefix}:{name.local}" if name.prefix else name.local
        hint = f"paths have {', '.join(f'{one}()' for one in FUNCTIONS)}; a value goes through a function after '|'"
        if said in ("contains", "starts-with", "concat", "substring", "normalize-space", "translate"):
            hint = f"paths have {', '.join(f'{one}()' for one in FUNCTIONS)}; texts are compared whole"
        return self.error(f"a path has no function {said}()", hint, code="E530", at=begin, width=len(said))

    def predicates(self, axis: str) -> Iterator[Predicate]:
        while self.text.startswith("[", self.at, self.end):
            if axis == "attribute":
                raise self.error("an attribute has no predicates")
            yield self.predicate()

    def predicate(self) -> Predicate:
        opened = self.at
        self.at += 1
        self.match(_BLANKS)
        begin = self.at
        position = 0
        if (number := self.match(_NUMBER)) is not None:
            position = int(number[0])
        elif self.takes("last()"):
            position = LAST
        if position:
            self.match(_BLANKS)
            if not self.takes("]"):
                raise self.error("expected ']'", "a position stands alone: [code][1]", at=begin)
            return Predicate(position)
        tests = [self.test()]
        while True:
            self.match(_BLANKS)
            if self.takes("]"):
                return Predicate(tests=tuple(tests))
            if self.match(_AND) is None:
                if self.at >= self.end:
                    raise self.error("this '[' is not closed", at=opened)
                hint = "tests are joined by 'and'; for one or the other write two paths and `or`"
                raise self.error("expected 'and' or ']'", hint)
            if len(tests) >= _MOST:
                raise self.error(f"more than {_MOST} tests")
            self.match(_BLANKS)
            tests.append(self.test())

    def test(self) -> Test:
        if self.takes("not("):
            self.match(_BLANKS)
            inner = self.comparison()
            self.match(_BLANKS)
            if not self.takes(")"):
                raise self.error("expected ')'")
            return Test(inner.steps, inner.operator, inner.text, negated=True)
        return self.comparison()

    def comparison(self) -> Test:
        if self.text.startswith(("/", '"', "'"), self.at, self.end):
            raise self.error("a test begins with a path from the element", 'for example [hl7:code/@code="X"]')
        steps = tuple(self.relative(predicates=False))
        self.match(_BLANKS)
        operator = "=" if self.takes("=") else "!=" if self.takes("!=") else ""
        if not operator:
            return Test(steps)
        self.match(_BLANKS)
        found = self.match(_STRING)
        if found is None:
            raise self.error("expected a text in double quotes")
        text = found[1].replace('\\"', '"').replace("\\\\", "\\")
        if not text.strip():
            raise self.error("an empty text never matches", "what is not there is tested with not(…)", at=found.start())
        return Test(steps, operator, text)
