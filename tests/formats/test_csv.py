"""CSV extracts: one message per row, an exact header, and every way in which a file can go wrong."""

from __future__ import annotations

import csv
import io
import re
import tracemalloc
from collections import deque
from typing import Literal

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from mhbridge.errors import MalformedMessage, MessageError, explanations
from mhbridge.formats import BrokenMessage, DeclarationError, Part, PathError, Scope, Source, format_named, sniff
from mhbridge.formats.csv import FORMAT, Row
from mhbridge.model import ABSENT, NOTHING_BEFORE, Answer, Before, Issue, Severity, Verdict

COLUMNS = ["NHSNumber", "Family Name", "Discharge_Date"]
HEADER = "NHSNumber,Family Name,Discharge_Date\r\n"


def declare(charset: str = "", **options: object) -> Source:
    return FORMAT.declare("Europe/London", charset, {"columns": COLUMNS, **options})


SOURCE = declare()


def items(body: bytes | str, *sources: Source) -> list[Row | MessageError]:
    raw = body.encode() if isinstance(body, str) else body
    return [item for item, _ in FORMAT.messages(raw, sources or (SOURCE,))]


def cells(body: bytes | str, *sources: Source) -> list[list[str] | str]:
    """Each row's cells, or the code of its error."""
    return [list(i.cells.values()) if isinstance(i, Row) else i.code for i in items(body, *sources)]


def waiting(body: bytes | str, *sources: Source) -> BrokenMessage:
    """The one message that a file is of which no row can be worked: it waits for a person, with all its bytes."""
    raw = body.encode() if isinstance(body, str) else body
    ((error, takers),) = FORMAT.messages(raw, sources or (SOURCE,))
    assert isinstance(error, BrokenMessage)
    assert error.code in explanations()
    assert (error.body, takers) == (raw, ())
    return error


# --- what is read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (HEADER + "1,A,x\r\n2,B,y\r\n", [["1", "A", "x"], ["2", "B", "y"]]),
        (HEADER.replace("\r\n", "\n") + "1,A,x\n2,B,y", [["1", "A", "x"], ["2", "B", "y"]]),
        (HEADER.replace("\r\n", "\r") + "1,A,x\r2,B,y\r", [["1", "A", "x"], ["2", "B", "y"]]),
        ("\ufeff" + HEADER + "1,A,x\r\n", [["1", "A", "x"]]),
        (HEADER, []),
        (HEADER.strip(), []),
        (HEADER + "\r\n1,A,x\r\n\r\n\r\n2,B,y\r\n\r\n", [["1", "A", "x"], ["2", "B", "y"]]),
        (HEADER + '1,"A, ""the"" B",x\r\n', [["1", 'A, "the" B', "x"]]),
        (
            HEADER + '1,"line one\r\nline two\n\nline four",x\r\n2,B,y\r\n',
            [["1", "line one\r\nline two\n\nline four", "x"], ["2", "B", "y"]],
        ),
        (HEADER + "1, A ,\r\n", [["1", " A ", ""]]),
        (HEADER + "1,A,x\r\n,,\r\n , ,\r\n2,B,y\r\n,,\r\n", [["1", "A", "x"], ["2", "B", "y"]]),
        (HEADER + f'1,"{"x" * 200_000}",x\r\n', [["1", "x" * 200_000, "x"]]),
        (HEADER + "=1+1,@A,\tx\r\n", [["=1+1", "@A", "\tx"]]),
        (HEADER + '1,5 ft 6" tall,x\r\n', [["1", '5 ft 6" tall', "x"]]),
        ('"NHSNumber","Family Name","Discharge_Date"\r\n1,A,x\r\n', [["1", "A", "x"]]),
        (HEADER + "1,Zoë 🙂,x\r\n", [["1", "Zoë 🙂", "x"]]),
    ],
)
def test_rows(body: str, expected: list[list[str]]) -> None:
    assert cells(body) == expected


@pytest.mark.parametrize(
    ("charset", "codec", "delimiter"),
    [
        ("", "utf-8", ","),
        ("utf-8", "utf-8", "\t"),
        ("cp1252", "cp1252", ";"),
        ("iso-8859-15", "iso-8859-15", "|"),
        ("utf-16", "utf-16", ","),
        ("utf-16-le", "utf-16-le", "\t"),
    ],
)
def test_charset_and_delimiter_are_declared(charset: str, codec: str, delimiter: str) -> None:
    source = declare(charset, delimiter=delimiter)
    body = (HEADER + "1,Zoë,x\r\n").replace(",", delimiter).encode(codec)
    assert cells(body, source) == [["1", "Zoë", "x"]]
    # A row is read again by itself: when it is worked again, sent on as it came, or tried with another value.
    [row] = items(body, source)
    assert cells(row.body, source) == [["1", "Zoë", "x"]]
    [(place, bits)] = [(cell, bit) for cell, bit in FORMAT.populated(row) if FORMAT.leaf(row, cell, 0) == "Zoë"]
    assert cells(FORMAT.altered(row, place, bits - 1, "Chloë", source), source) == [["1", "Chloë", "x"]]
    [broken] = items(body.decode(codec).replace("Zoë", "Zo\x01").encode(codec), source)
    assert isinstance(broken, BrokenMessage)
    assert [type(one) for one in items(broken.body, source)] == [BrokenMessage]


