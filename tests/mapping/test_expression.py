"""Expressions of mapping files: their trees, their exact places, and what is said about those that are wrong."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhbridge.errors import Span, explanations
from mhbridge.formats import Path, PathError
from mhbridge.mapping import expression
from mhbridge.mapping.expression import LoopNode, NameNode, PathNode, TextNode, is_expression, parse, parse_loop
from mhbridge.mapping.reader import Pairs, Text, YamlFile, read

NAME = "mappings/broken.yaml"
TABLE = FilePath(__file__).with_name("broken") / "expressions.txt"


class Segments:
    """A source format in the manner of HL7 v2, as far as the parser of expressions knows one."""

    name = "segments"
    test = r"(?:\[(?:[^\]\"]|\"[^\"]*\")*\])?"
    path = re.compile(rf"[A-Z][A-Z0-9]{{2}}{test}-\d+{test}(?:\.\d+)*|\.(?:\d+|(?!\w))")
    table = re.compile(rf"[A-Z][A-Z0-9]{{2}}{test}(?:-\d+)?")

    def scan(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        if found := self.path.match(text, start, end):
            return Path(found[0], found[0].startswith(".")), found.end()
        if re.compile("[A-Z][A-Z0-9]{2}-").match(text, start, end):
            raise PathError("E107", "expected a field number after '-'", offset=4, hint="as in PID-3")
        return None

    def scan_loop(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        found = self.table.match(text, start, end)
        return (Path(found[0]), found.end()) if found else None


SEGMENTS: Any = Segments()


def cases() -> list[tuple[str, str, str]]:
    found = []
    for case in TABLE.read_text("utf-8").split("\n=== ")[1:]:
        name, rest = case.split("\n", 1)
        source, expected = rest.split("\n>>>\n")
        found.append((name, source, expected.strip("\n")))
    return found


CASES = cases()


def parsed(file: YamlFile) -> dict[str, Any]:
    """Every scalar of a file, parsed as its key says."""
    found: dict[str, Any] = {}
    assert isinstance(file.root, Pairs)
    for key, text in file.root.entries.items():
        assert isinstance(text, Text)
        match key:
            case "source":
                found[key] = parse(file, text, SEGMENTS)
            case "build":
                found[key] = parse(file, text, None)
            case "when":
                found[key] = parse(file, text, None, condition=True)
            case "each_source":
                found[key] = parse_loop(file, text, SEGMENTS)
            case "each":
                found[key] = parse_loop(file, text, None)
    return found


def rendered(source: str) -> str:
    file = read(NAME, source.encode())
    parsed(file)
    return "\n".join(problem.render() for problem in file.diagnostics)


def tree(source: str) -> Any:
    file = read("a.yaml", source.encode())
    (found,) = parsed(file).values()
    assert file.diagnostics == []
    return found


def shape(node: Any) -> Any:
    """A tree without its spans: (rule, parts…)."""
    if dataclasses.is_dataclass(node) and not isinstance(node, Path):
        fields = [field.name for field in dataclasses.fields(node) if "span" not in field.name]
        return (type(node).__name__.removesuffix("Node").lower(), *(shape(getattr(node, name)) for name in fields))
    if isinstance(node, Path):
        return node.text
    return tuple(shape(part) for part in node) if isinstance(node, tuple) else node


def nodes(node: Any) -> Iterator[Any]:
    if isinstance(node, tuple):
        for part in node:
            yield from nodes(part)
    elif dataclasses.is_dataclass(node) and not isinstance(node, (Path, Span)):
        yield node
        for field in dataclasses.fields(node):
            yield from nodes(getattr(node, field.name))


@pytest.mark.parametrize(("source", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_broken_expression_is_described_exactly(source: str, expected: str) -> None:
    assert rendered(source) == expected


def test_every_code_is_explained_and_every_explanation_has_a_case() -> None:
    told = {line.split(": ")[1] for _, _, text in CASES for line in text.splitlines() if line.startswith(NAME)}
    explained = {code for code in explanations() if "E101" <= code <= "E149"}
    # E104 and E108 are about functions, which the parser does not know.
    assert told - {"E008"} == explained - {"E104", "E108"}


def n(*parts: str) -> tuple[Any, ...]:
    return ("name", parts)


A, B, C = n("a"), n("b"), n("c")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("source: = PV1-45 or EVN-6", ("or", (("path", "PV1-45"), ("path", "EVN-6")))),
        ("source: = PV1-45 or\n  EVN-6", ("or", (("path", "PV1-45"), ("path", "EVN-6")))),
        ("source: = .1 | code(t) | first", ("call", "first", (("call", "code", (("path", ".1"), n("t"))),))),
        ("source: '= PID-3[4=\"a, b\" and 5!=\"it''s\"].1'", ("path", 'PID-3[4="a, b" and 5!="it\'s"].1')),
        ("source: =PID-3", ("path", "PID-3")),
        ("source: = lines(.)", ("call", "lines", (("path", "."),))),
        ("source: = message.received_at", n("message", "received_at")),
        ("build: = a.contentType", n("a", "contentType")),
        ("build: = a.not.in", n("a", "not", "in")),
        ("build: = order or notes", ("or", (n("order"), n("notes")))),
        ('build: = "= text"', ("text", "= text")),
        ("build: '= \"it''s: \\\"x\\\" \\\\\"'", ("text", 'it\'s: "x" \\')),
        ('build: = ""', ("text", "")),
        ("build: = 01.50", ("number", "01.50")),
        ("build: = snomed#373942005", ("code", "snomed", "373942005")),
        ("build: = f(nhs-dd-method#4, icd10#F32.1)", None),
        ("build: = now()", ("call", "now", ())),
        ("build: = f (a, g(b), (c))", ("call", "f", (A, ("call", "g", (B,)), C))),
        ("build: = a | f(b, c)", ("call", "f", (A, B, C))),
        ("build: = a or b | f", ("call", "f", (("or", (A, B)),))),
        ("build: = a or (b | f)", ("or", (A, ("call", "f", (B,))))),
        ("build: = a or b and not c", ("or", (A, ("and", (B, ("not", C)))))),
        ("build: = (a or b) and c", ("and", (("or", (A, B)), C))),
        ("build: = not a = b", ("not", ("compare", "=", A, B))),
        ("when: a != b", ("compare", "!=", A, B)),
        ("when: not a in b", ("not", ("in", A, "b", ()))),
        ('when: a in ("x", "y")', ("in", A, None, ("x", "y"))),
        ("when: '(a | f) = \"x: y\"'", ("compare", "=", ("call", "f", (A,)), ("text", "x: y"))),
        ("build: = if a then b", ("if", A, B, None)),
        ("build: = if a then b else if b then c else a", ("if", A, B, ("if", B, C, A))),
        ("build: = if a then b else c | f", ("call", "f", (("if", A, B, C),))),
        ('each_source: OBX[3.1="X"]', ("loop", ("path", 'OBX[3.1="X"]'), None)),
        ("each: r.results as o", ("loop", n("r", "results"), "o")),
        ("each: as as as", ("loop", n("as"), "as")),
    ],
)
def test_trees(source: str, expected: Any) -> None:
    if expected is None:
        expected = ("call", "f", (("code", "nhs-dd-method", "4"), ("code", "icd10", "F32.1")))
    assert shape(tree(source)) == expected


def at(file: YamlFile, span: Span) -> str:
    starts = [0]
    for line in file.lines:
        starts.append(starts[-1] + len(line) + 1)
    return file.raw[starts[span.line - 1] + span.column - 1 : starts[span.end_line - 1] + span.end_column - 1]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            'source: = if a.b in x then\n    PID-3[4="é"].1 or\n    snomed#1 | f(10)',
            {
                "call": 'if a.b in x then\n    PID-3[4="é"].1 or\n    snomed#1 | f(10)',
                "if": 'if a.b in x then\n    PID-3[4="é"].1 or\n    snomed#1',
                "in": "a.b in x",
                "name": "a.b",
                "or": 'PID-3[4="é"].1 or\n    snomed#1',
                "path": 'PID-3[4="é"].1',
                "code": "snomed#1",
                "number": "10",
            },
        ),
        (
            "when: '  not (\"it''s\" = a) and\n    f(b, \"''\"  )'",
            {
                "and": "not (\"it''s\" = a) and\n    f(b, \"''\"  )",
                "not": "not (\"it''s\" = a)",
                "compare": "\"it''s\" = a",
                "text": "\"''\"",
                "call": "f(b, \"''\"  )",
                "name": "b",
            },
        ),
        ("each: r.results  as  o", {"loop": "r.results  as  o", "name": "r.results"}),
    ],
)
def test_spans_are_exact_in_the_raw_text(source: str, expected: dict[str, str]) -> None:
    file = read("a.yaml", source.encode())
    (found,) = parsed(file).values()
    # Of several nodes of one rule, the last is shown.
    assert {type(node).__name__.removesuffix("Node").lower(): at(file, node.span) for node in nodes(found)} == expected
    for node in nodes(found):
        if isinstance(node, NameNode):
            assert [at(file, span) for span in node.spans] == list(node.parts)
        if isinstance(node, PathNode):
            assert at(file, node.span) == node.path.text


def test_parts_of_calls_lists_and_loops_have_places_of_their_own() -> None:
    file = read("a.yaml", b'when: (a | f(b)) in ("x", "y")\nbuild: = a in some_list\neach: a as b')
    found = parsed(file)
    assert at(file, found["when"].list_span) == '("x", "y")'
    assert at(file, found["when"].value.name_span) == "f"
    assert at(file, found["build"].list_span) == "some_list"
    assert at(file, found["each"].alias_span) == "b"


def test_a_mark_too_many_is_reported_and_the_rest_still_parsed() -> None:
    file = read("a.yaml", b"when: = a")
    assert shape(parsed(file)["when"]) == A
    assert [problem.code for problem in file.diagnostics] == ["E106"]


@pytest.mark.parametrize(
    ("source", "expected"), [("a: = b", True), ("a: '= b'", True), ("a: b = c", False), ("a: '=b'", True)]
)
def test_what_is_an_expression(source: str, expected: bool) -> None:
    file = read("a.yaml", source.encode())
    assert isinstance(file.root, Pairs)
    text = file.root.entries["a"]
    assert isinstance(text, Text)
    assert is_expression(text) is expected


def test_a_tree_at_the_bounds_can_be_walked_by_recursion() -> None:
    deep = "(a or a and not f(a = " * 16 + "a" + "))" * 16 + "|f" * 50
    assert shape(tree(f"build: = {deep}"))
    assert shape(tree("when: " + "not " * 49 + "a"))


class Greedy(Segments):
    """A format that breaks its contract: it claims nothing, or more than there is, or points outside of the text."""

    def __init__(self, width: int, *, fails: bool) -> None:
        self.width, self.fails = width, fails

    def scan(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        if self.fails and text[start : start + 1] in "PQ":
            raise PathError("E107", "no", offset=self.width, width=self.width)
        return Path(text[start:end]), start + self.width

    scan_loop = scan


WORDS = 'a b f or and not in if then else Aa a.b snomed#1 PID-3 PID- .1 10 2.5 "x"'
PIECES = st.sampled_from([*WORDS.split(), *'=|(),.#"\\é[]{}!', "!=", "''", " ", "  ", "\n   "])
FORMATS: Any = st.sampled_from(
    [None, SEGMENTS, *(Greedy(w, fails=f) for w in (-2, 0, 1, 3, 99) for f in (True, False))]
)


def forced(source: str, style: Any) -> tuple[YamlFile, Text]:
    """A scalar that no YAML reader stands before."""
    file = YamlFile("a.yaml", source)
    return file, Text(file.span(0, len(source)), source, style, 0, len(source))


class Worded(Segments):
    """A format of which a word in small letters is a path, too."""

    path = re.compile(rf"{Segments.path.pattern}|a\b")


@pytest.mark.parametrize("format", [SEGMENTS, Worded()])
@pytest.mark.parametrize("form", ["= PID-3 | {}", "= PID-3 | f({})", "= PID-3.1 | {}(b)"])
def test_a_call_of_words_is_what_its_tokens_make(form: str, format: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: A002
    words = [*WORDS.split(), "then_", "x1", "f(b)", ""]
    files = [forced(form.format(word), "plain") for word in words]
    quick = [(parse(file, text, format), file.diagnostics) for file, text in files]
    monkeypatch.setattr(expression, "_PIPED", re.compile("(?!)"))
    files = [forced(form.format(word), "plain") for word in words]
    assert quick == [(parse(file, text, format), file.diagnostics) for file, text in files]
    assert {tree is None for tree, _ in quick} == {True, False}


@settings(max_examples=500, deadline=None, database=None)
@given(
    st.lists(PIECES, max_size=20).map("".join) | st.text(max_size=40),
    st.sampled_from(["plain", "single", "double", "block"]),
    FORMATS,
    st.booleans(),
)
def test_no_text_makes_the_parser_raise(source: str, style: str, format: Any, condition: bool) -> None:  # noqa: A002
    for prefix in ("", "= "):
        file, text = forced(prefix + source, style)
        found = parse(file, text, format, condition=condition)
        assert found is not None or file.diagnostics or text.value.startswith("=")
        loop = parse_loop(file, text, format)
        assert loop is not None or file.diagnostics
        for node in (*nodes(found), *nodes(loop)):
            assert node.span.line <= node.span.end_line <= len(file.lines)
        for problem in file.diagnostics:
            assert problem.render()


EXPRESSIONS = st.recursive(
    st.sampled_from(["a", "b.c", '"x"', "10", "snomed#1", "PID-3", ".1"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} or {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"(if {pair[0]} then\n {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} = {pair[1]})"),
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} | f({pair[1]}))"),
        inner.map(lambda one: f"(not {one} in x)"),
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None, database=None)
@given(EXPRESSIONS)
def test_a_node_is_what_its_place_says(source: str) -> None:
    file, text = forced(f"= {source}", "plain")
    found = parse(file, text, SEGMENTS)
    assert file.diagnostics == []
    for node in nodes(found):
        if isinstance(node, LoopNode):
            continue
        again, part = forced(f"= {at(file, node.span)}", "plain")
        assert shape(parse(again, part, SEGMENTS)) == shape(node)


def test_the_bounds_are_those_that_the_explanations_name() -> None:
    assert f"{expression.MAX_LENGTH:,}" in explanations()["E111"].cause
    assert str(expression.MAX_DEPTH) in explanations()["E112"].cause


def hostile() -> list[FilePath]:
    corpus = os.environ.get("TEST_CORPUS", "")
    return sorted(FilePath(corpus).glob("**/mapping/expr_*.txt")) if corpus else []


@pytest.mark.skipif(not hostile(), reason="TEST_CORPUS names no corpus with hostile expressions")
def test_attempts_to_escape_are_refused_or_are_names() -> None:
    for attempt in hostile():
        source = attempt.read_text("utf-8").strip()
        for format in (None, SEGMENTS):  # noqa: A001
            file, text = forced(f"= {source}", "plain")
            found = parse(file, text, format)
            assert file.diagnostics or found is not None, attempt.name
            for node in nodes(found):
                assert isinstance(node, (NameNode, TextNode, expression.CallNode)), attempt.name
