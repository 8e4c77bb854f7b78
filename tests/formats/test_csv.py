"""CSV extracts: one message per row, an exact header, and every way in which a file can go wrong."""

from __future__ import annotations

import csv
import io
import re
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhbridge.errors import MalformedMessage, MessageError, explanations
from mhbridge.formats import BrokenMessage, DeclarationError, PathError, Scope, Source, format_named, sniff
from mhbridge.formats.csv import FORMAT, Row
from mhbridge.model import ABSENT, Answer, Verdict

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


def refused(body: bytes | str, *sources: Source) -> MalformedMessage:
    with pytest.raises(MalformedMessage) as caught:
        items(body, *sources)
    assert caught.value.code in explanations()
    return caught.value


# --- what is read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (HEADER + "1,A,x\r\n2,B,y\r\n", [["1", "A", "x"], ["2", "B", "y"]]),
        (HEADER + "1,A,x\n2,B,y", [["1", "A", "x"], ["2", "B", "y"]]),
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
        (HEADER + ",,\r\n", [["", "", ""]]),
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
        ("", "M700", ""),
        (" \r\n", "M700", ""),
        ("\ufeff", "M700", ""),
        ("1,A,x\r\n", "M770", "no column 'NHSNumber' and 2 more"),
        ("NHSNumber,Family Name\r\n", "M770", "no column 'Discharge_Date'"),
        ("NHSNumber,Family Name,Discharge_Date,Extra\r\n", "M770", "4 columns, not 3: column 4 is not declared"),
        ("Ward,NHSNumber,Family Name,Discharge_Date\r\n", "M770", "4 columns, not 3: column 1 is not declared"),
        ("NHSNumber,Family Name,Discharge_Date,NHSNumber\r\n", "M770", "'NHSNumber' twice"),
        ("Family Name,NHSNumber,Discharge_Date\r\n", "M770", "'NHSNumber' in another place"),
        ("nhsnumber,Family Name,Discharge_Date\r\n", "M770", "'NHSNumber': column 1 differs from it only in capitals"),
        ("NHSNumber,Family Name,Discharge_Date \r\n", "M770", "'Discharge_Date': column 3 differs from it only"),
        (HEADER.replace(",", ";"), "M770", "one cell with semicolons in it; see 'delimiter'"),
        (HEADER.replace(",", "\t"), "M770", "one cell with tabs in it"),
        ("Summary; of nothing declared\r\n", "M770", "no column 'NHSNumber' and 2 more"),
        ('"NHSNumber,Family Name\r\n', "M770", ""),
        ("\r\n" + HEADER, "M770", ""),
        ("PK\x03\x04 a workbook", "M770", ""),
        ("a," * 50_000, "M770", ""),
    ],
)
def test_a_header_that_is_not_the_declared_one(body: str, code: str, said: str) -> None:
    error = refused(body)
    assert error.code == code
    assert said in error.message


def test_a_byte_order_mark_that_the_declared_charset_has_not_is_named() -> None:
    with pytest.raises(MalformedMessage) as caught:
        list(FORMAT.messages(("\ufeff" + HEADER).encode(), [declare("ISO-8859-1")]))
    assert "begins with a byte order mark" in caught.value.message


def test_a_file_without_a_header_is_not_quoted() -> None:
    error = refused("9990000018,TESTPATIENT,2026-01-01\r\n")
    assert "TESTPATIENT" not in error.message
    assert "9990000018" not in error.message


def test_the_nearest_source_is_the_one_that_is_spoken_of() -> None:
    other = FORMAT.declare("Europe/London", "", {"columns": ["Ward", "Bed"]})
    assert "'Bed'" in refused("Ward,Bett\r\n", SOURCE, other).message
    with pytest.raises(MalformedMessage) as caught:
        list(FORMAT.messages(HEADER.encode(), []))
    assert caught.value.code == "M770"


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        (b"1,A\r\n", "M771", "line 3 has 2 cells, not 3"),
        (b"1,A,x,more\r\n", "M771", "line 3 has 4 cells, not 3"),
        (b"1\r\n", "M771", "line 3 has 1 cells, not 3"),
        (b"1,A\x00,x\r\n", "M705", "U+0000"),
        (b"1,A\x1f,x\r\n", "M705", "U+001F"),
        ("1,A\x85,x\r\n".encode(), "M705", "U+0085"),
        (b"1,A\x92s,x\r\n", "M704", "not UTF-8: undecodable"),
        (b'1,"A\r\nB\xff",x\r\n', "M704", "line 3"),
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
    ['1,"A,x\r\n2,B,y\r\n', '1,"A" B,x\r\n2,B,y\r\n', '1,"A,x\r\n2,"B",y\r\n', f'1,"{"x" * 200_000},x\r\n2,B,y\r\n'],
)
def test_after_a_wrong_quote_nothing_is_read(row: str) -> None:
    first, error = items(HEADER + "0,first,x\r\n" + row)
    assert isinstance(first, Row)
    assert isinstance(error, MalformedMessage)
    assert (error.code, error.path) == ("M772", "row 2")
    assert "line 3" in error.message


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


@pytest.mark.parametrize("text", ["", "NHSNumber", "(", ".", '"[x]"'])
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


@pytest.mark.parametrize("text", ["[NHSNumber]", "Diagnoses", "MHS501.x"])
def test_there_is_nothing_to_loop_over(text: str) -> None:
    found = FORMAT.scan_loop(text, 0, len(text))
    assert found is not None
    with pytest.raises(PathError) as caught:
        FORMAT.loop(found[0], Scope(SOURCE))
    assert caught.value.code == "E207"


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
        ("column", {"column": "x"}),
    ],
)
def test_a_source_that_cannot_be_is_refused(key: str, options: dict[str, object]) -> None:
    with pytest.raises(DeclarationError) as caught:
        FORMAT.declare("Europe/London", "", {"columns": COLUMNS, **options})
    assert caught.value.key == key


def test_zone_and_charset_are_checked() -> None:
    for key, timezone, charset in (("timezone", "Mars/Olympus", ""), ("charset", "Europe/London", "hex")):
        with pytest.raises(DeclarationError) as caught:
            FORMAT.declare(timezone, charset, {"columns": COLUMNS})
        assert caught.value.key == key


# --- properties --------------------------------------------------------------------------------------------

CELL = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.sampled_from(["\n", "\r", '"', ",", "\t"])
)


@settings(deadline=None)
@given(st.lists(st.lists(CELL, min_size=3, max_size=3), max_size=8), st.sampled_from([",", ";", "\t", "|"]))
def test_what_is_written_is_read(rows: list[list[str]], delimiter: str) -> None:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([COLUMNS, *rows])
    source = declare(delimiter=delimiter)
    assert cells(written.getvalue(), source) == rows
    for item in items(written.getvalue(), source):
        assert isinstance(item, Row)
        assert cells(item.body, source) == [list(item.cells.values())]


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
