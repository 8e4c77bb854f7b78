"""
The narrative sanitiser against markup that was made to get past sanitisers: the published cases of DOMPurify where they
are at hand, and our own, one for each way in that those cases know.

What must hold: the result is XHTML that FHIR allows (`xhtml_rules`), it can run, fetch or hide nothing, and the text
that a reader would have seen is still there. DOMPurify keeps a whole page working, so its markup is not compared.
"""

from __future__ import annotations

import os
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from javascript import exported

from mhbridge.fhir import xhtml
from mhbridge.fhir.xhtml import ELEMENTS, NAMESPACE, sanitise, visible
from mhbridge.fhir.xhtml_rules import faults

#: In the expected text of DOMPurify, but no text of the markup: an older HTML reader writes it for `<isindex>`.
MADE_BY_A_BROWSER = ("This is a searchable index. Enter search keywords:",)
#: Cases that differ, and why.
DIFFERS = {117: "`<b <script>…</script>`: what stands between is a script to us, and text to an HTML reader"}
#: Elements whose content DOMPurify keeps and no reader ever sees.
UNSEEN = ("style", "script", "template", "title", "noscript")


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self.unseen: list[str] = []

    def handle_starttag(self, tag, _attrs):
        if tag in UNSEEN:
            self.unseen.append(tag)

    def handle_endtag(self, tag):
        if tag in self.unseen:
            self.unseen.remove(tag)

    def handle_data(self, data):
        if not self.unseen:
            self.words += data.split()


def words(markup: str) -> list[str]:
    reader = _Text()
    reader.feed(markup)
    reader.close()
    return reader.words


def dangers(narrative: str) -> list[str]:
    """Judged by its structure, apart from the rules and the code of the sanitiser: escaped text is only text."""
    found: list[str] = []
    for element in ET.fromstring(narrative).iter():
        space, _, name = element.tag.rpartition("}")
        if space != "{" + NAMESPACE or name not in ELEMENTS:
            found.append("element")
        for key, value in element.attrib.items():
            plain = re.sub(r"[\x00-\x20\x7f-\xa0]", "", value).lower()
            if key.startswith("on") or "}" in key or key in ("formaction", "action", "srcdoc", "background", "class"):
                found.append("attribute")
            if key in ("href", "src") and not re.match(r"(https?://|mailto:|tel:|#|data:image/(png|gif|jpeg);)", plain):
                found.append("address")
            if key == "src" and plain.startswith("http"):
                found.append("fetch")
            if key == "style" and re.search(r"url|expression|import|behaviou?r|position|display|visibility|\\", plain):
                found.append("style")
    return found


def text_of(narrative: str) -> list[str]:
    return "".join(ET.fromstring(narrative).itertext()).split()


def in_order(wanted: str, text: str) -> bool:
    """Whether every character is there, in its order; between them may stand what else has become text."""
    rest = iter(text)
    return all(character in rest for character in wanted)


def inspected(payload: str, seen: list[list[str]]) -> list[str]:
    """What is wrong with what becomes of `payload`; `seen` are the ways in which its text may be read."""
    clean = sanitise(payload)
    if not clean:
        return [] if any(not way for way in seen) else ["nothing is left"]
    wrong = [f"{code}: {said}" for code, said in faults(clean)] + dangers(clean)
    text = "".join(text_of(clean))
    if not any(in_order("".join(map(visible, way)), text) for way in seen):
        wrong.append("text is lost")
    again = sanitise(clean)
    if faults(again) or dangers(again) or text_of(again) != text_of(clean):
        wrong.append("something else when it is read again")
    return wrong


# --- our own -----------------------------------------------------------------------------------------------