def test_facts_and_the_rows_own_bytes() -> None:
    source = declare(control_id="NHSNumber")
    body = "\ufeff" + HEADER + '1,"A\r\nB",x\r\n\r\n2,C,y'
    first, second = items(body, source)
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert (first.facts.format, first.facts.kind, first.facts.place) == ("csv", "row", "row 1")
    assert (second.facts.control_id, second.facts.place) == ("2", "row 2")
    assert second.identities == (("control_id", "2"),)
    assert second.patients == 1
    assert first.body == ("\ufeff" + HEADER + '1,"A\r\nB",x\r\n').encode()
    assert second.body == ("\ufeff" + HEADER + "2,C,y").encode()
    assert [cells(row.body, source) for row in (first, second)] == [[["1", "A\r\nB", "x"]], [["2", "C", "y"]]]
    assert "A" not in repr(first)


def test_without_a_declared_column_a_row_is_identified_by_its_own_bytes() -> None:
    sent, again, corrected = items(HEADER + "1,A,x\r\n1,A,x\r\n1,A,y\r\n")
    assert isinstance(sent, Row)
    assert isinstance(again, Row)
    assert isinstance(corrected, Row)
    assert re.fullmatch(r"[0-9a-f]{16}", sent.facts.control_id)
    assert sent.facts.control_id == again.facts.control_id != corrected.facts.control_id
    assert sent.identities == (("control_id", sent.facts.control_id),)
    (alone,) = items("NHSNumber,Family Name,Discharge_Date\n1,A,x")
    assert isinstance(alone, Row)
    assert alone.facts.control_id == sent.facts.control_id  # the end of its line is not the row's


def test_a_declared_control_id_that_is_not_printable_is_none() -> None:
    (hidden,) = items(HEADER + '"1\n2",A,x\r\n', declare(control_id="NHSNumber"))
    assert isinstance(hidden, Row)
    assert hidden.facts.control_id == ""


def test_a_body_that_ends_with_its_header_gives_rows_a_line_of_their_own() -> None:
    # The last row of a file without a last line end is re-joined with the header as it stands.
    (row,) = items("NHSNumber,Family Name,Discharge_Date\n1,A,x")
    assert isinstance(row, Row)
    assert row.body == b"NHSNumber,Family Name,Discharge_Date\n1,A,x"


def test_several_mappings_of_one_extract() -> None:
    other = FORMAT.declare("Europe/London", "", {"columns": ["Other", "Header"]})
    apart = declare("cp1252")
    found = list(FORMAT.messages((HEADER + "1,A,x\r\n").encode(), [other, SOURCE, apart, declare("UTF8")]))
    assert [takers for _, takers in found] == [(1, 3)]


