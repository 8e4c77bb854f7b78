"""
Documents that are read without a parser: the tree is the parser's, to the letter, and what is not plain is left to it.
"""

from __future__ import annotations

import random
import sys
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest

from mhbridge.errors import MalformedMessage
from mhbridge.formats.xml import bounds, plain
from mhbridge.formats.xml.encoding import decoded
from mhbridge.formats.xml.parsing import by_parser, parsed
from mhbridge.formats.xml.plain import plainly
from mhbridge.formats.xml.tree import Tree

sys.path.insert(0, str(Path(__file__).parent.parent / "hostile"))
from steps import calls_of

FIXTURES = sorted((Path(__file__).parents[2] / "fixtures").rglob("*.xml"))
NS = "urn:hl7-org:v3"


def told(tree: Tree) -> tuple:
    """All that a tree says."""
    held = [list(tree.held(index).items()) for index in range(len(tree.names))]
    return tree.names, tree.parents, tree.ends, tree.texts, tree.tails, tree.masks, held


PLAIN = {
    "one element": "<a/>",
    "texts": "<a>x<b>y</b> z <b/>\n</a>",
    "attributes": '<a b="1" c="">x</a>',
    "blank attributes": '<a b=" " c="\t&#32;" d=" x "/>',
    "blanks in values": '<a b=" x\ty\nz "/>',
    "line ends": '<a b="x\r\ny">p\r\nq\rr</a>',
    "entities": '<a b="&lt;&amp;amp;&quot;">&gt;&apos;&#65;&#x1F600;&#13;</a>',
    "no-break spaces": '<a b="&#160;">&#160;<b>\u00a0</b>\u2003</a>',
    "greater than": '<a b="x > y">x > y<b c="/>"/></a>',
    "quotation marks in texts": '<a b="1">5\'10" and "x"<b c="2"/>" y</a>',
    "other quotation marks": "<a b='1' c=\"2\" d='\"'>x</a>",
    "blanks in tags": '<a  b = "1"\n c\t=\n"&lt;" ><b /></a>',
    "comments": '<a>x<!-- - <b/> & " -->y<b/><!---->z<!-- > --></a><!-- x -->',
    "a prolog": '<?xml-stylesheet href="a"?>\n<!-- "x" <a> -->\n<a/>\n',
    "namespaces": f'<a xmlns="{NS}" xmlns:x="urn:x" x:b="1" b="2"><x:c/><d xmlns="" xmlns:x="urn:y"><x:e/></d><d/></a>',
    "a namespace again": f'<a xmlns="{NS}"><b xmlns="{NS}">x</b><b xmlns="{NS}"/><c/></a>',
    "a namespace of an empty element": '<a><x:b xmlns:x="urn:x"/><b/></a>',
    "a language": '<a xml:lang="en"/>',
    "names": "<_a.b-c><d1/></_a.b-c>",
}

