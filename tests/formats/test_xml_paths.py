"""XML paths: what is one, where it ends, what it finds beside lxml's own XPath, and what is said of a wrong one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from mhbridge.errors import MalformedMessage
from mhbridge.formats import DeclarationError, PathError, Scope
from mhbridge.formats.xml import FORMAT, Element, Leaf, XmlMessage
from mhbridge.formats.xml.path import scan_path
from mhbridge.formats.xml.reach import route
from mhbridge.model import ABSENT

H = "urn:hl7-org:v3"
SOURCE = FORMAT.declare(
    "Europe/London", "", {"namespaces": {"": H, "h": H, "o": "urn:other"}, "root": "letter", "control_id": "/letter/@n"}
)
SCOPE = Scope(SOURCE)
BODY = f"""<?xml version="1.0"?>
<letter xmlns="{H}" xmlns:o="urn:other" n="L1" o:kind="x">
  <id root="1.2" extension="A"/><id root="1.3" extension="B"/>
  <name>Ann<!-- c --> Noo<?p i?>ne</name>
  <empty/><blank>  </blank>
  <part code="S"><title>One</title><part code="T"><title>Two</title><v>5</v><v>7</v></part></part>
  <part code="U"><title>Three</title><o:title>Other</o:title></part>
  <plain xmlns="">none</plain>