def test_rows_are_a_stream() -> None:
    body = HEADER.encode() + b"9990000018,TESTPATIENT,2026-01-01\r\n" * 50_000
    tracemalloc.start()
    try:
        count = sum(isinstance(item, Row) for item, _ in FORMAT.messages(body, [SOURCE]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 50_000
    assert peak < 200_000, "the rows of a file must not be held together"


# --- what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("", "M700", "the file is empty"),
        (" \r\n", "M700", ""),
        ("\ufeff", "M700", ""),
        ("1,A,x\r\n", "M770", "no column 'NHSNumber' and 2 more"),
        ("NHSNumber,Family Name\r\n", "M770", "no column 'Discharge_Date'"),
        ("NHSNumber,Family Name,Discharge_Date,NHSNumber\r\n", "M770", "'NHSNumber' twice"),
        ("nhsnumber,Family Name,Discharge_Date\r\n", "M770", "'NHSNumber': column 1 differs from it only in capitals"),
        ("NHSNumber,Family Name,Discharge_Date \r\n", "M770", "'Discharge_Date': column 3 differs from it only"),
        (HEADER.replace(",", ";"), "M770", "one cell with semicolons in it; see 'delimiter'"),
        (HEADER.replace(",", "\t"), "M770", "one cell with tabs in it"),
        ("sep=,\r\n" + HEADER, "M770", "what Excel says to itself (sep=)"),
        ("Summary; of nothing declared\r\n", "M770", "no column 'NHSNumber' and 2 more"),
        ('"NHSNumber,Family Name\r\n', "M770", ""),
        ("\r\n" + HEADER, "M770", ""),
    ],
)
def test_a_table_that_is_not_the_declared_one_waits_whole(body: str, code: str, said: str) -> None:
    error = waiting(body)
    assert error.code == code
    assert said in error.message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("PK\x03\x04 a workbook", "this is a workbook (XLSX)"),
        ("a," * 50_000, ""),
        ("MSH|^~\\&|PAS\x1b|RXX", ""),
        ("x" * 100_000, ""),
    ],
)
def test_what_is_no_table_is_refused(body: str, said: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        items(body)
    assert caught.value.code == "M770"
    assert said in caught.value.message


def test_columns_are_found_by_name() -> None:
    first, second = items("Discharge_Date,NHSNumber,Family Name\r\nx,1,A\r\ny,2,B\r\n")
    assert isinstance(first, Row)
    assert isinstance(second, Row)
    assert first.cells == {"NHSNumber": "1", "Family Name": "A", "Discharge_Date": "x"}
    assert [(i.code, i.severity, i.path) for i in first.noted([])] == [("M777", Severity.INFORMATION, "line 1")]
    assert second.noted([]) == (), "said once in a file"


def test_a_column_that_nobody_declared_is_there_for_the_ledger_and_not_read() -> None:
    (row,) = items("NHSNumber,Family Name,New,Discharge_Date,,New\r\n1,A,something,x,,\r\n")
    assert isinstance(row, Row)
    assert row.cells == {
        "NHSNumber": "1",
        "Family Name": "A",
        "column 3": "something",
        "Discharge_Date": "x",
        "column 5": "",
        "column 6": "",
    }
    assert row.noted([]) == ()


def test_the_places_of_issues_are_line_and_column() -> None:
    _, row = items(HEADER + '1,"A\r\nB",x\r\n2,C,y\r\n')
    assert isinstance(row, Row)
    found = row.noted([Issue("I601", Severity.ERROR, "no", path) for path in ("[Discharge_Date]", "NHSNumber", "")])
    assert [issue.path for issue in found] == ["line 4, column 3 [Discharge_Date]", "NHSNumber", "line 4"]


def test_a_byte_order_mark_that_the_declared_charset_has_not_is_named() -> None:
    assert "begins with a byte order mark" in waiting("\ufeff" + HEADER, declare("ISO-8859-1")).message


def test_a_file_without_a_header_is_not_quoted() -> None:
    error = waiting("9990000018,TESTPATIENT,2026-01-01\r\n")
    assert "TESTPATIENT" not in error.message
    assert "9990000018" not in error.message


def test_the_nearest_source_is_the_one_that_is_spoken_of() -> None:
    other = FORMAT.declare("Europe/London", "", {"columns": ["Ward", "Bed"]})
    assert "'Bed'" in waiting("Ward,Bett\r\n", SOURCE, other).message
    ((error, _),) = FORMAT.messages(HEADER.encode(), [])
    assert isinstance(error, MalformedMessage)
    assert error.code == "M770"


def test_of_two_sources_that_fit_the_one_with_more_of_the_columns_takes_it() -> None:
    fewer = FORMAT.declare("Europe/London", "", {"columns": COLUMNS[:2]})
    assert [takers for _, takers in FORMAT.messages((HEADER + "1,A,x\r\n").encode(), [fewer, SOURCE])] == [(1,)]


@pytest.mark.parametrize(
    ("dates", "rows", "turned"),
    [
        ("dd/mm/yyyy", ["03/25/2025", "03/26/2025", "3/27/2025", "04/05/2025"], True),
        ("dd/mm/yyyy", ["03/25/2025", "03/26/2025", "04/05/2025"], False),
        ("dd/mm/yyyy", ["03/25/2025"] * 3 + ["25/03/2025"] * 3, False),
        ("dd/mm/yyyy", ["25/03/2025"] * 5, False),
        ("mm/dd/yyyy", ["25/03/2025"] * 5, True),
        ("dd.mm.yyyy hh:mm", ["03.25.2025 10:00"] * 5, True),
        ("dd.mm.yyyy", ["03/25/2025"] * 5, False),
        ("yyyy-mm-dd", ["03/25/2025"] * 5, False),
        ("dd/mm/yyyy", ["1/03/25/2025", "03/25/20251", "03/25/25", "13/25/2025"], False),
    ],
)
def test_dates_that_only_fit_the_other_order(dates: str, rows: list[str], turned: bool) -> None:
    body = HEADER + "".join(f"{n},A,{row}\r\n" for n, row in enumerate(rows))
    source = declare(dates=dates)
    if turned:
        assert waiting(body, source).code == "M773"
    else:
        assert len([row for row in items(body, source) if isinstance(row, Row)]) == len(rows)


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        (b"1,A\r\n", "M771", "line 3: the row has 2 cells, not 3"),
        (b"1,A,x,more\r\n", "M771", "line 3: the row has 4 cells, not 3"),
        (b"1\r\n", "M771", "line 3: the row has 1 cells, not 3"),
        (b"1,A\x00,x\r\n", "M705", "U+0000"),
        (b"1,A\x1f,x\r\n", "M705", "U+001F"),
        ("1,A\x85,x\r\n".encode(), "M705", "U+0085"),
        (b"1,A\x92s,x\r\n", "M704", "not UTF-8: undecodable"),
        (b'1,"A\r\nB\xff",x\r\n', "M704", "line 3"),
        (b"1,A,cut off\n", "M774", "line 3: the row ends otherwise than the header does"),
        (b"1,A,cut off\r", "M774", ""),
        (b"1," + b"A" * 5_000_000 + b",x\r\n", "M776", "line 3: a cell has more than 4000000 characters"),
    ],
)
def test_a_broken_row_is_its_own_error(row: bytes, code: str, said: str) -> None:
    body = HEADER.encode() + b"0,first,x\r\n" + row + b"2,last,y\r\n"
    first, error, last = items(body)
    assert isinstance(first, Row)
    assert isinstance(last, Row)
    assert (first.cells["Family Name"], last.cells["Family Name"]) == ("first", "last")
    assert isinstance(error, BrokenMessage)
    assert (error.code, error.path, error.facts.place, last.facts.place) == (code, "row 2", "row 2", "row 3")
    assert said in error.message
    assert error.body == HEADER.encode() + row
    assert error.offset is not None
    assert body.index(row) <= error.offset < body.index(row) + len(row)


