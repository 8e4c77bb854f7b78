"""JSON documents: what is read exactly, what is refused and where, and what a path finds."""

from __future__ import annotations

import io
import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhbridge.errors import MalformedMessage
from mhbridge.formats import BrokenMessage, DeclarationError, PathError, Scope
from mhbridge.formats.json import FORMAT
from mhbridge.formats.json.reading import read, text_of
from mhbridge.formats.json.scanning import BLANK, Wrong, elements, fault
from mhbridge.model import ABSENT, DELETED, Before


def source(**options):
    return FORMAT.declare("Europe/London", "", options)


PLAIN = source()


def taken(body: bytes | str, *sources):
    body = body.encode() if isinstance(body, str) else body
    return [message for message, _ in FORMAT.messages(body, sources or [PLAIN])]


def one(body: bytes | str, *sources):
    (message,) = taken(body, *sources)
    return message


def leaves(message) -> dict[str, str]:
    return {
        FORMAT.path(message, cell, 0, PLAIN, exact=True): FORMAT.leaf(message, cell, 0)
        for cell, _ in FORMAT.populated(message)
    }


# --- reading -----------------------------------------------------------------------------------------------


def test_every_leaf_has_its_path_and_its_own_characters() -> None:
    body = '{"a": 1.10, "b": [true, null, {"c d": " "}, [1e40, "\\u00e9\\n"]], "e": {}, "f": "", "g": -0}'
    assert leaves(one(body)) == {
        "$.a": "1.10", "$.b[1]": "true", "$.b[4][1]": "1e40", "$.b[4][2]": "é\n", "$.g": "-0",
    }  # fmt: skip


REFUSED = {
    "nothing": ("", "M700", ""),
    "blanks": (" \n", "M700", ""),
    "a comma too many": ('{"a": 1,\n "b": 2,}', "M820", "line 2:9"),
    "no comma": ('{"a": 1 "b": 2}', "M820", "line 1:9"),
    "no colon": ('{"a" 1}', "M820", "line 1:6"),
    "a name without quotes": ("{a: 1}", "M820", "line 1:2"),
    "single quotes": ("{'a': 1}", "M820", "line 1:2"),
    "a comment": ('{"a": 1 /* why */}', "M820", "line 1:9"),
    "not closed": ('{"a": [1, 2', "M820", "line 1:12"),
    "a text that is not closed": ('{"a": "b}', "M820", "line 1:7"),
    "a line break in a text": ('{"a": "b\nc"}', "M820", "line 1:9"),
    "an escape of another language": (r'{"a": "\x41"}', "M820", "line 1:8"),
    "a number with a zero before it": ('{"a": 01}', "M820", "line 1:8"),
    "a number with a plus": ('{"a": +1}', "M820", "line 1:7"),
    "half a number": ('{"a": 1.}', "M820", "line 1:8"),
    "not a number": ('{"a": NaN}', "M822", "line 1:7"),
    "without end": ('{"a": [-Infinity]}', "M822", "line 1:8"),
    "a word": ('{"a": None}', "M820", "line 1:7"),
    "the same name twice": ('{"a": 1,\n"\\u0061": 2}', "M821", "line 2:1"),
    "the same name twice, deep": ('{"x": [{"y": {"b": 1, "b": 1}}]}', "M821", "line 1:23"),
    "half a character": (r'{"a": "\ud83d"}', "M823", "line 1:8"),
    "the other half": (r'{"a": "\ude00\ud83d"}', "M823", "line 1:8"),
    "half a character in a name": (r'{"\udc00": 1}', "M823", "line 1:3"),
    "a control character": (r'{"a": "b\u0000c"}', "M705", "line 1:9"),
    "a bell": (r'{"a": "\u0007"}', "M705", "line 1:8"),
    "a backspace": (r'{"a": "\b"}', "M705", "line 1:8"),
    "too deep": ('{"a":' * 101 + "1" + "}" * 101, "M825", "line 1:501"),
    "much too deep": ("[" * 200_000, "M825", "line 1:1002"),
    "too many values": ('{"a": [' + "1," * 100_000 + "1]}", "M826", "line 1:200004"),
    "a number too long": ('{"a": ' + "9" * 65 + "}", "M828", "line 1:7"),
    "a number too large": ('{"a": 1E+400}', "M828", "line 1:7"),
    "a number too small": ('{"a": 1E-400}', "M828", "line 1:7"),
    "two documents": ('{"a": 1}\n{"a": 2}', "M827", "line 2:1"),
    "a text": ('"a"', "M829", "line 1:1"),
    "a number": ("12", "M829", "line 1:1"),
    "not UTF-8": (b'{"a": "\xe9"}', "M704", ""),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "M704", ""),
    "no end of a list of documents": ('[{"a": 1}', "M820", "line 1:10"),
    "something after a list of documents": ('[{"a": 1}] x', "M827", "line 1:12"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_where(name) -> None:
    body, code, where = REFUSED[name]
    with pytest.raises(MalformedMessage) as caught:
        taken(body)
    assert (caught.value.code, caught.value.path) == (code, where)


def test_a_byte_order_mark_waits_with_all_its_bytes() -> None:
    body = b'\xef\xbb\xbf{"a": 1}'
    found = one(body)
    assert isinstance(found, BrokenMessage)
    assert (found.code, found.body) == ("M824", body)


def test_whole_characters_and_layout_are_no_fault() -> None:
    found = one(r'{"a": "\ud83d\ude00 \\ud83d \t\r\n \/ é"}')
    assert leaves(found) == {"$.a": "\U0001f600 \\ud83d \t\r\n / é"}


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False).map(float) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(texts, values, max_size=5), st.booleans())
def test_what_others_write_is_read_as_they_meant_it(value, ascii_only) -> None:
    written = json.dumps(value, ensure_ascii=ascii_only)
    try:
        found = read(text_of(written.encode()))
    except Wrong as error:
        assert error.code == "M828"  # noqa: PT017  a float may be written with that many digits
        return
    assert json.dumps(_plain(found)) == json.dumps(orjson.loads(orjson.dumps(value)) if _small(value) else value)


