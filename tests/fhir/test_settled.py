"""XHTML that is passed on unread is XHTML that the readers would have written just so."""

from __future__ import annotations

import random

import pytest

from mhbridge.fhir.settled import is_settled
from mhbridge.fhir.xhtml import NAMESPACE, _sanitised, sanitise

SETTLED = (
    "words",
    "\n\t <div>\n words &amp; more &lt;b&gt; &quot;said&quot;</div>",
    "<h3>Plan</h3><p>5 mg<sup>2</sup> <b>each <i>day</i></b><br/>then less</p>",
    "<ul><li>one<ul>\n<li><p>two</p></li></ul></li><li></li></ul>",
    '<table border="1">\n<caption>C</caption><thead><tr><th colspan="2">T</th></tr></thead></table>',
    "<table><tbody><tr><td>\xa0a</td><td><ol><li>b</li></ol></td></tr></tbody></table>",
)
#: Each would be said otherwise, or nothing would be left of it.
UNSETTLED = (
    "", " ", "<br/>", "<p></p>", "<p>a<p>b</p></p>", "<p>a<ul><li>b</li></ul></p>", "<table>a<tbody></tbody></table>",
    "<table><tr><td>a</td></tr></table>", "<ul>a<li>b<li>c</li></li></ul>", "a<td>b</td>", "a<script>b</script>",
    "a<br>", "a<br></br>", "a<p/>", "a &apos; b", "a & b", "a > b", 'a " b', "a\rb", "a\x96b", "a\u202eb", "a<>b",
    "a<u>b</u>", "a<span style='color: red'>b</span>", 'a<p onclick="x()">b</p>', "a<!-- b -->", "a</p>", "<p>a",
    "<b>a<i>b</b></i>", "<P>a</P>", "a<img src='x'/>", 'a<a href="javascript:x()">b</a>', "a<![CDATA[b]]>",
    "a<table><tbody><tr>b</tr></tbody></table>", "<div>" * 60 + "a" + "</div>" * 60,
)  # fmt: skip


def whole(inner: str) -> str:
    return f'<div xmlns="{NAMESPACE}">{inner}</div>'


@pytest.mark.parametrize("inner", SETTLED)
def test_what_is_settled_is_passed_on(inner: str) -> None:
    assert is_settled(inner)
    assert sanitise(whole(inner)) == _sanitised(whole(inner)) == whole(inner)


@pytest.mark.parametrize("inner", UNSETTLED)
def test_what_would_be_changed_is_not_settled(inner: str) -> None:
    assert not is_settled(inner)
    assert sanitise(whole(inner)) == _sanitised(whole(inner))


#: What mostly stands in an element; seldom something else does.
INSIDE = {
    "div": "p h4 div ul ol table b span br", "p": "b i em sup code br", "ul": "li", "table": "caption thead tbody",
    "tbody": "tr", "tr": "td th",
}  # fmt: skip
LIKE = {
    "ol": "ul", "thead": "tbody", "li": "div", "td": "div", "th": "div", "caption": "p", "h4": "p", "b": "p", "i": "p",
    "em": "p", "sup": "p", "code": "p", "span": "p", "br": "p",
}  # fmt: skip
WORDS = ("x", " ", "\n\t", "&amp;", "&lt;b&gt;", "&quot;", "é", "\xa0", "&amp;lt;", "\u2028", "\ufeff", "\u200b", "-->")
MISCHIEF = ("<", ">", "&", '"', "", "<p>", "</p>", "<b>", "</div>", "\x00", "<td>", "<table>", "<a href='x'>", "--")


def markup(chance: random.Random, name: str, depth: int) -> str:
    kind = LIKE.get(name, name)
    out = []
    for _ in range(chance.randint(0, 4)):
        if chance.random() < 0.5:
            out.append(chance.choice(WORDS if kind in ("div", "p") or chance.random() < 0.03 else (" ", "\n")))
            continue
        inner = chance.choice((INSIDE[kind] if chance.random() < 0.96 else " ".join([*INSIDE, *LIKE])).split())
        out.append("<br/>" if inner == "br" else f"<{inner}>{markup(chance, inner, depth + 1)}</{inner}>" * (depth < 9))
    return "".join(out)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_settled_comes_out_as_it_went_in(seed: int) -> None:
    chance = random.Random(seed)
    settled = 0
    for _ in range(2_000):
        inner = markup(chance, "div", 0)
        if inner and chance.random() < 0.3:
            at = chance.randrange(len(inner))
            inner = inner[:at] + chance.choice(MISCHIEF) + inner[at + chance.randint(0, 1) :]
        if is_settled(inner):
            settled += 1
            assert _sanitised(whole(inner)) == whole(inner)
    assert settled > 200