@pytest.mark.parametrize(
    "row",
    ['1,"A,x\r\n2,B,y\r\n', '1,"A" B,x\r\n2,B,y\r\n', '1,"A,x\r\n2,"B",y\r\n', f'1,"{"x" * 5_000_000},x\r\n2,B,y\r\n'],
)
def test_after_a_wrong_quote_a_narrow_table_is_read_no_further(row: str) -> None:
    # A line of text with two commas in it may be anything.
    first, error = items(HEADER + "0,first,x\r\n" + row)
    assert isinstance(first, Row)
    assert isinstance(error, BrokenMessage)
    assert (error.code, error.path) == ("M772", "row 2")
    assert "line 3; nothing after it was read" in error.message
    assert error.body == (HEADER + row).encode()


WIDE = FORMAT.declare("Europe/London", "", {"columns": list("abcdefgh")})
WIDE_HEADER = "a,b,c,d,e,f,g,h\r\n"


@pytest.mark.parametrize(
    "row",
    [
        '2,"not closed,c,d,e,f,g,h\r\n',
        '2,"He said "no" to it",c,d,e,f,g,h\r\n',
        '2,"not closed\r\nand, with, a, second line",c,d,e,f,g,"h\r\n',
        '2,"closed" by chance,c,d,e,f,g,h\r\nrest of a text\r\n',
    ],
)
def test_after_a_wrong_quote_a_wide_table_goes_on_at_the_next_whole_row(row: str) -> None:
    last_row = '4,"b, ""b""\r\nb",c,d,e,f,g,h\r\n'
    body = WIDE_HEADER + "1,b,c,d,e,f,g,h\r\n" + row + "3,b,c,d,e,f,g,h\r\n" + last_row
    # A row that goes on over several lines is found as well.
    other = items(WIDE_HEADER + "1,b,c,d,e,f,g,h\r\n" + row + last_row, WIDE)
    assert [i.cells["a"] if isinstance(i, Row) else i.code for i in other] == ["1", "M772", "4"]
    first, error, third, last = items(body, WIDE)
    assert isinstance(first, Row)
    assert isinstance(third, Row)
    assert isinstance(last, Row)
    assert [r.cells["a"] for r in (first, third, last)] == ["1", "3", "4"]
    assert last.cells["b"] == 'b, "b"\r\nb'
    assert isinstance(error, BrokenMessage)
    assert (error.code, error.path) == ("M772", "row 2")
    assert error.message.startswith("line 3: ")
    assert error.body == (WIDE_HEADER + row).encode()
    assert [r.facts.place for r in (third, last)] == ["row 3", "row 4"]
    assert third.line == 3 + row.count("\n")