def _small(value) -> bool:
    return all(abs(n) < 2**63 for n in _numbers(value))


def _numbers(value):
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, int):
        yield value


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return json.loads(value) if type(value).__name__ == "Number" else value


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_the_quick_reader_and_the_exact_one_agree(data) -> None:
    """A document with something put into it or taken out: both refuse it, or neither does."""
    written = json.dumps(data.draw(st.dictionaries(texts, values, max_size=4)))
    at = data.draw(st.integers(0, len(written)))
    put = data.draw(
        st.sampled_from(["", '"', "\\", ",", "]", "{", "NaN", "0", "-", ".", "e", " ", "\\ud800", "//", "\n"])
    )
    text = written[:at] + put + written[at + data.draw(st.integers(0, 2)) :]
    try:
        read(text)
        quick = ""
    except Wrong as error:
        quick = error.code
    try:
        end, wrong = fault(text)
        exact = wrong.code if wrong is not None else "" if BLANK.match(text, end).end() == len(text) else "M827"
    except Wrong as error:
        exact = error.code
    assert quick == exact


# --- several documents -------------------------------------------------------------------------------------


def test_a_list_of_documents_is_as_many_messages() -> None:
    first, broken, third = taken('[{"a": 1}, {"b": 2, "b": 3},\n {"c": [4]}]')
    assert (first.body, first.facts.place) == (b'{"a": 1}', "document 1")
    assert (broken.code, broken.path, broken.facts.place) == ("M821", "line 1:21", "document 2")
    assert leaves(third) == {"$.c[1]": "4"}
    assert taken("[]") == []
    assert [found.code for found in taken("[1, []]")] == ["M829", "M829"]


