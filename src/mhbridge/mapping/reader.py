"""
The restricted YAML that mappings are written in (mapping language §2): bytes in, nodes that know their place out.

The nodes are made from YAML's parse events alone. YAML's own typing is never used: every scalar is text, and the place
it stands in decides what it becomes. Whatever YAML would drop, cut or guess without a word is a diagnostic here. This
module must never raise for a file's content, and must never decide what a key means.

The C parser (libyaml) is used where it is installed. A file with any fault is read again by the parser written in
Python, whose verdict and wording count, so that every installation says the same about the same file.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, Literal

import yaml

from mhbridge.errors import Span
from mhbridge.mapping.files import Items, Node, Pairs, Text, YamlFile

__all__ = ["Items", "Node", "Pairs", "Text", "YamlFile", "decoded", "read"]

#: Larger files are refused unread: a mapping is written by hand, and nobody reviews a megabyte.
MAX_BYTES: Final = 1_000_000
#: Collections inside collections. Everything after the reader may recurse over nodes because of this bound.
MAX_DEPTH: Final = 40

#: Files whose nodes are kept.
_KEPT: Final = 512

_FAST: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Characters that YAML refuses, that some editors take for line ends, or that make a line read differently from what
#: it says (U+202A…U+202E, U+2066…U+2069: https://trojansource.codes). Tabs are refused because YAML forbids them only
#: in places.
_REFUSED: Final = re.compile("[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
#: What an escape in double quotes must not bring back in. `"\\t"` may: a delimiter can be a tab.
_REFUSED_ESCAPED: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
#: A comment that follows a value after one space, and only one.
_CLOSE_COMMENT: Final = " #"
_NOT_BLANK: Final = re.compile(r" *([^ \r\n])")
_COMMENT: Final = re.compile(r" +#")
_OPENS: Final = re.compile(r'["(\[]')
#: What only libyaml takes: a comment that touches a block scalar's header, and "?" inside a plain scalar in flow style.
_DISPUTED: Final = {"block": re.compile(r"[|>][-+0-9]*#"), "plain": re.compile(r".*\?", re.DOTALL)}
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_EXPRESSION_LINE: Final = re.compile(r"(?:^|[:\-?,\[{])\s*=")
#: A line that begins with a key alone, up to its colon.
_KEY_LINE: Final = re.compile(r" *(?:- +)?[\w$]+:(?= |$)")
#: What looks like a blank, or like nothing, and is neither.
_UNSEEN: Final = re.compile("[\u00a0\u2007\u202f\u200b\u2060]")
#: A path in brackets where a list in flow style could stand.
_BRACKETED: Final = re.compile(r"\s*(?:- )?[\w$]+:\s*\[[^\[\]]*\]\s*\S")
_QUOTES: Final = "put the expression in single quotes"

_WAYS_OUT: Final = {
    "an anchor": "write the value out, or make it a part",
    "a tag": "the place where a value stands decides its type",
}
_STYLES: Final[Mapping[str, Literal["plain", "single", "double", "block"]]] = {
    "": "plain",
    "'": "single",
    '"': "double",
    "|": "block",
    ">": "block",
}


#: The events that begin a collection, and those that end one.
_OPENING: Final = frozenset({yaml.MappingStartEvent, yaml.SequenceStartEvent})
_CLOSING: Final = frozenset({yaml.MappingEndEvent, yaml.SequenceEndEvent})

#: Makes a named tuple of what is in order already: two are made of each scalar.
_tuple: Final = tuple.__new__


def read(path: str, body: bytes) -> YamlFile:
    """
    Read one file. Never raises: what is wrong is in `diagnostics`, in the order of the file.

    What was read before, under the same name, is not read again: a catalogue is made anew whenever anything in it
    changes. Whoever reads reports into a file of their own; the nodes are the same, and nobody can change them.

    Args:
        path: the file's name as people are to be shown it; nothing is opened.
        body: the file's bytes.
    """
    file = copy(_read(path, body))
    file.diagnostics = list(file.diagnostics)
    return file


@lru_cache(maxsize=_KEPT)
def _read(path: str, body: bytes) -> YamlFile:
    if len(body) > MAX_BYTES:
        file = YamlFile(path, "")
        file.report("E011", f"the file has {len(body):,} bytes; the limit is {MAX_BYTES:,}", file.span(0, 0))
        return file
    file = decoded(path, body)
    if file.diagnostics:
        return file
    if _REFUSED.search(file.raw):
        return _refuse_characters(file)
    for loader in (_FAST, yaml.SafeLoader):
        composer = _Composer(file)
        file.diagnostics.clear()
        try:
            file.root = composer.compose(loader(file.raw))
        except _Refused:
            file.root = None
        except (yaml.YAMLError, ValueError, OverflowError) as problem:
            # The Python parser has no check of its own for an escape beyond U+10FFFF: that is the ValueError.
            file.root = None
            if loader is not yaml.SafeLoader:
                continue
            composer.not_yaml(problem)
        if loader is yaml.SafeLoader or not file.diagnostics:
            break
    file.diagnostics.sort(key=lambda diagnostic: diagnostic.span)
    return file


def decoded(path: str, body: bytes, hint: str = "save the file as UTF-8") -> YamlFile:
    """A file of any kind as text, without a byte order mark; when it is not UTF-8, its diagnostics say so."""
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        file = YamlFile(path, "")
        file.report("E001", "not UTF-8: the file begins as UTF-16 does", file.span(0, 0), hint)
        return file
    body = body.removeprefix(codecs.BOM_UTF8)
    try:
        return YamlFile(path, body.decode("utf-8"))
    except UnicodeDecodeError as problem:
        file = YamlFile(path, _REFUSED.sub(_shown, body.decode("utf-8", "replace")))
        at = len(body[: problem.start].decode("utf-8"))
        what = f"not UTF-8: byte 0x{body[problem.start]:02X} is no character here"
        file.report("E001", what, file.span(at, at + 1), hint)
        return file


def _shown(refused: re.Match[str]) -> str:
    """A stand-in for a refused character, because diagnostics are printed on terminals."""
    return "\t" if refused[0] == "\t" else "\ufffd"


def _refuse_characters(file: YamlFile) -> YamlFile:
    """The file with its refused characters reported, the first of each line, and made harmless."""
    shown = YamlFile(file.path, _REFUSED.sub(_shown, file.raw))
    line = 0
    for found in _REFUSED.finditer(file.raw):
        span = shown.span(*found.span())
        if span.line == line:
            continue
        line = span.line
        if found[0] == "\t":
            shown.report("E012", "a tab character", span, 'use spaces; inside double quotes, write "\\t"')
        else:
            shown.report("E012", f"the character U+{ord(found[0]):04X} has no place in a mapping", span, "remove it")
    return shown


def _left_open(raw: str, *, expression: bool = True) -> bool:
    """Whether a bracket that begins in `raw` does not end in it; in an expression, or a double-quoted text."""
    if not _OPENS.search(raw):
        return False
    depth, quoted, escaped = 0, False, False
    for character in raw:
        if quoted:
            quoted = escaped or character != '"'
            escaped = not escaped and character == "\\"
        elif character == '"':
            quoted = True
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
    return depth > 0 or (expression and quoted)


# --- from events to nodes ----------------------------------------------------------------------------------


class _Refused(Exception):
    """Reading on makes no sense."""


@dataclass(slots=True)
class _Frame:
    """
    A collection that is being read.

    Args:
        expects_key: the next node is a key of this mapping.
        name: the key whose value comes next; `None` when the value is not to be kept.
        is_key: this collection stands where a key should.
        cut: YAML cut a scalar in here, so what follows in the same collection is debris and is not reported.
    """

    pairs: bool
    start: int
    line: int
    column: int
    flow: bool
    expects_key: bool = False
    is_key: bool = False
    cut: bool = False
    name: str | None = None
    key: Span | None = None
    last: Span | None = None
    entries: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Span] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)


class _Composer:
    """Makes nodes of one file's events, without recursion, and reports what the language refuses."""

    def __init__(self, file: YamlFile) -> None:
        self.file = file
        self.path, self.raw = file.path, file.raw
        self.frames: list[_Frame] = []
        self.root: Node | None = None
        self.loader: Any = None

    def compose(self, loader: Any) -> Node | None:
        self.loader = loader
        documents, empty = 0, True
        try:
            while (event := loader.get_event()) is not None:
                if event.__class__ is yaml.ScalarEvent:  # most of them
                    empty = False
                    if not self.is_word(event):
                        self.scalar(event)
                    continue
                if (kind := event.__class__) in _OPENING:
                    empty = False
                    self.open(event)
                elif kind in _CLOSING:
                    self.close(event)
                elif kind is yaml.AliasEvent:
                    empty = False
                    self.alias(event)
                elif kind is yaml.DocumentStartEvent:
                    documents += 1
                    if event.version or event.tags:
                        self.report("E004", "a YAML directive", self.mark(event), "leave it out")
                    if documents > 1:
                        hint = "put the second document into a file of its own"
                        self.report("E004", "a second document in one file", self.mark(event), hint)
                        raise _Refused
        finally:
            loader.dispose()
        if empty:
            self.report("E006", "the file is empty", self.file.span(0, 0))
        return self.root

    # --- what is wrong

    def report(self, code: str, message: str, span: Span, hint: str = "") -> None:
        if not any(frame.cut for frame in self.frames):
            self.file.report(code, message, span, hint)

    def mark(self, event: Any) -> Span:
        """The first character of an event."""
        return self.file.span(event.start_mark.index, event.start_mark.index + 1)

    def not_yaml(self, problem: Exception) -> None:
        """Report why YAML gave up, unless a cut that is already reported is the reason."""
        if isinstance(problem, yaml.MarkedYAMLError) and problem.problem_mark is not None:
            at = problem.problem_mark.index
            what = str(problem.problem).replace("'<document start>'", "the end of the file")
            what = re.sub(r"<([a-z ]+)>", r"\1", what.replace("<block end>", "the end of the block"))
        else:
            at, what = self.loader.get_mark().index, "an escape that names no character"
        span = self.file.span(at, at + 1)
        line = self.file.lines[span.line - 1]
        indent = len(line) - len(line.lstrip(" "))
        # A scalar that runs over several lines begins above, where the indentation is less.
        above = (text for text in reversed(self.file.lines[: span.line - 1]) if text.strip())
        first = next((text for text in above if len(text) - len(text.lstrip(" ")) < indent), "")
        hint = ""
        key = _KEY_LINE.match(line)
        before = next((text for text in reversed(self.file.lines[: span.line - 1]) if text.strip()), ":")
        if key and (("mapping values" in what and span.column == key.end()) or "'block " in what):
            hint = "this line does not begin in the column of those that it belongs to: look at its blanks"
            hint = hint if ":" in before else "is there a ':' after the key in the line above?"
        elif "comment or a line break" in what and line[: span.column].count("]") and _BRACKETED.match(line):
            hint = "an expression begins with ="
        elif _EXPRESSION_LINE.search(line) or _EXPRESSION_LINE.search(first):
            hint = _QUOTES
        elif "mapping values" in what or "cannot start any token" in what:
            hint = "put the text in single quotes"
        if unseen := _UNSEEN.search(f"{before}\n{line}"):
            number = span.line - (unseen.start() <= len(before))
            hint = f"a blank in line {number} or above it is U+{ord(unseen[0]):04X}, which only looks like one"
        self.report("E002", f"not YAML: {what}", span, hint)

    # --- scalars

    def is_word(self, event: Any) -> bool:
        """Whether a scalar is a key as nearly all are, a word in block style that is new here; then it is read."""
        frame, value = self.frames[-1] if self.frames else None, event.value
        if frame is None or not frame.expects_key or frame.flow or event.style or value in frame.keys:
            return False
        begins = event.start_mark
        line, column = begins.line + 1, begins.column + 1
        if value[:1] in "<=" or event.end_mark.line >= line or not event.anchor is event.tag is None:
            return False
        span = _tuple(Span, (self.path, line, column, line, column + len(value)))
        frame.expects_key, frame.name, frame.key, frame.last = False, value, span, span
        frame.keys[value] = span
        return True

    def scalar(self, event: Any) -> None:
        frame = self.frames[-1] if self.frames else None
        style = _STYLES[event.style or ""]
        begins, ends = event.start_mark, event.end_mark
        start, end = begins.index, ends.index
        flow = frame is not None and frame.flow
        if style == "block":
            end = start + len(self.raw[start:end].rstrip())
            span = self.file.span(start, end)
        else:
            line, last = begins.line + 1, ends.line + 1
            span = _tuple(Span, (self.path, line, begins.column + 1, last, ends.column + 1))
        text = _tuple(Text, (span, event.value, style, start, end, flow))
        if flow or style == "block":
            disputed = _DISPUTED.get(style)
            if disputed and disputed.match(self.raw, start, end):
                raise yaml.YAMLError
        kept = event.anchor is event.tag is None or self.untagged(event)
        if style == "double" and _REFUSED_ESCAPED.search(event.value):
            self.report("E012", "an escape for a character that has no place in a mapping", span, "remove it")
            kept = False
        if frame is not None and frame.expects_key:
            self.key(frame, text if kept else None, span)
        else:
            self.attach(text if kept and self.keeps(text) else None, span)

    def untagged(self, event: Any) -> bool:
        if event.anchor is None and event.tag is None:
            return True
        refused = [name for name, value in (("an anchor", event.anchor), ("a tag", event.tag)) if value is not None]
        for name in refused:
            self.report("E004", f"{name}: not part of the mapping language", self.mark(event), _WAYS_OUT[name])
        return not refused

    def key(self, frame: _Frame, text: Text | None, span: Span) -> None:
        """A scalar in key position; `None` when it is refused already."""
        frame.expects_key, frame.name, frame.key = False, None, span
        frame.last = span
        if text is None:
            return
        _, value, style, _, _, flow = text
        if style == "block" or (style == "plain" and not value):
            self.report("E009", "a key must be a word", span, "write the key before the ':'")
        elif style == "plain" and value == "<<":
            self.report("E004", "a merge key: not part of the mapping language", span, "write the keys out")
        elif flow and style == "plain" and self.is_cut(text, key=True):
            return
        elif style == "plain" and value.startswith("="):
            self.report("E005", "YAML takes this expression for a key", span, _QUOTES)
        elif value in frame.keys:
            first = frame.keys[value].line
            self.report("E003", f"key {value!r} is already on line {first}", span)
        else:
            frame.name = value
            frame.keys[value] = span

    def keeps(self, text: Text) -> bool:
        """Check a scalar in value position; whether its text is what its writer meant."""
        _, value, style, start, end, flow = text
        expression = value.startswith("=")
        if style == "plain":
            if value in _NULLS:
                self.empty(self.frames[-1] if self.frames else None, text)
                return False
            if flow and self.is_cut(text, key=False):
                return False
            if expression and _COMMENT.match(self.raw, end) and _left_open(self.raw[start:end]):
                at = self.raw.index("#", end)
                self.report("E007", "YAML cuts the expression here", self.file.span(at - 1, at + 1), _QUOTES)
                return False
        if style != "block" and self.raw.startswith(_CLOSE_COMMENT, end):
            what, hint = "one space before '#'", "two spaces before a comment"
            if style == "plain":
                what += ": YAML cuts the text here"
                hint += f"; {_QUOTES}" if expression else "; single quotes round text with ' #'"
            self.report("E007", what, self.file.span(end, end + 2), hint)
        if expression and style in ("double", "block"):
            where = "double quotes" if style == "double" else "a block scalar"
            hint = "put it in single quotes; text that begins with '=' is written = \"= text\""
            self.report("E008", f"an expression cannot stand in {where}", self.head(text), hint)
            return False
        if not expression and "=" in value and value.lstrip().startswith("="):
            self.report("E008", "a blank before '=' makes this a text", self.head(text), "begin with '='")
            return False
        return True

    def head(self, text: Text) -> Span:
        """A block scalar is shown by its indicator, anything else whole."""
        return self.file.span(text.start, text.start + 1) if text.style == "block" else text.span

    def is_cut(self, text: Text, *, key: bool) -> bool:
        """Report a plain scalar that flow style ended early; brackets, commas and colons end it there."""
        at, rest = self.next(text.end)
        raw = self.raw[text.start : text.end]
        expression = raw.startswith("=")
        ended = rest in (",", "]", "}", ":") and _left_open(raw, expression=expression)
        if rest not in ("[", "{", "?") and not ended:
            return False
        if key and not expression:
            what, hint = "key", "write the key in block style"
        else:
            what = "expression" if expression else "text"
            hint = f"put the {what} in single quotes"
        self.report("E005", f"flow style cuts the {what} at {rest!r}", self.file.span(text.start, at + 1), hint)
        self.frames[-1].cut = True
        return True

    def next(self, offset: int) -> tuple[int, str]:
        """The first character from `offset` on that is no blank, and where it is; "" when the line ends before it."""
        found = _NOT_BLANK.match(self.raw, offset)
        return (found.end() - 1, found[1]) if found else (offset, "")

    def empty(self, frame: _Frame | None, text: Text) -> None:
        hint = "leave the key out" if frame is None or frame.pairs else "leave the entry out"
        span, what = text.span, "empty value"
        if text.value:
            what = f"{text.value} is an empty value"
            hint += f'; for the text itself, write "{text.value}"'
        elif frame is not None and frame.pairs and frame.key is not None:
            span, what = frame.key, f"empty value of {self.raw_of(frame.key)}"
        elif frame is not None:
            # The event stands right after its '-'.
            span, what = self.file.span(text.start - 1, text.start), "empty entry"
        if not text.value and self.next(text.end)[1] == "#":
            hint += "; text that begins with '#' needs single quotes"
        elif not text.value and text.flow:
            hint += "; text with a comma or bracket needs single quotes here"
        self.report("E006", what, span, hint)

    def raw_of(self, span: Span) -> str:
        if span.line != span.end_line:
            return "this key"
        return repr(self.file.lines[span.line - 1][span.column - 1 : span.end_column - 1].strip("'\""))

    # --- collections

    def alias(self, event: Any) -> None:
        span = self.file.span(event.start_mark.index, event.end_mark.index)
        self.report("E004", "an alias: not part of the mapping language", span, _WAYS_OUT["an anchor"])
        frame = self.frames[-1] if self.frames else None
        if frame is not None and frame.expects_key:
            self.key(frame, None, span)
        else:
            self.attach(None, span)

    def open(self, event: Any) -> None:
        self.untagged(event)
        if len(self.frames) == MAX_DEPTH:
            self.report("E010", f"nested more than {MAX_DEPTH} deep", self.mark(event))
            raise _Refused
        pairs = isinstance(event, yaml.MappingStartEvent)
        parent = self.frames[-1] if self.frames else None
        flow = bool(event.flow_style) or (parent is not None and parent.flow)
        is_key = parent is not None and parent.expects_key
        if is_key:
            self.report("E009", "a key must be a word", self.mark(event), "a collection cannot be a key")
        begins = event.start_mark
        at, line, column = begins.index, begins.line + 1, begins.column + 1
        self.frames.append(_Frame(pairs, at, line, column, flow, expects_key=pairs, is_key=is_key))

    def close(self, event: Any) -> None:
        frame = self.frames.pop()
        if frame.flow and self.raw.startswith(("{", "["), frame.start):
            span = self.file.span(frame.start, event.end_mark.index)
        else:
            # A block collection ends where its last entry does, not after the blank lines and comments below.
            begin = Span(self.path, frame.line, frame.column, frame.line, frame.column)
            span = begin.to(frame.last) if frame.last else begin
        if frame.is_key:
            self.key(self.frames[-1], None, span)
        elif frame.pairs:
            self.attach(Pairs(span, frame.entries, frame.keys), span)
        else:
            self.attach(Items(span, tuple(frame.nodes)), span)

    def attach(self, node: Node | None, span: Span) -> None:
        """Put a finished value, or the gap that a refused one leaves, where it belongs."""
        if not self.frames:
            self.root = node
            return
        frame = self.frames[-1]
        last = frame.last
        if last is None or span[3:] > last[3:]:
            frame.last = span
        if not frame.pairs:
            if node is not None:
                frame.nodes.append(node)
            return
        if node is not None and frame.name is not None:
            frame.entries[frame.name] = node
        frame.expects_key, frame.name, frame.key = True, None, None