def test_a_quote_that_is_closed_by_chance_swallows_no_row() -> None:
    body = WIDE_HEADER + '1,"open,c,d,e,f,g,h\r\n2,b,c,d,e,f,g,h\r\n3,"closed",c,d,e,f,g,h\r\n4,b,c,d,e,f,g,h\r\n'
    found = [i.cells["a"] if isinstance(i, Row) else i.code for i in items(body, WIDE)]
    assert found == ["M772", "2", "3", "4"]
    body = WIDE_HEADER + '1,"open,c,d,e,f,g,h\r\n2,b,c,d,e,f,g,h\r\n3,",x",d,e,f,g,h\r\n4,b,c,d,e,f,g,h\r\n'
    found = [i.cells["a"] if isinstance(i, Row) else i.code for i in items(body, WIDE)]
    assert found[:2] == ["M772", "2"]
    assert found[-1] == "4"


def test_a_quote_that_is_never_closed_keeps_what_is_left() -> None:
    body = WIDE_HEADER + '1,"open\r\n' + "text\r\n" * 10
    (error,) = items(body, WIDE)
    assert isinstance(error, BrokenMessage)
    assert (error.code, error.body) == ("M772", body.encode())
    much = WIDE_HEADER + '1,"open\r\n' + "text\r\n" * 1_000_000
    (error,) = items(much, WIDE)
    assert "nothing after it was read" in error.message


def test_cp1252_where_it_is_declared() -> None:
    assert cells(HEADER.encode() + b"1,A\x92s,x\r\n", declare("cp1252")) == [["1", "A’s", "x"]]
    assert cells(HEADER.encode() + b"1,A\x81s,x\r\n", declare("cp1252")) == ["M704"]


# --- paths -------------------------------------------------------------------------------------------------


def test_a_path_is_a_column() -> None:
    (row,) = items(HEADER + "1, \t,x \r\n")
    scope = Scope(SOURCE)
    found = FORMAT.scan("= [NHSNumber] or [Family Name]", 2, 30)
    assert found is not None
    path, end = found
    assert (path.text, end, path.relative) == ("[NHSNumber]", 13, False)
    assert FORMAT.source_type(path, scope) == "text"
    assert (FORMAT.first(path, scope)(row), FORMAT.every(path, scope)(row)) == ("1", ["1"])
    blank, _ = FORMAT.scan("[Family Name]", 0, 13) or (path, 0)
    assert (FORMAT.first(blank, scope)(row), FORMAT.every(blank, scope)(row)) == (ABSENT, [])
    date, _ = FORMAT.scan("[Discharge_Date]", 0, 16) or (path, 0)
    assert FORMAT.text(FORMAT.first(date, scope)(row)) == "x "
    assert FORMAT.cursor(row) is row


@pytest.mark.parametrize("text", ["", "NHSNumber", "(", '"[x]"'])
def test_what_is_no_path(text: str) -> None:
    assert FORMAT.scan(text, 0, len(text)) is None


@pytest.mark.parametrize("text", ["[", "[NHSNumber", "[NHS\nNumber]", "[]", "[ ]"])
def test_what_begins_like_a_path(text: str) -> None:
    with pytest.raises(PathError) as caught:
        FORMAT.scan(text, 0, len(text))
    assert caught.value.code == "E107"


@pytest.mark.parametrize(
    ("column", "hint"),
    [
        ("nhsnumber", "did you mean 'NHSNumber'?"),
        ("FamilyName", "did you mean 'Family Name'?"),
        ("Ward", "the columns are NHSNumber, Family Name, Discharge_Date"),
    ],
)
def test_an_unknown_column(column: str, hint: str) -> None:
    text = f"[{column}]"
    path, _ = FORMAT.scan(text, 0, len(text)) or (None, 0)
    assert path is not None
    for ask in (FORMAT.source_type, FORMAT.first, FORMAT.every):
        with pytest.raises(PathError) as caught:
            ask(path, Scope(SOURCE))
        assert (caught.value.code, caught.value.hint, caught.value.width) == ("E205", hint, len(text))


@pytest.mark.parametrize(("text", "code"), [("[NHSNumber]", "E207"), ("Diagnoses", "E205"), ("MHS501.x", "E205")])
def test_there_is_nothing_to_loop_over(text: str, code: str) -> None:
    found = FORMAT.scan_loop(text, 0, len(text))
    assert found is not None
    with pytest.raises(PathError) as caught:
        FORMAT.loop(found[0], Scope(SOURCE))
    assert caught.value.code == code