def test_a_document_in_each_line() -> None:
    by_line = source(lines="yes")
    found = taken('{"a": 1}\r\n\n{"a": \n{"b": 2} {"c": 3}\n{"d": 4}', by_line)
    assert [getattr(message, "code", "") for message in found] == ["", "M820", "M827", ""]
    assert (found[1].path, found[2].path) == ("line 3:6", "line 4:10")
    assert found[3].body == b'{"d": 4}'


def test_each_entry_of_a_list_is_a_message_with_what_stands_around_it() -> None:
    per = source(message_per="$.sent.letters", control_id="$.sent.letters.no")
    body = '{"from": "X", "sent": {"letters": [{"no": "1"}, {"no": "2", "t": "]"}], "n": 2}}'
    first, second = taken(body, per)
    assert second.body == b'{"from": "X", "sent": {"letters": [{"no": "2", "t": "]"}], "n": 2}}'
    assert [first.facts.control_id, second.facts.control_id] == ["1", "2"]
    assert leaves(one(second.body, per)) == leaves(second)
    with pytest.raises(MalformedMessage) as caught:
        taken('{"sent": {}}', per)
    assert caught.value.code == "M829"
    with pytest.raises(MalformedMessage) as caught:
        taken(json.dumps({"sent": {"letters": [{}, {}]}, "x": "y" * 30_000}), per)
    assert caught.value.code == "M826"


def test_where_says_which_documents_are_meant() -> None:
    letters = source(where={"$.type": "letter", "$.v": ["1", "2"]}, control_id="$.id", sender="$.by", sent_at="$.at")
    visits = source(where={"$.type": "visit"})
    found = list(
        FORMAT.messages(
            b'[{"type":"visit"},{"type":"letter","v":2,"id":7,"by":"X","at":"now"},{"v":1}]', [letters, visits]
        )
    )
    assert [takers for _, takers in found] == [(1,), (0,), ()]
    facts = found[1][0].facts
    assert (facts.kind, facts.control_id, facts.sender, facts.sent_at) == ("letter/2", "7", "X", "now")
    assert found[2][0].facts.kind == "document"


def test_without_a_source_the_messages_are_there_and_nobody_takes_them() -> None:
    ((message, takers),) = FORMAT.messages(b'{"a": 1}', [])
    assert (leaves(message), takers) == ({"$.a": "1"}, ())


def test_a_document_without_a_number_of_its_own_is_named_by_its_bytes() -> None:
    first, second = one('{"a": 1}'), one('{"a": 2}')
    assert first.facts.control_id not in ("", second.facts.control_id)
    assert one('{"a": 1}\n').facts.control_id == first.facts.control_id


@pytest.mark.parametrize("by_line", [False, True])
def test_a_large_file_is_taken_in_parts(by_line) -> None:
    documents = [
        json.dumps({"n": number, "text": 'a "[{]}\\" \n' * (number % 7)}, indent=None if by_line else 1)
        for number in range(180)
    ]
    body = "\n".join(documents) if by_line else "[\n" + " ,\n".join(documents) + "\n]\n"
    declared = source(lines="yes") if by_line else PLAIN
    parts = list(FORMAT.parts(io.BytesIO(body.encode()), [declared]))
    assert len(parts) == 8
    again = [message for part in parts for message, _ in FORMAT.messages(part.body, [declared], part.before)]
    assert [leaves(message) for message in again] == [leaves(message) for message in taken(body, declared)]
    assert again[60].facts.place == "document 61"
    for number, part in enumerate(parts):
        assert list(FORMAT.parts(io.BytesIO(body.encode()), [declared], part.after)) == parts[number + 1 :]


def test_a_large_list_that_breaks_off_says_so_behind_what_could_be_read() -> None:
    parts = FORMAT.parts(io.BytesIO(b'[{"a": 1}, {"b": "' + b"x" * 200_000), [PLAIN])
    assert next(parts).body == b'[{"a": 1}]'
    with pytest.raises(MalformedMessage) as caught:
        next(parts)
    assert caught.value.code == "M820"
    assert FORMAT.parts(io.BytesIO(b'{"a": 1}'), [PLAIN]) is None


