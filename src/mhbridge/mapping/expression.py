r"""
The expressions of mapping files (mapping language §3): text in, a tree of frozen nodes out.

Grammar, in the notation of ISO/IEC 14977::

    expression   = ( conditional | alternatives ) , { "|" , call } ;
    conditional  = "if" , alternatives , "then" , alternatives , [ "else" , ( conditional | alternatives ) ] ;
    alternatives = conjunction , { "or" , conjunction } ;
    conjunction  = negation , { "and" , negation } ;
    negation     = "not" , negation | comparison ;
    comparison   = term , [ ( "=" | "!=" ) , term | "in" , ( NAME | "(" , STRING , { "," , STRING } , ")" ) ] ;
    term         = PATH | STRING | NUMBER | CODE | name | call | "(" , expression , ")" ;
    name         = NAME , { "." , FIELD } ;                      (* no blank beside the "." *)
    call         = NAME , [ "(" , [ expression , { "," , expression } ] , ")" ] ;
    each         = LOOP | name , "as" , NAME ;                   (* $each in a binding | $each, $for in a build *)

    NAME   = lower-case letter , { lower-case letter | digit | "_" } ;
    FIELD  = letter , { letter | digit | "_" } ;
    NUMBER = digit , { digit } , [ "." , digit , { digit } ] ;
    CODE   = system name , "#" , code ;                          (* snomed#373942005 *)
    STRING = '"' , { any character but '"' and line ends | '\"' | '\\' } , '"' ;
    PATH, LOOP = what the source format says they are ;

A call without brackets is one only after `|`; anywhere else it is a name. `a | f(b)` is `f(a, b)`.

Everything is read from the raw text of the file, so a node's place is exact over several lines and inside single
quotes, where `''` stands for `'`. This module must never decide what a name, a function or an argument means, must
never raise for any text, and bounds what it builds: whoever walks a tree may recurse.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

from mhbridge.errors import Span
from mhbridge.formats import Format
from mhbridge.mapping.reader import Text, YamlFile
from mhbridge.mapping.scanner import Broken, Kind, Source, Token, reserved, scan, scanned, shortened, unquoted
from mhbridge.mapping.syntax import (
    AndNode,
    CallNode,
    CodeNode,
    CompareNode,
    Expr,
    IfNode,
    InNode,
    LoopNode,
    NameNode,
    NotNode,
    NumberNode,
    OrNode,
    PathNode,
    TextNode,
)

__all__ = [
    "AndNode",
    "CallNode",
    "CodeNode",
    "CompareNode",
    "Expr",
    "IfNode",
    "InNode",
    "LoopNode",
    "NameNode",
    "NotNode",
    "NumberNode",
    "OrNode",
    "PathNode",
    "TextNode",
    "is_expression",
    "parse",
    "parse_loop",
]

#: Characters in one expression.
MAX_LENGTH: Final = 4_000
#: Brackets, calls, `not` and `else if` inside one another; and the pipes of one expression, which nest as well.
MAX_DEPTH: Final = 50

_QUOTES: Final = "put it in single quotes, or in none"
#: What cannot follow a pipe without brackets.
_AFTER_TERM: Final = frozenset({Kind.OR, Kind.AND, Kind.IN, Kind.EQUALS, Kind.DIFFERS, Kind.THEN, Kind.ELSE, Kind.NOT})
#: What makes more of a term than it is.
_AFTER_COMPARED: Final = frozenset({Kind.EQUALS, Kind.DIFFERS, Kind.IN, Kind.NOT})
#: Before a pipe, these are what the pipe was meant for.
_SIMPLE: Final = (PathNode, TextNode, NumberNode, CodeNode, NameNode, CallNode)
#: What stands behind the path of most calls: a function of nothing else, or of one name.
_PIPED: Final = re.compile(r" \| ([a-z][a-z0-9_]*)(\(([a-z][a-z0-9_]*)\))?")
_Tree = TypeVar("_Tree")


# --- the way in --------------------------------------------------------------------------------------------


def is_expression(text: Text) -> bool:
    """Whether a scalar is an expression; every other scalar is a literal."""
    return text.style in ("plain", "single") and text.value.startswith("=")


def parse(file: YamlFile, text: Text, format: Format | None, *, condition: bool = False) -> Expr | None:  # noqa: A002
    """
    The tree of an expression; `None` when it is broken, and then `file` has the diagnostic.

    Args:
        file: the file that `text` comes from.
        text: the scalar.
        format: the source format, which knows what a path is; `None` in builds, checks and clocks, where there is none.
        condition: the place takes nothing but expressions, so they are written without `=`.
    """
    if text.style not in ("plain", "single"):
        # A value that begins with "=" was reported by the reader.
        if not text.value.startswith("="):
            file.report("E008", "an expression cannot stand in double quotes or a block scalar", text, _QUOTES)
        return None
    source = Source(file, text)
    start = source.blank(0)
    marked = source.text.startswith("=", start)
    if condition and marked:
        _report_mark(file, source.span(start, start + 1))
    elif not condition and not marked:
        file.report("E102", "expected an expression", text, "an expression begins with '='")
        return None
    start += marked
    return _attempt(file, source, lambda: _Parser(source, start, format).whole())


def parse_loop(file: YamlFile, text: Text, format: Format | None) -> LoopNode | None:  # noqa: A002
    """
    What `$each` or `$for` runs over; `None` when it is broken, and then `file` has the diagnostic.

    Args:
        file: the file that `text` comes from.
        text: the scalar.
        format: the source format in a binding, where a path of it is expected; `None` in a build: `list as alias`.
    """
    if text.style not in ("plain", "single"):
        file.report("E008", "a loop cannot stand in double quotes or a block scalar", text, _QUOTES)
        return None
    source = Source(file, text)
    start = source.blank(0)
    if source.text.startswith("=", start):
        _report_mark(file, source.span(start, start + 1))
        start += 1
    if format is None:
        return _attempt(file, source, lambda: _Parser(source, start, None).each())
    return _attempt(file, source, lambda: _path_loop(source, start, format))


def _report_mark(file: YamlFile, span: Span) -> None:
    """Its meaning is clear all the same, so the rest is parsed, and its own faults are found at once."""
    file.report("E106", "this place takes an expression and no '='", span, "leave the '=' out")


def _attempt(file: YamlFile, source: Source, rule: Callable[[], _Tree]) -> _Tree | None:
    """What a rule makes of the source; what breaks it is reported."""
    if len(source.text) > MAX_LENGTH:
        what = f"{len(source.text):,} characters in one expression; the limit is {MAX_LENGTH:,}"
        file.report("E111", what, source.span(0, 1), "divide it by derived items")
        return None
    try:
        return rule()
    except Broken as broken:
        file.report(broken.code, broken.message, source.span(broken.start, broken.end), broken.hint)
        return None


def _path_loop(source: Source, start: int, format: Format) -> LoopNode:  # noqa: A002
    """The `each` rule of a binding."""
    text = source.text
    start = source.blank(start)
    found = scanned(format.scan_loop, text, start) if start < len(text) else None
    if found is None:
        raise Broken("E107", f"expected what to loop over: a path of {format.name}", start, len(text))
    path, end = found
    rest = source.blank(end)
    if rest < len(text):
        word = (text[rest:].split(None, 1) or [text[rest:]])[0]
        hint = "a loop in a binding has no alias" if word == "as" else ""
        what = f"expected the end of the path; got {shortened(word)}"
        raise Broken("E102", what, rest, rest + len(word), hint)
    span = source.span(start, end)
    return LoopNode(span, PathNode(span, path))


# --- the rules ---------------------------------------------------------------------------------------------


class _Parser:
    """One function per rule of the grammar, with one token of lookahead."""

    def __init__(self, source: Source, start: int, format: Format | None) -> None:  # noqa: A002
        self.source = source
        self.format = format
        self.depth = self.pipes = 0
        #: Where the last token that was taken ends.
        self.end = start
        self.token = scan(source, start, format)

    # --- tokens

    def take(self) -> Token:
        taken = self.token
        self.end = end = taken.end
        self.token = scan(self.source, end, self.format)
        return taken

    def accept(self, kind: str) -> Token | None:
        return self.take() if self.token.kind is kind else None

    def expect(self, kind: str, words: str = "", hint: str = "") -> Token:
        return self.accept(kind) or self.fail(words or kind, hint)

    def name(self, words: str) -> Token:
        """A name without fields."""
        if self.token.kind is not Kind.NAME or len(self.token.parts) > 1:
            self.fail(words)
        return self.take()

    def fail(self, expected: str, hint: str = "", code: str = "E102") -> NoReturn:
        raise Broken(code, f"expected {expected}; got {self.token}", self.token.start, self.token.end, hint)

    def span(self, start: int) -> Span:
        """From `start` to the end of what has been taken."""
        return self.source.span(start, self.end)

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.bounded()

    def bounded(self) -> None:
        if self.depth > MAX_DEPTH or self.pipes > MAX_DEPTH:
            what = f"more than {MAX_DEPTH} brackets, calls or conditions inside one another"
            raise Broken("E112", what, self.token.start, self.token.end, "divide it by derived items")

    # --- rules

    def whole(self) -> Expr:
        token = self.token
        if token.kind is Kind.END:
            self.fail("an expression")
        if token.path is not None:
            path = PathNode(self.source.span(token.start, token.end), token.path)
            if self.source.blank(token.end) == len(self.source.text):
                return path  # most are nothing else
            if (piped := _PIPED.fullmatch(self.source.text, token.end)) and self.of_words(piped):
                return self.piped(path, token.start, piped)
        tree = self.expression()
        self.expect(Kind.END)
        return tree

    def of_words(self, piped: re.Match[str]) -> bool:
        """Whether the names in it are names: nothing that the grammar knows, nor paths of the format."""
        text, format_ = self.source.text, self.format
        for at in (1, 3) if piped[3] else (1,):
            if reserved(piped[at]) or (format_ is not None and scanned(format_.scan, text, piped.start(at))):
                return False
        return True

    def piped(self, path: PathNode, start: int, piped: re.Match[str]) -> CallNode:
        """The same as `expression` makes of it, without asking of each token what it is."""
        span = self.source.span
        args: tuple[Expr, ...] = (path,)
        if name := piped[3]:
            place = span(*piped.span(3))
            args = path, NameNode(place, (name,), (place,))
        return CallNode(span(start, piped.end()), piped[1], span(*piped.span(1)), args)

    def each(self) -> LoopNode:
        hint = "write it as in: medicines as m"
        if self.token.kind is not Kind.NAME:
            self.fail("the name of a list or record", hint)
        over = self.named(self.take())
        if self.token.parts[:1] != (("as", self.token.start),) or len(self.token.parts) > 1:
            self.fail("'as'", hint)
        self.take()
        alias = self.name("an alias")
        span = self.span(alias.start)
        self.expect(Kind.END)
        return LoopNode(over.span.to(span), over, alias.text, span)

    def expression(self) -> Expr:
        self.deeper()
        start = self.token.start
        tree = first = self.conditional() if self.token.kind is Kind.IF else self.alternatives()
        while self.accept(Kind.BAR):
            self.pipes += 1
            self.bounded()
            if self.token.kind is not Kind.NAME or len(self.token.parts) > 1:
                hint = "alternatives are joined by 'or'" if self.token.kind is Kind.BAR else ""
                self.fail("the name of a function after '|'", hint, "E103")
            tree = self.call(start, (tree,))
        if tree is not first and self.token.kind in _AFTER_TERM:
            self.pipe_inside(start, simple=isinstance(first, _SIMPLE))
        self.depth -= 1
        return tree

    def pipe_inside(self, start: int, *, simple: bool) -> NoReturn:
        """`A | f(x) or B`: people mean `(A | f(x)) or B`, and it would be read otherwise."""
        piped = self.source.text[start : self.end]
        if simple and len(piped) <= 60 and "\n" not in piped:
            hint = f"write ({piped}) {self.token.text} …"
        else:
            hint = "put the value and its pipe in brackets: (a | f) or b"
        what = f"{self.token} after a pipe: the pipe needs brackets"
        raise Broken("E105", what, self.token.start, self.token.end, hint)

    def conditional(self) -> Expr:
        self.deeper()
        start = self.expect(Kind.IF).start
        condition = self.alternatives()
        if self.token.kind is Kind.BAR:
            hint = "put the value and its pipe in brackets: if (a | f) then b"
            raise Broken("E105", "a pipe in a condition needs brackets", self.token.start, self.token.end, hint)
        self.expect(Kind.THEN)
        then, otherwise = self.alternatives(), None
        if self.accept(Kind.ELSE):
            otherwise = self.conditional() if self.token.kind is Kind.IF else self.alternatives()
        self.depth -= 1
        return IfNode(self.span(start), condition, then, otherwise)

    def alternatives(self) -> Expr:
        start, term = self.token.start, None
        if self.token.kind is not Kind.NOT:
            term = self.term()
            if self.token.kind not in _AFTER_TERM:
                return term  # most are nothing else
        first = self.conjunction(start, term)
        if self.token.kind is not Kind.OR:
            return first
        terms = [first]
        while self.accept(Kind.OR):
            terms.append(self.conjunction(self.token.start))
        return OrNode(self.span(start), tuple(terms))

    def conjunction(self, start: int, term: Expr | None = None) -> Expr:
        """From `start` on, where the first term may have been read already."""
        first = self.comparison(start, term) if term or self.token.kind is not Kind.NOT else self.negation()
        if self.token.kind is not Kind.AND:
            return first
        terms = [first]
        while self.accept(Kind.AND):
            terms.append(self.negation())
        return AndNode(self.span(start), tuple(terms))

    def negation(self) -> Expr:
        if (negated := self.accept(Kind.NOT)) is None:
            return self.comparison(self.token.start)
        self.deeper()
        term = self.negation()
        self.depth -= 1
        return NotNode(self.span(negated.start), term)

    def comparison(self, start: int, left: Expr | None = None) -> Expr:
        """The same of its left side."""
        left = left or self.term()
        if self.token.kind not in _AFTER_COMPARED:
            return left
        if operator := self.accept(Kind.EQUALS) or self.accept(Kind.DIFFERS):
            if self.token.kind is Kind.EQUALS:
                self.fail("a value", "one '=' compares")
            right = self.term()
            return CompareNode(self.span(start), "=" if operator.kind is Kind.EQUALS else "!=", left, right)
        if self.accept(Kind.IN):
            return self.membership(start, left)
        if self.token.kind is Kind.NOT:
            self.fail(Kind.END, "write: not (a in b)")
        return left

    def membership(self, start: int, value: Expr) -> Expr:
        begin = self.token.start
        if not self.accept(Kind.LEFT):
            name = self.name("the name of a list, or texts in brackets").text
            return InNode(self.span(start), value, name, self.span(begin))
        strings = [self.expect(Kind.TEXT, "a text in double quotes")]
        while self.accept(Kind.COMMA):
            strings.append(self.expect(Kind.TEXT, "a text in double quotes"))
        self.expect(Kind.RIGHT, "',' or ')'")
        return InNode(self.span(start), value, None, self.span(begin), tuple(unquoted(text.text) for text in strings))

    def term(self) -> Expr:
        token = self.token
        match token.kind:
            case Kind.PATH if token.path is not None:
                return PathNode(self.source.span(token.start, self.take().end), token.path)
            case Kind.TEXT:
                return TextNode(self.source.span(token.start, self.take().end), unquoted(token.text))
            case Kind.NUMBER:
                return NumberNode(self.source.span(token.start, self.take().end), token.text)
            case Kind.CODE:
                system, _, code = token.text.partition("#")
                return CodeNode(self.source.span(token.start, self.take().end), system, code)
            case Kind.NAME:
                self.take()
                if self.token.kind is Kind.LEFT and len(token.parts) == 1:
                    return self.arguments(token.start, token, ())
                return self.named(token)
            case Kind.LEFT:
                self.take()
                tree = self.expression()
                self.expect(Kind.RIGHT)
                return tree
        return self.fail("a value")

    def named(self, token: Token) -> NameNode:
        if len(token.parts) == 1:
            span = self.source.span(token.start, token.end)
            return NameNode(span, (token.text,), (span,))
        spans = tuple(self.source.span(at, at + len(part)) for part, at in token.parts)
        return NameNode(self.source.span(token.start, token.end), tuple(part for part, _ in token.parts), spans)

    def call(self, start: int, args: tuple[Expr, ...]) -> CallNode:
        """A call after a pipe, where the brackets may be missing."""
        return self.arguments(start, self.take(), args)

    def arguments(self, start: int, name: Token, args: tuple[Expr, ...]) -> CallNode:
        if self.accept(Kind.LEFT) and not self.accept(Kind.RIGHT):
            args = (*args, self.expression())
            while self.accept(Kind.COMMA):
                args = (*args, self.expression())
            self.expect(Kind.RIGHT, "',' or ')'")
        return CallNode(self.span(start), name.text, self.source.span(name.start, name.end), args)