def test_a_loop_runs_over_the_values_of_a_cell() -> None:
    source = declare(separators={"Family Name": ";"})
    (row,) = items(HEADER + "1, Penicillin (rash) ;; Latex;,x\r\n", source)
    path, _ = FORMAT.scan_loop("[Family Name]", 0, 13) or (None, 0)
    here, _ = FORMAT.scan(".", 0, 1) or (None, 0)
    number, _ = FORMAT.scan("[NHSNumber]", 0, 11) or (None, 0)
    assert path is not None
    assert here is not None
    assert number is not None
    loop, inner = FORMAT.loop(path, Scope(source))
    cursors = list(loop.cursors(row))
    assert [FORMAT.first(here, inner)(c) for c in cursors] == ["Penicillin (rash)", "Latex"]
    assert [FORMAT.every(here, inner)(c) for c in cursors] == [["Penicillin (rash)"], ["Latex"]]
    assert [FORMAT.first(number, inner)(c) for c in cursors] == ["1", "1"]
    # A list takes the values, and anything else the cell as it stands.
    assert FORMAT.every(path, Scope(source))(row) == ["Penicillin (rash)", "Latex"]
    assert FORMAT.first(path, Scope(source))(row) == " Penicillin (rash) ;; Latex;"
    for over, scope, code in ((path, inner, "E207"), (here, inner, "E207"), (number, Scope(source), "E207")):
        with pytest.raises(PathError) as caught:
            FORMAT.loop(over, scope)
        assert caught.value.code == code
    with pytest.raises(PathError) as caught:
        FORMAT.first(here, Scope(source))
    assert caught.value.code == "E206"


# --- the door ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "recognised"),
    [
        (HEADER, True),
        ("\ufeff" + HEADER, True),
        ("a;b;c\n", True),
        ("a\tb\n1\t2", True),
        ("a|b|c", True),
        ('"first name","last name"\r\n', True),
        ("a,a,b\n", False),
        ("a,,b\n", False),
        ("a\nb\n", False),
        ("9990000018,TESTPATIENT,2026-01-01\n", False),
        ('{"a": 1, "b": 2}', False),
        ("<a>,</a>", False),
        ("MSH|^~\\&|PAS|RXX", False),
        ('"open,quote', False),
        ("", False),
        ("\r\n", False),
    ],
)
def test_it_is_recognised_by_a_header(head: str, recognised: bool) -> None:
    assert FORMAT.recognise(head.encode()) is recognised


def test_it_is_registered() -> None:
    assert format_named("csv") is FORMAT
    assert sniff(HEADER.encode()) is FORMAT
    assert not FORMAT.recognise(b"\xff\xfe")


def test_it_is_never_answered() -> None:
    from datetime import UTC, datetime

    answer = Answer(Verdict.REJECTED, "No.", datetime(2026, 1, 1, tzinfo=UTC))
    assert FORMAT.acknowledge(b"", answer, name="hub") == b""


@pytest.mark.parametrize(
    "dates", ["dd/mm/yyyy", "yyyy-mm-dd", "ddmmyyyy", "dd.mm.yyyy hh:mm", "mm/dd/yyyy hh:mm:ss", "yyyy-mm-ddThh:mm"]
)
def test_the_way_of_writing_dates_is_kept(dates: str) -> None:
    assert declare(dates=dates).options["dates"] == dates


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("columns", {"columns": []}),
        ("columns", {"columns": "a,b"}),
        ("columns", {"columns": ["a", "a"]}),
        ("columns", {"columns": ["a", " "]}),
        ("columns", {"columns": ["a]b"]}),
        ("columns", {"columns": [f"c{n}" for n in range(201)]}),
        ("delimiter", {"delimiter": ""}),
        ("delimiter", {"delimiter": ", "}),
        ("delimiter", {"delimiter": '"'}),
        ("delimiter", {"delimiter": "a"}),
        ("delimiter", {"delimiter": "\n"}),
        ("dates", {"dates": "dd/mm/yy"}),
        ("dates", {"dates": "dd/dd/yyyy"}),
        ("dates", {"dates": "mm/yyyy"}),
        ("dates", {"dates": "%d/%m/%Y"}),
        ("dates", {"dates": ["dd/mm/yyyy"]}),
        ("control_id", {"control_id": "Ward"}),
        ("separators", {"separators": {"Ward": ";"}}),
        ("separators", {"separators": {"NHSNumber": "; "}}),
        ("separators", {"separators": {"NHSNumber": "x"}}),
        ("separators", {"separators": {}}),
        ("separators", {"separators": ";"}),
        ("column", {"column": "x"}),
    ],
)
def test_a_source_that_cannot_be_is_refused(key: str, options: dict[str, object]) -> None:
    with pytest.raises(DeclarationError) as caught:
        FORMAT.declare("Europe/London", "", {"columns": COLUMNS, **options})
    assert caught.value.key == key


def test_a_blank_in_the_name_of_a_column_that_is_none_is_said() -> None:
    with pytest.raises(DeclarationError) as caught:
        FORMAT.declare("Europe/London", "", {"columns": ["NHS\u00a0Number"]})
    assert "write one" in caught.value.hint