def test_entries_are_found_wherever_the_list_stands() -> None:
    text = '{"x": {"l": [9]}, "l": [1, {"l": [2]}, [3, "]"], []]}'
    begin, end, found = elements(text, ["l"])
    assert text[begin:end] == '[1, {"l": [2]}, [3, "]"], []]'
    assert [text[a:b] for a, b in found] == ["1", '{"l": [2]}', '[3, "]"]', "[]"]
    assert elements(text, ["x"]) is None
    assert elements("[1]", []) == (0, 3, [(1, 2)])


# --- declarations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"colour": "red"}, "colour"),
        ({"message_per": "$"}, "message_per"),
        ({"message_per": '$.a[b="c"]'}, "message_per"),
        ({"control_id": ".a"}, "control_id"),
        ({"control_id": "$.a["}, "control_id"),
        ({"lines": "maybe"}, "lines"),
        ({"lines": "yes", "message_per": "$.a"}, "lines"),
        ({"where": ["a"]}, "where"),
        ({"where": {"$.a": []}}, "where"),
        ({"dates": "mm/dd"}, "dates"),
        ({"fields": ["a..b"]}, "fields"),
        ({"fields": ["a"], "control_id": "$.b"}, "control_id"),
    ],
)
def test_a_declaration_that_is_not_plainly_right_is_refused(options, key) -> None:
    with pytest.raises(DeclarationError) as caught:
        source(**options)
    assert caught.value.key == key


def test_json_is_utf_8() -> None:
    with pytest.raises(DeclarationError):
        FORMAT.declare("Europe/London", "cp1252", {})


# --- paths -------------------------------------------------------------------------------------------------

