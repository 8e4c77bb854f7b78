"""A narrative on a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhbridge.fhir.plaintext import plain
from mhbridge.fhir.xhtml import div, paragraph

MEDICINES = (
    "<table><caption>Medicines</caption><thead><tr><th>Name</th><th>Dose</th><th>Reason</th></tr></thead><tbody>"
    "<tr><td>Sertraline 50 mg tablets</td><td>one daily</td>"
    "<td>Low mood, and panic that came back on the ward</td></tr>"
    "<tr><td>Olanzapine</td><td>5 mg<br/>at night</td><td/></tr></tbody></table>"
)

TEXTS: list[tuple[str, int, str]] = [
    ("<p><b>Ward:</b> Maple</p><p><b>Bed:</b> 4</p>", 60, "Ward: Maple\nBed: 4"),
    ("<p>one</p><p>two words that do not fit into one line</p><p>three</p>", 25,
     "one\n\ntwo words that do not fit\ninto one line\n\nthree"),
    ("<p>  a \n b<br/>c  </p>", 60, "a b\nc"),
    ("<p>a\u00a0\u00a0b</p>", 60, "a  b"),
    ("<ul><li>one<ul><li>two</li></ul></li><li>a third one, longer</li></ul>", 20,
     "- one\n  - two\n- a third one,\n  longer"),
    ('<ol start="9"><li>x</li><li>y</li><li value="3">z</li></ol>', 60, "9. x\n10. y\n3. z"),
    ("<p>WCC 5.2 x 10<sup>9</sup>/L, CO<sub>2</sub></p>", 60, "WCC 5.2 x 10^9/L, CO2"),
    ('<p><a href="https://example.org/x">leaflet</a> <a href="tel:0163296">0163296</a></p>', 60,
     "leaflet (https://example.org/x) 0163296"),
    ('<p><img src="data:image/png;base64,AAAA" alt="chart"/><q>said</q></p>', 60, "[picture: chart]“said”"),
    ("<pre>a   b\n  c</pre>", 60, "a   b\n  c"),
    ("<h2>Plan</h2><blockquote>Call first</blockquote><hr/>", 20, "Plan\n\n  Call first\n\n" + "-" * 20),
    ("<dl><dt>Term</dt><dd>What it is</dd></dl>", 60, "Term\n    What it is"),
    ("<p>a-very-long-word-that-does-not-fit-anywhere ok</p>", 20, "a-very-long-word-that-does-not-fit-anywhere\nok"),
    (MEDICINES, 70,
     ("Medicines\n"
     "Name                      Dose       Reason\n"
     "------------------------  ---------  ---------------------------------\n"
     "Sertraline 50 mg tablets  one daily  Low mood, and panic that came\n"
     "                                     back on the ward\n"
     "Olanzapine                5 mg\n"
     "                          at night")),
    (MEDICINES, 26,
     ("Medicines\nName: Sertraline 50 mg\n  tablets\nDose: one daily\nReason: Low mood, and\n"
     "  panic that came back on\n  the ward\n\nName: Olanzapine\nDose: 5 mg\n  at night")),
    ('<table><tr><td rowspan="2">A</td><td>1</td></tr><tr><td>2</td></tr><tr><td colspan="2">over both</td></tr>',
     60, "A  1\n   2\nover both"),
    ("<table><tr><td>out</td><td><table><tr><td>in</td><td>side</td></tr></table></td></tr></table>", 60,
     "out  in  side"),
    ("<script>x</script>", 60, ""),
]  # fmt: skip


@pytest.mark.parametrize(("xhtml", "width", "text"), TEXTS)
def test_a_narrative_as_plain_text(xhtml: str, width: int, text: str) -> None:
    assert plain(xhtml, width) == text


def test_a_terminal_is_given_nothing_to_obey() -> None:
    assert plain(div(paragraph("a\x1b[31mred\x9b0m"))) == "a\\x1b[31mred\\x9b0m"
    assert "\x1b" not in plain("<p>a\x1b[2Jb</p>")


@given(
    st.lists(st.lists(st.text("ab 12.", min_size=1, max_size=30), min_size=1, max_size=5), min_size=1, max_size=5),
    st.integers(20, 120),
)
@settings(max_examples=200, deadline=None)
def test_a_table_loses_no_word_at_any_width(rows: list[list[str]], width: int) -> None:
    table = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    text = plain(f"<table>{table}</table>", width)
    assert sorted(text.split()) == sorted(word for row in rows for cell in row for word in cell.split())
