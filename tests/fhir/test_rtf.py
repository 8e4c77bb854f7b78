"""RTF as clinical systems keep it: every word stays, no markup does, and nothing is guessed."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mhbridge.fhir.rtf import BadRtf, is_rtf, text_of

HEAD = (
    r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\fnil\fcharset0 Arial;}}{\colortbl ;\red255\green0\blue0;}"
    r"{\*\generator Made up 1.0;}{\stylesheet{\s0 Normal;}}{\info{\author Nobody}}\viewkind4\uc1\pard\f0\fs20 "
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("Stable.", "Stable."),
        (r"One\par Two\line Three", "One\nTwo\nThree"),
        ("a b\r\nc", "a bc"),
        (r"{\b Bold} and {\i\ul both}", "Bold and both"),
        (r"caf\'e9 \'96 \'80", "café – €"),
        (r"\u8364?5, \u-10179?\u-8694?, \uc0\u233 t", "€5, 😊, ét"),
        (r"\uc2\u233 ??t", "ét"),
        (r"\\ \{ \} a\~b a\_b a\-b", "\\ { } a\u00a0b a\u2011b ab"),
        (r"\ldblquote no\rdblquote \emdash \bullet", "“no”—•"),
        (r"{\field{\*\fldinst HYPERLINK x}{\fldrslt the leaflet}}", "the leaflet"),
        (r"Take {\strike 10 mg} 5 mg", "Take [crossed out: 10 mg] 5 mg"),
        (r"\strike 10 mg\strike0  5 mg\plain .", "[crossed out: 10 mg] 5 mg."),
        (r"10{\super 9}/L", "10^9/L"),
        (r"10\super 9\nosupersub /L", "10^9/L"),
        (r"before {\pict\pngblip 89504e47} after", "before [picture not included] after"),
        (r"before {\*\shppict{\pict 00}}{\nonshppict{\pict 00}} after", "before [picture not included] after"),
        (r"x\bin4 {{{{y", "xy"),
        (r"\trowd\cellx1 Drug\cell Dose\cell\row", "Drug\tDose"),
        (r"{\*\unknown gone} kept {\unknown kept too}", " kept kept too"),
        ("", ""),
    ],
)
def test_what_is_read(body: str, expected: str) -> None:
    assert is_rtf(HEAD + body + "}")
    assert text_of(HEAD + body + "}") == expected


FONTS = (
    r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\froman\fcharset0 Arial;}{\f1\ftech\fcharset2{\*\panose 05}Symbol;}"
    r"{\f2\fnil\fcharset2 Wingdings;}{\f3\fswiss\fcharset238{\*\falt Arial}Arial CE;}{\f4\fcharset2 Nobody knows;}}\f0 "
)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # In the document's own character set these would be a pound sign, a superior three and a superior one.
        (r"BP {\f1\'a3} 90, SpO2 \f1 \'b3\f0  94", "BP ≤ 90, SpO2 ≥ 94"),
        (r"5 {\f1 m}g, {\f1\u-3917?} 2", "5 μg, ≥ 2"),
        (r"{\f2\'fc} told {\f2 \'fb} written {\f2\'41}", "✓ told ✗ written [symbol]"),
        (r"{\f4\'a3}", "[symbol]"),
        (r"{\f1\'b7\tab}Rest", "•\tRest"),
        (r"{\f3 \'b3\'f3d\'9f}", "łódź"),
        (r"{\f1\plain\'a3}5", "£5"),
        (r'SpO2 {\field{\*\fldinst {SYMBOL 179 \\f "Symbol" \\s 12}}{\fldrslt {\f1\fs24}}} 94', "SpO2 ≥ 94"),
        (r'SpO2 {\field{\*\fldinst SYMBOL 179 \\f "Symbol"}{\fldrslt {\f1\'b3}}} 94', "SpO2 ≥ 94"),
        (r"{\field{\*\fldinst PAGE}{\fldrslt }}x", "x"),
    ],
)
def test_a_sign_is_that_of_its_font(body: str, expected: str) -> None:
    assert text_of(FONTS + body + "}") == expected


def test_the_character_set_is_that_of_the_document() -> None:
    assert text_of(r"{\rtf1\ansi\ansicpg1250 \'9e}") == "ž"
    assert text_of(r"{\rtf1\mac \'8e}") == "é"
    assert text_of(r"{\rtf1\ansi\ansicpg932 \'82\'a0}") == "あ"


@pytest.mark.parametrize(
    "rtf",
    [
        r"{\rtf1 open",
        r"{\rtf1 closed}}",
        r"{\rtf1\ansi \'81}",
        r"{\rtf1\ansicpg9 x}",
        r"{\rtf1 \u55357?x}",
        "{\\rtf1" + "{" * 1000 + "}" * 1001,
        "{\\rtf1 x\\",
    ],
)
def test_what_cannot_be_read_is_not_guessed(rtf: str) -> None:
    with pytest.raises(BadRtf):
        text_of(rtf)


@pytest.mark.parametrize("text", ["", "Stable.", "{rtf1}", "see {\\rtf1}", "<p>{\\rtf1}</p>"])
def test_what_is_no_rtf(text: str) -> None:
    assert not is_rtf(text)


@given(st.text(alphabet=st.sampled_from("ab 1\\{}'*-u\nrtfpar;é"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(BadRtf):
        assert isinstance(text_of("{\\rtf1 " + text + "}"), str)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40))
def test_text_that_is_written_is_read(text: str) -> None:
    units = text.encode("utf-16-le")
    written = "".join(f"\\u{int.from_bytes(units[i : i + 2], 'little', signed=True)}?" for i in range(0, len(units), 2))
    assert text_of("{\\rtf1\\uc1 |" + written + "|}") == f"|{text}|"