</letter>""".encode()


def message(body: bytes = BODY, source=SOURCE) -> XmlMessage:
    ((found, _),) = FORMAT.messages(body, [source])
    assert isinstance(found, XmlMessage), found
    return found


def scan(text: str):
    found = FORMAT.scan(text, 0, len(text))
    assert found is not None
    assert found[1] == len(text), f"ends at {found[1]}"
    return found[0]


def show(raw) -> str:
    return FORMAT.text(raw).strip() if isinstance(raw, (Leaf, Element)) else raw


FINDS = {
    "/letter/@n": ["L1"],
    "/h:letter/h:id/@root": ["1.2", "1.3"],
    "/letter/id[2]/@extension": ["B"],
    "/letter/id[last()]/@extension": ["B"],
    '/letter/id[@root="1.2"]/@extension': ["A"],
    '/letter/id[@root!="1.2"]/@extension': ["B"],
    '/letter/id[@root="1.2" and @extension="B"]/@extension': [],
    '/letter/id[not(@root="1.2")]/@extension': ["B"],
    "/letter/part[part]/@code": ["S"],
    "/letter/part[not(part)]/@code": ["U"],
    "/letter/name": ["Ann Noone"],
    "/letter/name/text()": ["Ann Noone"],
    "/letter/empty": [],
    "/letter/blank": [],
    "//title/text()": ["One", "Two", "Three"],
    "//part/@code": ["S", "T", "U"],
    '//part[title="Two"]/v': ["5", "7"],
    '//part[@code="S"]//title': ["One", "Two"],
    '//part[@code="S"]//v[1]': ["5"],
    '//v[. = "7"]': ["7"],
    '//part[v/text()="7"]/@code': ["T"],
    "//v/../@code": ["T"],
    "//o:title": ["Other"],
    "/letter/@o:kind": ["x"],
    "/letter/@kind": [],
    "//@code": ["S", "T", "U"],
    "/letter/*/@code": ["S", "U"],
    "/other": [],
    "//nothing/@at": [],
    '/letter/id[ @root = "1.2"  and  not( @x ) ]/@extension': ["A"],
}


@pytest.mark.parametrize("path", FINDS)
def test_what_a_path_finds(path):
    root = message().tree.root
    every = FORMAT.every(scan(path), SCOPE)(root)
    assert [show(raw) for raw in every] == FINDS[path]
    first = FORMAT.first(scan(path), SCOPE)(root)
    assert (ABSENT if not FINDS[path] else FINDS[path][0]) == show(first)


def test_inside_loops():
    root = message().tree.root
    loop, scope = FORMAT.loop(scan("/letter/part"), SCOPE)
    found = []
    for cursor in loop.cursors(root):
        inner, below = FORMAT.loop(scan("./part"), scope)
        found.append(
            (
                show(FORMAT.first(scan("@code"), scope)(cursor)),
                show(FORMAT.first(scan("./title"), scope)(cursor)),
                [show(raw) for raw in FORMAT.every(scan(".//title"), scope)(cursor)],
                [show(FORMAT.first(scan("../@code"), below)(one)) for one in inner.cursors(cursor)],
                show(FORMAT.first(scan("/letter/@n"), below)(cursor)),
                show(FORMAT.first(scan("."), scope)(cursor))[:3],
            )
        )
    assert found == [("S", "One", ["One", "Two"], ["S"], "L1", "One"), ("U", "Three", ["Three"], [], "L1", "Thr")]


WRONG = {
    "/letter/": "E107", "/letter[": "E107", "/letter[]": "E107", "/letter[@a=]": "E107", "/letter[@a='x']": "E107",
    '/letter[@a=""]': "E107", '/letter["x"]': "E107", "/letter[1 and @a]": "E107", "/letter[@a or @b]": "E107",
    "/letter/child::id": "E107", "/letter/@a/b": "E107", "/letter/@a[1]": "E107", "/letter/id[a[1]]": "E107",
    "/letter/text()/b": "E107", "/h:": "E107", "/h:*": "E107", "//..": "E107", "/letter[/a]": "E107",
    '/letter[contains(@a, "x")]': "E530", "/letter/count(id)": "E530", "/letter[position()=1]": "E530",
    '/letter[document("x")]': "E530", "/letter/id[last(]": "E530",
}  # fmt: skip


@pytest.mark.parametrize("path", WRONG)
def test_what_is_no_path(path):
    with pytest.raises(PathError) as error:
        FORMAT.scan(path, 0, len(path))
    assert error.value.code == WRONG[path]
    assert 0 <= error.value.offset <= len(path)


@pytest.mark.parametrize(
    ("path", "code", "offset"),
    [
        ("/x:letter", "E205", 1),
        ("/letter/x:id/@root", "E205", 8),
        ('/letter/id[x:a="1"]', "E205", 11),
        ("./id", "E206", 0),
    ],
)
def test_what_is_no_path_here(path, code, offset):
    with pytest.raises(PathError) as error:
        FORMAT.source_type(scan(path), SCOPE)
    assert (error.value.code, error.value.offset) == (code, offset)


def test_nothing_is_below_a_leaf():
    with pytest.raises(PathError) as error:
        FORMAT.loop(scan("/letter/@n"), SCOPE)
    assert error.value.code == "E207"


@pytest.mark.parametrize("text", ["letter", "5", "[a]", "", '"x"', "a/b", ".5", "..."])
def test_what_does_not_begin_like_a_path(text):
    assert FORMAT.scan(text, 0, len(text)) is None


# XML 1.0, fifth edition, §2.3: a byte order mark may stand in a name, and a letter of `\\w` may be none.
@pytest.mark.parametrize("name", ["a\ufeffb", "é", "a·b", "_a.b-c", "\u2fefx", "\U00010000"])
def test_what_is_a_name(name):
    assert FORMAT.scan(f"/a/{name}", 0, len(name) + 3)[1] == len(name) + 3


@pytest.mark.parametrize("name", ["\u00aa", "\u00b5", "\u0300a", "1a", "-a", "·a"])
def test_what_is_no_name(name):
    with pytest.raises(PathError):
        FORMAT.scan(f"/a/{name}", 0, len(name) + 3)


@pytest.mark.parametrize(
    ("text", "ends"),
    [("/a/b | f(x)", 4), ("/a/@b or /c", 5), ("./a, ./b)", 3), ("(/a)", 0), ('/a = "x"', 2), (". | f", 1)],
)
def test_where_a_path_ends(text, ends):
    found = FORMAT.scan(text, 0, len(text))
    assert (found[1] if found else 0) == ends


BAD_SOURCES = [
    {}, {"root": "x:y"}, {"root": "a/b"}, {"root": "letter", "dialect": "cda2"}, {"root": "a", "where": "/a"},
    {"root": "a", "templates": ["1.2"]}, {"root": "a", "dialect": "cda", "templates": ["x"]},
    {"root": "a", "columns": []},
    {"root": "a", "namespaces": {"xmlns": "u"}}, {"root": "a", "namespaces": {"p": "a b"}},
    {"root": "a", "where": ["b"]},
    {"root": "a", "where": [[]]}, {"root": "a", "control_id": "./b"}, {"root": "a", "message_per": "/a/@b"},
    {"root": "a", "where": ["/p:b"]}, {"root": "a", "dates": "dd/mm"}, {"root": "a", "where": ["/b["]},
]  # fmt: skip


@pytest.mark.parametrize("options", BAD_SOURCES, ids=range(len(BAD_SOURCES)))
def test_what_is_no_source(options):
    with pytest.raises(DeclarationError):
        FORMAT.declare("Europe/London", "", options)


# --- beside lxml -------------------------------------------------------------------------------------------

NAMES = ("a", "b", "c")
CODES = ("1", "2", "x")


@st.composite
def documents(draw) -> str:
    def element(depth: int) -> str:
        name = draw(st.sampled_from(NAMES))
        code = draw(st.sampled_from(["", *CODES]))
        inner = "".join(element(depth + 1) for _ in range(draw(st.integers(0, 3 if depth < 4 else 0))))
        text = draw(st.sampled_from(["", "1", "x", "<!--c-->"]))
        attribute = f' k="{code}"' if code else ""
        return f"<{name}{attribute}>{text}{inner}</{name}>"

    return f"<r>{''.join(element(1) for _ in range(draw(st.integers(1, 4))))}</r>"


@st.composite
def paths(draw) -> str:
    def predicate() -> str:
        kind = draw(st.sampled_from(["none", "none", "attribute", "child", "position", "last", "not", "two"]))
        code, name = draw(st.sampled_from(CODES)), draw(st.sampled_from(NAMES))
        return {
            "none": "", "attribute": f'[@k="{code}"]', "child": f'[{name}/@k="{code}"]', "last": "[last()]",
            "position": f"[{draw(st.integers(1, 3))}]", "not": f"[not({name})]", "two": f'[@k and {name}/@k="{code}"]',
        }[kind]  # fmt: skip

    steps, level = "/r", 0
    for _ in range(draw(st.integers(1, 4))):
        step = draw(st.sampled_from([*NAMES, "*", ".."] if level else NAMES))
        level += -1 if step == ".." else 1
        steps += ("/" if step == ".." else draw(st.sampled_from(["/", "//"]))) + step
        steps += "" if step == ".." else predicate()
    return steps + draw(st.sampled_from(["", "/@k", "//@k", "/text()"]))


@settings(max_examples=150, deadline=None)
@given(documents(), paths())
def test_paths_mean_what_they_mean_in_xpath(document, path):
    source = FORMAT.declare("Europe/London", "", {"root": "r"})
    tree = message(document.encode(), source).tree
    found = scan_path(path, 0, len(path))
    assert found is not None
    ready = route(found[0], ())
    expected = etree.fromstring(document).xpath(path)
    if ready.ending[0] == "element":
        numbers = (
            {element: number for number, element in enumerate(expected[0].getroottree().iter(etree.Element))}
            if expected
            else {}
        )
        assert [element.index for element in ready.elements(tree.root)] == [numbers[one] for one in expected]
    elif ready.ending[0] == "attribute":
        assert [raw.text for raw in ready.values(tree.root)] == [str(one) for one in expected]
    else:
        # The pieces of one element's text are one value here.
        assert "".join(raw.text for raw in ready.values(tree.root)) == "".join(str(one) for one in expected)


# --- too many steps ----------------------------------------------------------------------------------------


def nested(width: int) -> XmlMessage:
    inner = "".join(f'<o k="{number}"/>' for number in range(width))
    return message(f"<r>{inner}</r>".encode(), FORMAT.declare("Europe/London", "", {"root": "r"}))


def up_and_down(found: XmlMessage) -> None:
    scope = Scope(FORMAT.declare("Europe/London", "", {"root": "r"}))
    loop, inside = FORMAT.loop(scan("/r/o"), scope)
    read = FORMAT.first(scan('../o[@k="none"]/@k'), inside)
    for cursor in loop.cursors(found.tree.root):
        assert read(cursor) is ABSENT


def test_paths_that_look_at_everything_for_everything_stop():
    up_and_down(nested(200))
    with pytest.raises(MalformedMessage) as error:
        up_and_down(nested(2_000))
    assert error.value.code == "M806"


def test_without_the_count_they_do_not_stop(monkeypatch):
    found = nested(2_000)
    monkeypatch.setattr(type(found.tree), "spend", lambda _tree, _steps: None)
    up_and_down(found)


def test_leaves_replaced_at_once_are_those_replaced_one_after_another() -> None:
    whole = message()
    before = FORMAT.altered(whole, 0, 1, whole.tree.root.attributes["n"], SOURCE)
    leaves = [(place, bit) for place, mask in FORMAT.populated(whole) for bit in range(9) if mask >> bit & 1]
    changes = {at: f"Z{number}" for number, at in enumerate(leaves)}
    one = whole
    for (place, bit), text in changes.items():
        one = message(FORMAT.altered(one, place, bit, text, SOURCE))
    assert FORMAT.rewritten(whole, changes) == one.body
    assert FORMAT.rewritten(whole, {}) == before, "the tree is as it was"