#: Of some the parser makes a tree; of none is it this module that says so.
NOT_PLAIN = {
    "two roots": "<a/><b/>",
    "a text after the root": "<a/>x",
    "a text before the root": "x<a/>",
    "an end without a beginning": "<a></a></a>",
    "no end": "<a><b></b>",
    "the wrong end": "<a><b></a></b>",
    "no end of a tag": "<a><b <c/></a>",
    "an end in a text": "<a <b>></b></a>",
    "nothing in a tag": "<a><></></a>",
    "an attribute twice": '<a b="1" b="2"/>',
    "an attribute twice, by two prefixes": '<a xmlns:x="urn:x" xmlns:y="urn:x" x:b="1" y:b="2"/>',
    "a value without an end": '<a b="><c d="x"/></a>',
    "a value without an end, and a text that has one": '<a b=">x</a><c>x="y"</c>',
    "a value without marks": "<a b=1/>",
    "no blank between attributes": '<a b="1"c="2"/>',
    "less than in a value": '<a b="<"/>',
    "less than in another value": "<a b='<'/>",
    "a comment in a tag": '<a <!-- x --> b="1"/>',
    "a comment in a value": '<a b="<!-- x -->"/>',
    "a comment in a value that goes on": '<a b="> <!-- x -->"/>',
    "a comment that does not end": "<a><!-- x </a>",
    "a comment with two hyphens": "<a><!-- x -- y --></a>",
    "a comment with three at its end": "<a><!-- x ---></a>",
    "what is no comment": "<a><!></a>",
    "an entity that nobody declared": "<a>&x;</a>",
    "a lone ampersand": "<a>x & y</a>",
    "a lone ampersand in a value": '<a b="x & y"/>',
    "a character that is none": "<a>&#0;</a>",
    "half a character": "<a>&#xD800;</a>",
    "a character beyond the last": "<a>&#x110000;</a>",
    "what ends CDATA": "<a>]]></a>",
    "CDATA": "<a><![CDATA[<b>]]></a>",
    "an instruction": "<a><?x y?></a>",
    "an instruction behind": "<a/><?x y?>",
    "a declaration in the middle": '<a/><?xml version="1.0"?>',
    "what looks like an attribute in a text": '<a b="1">c="2"</a>',
    "a document type": "<!DOCTYPE a><a/>",
    "a document type within": "<a><!DOCTYPE b></a>",
    "a prefix that nobody declared": "<x:a/>",
    "a prefix of an attribute that nobody declared": '<a x:b="1"/>',
    "a prefix that is declared beside": '<a><b xmlns:x="urn:x"/><x:c/></a>',
    "a prefix of nothing": '<a xmlns:x=""/>',
    "a prefix that is taken": '<a xmlns:xml="urn:x"/>',
    "a namespace that is taken": '<a xmlns:x="http://www.w3.org/XML/1998/namespace"/>',
    "a namespace that is no URI": '<a xmlns="urn:a b"/>',
    "a namespace with a port that is none": '<a xmlns="http://www.w3.:rg/x"/>',
    "two colons": '<a xmlns:x="urn:x"><x:y:z/></a>',
    "an identifier of XML's own": '<a xml:id="1 2"/>',
    "a control character": "<a>\x01</a>",
    "the marks that stand for what is cut": "<a b=\x01>\x00\x02</a>",
    "no character": "<a>\uffff</a>",
    "names in other letters": "<\u00e9/>",
    "nothing": "<!-- x -->",
    "too deep": "<a>" * 129 + "</a>" * 129,
    "too many attributes": "<a " + " ".join(f'b{n}=""' for n in range(101)) + "/>",
    "too many children": "<a>" + "<b/>" * 50_001 + "</a>",
    "too long a value": f'<a b="{"x" * 65_537}"/>',
    "too long a name": f"<{'a' * 257}/>",
    "too long": f"<a>{'x' * 4_000_000}</a>",
    "too many namespaces": "<a>" + "".join(f'<b xmlns="urn:{n}"/>' for n in range(101)) + "</a>",
}


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_plain_is_read_as_the_parser_reads_it(name, monkeypatch):
    expected = told(by_parser(PLAIN[name]))
    monkeypatch.setattr("mhbridge.formats.xml.parsing.by_parser", None)
    assert told(parsed(PLAIN[name])) == expected


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_is_not_is_left_to_the_parser(name):
    assert plainly(NOT_PLAIN[name]) is None


def differs(text: str) -> bool:
    """Whether a tree was made that the parser would not have made."""
    tree = plainly(text)
    if tree is None:
        return False
    try:
        return told(by_parser(text)) != told(tree)
    except MalformedMessage:
        return True


PIECES = ("<", ">", '"', "'", "/", "=", "&", "&amp;", "&#160;", "<!--", "-->", "]]>", "<![CDATA[", " ", "\n", "x", ":",
          "<b/>", "</", ' xmlns="urn:x"', ' y:z="1"', "<?", "?>", "-")  # fmt: skip


def altered(text: str, chance: random.Random) -> str:
    """A document with something put in, taken away or put elsewhere, twice or thrice."""
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(text) + 1)
        end = at + chance.choice((0, 0, 1, 1, 2, 9))
        other = chance.randrange(len(text) + 1)
        put = chance.choice((*PIECES, *PIECES, text[other : other + chance.randint(1, 40)], ""))
        text = text[:at] + put + text[end:]
    return text