DOCUMENT = """{"p": {"name": [{"use": "official", "given": ["A", "B"]}, {"use": "usual", "given": ["C"], "n": 2.50}]},
 "odd name": 1, "deep": [[{"x": 1}], [{"x": 2}]], "none": null, "blank": " ", "flag": false}"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.p.name.use", ["official", "usual"]),
        ("$.p.name[2].given", ["C"]),
        ('$.p.name[use="official"].given', ["A", "B"]),
        ('$.p.name[use!="official"].n', ["2.50"]),
        ('$.p.name[use="usual" and n="2.50"].given[1]', ["C"]),
        ('$.p.name[given="B"].use', ["official"]),
        ("$.p.name.given[2]", ["B"]),
        ('$.p.name.given[.="C"]', ["C"]),
        ('$["odd name"]', ["1"]),
        ("$.deep.x", ["1", "2"]),
        ("$.none", []),
        ("$.blank", []),
        ("$.p.nobody", []),
        ("$.flag", ["false"]),
        ("$.p.name[3].use", []),
    ],
)
def test_what_a_path_finds(path, expected) -> None:
    scanned, end = FORMAT.scan(path, 0, len(path))
    assert end == len(path)
    top, scope = FORMAT.cursor(one(DOCUMENT)), Scope(PLAIN)
    assert [FORMAT.text(raw) for raw in FORMAT.every(scanned, scope)(top)] == expected
    first = FORMAT.first(scanned, scope)(top)
    assert (first is ABSENT) if not expected else FORMAT.text(first) == expected[0]


def test_paths_inside_loops() -> None:
    top, scope = FORMAT.cursor(one(DOCUMENT)), Scope(PLAIN)

    def scan(text):
        return FORMAT.scan(text, 0, len(text))[0]

    loop, inside = FORMAT.loop(scan("$.p.name"), scope)
    names = list(loop.cursors(top))
    assert [FORMAT.text(FORMAT.first(scan(".use"), inside)(name)) for name in names] == ["official", "usual"]
    inner, within = FORMAT.loop(scan(".given"), inside)
    assert [FORMAT.text(FORMAT.first(scan("."), within)(one)) for one in inner.cursors(names[0])] == ["A", "B"]
    assert FORMAT.text(FORMAT.first(scan('$["odd name"]'), within)(names[1])) == "1"


def test_null_deletes_where_that_is_declared() -> None:
    deleting = source(nulls="delete")
    path, _ = FORMAT.scan("$.a", 0, 3)
    found = one('{"a": null}', deleting)
    assert FORMAT.first(path, Scope(deleting))(FORMAT.cursor(found)) is DELETED
    spot = FORMAT.spot(path, Scope(deleting), many=False)
    assert list(spot.deleted(FORMAT.cursor(found))) == [(0, 1)]
    assert FORMAT.first(path, Scope(PLAIN))(FORMAT.cursor(one('{"a": null}'))) is ABSENT


@pytest.mark.parametrize(
    ("path", "offset"),
    [
        ("$.a.", 3), ("$a", 1), ("$[1]", 1), ("$.a[", 4), ("$.a[0]", 4), ("$.a[b]", 5), ('$.a[b="c"', 3),
        ('$.a[b="c" or d="e"]', 10), ("$.a[b='c']", 5), ("$..a", 1), ("$.a[*]", 4), ('$.a[b=="c"]', 5),
    ],
)  # fmt: skip
def test_a_path_that_goes_wrong_says_where(path, offset) -> None:
    with pytest.raises(PathError) as caught:
        FORMAT.scan(path, 0, len(path))
    assert (caught.value.code, caught.value.offset) == ("E107", offset)


def test_members_that_are_declared_are_the_only_ones() -> None:
    declared = source(fields=["person.nhsNumber", "person.names.family", "event.id"])
    for text, offset, hint in [
        ("$.person.nhsnumber", 8, "did you mean 'nhsNumber'?"),
        ("$.persons", 1, "did you mean 'person'?"),
        ('$.person.names[fam="x"].family', 8, "did you mean 'family'?"),
        ("$.event.id.x", 10, "source: declares no members of event.id"),
    ]:
        with pytest.raises(PathError) as caught:
            FORMAT.source_type(FORMAT.scan(text, 0, len(text))[0], Scope(declared))
        assert (caught.value.code, caught.value.offset, caught.value.hint) == ("E205", offset, hint)
    with pytest.raises(PathError) as caught:
        FORMAT.source_type(FORMAT.scan(".x", 0, 2)[0], Scope(PLAIN))
    assert caught.value.code == "E206"


# --- places ------------------------------------------------------------------------------------------------


def test_a_changed_leaf_is_the_only_one_that_differs() -> None:
    found = one(DOCUMENT)
    for cell, _ in FORMAT.populated(found):
        path = FORMAT.path(found, cell, 0, PLAIN, exact=True)
        changed = one(FORMAT.altered(found, cell, 0, 'Q"7\\', PLAIN))
        assert leaves(changed) == leaves(found) | {path: 'Q"7\\'}


def test_a_predicate_looks_at_what_it_tests_and_stops_where_it_is_answered() -> None:
    found = one('{"l": [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}, {"a": "2", "b": "z"}]}')
    top = FORMAT.cursor(found)

    def asked(many, path='$.l[a="2" and b!="q"].b'):
        spot = FORMAT.spot(FORMAT.scan(path, 0, len(path))[0], Scope(PLAIN), many=many)
        return {FORMAT.path(found, cell, 0, PLAIN, exact=True): said for cell, _, said in spot.asked(top)}

    first = {"$.l[1].a": False, "$.l[2].a": True, "$.l[2].b": True}
    assert asked(many=False) == first
    assert asked(many=True) == first | {"$.l[3].a": True, "$.l[3].b": True}


def test_before_tells_places_of_the_whole_file() -> None:
    ((message, _),) = FORMAT.messages(b'[{"a": 1}]', [PLAIN], Before(40, 0, 900))
    assert message.facts.place == "document 41"
