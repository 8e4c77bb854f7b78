"""The restricted YAML of mapping files: what it gives, what it refuses, and that both parsers of YAML agree."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mhbridge.errors import explanations
from mhbridge.mapping import reader
from mhbridge.mapping.reader import Items, Pairs, Text, YamlFile, read

NAME = "mappings/broken.yaml"
BROKEN = Path(__file__).with_name("broken")


def cases(table: Path) -> list[tuple[str, str, str]]:
    """(name, file, diagnostics) of a table of broken files."""
    found = []
    for case in table.read_text("utf-8").split("\n=== ")[1:]:
        name, rest = case.split("\n", 1)
        source, expected = rest.split("\n>>>\n")
        found.append((name, source, expected.strip("\n")))
    return found


CASES = cases(BROKEN / "yaml.txt")


def rendered(source: str) -> str:
    return "\n".join(problem.render() for problem in read(NAME, source.encode("utf-8", "surrogatepass")).diagnostics)


def shape(node: reader.Node | None) -> object:
    match node:
        case Text():
            return node.value
        case Pairs():
            return {key: shape(value) for key, value in node.entries.items()}
        case Items():
            return [shape(entry) for entry in node.entries]
    return None


def root(source: str) -> tuple[YamlFile, reader.Node]:
    file = read("a.yaml", source.encode())
    assert file.diagnostics == []
    assert file.root is not None
    return file, file.root


@pytest.mark.parametrize(("source", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_broken_file_is_described_exactly(source: str, expected: str) -> None:
    assert rendered(source) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            b"\xef\xbb\xbfa: b\nward: caf\xe9 east\n",
            (
                f"{NAME}:2:10: E001: not UTF-8: byte 0xE9 is no character here\n   2 | ward: caf\ufffd east\n"
                "     |          ^\n     = hint: save the file as UTF-8"
            ),
        ),
        (
            "a: b".encode("utf-16"),
            f"{NAME}:1:1: E001: not UTF-8: the file begins as UTF-16 does\n     = hint: save the file as UTF-8",
        ),
        (b"a" * 1_000_001, f"{NAME}:1:1: E011: the file has 1,000,001 bytes; the limit is 1,000,000"),
    ],
    ids=["Windows-1252", "UTF-16", "too large"],
)
def test_broken_bytes_are_described_exactly(body: bytes, expected: str) -> None:
    file = read(NAME, body)
    assert file.root is None
    assert "\n".join(problem.render() for problem in file.diagnostics) == expected


def test_every_code_is_explained_and_every_explanation_has_a_case() -> None:
    told = {line.split(": ")[1] for _, _, text in CASES for line in text.splitlines() if line.startswith(NAME)}
    explained = {code for code in explanations() if "E001" <= code < "E040"}  # from E040 on: the checker's
    assert told | {"E001", "E011"} == explained


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("country: no\nid: 0123\nat: 12:30:00\nx: 1.10\nday: 2025-03-14\ny: 0x1F", None),
        ("a: 'it''s'\nb: \"a\\tb\\u00e9\"\nc: ''", {"a": "it's", "b": "a\tbé", "c": ""}),
        ("a: one\n  two\n\n  three", {"a": "one two\nthree"}),
        ("a: |\n  one\n   two\nb: >-\n  one\n  two", {"a": "one\n two\n", "b": "one two"}),
        ("- a\n- [b, {c: d}]\n- - e", ["a", ["b", {"c": "d"}], ["e"]]),
        ("{}", {}),
        ("a: []", {"a": []}),
        ("help: Ward  # comment\n# comment\nb: c", {"help": "Ward", "b": "c"}),
        ("help: Ward#4", {"help": "Ward#4"}),
        ("---\na: b\n...\n", {"a": "b"}),
        ('namespaces: {"": "urn:x"}', {"namespaces": {"": "urn:x"}}),
        ("a: '~'\nb: \"null\"", {"a": "~", "b": "null"}),
        ("value[x]: = x", {"value[x]": "= x"}),
        ("a: {b: '= f(x, y)', c: = f(x)}", {"a": {"b": "= f(x, y)", "c": "= f(x)"}}),
        ("\N{BYTE ORDER MARK}a: b\r\nc: d\r\n", {"a": "b", "c": "d"}),
        ("on: off\nyes: y", {"on": "off", "yes": "y"}),
    ],
)
def test_scalars_are_the_text_that_was_written(source: str, expected: object) -> None:
    if expected is None:
        expected = dict(line.split(": ", 1) for line in source.splitlines())
    assert shape(root(source)[1]) == expected


def test_offsets_are_characters_of_the_raw_text_with_quotes() -> None:
    file, node = root(
        "é𝄞: {b: '= x', c: \"y\"}\r\nd: = one or\r\n   two  # comment\r\ne: |\r\n  text\r\n\r\n# comment\r\n"
    )
    assert isinstance(node, Pairs)
    inner, d, e = node.entries["é𝄞"], node.entries["d"], node.entries["e"]
    assert isinstance(inner, Pairs)
    raws = {}
    for text in (*inner.entries.values(), d, e):
        assert isinstance(text, Text)
        raws[file.raw[text.start : text.end]] = (text.style, text.flow, str(text.span))
    assert raws == {
        "'= x'": ("single", True, "a.yaml:1:9"),
        '"y"': ("double", True, "a.yaml:1:19"),
        "= one or\r\n   two": ("plain", False, "a.yaml:2:4"),
        "|\r\n  text": ("block", False, "a.yaml:4:4"),
    }
    assert [str(span) for span in node.keys.values()] == ["a.yaml:1:1", "a.yaml:2:1", "a.yaml:4:1"]
    assert (d.span.end_line, d.span.end_column) == (3, 7)
    assert (node.span.end_line, node.span.end_column) == (5, 7)


def test_a_refused_value_leaves_its_key() -> None:
    file = read("a.yaml", b"a: ~\nb: c\n")
    assert isinstance(file.root, Pairs)
    assert (list(file.root.keys), list(file.root.entries)) == (["a", "b"], ["b"])


def test_a_deep_file_is_read_up_to_the_bound() -> None:
    assert root("[" * 40 + "]" * 40)
    assert [problem.code for problem in read("a", b"[" * 900_000).diagnostics] == ["E010"]


def test_a_long_line_is_not_repeated_whole() -> None:
    (problem,) = read("a", b"a: b\na: " + b"c" * 10_000).diagnostics
    assert len(problem.text) < 300
    (problem,) = read("a", b"a: {" + b"b: c, " * 1_000 + b"d: ~}").diagnostics[-1:]
    assert problem.render().splitlines()[2].endswith("^")


WORDS = "a b key = ? - # , [ ] { } ' '' | |- |2 > --- ... % &a *a ! !!s << null ~ ( ) @ ` é 𝄞 a? = \\x41 \\UFFFFFFFF"
BLANKS = (": ", "? ", "- ", "\n", "\n  ", "\n    ", "\r\n", "  ", " ", " #", "= x", "{a: ", '"', "\\", "\t")
PIECES = st.sampled_from([*WORDS.split(), *BLANKS])


@settings(max_examples=400, deadline=None, database=None)
@given(st.lists(PIECES, max_size=16).map("".join))
def test_both_parsers_of_yaml_give_the_same(source: str) -> None:
    found = []
    for loader in (reader._FAST, yaml.SafeLoader):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader, "_FAST", loader)
            file = read("a", source.encode())
        found.append((file.root, file.diagnostics))
    assert found[0] == found[1]


@pytest.mark.parametrize("source", [case[1] for case in CASES], ids=[case[0] for case in CASES])
def test_both_parsers_of_yaml_describe_alike(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = rendered(source)
    monkeypatch.setattr(reader, "_FAST", yaml.SafeLoader)
    assert rendered(source) == fast


@settings(max_examples=200, deadline=None, database=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_make_the_reader_raise(body: bytes) -> None:
    file = read("a", body)
    assert (file.root is None) <= bool(file.diagnostics)
    for problem in file.diagnostics:
        assert problem.render()


def test_who_reads_a_file_again_has_its_nodes_and_not_what_others_reported() -> None:
    first = read("x.yaml", b"a: 1\n")
    first.report("E042", "said by the first", first.span(0, 1))
    second = read("x.yaml", b"a: 1\n")
    assert first.diagnostics
    assert not second.diagnostics
    assert second.root is first.root
    assert read("y.yaml", b"a: 1\n").path == "y.yaml"