def test_zone_and_charset_are_checked() -> None:
    for key, timezone, charset in (("timezone", "Mars/Olympus", ""), ("charset", "Europe/London", "hex")):
        with pytest.raises(DeclarationError) as caught:
            FORMAT.declare(timezone, charset, {"columns": COLUMNS})
        assert caught.value.key == key


# --- properties --------------------------------------------------------------------------------------------

CELL = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from(["\n", "\r", '"', ",", "\t"])
)


ROWS = st.lists(st.lists(CELL, min_size=3, max_size=3).filter(lambda row: any(c.strip() for c in row)), max_size=8)


@settings(deadline=None)
@given(ROWS, st.sampled_from([",", ";", "\t", "|"]), st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_what_is_written_is_read(rows: list[list[str]], delimiter: str, quoting: Literal[0, 1]) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, quoting=quoting).writerows([COLUMNS, *rows])
    source = declare(delimiter=delimiter)
    assert cells(written.getvalue(), source) == rows
    for item in items(written.getvalue(), source):
        assert isinstance(item, Row)
        assert cells(item.body, source) == [list(item.cells.values())]


def parts(body: bytes, *sources: Source, before: Before = NOTHING_BEFORE) -> list[Part]:
    found = FORMAT.parts(io.BytesIO(body), sources or (SOURCE,), before)
    assert found is not None
    return list(found)


def read_in_parts(body: bytes, *sources: Source) -> list[tuple[str, object]]:
    return [
        told(item)
        for part in parts(body, *sources)
        for item, _ in FORMAT.messages(part.body, sources or (SOURCE,), part.before)
    ]


def told(item: Row | MessageError) -> tuple[str, object]:
    if isinstance(item, Row):
        return item.facts.place, (item.line, item.cells)
    assert isinstance(item, BrokenMessage)
    return item.facts.place, (item.code, item.message, item.body)