def fixtures() -> list[str]:
    texts = []
    for path in FIXTURES:
        with suppress(MalformedMessage):
            texts.append(decoded(path.read_bytes()).text)
    return texts


def documents() -> list[str]:
    texts = fixtures()
    return [*[one for one in texts[:: max(1, len(texts) // 12)] if len(one) < 20_000], *PLAIN.values()]


def test_our_documents_are_plain():
    texts = fixtures()
    left = [text for text in texts if plainly(text) is None]
    assert len(texts) > 20
    assert all(differs(text) is False for text in texts)
    assert not [text for text in left if "<![CDATA[" not in text and is_read(text)]


def is_read(text: str) -> bool:
    try:
        return bool(by_parser(text).names)
    except MalformedMessage:
        return False


def test_documents_that_were_altered_at_random():
    chance = random.Random(5)
    texts = [altered(text, chance) for text in documents() for _ in range(60)]
    read = [text for text in texts if plainly(text) is not None]
    assert len(read) > len(texts) // 20
    assert not any(differs(text) for text in texts)


def unsound(name: str, monkeypatch) -> bool:
    """Whether it is seen that a part of the reader does what it must not."""
    if name == "references stay":
        monkeypatch.setattr(plain, "_resolved", lambda text: text)
    elif name == "comments are not looked at":
        monkeypatch.setattr(plain, "_without_comments", lambda text: plain.re.sub("<!--.*?-->", "", text))
    elif name == "every namespace will do":
        monkeypatch.setattr(plain, "_URI", plain.re.compile(".*"))
    plain._scope.cache_clear()
    return any(differs(text) for text in (*PLAIN.values(), *NOT_PLAIN.values()))


@pytest.mark.parametrize("name", ["references stay", "comments are not looked at", "every namespace will do"])
def test_a_reader_that_does_less_is_seen(name, monkeypatch):
    try:
        assert unsound(name, monkeypatch)
    finally:
        plain._scope.cache_clear()


def test_nothing_of_a_document_is_remembered_but_its_markup():
    """Neither values nor texts, nor more of the markup than is of use."""
    plain._scope.cache_clear()
    scope = plain._scope((("xml", plain._XML),))
    long = "".join(f' attribute{n}="NOBODY1"' for n in range(60))
    text = '<a b="NOBODY1" c="NOBODY2">NOBODY3<d{}/>NOBODY4</a>'
    assert plainly(text.format(long)) is not None
    assert set(scope.shapes) == {"\x00a b=\x01 c=\x01"}
    for n in range(0, 3 * plain._MOST, 1000):
        assert plainly("<a>" + "".join(f"<b{m}/>" for m in range(n, n + 1000)) + "</a>") is not None
        assert len(scope.shapes) <= plain._MOST
    plain._scope.cache_clear()


GROWS = {
    "comments in a text": lambda n: f"<a>{'x<!-- x -->' * n}</a>",
    "namespaces at each element": lambda n: "<a>" + f'<b xmlns="{NS}" c="1"/>' * n + "</a>",
    "single quotation marks": lambda n: "<a>" + "<b c='1' d=\"2\"/>" * n + "</a>",
    "references": lambda n: f"<a b='{'&amp;' * n}'>{'&amp;' * n}</a>",
    "quotation marks": lambda n: f"<a>{chr(34) * n}</a>",
    "blanks in a tag": lambda n: f"<a{' ' * n}><b{' ' * n}c{' ' * n}='1'{' ' * n}/></a>",
    "what begins like a comment": lambda n: f"<a>{'<!--' * n}</a>",
    "deep in an end": lambda n: "<a>" * 100 + "</a" * n,
}


@pytest.mark.parametrize("name", GROWS)
def test_the_work_grows_with_the_document(name):
    counts = [calls_of(lambda n=n: plainly(GROWS[name](n))) for n in (200, 400, 800)]
    assert all(later < 2.5 * before + 500 for before, later in pairwise(counts)), counts


def test_joined_texts_do_not_cost_the_square_of_the_document():
    """A text in thousands of pieces is the parser's, which puts them together once."""
    assert plainly(GROWS["comments in a text"](5)) is not None
    assert plainly(GROWS["comments in a text"](5_000)) is None
    assert bounds.MAX_TEXT > 5_000