#: What comes in → the words that a reader must still see.
OWN = {
    "script": ("<p>Dose<script>alert(1)</script> 5 mg</p>", "Dose 5 mg"),
    "script in capitals, not closed": ("<p>Dose 5 mg</p><ScRiPt src=//x.example/a.js>", "Dose 5 mg"),
    "a style that is not closed hides no text": ("<style>p{color:red} <p>Allergic to penicillin</p>", "penicillin"),
    "a script that is not closed hides no text": ("<script><p>Allergic to penicillin</p>", "penicillin"),
    "script inside script": ("<scr<script>x</script>ipt>alert(1)</scr</script>ipt> stop lithium", "stop lithium"),
    "event": ('<b onclick="alert(1)" ONMOUSEOVER=alert(1)>stop lithium</b>', "stop lithium"),
    "event behind a slash": ("<img/src=x/onerror=alert(1)>stop lithium", "stop lithium"),
    "event after a broken quote": ('<p title="a" onfocus="alert(1)" title=">">stop</p>', "stop"),
    "javascript address": ('<a href="javascript:alert(1)">plan</a>', "plan"),
    "javascript with blanks": ('<a href=" java\tscript\n:alert(1)">plan</a>', "plan"),
    "javascript by references": ('<a href="&#106;&#x61;vascript&colon;alert(1)">plan</a>', "plan"),
    "javascript with a control character": ('<a href="\x01javascript:alert(1)">plan</a>', "plan"),
    "vbscript": ('<a href="vbscript:msgbox(1)">plan</a>', "plan"),
    "data address": ('<a href="data:text/html;base64,PHNjcmlwdD4=">plan</a>', "plan"),
    "data picture that is SVG": ('<img src="data:image/svg+xml,%3Csvg onload=alert(1)%3E" alt="burn">', "burn"),
    "outside picture": ('<img src="https://track.example/p.gif?id=1" alt="wound">', "wound"),
    "style that fetches": ('<p style="background:url(//x.example)">rash</p>', "rash"),
    "style that runs": ('<p style="width:expression(alert(1))">rash</p>', "rash"),
    "style that hides": ('<p style="display:none">rash</p>', "rash"),
    "style with escapes": ('<p style="w\\69 dth:ex\\70ression(1)">rash</p>', "rash"),
    "frame": ('before<iframe src="javascript:alert(1)">inside</iframe>after', "before after"),
    "object": ('<object data="x.swf"><embed src="x.swf">fits</object>', "fits"),
    "form": ('<form action="https://x.example"><button formaction="javascript:alert(1)">Send</button></form>', "Send"),
    "meta refresh": ('<meta http-equiv=refresh content="0;url=//x.example">rest', "rest"),
    "base": ('<base href="javascript:alert(1)//"><a href="#a">rest</a>', "rest"),
    "svg": ('<svg onload=alert(1)><a xlink:href="javascript:alert(1)"><text>chart</text></a></svg>', "chart"),
    "svg animation": ('<svg><animate attributeName=href to="javascript:alert(1)"/></svg>seen', "seen"),
    "mathml": ('<math href="javascript:alert(1)">CLICK</math>', "CLICK"),
    "namespaces mixed": ("<math><mtext><table><mglyph><style><!--</style><img src=x onerror=alert(1)>", ""),
    "template": ("<template><script>alert(1)</script>kept</template>", "kept"),
    "a comment that is not closed": ("<p>before</p><!-- <img src=x onerror=alert(1)> after", "before after"),
    "a comment of an old browser": ("<!--[if gte IE 4]><script>alert(1)</script><![endif]-->rest", "rest"),
    "CDATA": ("<p><![CDATA[<script>alert(1)</script>]]></p>", "<script>alert(1)</script>"),
    "entities of its own": ('<!DOCTYPE d [<!ENTITY x "y">]><p>&x; mg</p>', "mg"),
    "processing instruction": ('<?xml-stylesheet href="javascript:alert(1)"?><p>rest</p>', "rest"),
    "another namespace's script": ('<p xmlns:s="urn:x"><s:script>alert(1)</s:script>rest</p>', "rest"),
    "a namespace's script in XML": ('<h:script xmlns:h="http://www.w3.org/1999/xhtml">a</h:script><b>rest</b>', "rest"),
    "NUL inside a name": ("<scr\x00ipt>alert(1)</scr\x00ipt>rest", "rest"),
    "UTF-7": ("+ADw-script+AD4-alert(1)+ADw-/script+AD4-", "+ADw-script+AD4-alert(1)+ADw-/script+AD4-"),
    "a name that is clobbered": ("<form id=document><input name=cookie></form>rest", "rest"),
    "back quotes": ("<img src=`x` onerror=`alert(1)`>rest", "rest"),
    "less-than of a value": ("BP <120 and >90, temp<38", "BP <120 and >90, temp<38"),
    "an address in angle brackets": ("mail <a.bee@example.org>", "<a.bee@example.org>"),
    "right to left override": ("5 \u202egm 01\u202c mg", "5 gm 01"),
    "many levels": ("<b>" * 5000 + "deep", "deep"),
    "many levels of many kinds": ("<div><ul><li><table><tr><td>" * 600 + "deep", "deep"),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_nothing_gets_past_and_no_text_is_lost(name):
    payload, kept = OWN[name]
    assert inspected(payload, [kept.split()]) == []


def test_the_checks_see_what_is_dangerous(monkeypatch):
    """The control: without a sanitiser, or with half of one, each kind of danger is found."""
    monkeypatch.setitem(globals(), "sanitise", lambda markup: f'<div xmlns="{NAMESPACE}">{markup}</div>')
    assert "element" in inspected("<script>a</script>", [["a"]])
    assert "attribute" in inspected('<p onclick="x">a</p>', [["a"]])
    assert "address" in inspected('<a href="java script:x">a</a>', [["a"]])
    assert "fetch" in inspected('<img src="http://x.example/"/>a', [["a"]])
    assert "style" in inspected('<p style="background:url(x)">a</p>', [["a"]])
    assert "text is lost" in inspected("<p>a</p>", [["b"]])
    monkeypatch.setitem(globals(), "sanitise", lambda _: "")
    assert inspected("<p>a</p>", [["a"]]) == ["nothing is left"]


def test_without_the_filter_of_attributes_addresses_get_past(monkeypatch):
    """The control of one part: nh3 alone lets pictures from outside through."""
    monkeypatch.setattr(xhtml, "_attribute", lambda _element, _name, value: value)
    assert inspected('<img src="https://track.example/p.gif" alt="a"/>', [[]]) != []


# --- DOMPurify's -------------------------------------------------------------------------------------------


@cache
def published() -> list[dict]:
    corpus = os.environ.get("TEST_CORPUS")
    files = sorted(Path(corpus).glob("**/dompurify/expect.mjs")) if corpus else []
    return exported(files[0].read_text("utf-8")) if files else []


@pytest.mark.skipif(not os.environ.get("TEST_CORPUS"), reason="TEST_CORPUS names no corpus with the cases of DOMPurify")
def test_the_cases_of_dompurify():
    found = published()
    assert len(found) >= 223
    wrong = {}
    for number, case in enumerate(found):
        expected = case["expected"] if isinstance(case["expected"], list) else [case["expected"]]
        for made in MADE_BY_A_BROWSER:
            expected = [one.replace(made, "") for one in expected]
        if faulty := inspected(case["payload"], [words(one) for one in expected]):
            wrong[number] = faulty
    assert wrong == {number: ["text is lost"] for number in DIFFERS}


# --- the reader --------------------------------------------------------------------------------------------


def test_the_reader_reads_what_such_files_hold():
    source = """// cases
    export default [ /* all */
      {title: "a\\n\\x41\\u0042\\u{43}\\q", 'b': `c"'`, "d": ["e" + 'f',], g: 1.5, h: true, i: null,},
    ];"""
    expected = [{"title": "a\nABCq", "b": "c\"'", "d": ["ef"], "g": 1.5, "h": True, "i": None}]
    assert exported(source) == expected


@pytest.mark.parametrize("source", ["export default [`${x}`]", "export default f()", "export default [1] 2"])
def test_the_reader_evaluates_nothing(source):
    with pytest.raises(ValueError, match=r"at \d+"):
        exported(source)