@settings(deadline=None)
@given(
    st.lists(st.text(alphabet='ab,, "\r\n', max_size=12), max_size=12),
    st.integers(1, 3),
    st.integers(8, 60),
    st.sampled_from(["\r\n", "\r", "\n"]),
)
# Behind a header that ends in a carriage return, a blank line of a line feed alone would be the end of the header.
@example(["1,A,x\r2,B,x\r\n\n3,C,x\r"], 2, 60, "\r")
def test_a_file_in_parts_is_the_file(rows: list[str], each: int, size: int, end: str) -> None:
    header, rest = (HEADER.rstrip() + end).encode(), "\r\n".join(rows)
    assume(end != "\r" or not rest.startswith("\n"))
    body = header + rest.encode()
    whole = [told(item) for item in items(body)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mhbridge.formats.csv.lines._BLOCK", size)
        patch.setattr("mhbridge.formats.csv._ROWS", each)
        found: list[tuple[str, object]] = []
        lost = ""
        try:
            for part in FORMAT.parts(io.BytesIO(body), [SOURCE]) or ():
                assert part.body == header + body[part.before.offset : part.after.offset]
                found += [told(item) for item, _ in FORMAT.messages(part.body, [SOURCE], part.before)]
                assert found[-1][0] == f"row {part.after.rows}"
        except MalformedMessage as error:
            lost = error.path
    # Read whole, the rows that are lost are one message more.
    assert lost == (whole[-1][0] if len(whole) > len(found) else "")
    assert found == whole[: len(found)]
    assert len(whole) - len(found) == bool(lost)


WIDE_ROWS = st.lists(
    st.sampled_from(
        [
            "1,b,c,d,e,f,g,h",
            '2,"b\r\nb",c,d,e,f,g,h',
            '3,"open,c,d,e,f,g,h',
            '4,"b" b,c,d,e,f,g,h',
            '5,b,c,d,e,f,g,"h""',
            '6,",c,d,e,f,g,h',
            "7,ragged",
            "text",
            "",
            ",,,,,,,",
            '8,"b, ""b""\r\n\r\n,",c,d,e,f,g,"h"',
        ]
    ),
    max_size=14,
)


@settings(deadline=None, max_examples=200)
@given(WIDE_ROWS, st.integers(1, 3), st.integers(8, 60))
def test_a_wide_file_in_parts_is_the_file_and_no_line_is_lost(rows: list[str], each: int, size: int) -> None:
    body = (WIDE_HEADER + "".join(f"{row}\r\n" for row in rows)).encode()
    whole = items(body, WIDE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mhbridge.formats.csv.lines._BLOCK", size)
        patch.setattr("mhbridge.formats.csv._ROWS", each)
        found = FORMAT.parts(io.BytesIO(body), [WIDE])
        assert found is not None
        taken = [item for part in found for item, _ in FORMAT.messages(part.body, [WIDE], part.before)]
    assert [told(item) for item in taken] == [told(item) for item in whole]
    own = b"".join(item.body[len(WIDE_HEADER) :] for item in whole if isinstance(item, (Row, BrokenMessage)))
    blank = (b"", b",,,,,,,")
    assert [line for line in own.split(b"\r\n") if line not in blank] == [
        line for line in body[len(WIDE_HEADER) :].split(b"\r\n") if line not in blank
    ]


def test_a_file_is_gone_on_with_where_it_was_left() -> None:
    body = (HEADER + "".join(f"{n},A,x\r\n\r\n" for n in range(1000))).encode()
    whole = parts(body)
    assert [part.after.rows for part in whole] == [*range(25, 1001, 25)]
    for n, part in enumerate(whole):
        assert parts(body, before=part.after) == whole[n + 1 :]
    assert parts(HEADER.encode()) == []
    assert parts(HEADER.encode() + b",,\r\n\r\n") == []


def test_rows_of_a_part_have_the_places_of_the_file() -> None:
    body = ("Discharge_Date,NHSNumber,Family Name\r\n" + "x,1,A\r\n" * 149 + "x,1\r\n").encode()
    *_, last = parts(body)
    *rows, broken = [item for item, _ in FORMAT.messages(last.body, [SOURCE], last.before)]
    assert isinstance(rows[0], Row)
    assert (rows[0].facts.place, rows[0].line, rows[0].noted([])) == ("row 126", 127, ())
    assert isinstance(broken, BrokenMessage)
    assert (broken.facts.place, broken.message) == ("row 150", "line 151: the row has 2 cells, not 3")


def test_where_rows_are_lost_what_came_before_is_given() -> None:
    body = (HEADER + "1,A,x\r\n" * 150 + '1,"A,x\r\n').encode()
    found = FORMAT.parts(io.BytesIO(body), [SOURCE])
    assert found is not None
    assert [next(found).after.rows for _ in range(6)] == [25, 50, 75, 100, 125, 150]
    with pytest.raises(MalformedMessage) as caught:
        next(found)
    assert (caught.value.code, caught.value.path) == ("M772", "row 151")
    assert "line 152" in caught.value.message


@pytest.mark.parametrize(
    ("body", "source"),
    [(b"", SOURCE), (b"PK\x03\x04", SOURCE), (b"Other\r\n", SOURCE), (HEADER.encode("utf-16"), declare("utf-16"))],
)
def test_what_is_not_taken_to_pieces(body: bytes, source: Source) -> None:
    assert FORMAT.parts(io.BytesIO(body), [source]) is None


def test_a_large_file_with_another_header_is_refused_and_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mhbridge.formats.csv._WHOLE", 10)
    with pytest.raises(MalformedMessage) as caught:
        parts(b"Other,Header\r\n1,2\r\n")
    assert caught.value.code == "M770"


def test_a_line_that_does_not_end_is_given_up() -> None:
    body = HEADER.encode() + b"1,A,x\r\n" + b"x" * 17_000_000
    with pytest.raises(MalformedMessage) as caught:
        parts(body)
    assert caught.value.code == "M776"


def test_memory_is_flat_for_a_large_file() -> None:
    row = b'9990000018,"TESTPATIENT, of nowhere",2026-01-01\r\n'

    class File(io.RawIOBase):
        """A file of fifty thousand rows, made while it is read."""

        left = 0

        def seek(self, offset: int, whence: int = 0) -> int:  # noqa: ARG002
            self.left = 50_000 * len(row)
            self.head = HEADER.encode()[offset:]
            return offset

        def read(self, size: int = -1) -> bytes:
            given, self.head = self.head, b""
            rows = min(self.left, size) // len(row)
            self.left -= rows * len(row)
            return given + row * rows

    found = FORMAT.parts(File(), [SOURCE])  # type: ignore[arg-type]
    assert found is not None
    tracemalloc.start()
    try:
        last = deque(found, maxlen=1)[0]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert last.after == Before(50_000, 50_001, len(HEADER) + 50_000 * len(row))
    assert peak < 8_000_000, "a block, a part, and nothing else"


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='ab,"\r\n\x00é', max_size=60).map(str.encode))
def test_any_bytes_give_rows_or_errors(body: bytes) -> None:
    FORMAT.recognise(body)
    for whole in (body, HEADER.encode() + body):
        found: list[Row | MessageError] = []
        try:
            found = items(whole)
        except MalformedMessage as error:
            found.append(error)
        assert all(isinstance(i, Row) or i.code in explanations() for i in found)
