"""Documents with what says whose they are: paired by their names, read where that is faithful, whole or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from mhbridge.errors import explanations
from mhbridge.fhir.plaintext import plain
from mhbridge.formats import BrokenMessage, DeclarationError, PathError, Scope, Source
from mhbridge.formats.document import FORMAT
from mhbridge.formats.document.message import Letter
from mhbridge.formats.several import File, written
from mhbridge.mapping.conversions import Context, conversion
from mhbridge.mapping.types import Type
from mhbridge.model import ABSENT

CSV = {
    "letter": "LET_{no}_{patient}.*",
    "index": "LET_{no}.csv",
    "columns": ["No", "Surname", "Copies"],
    "separators": {"Copies": ";"},
    "control_id": "No",
}
ALONE = {"letter": "{patient}_{born}_{no}.*", "control_id": "no"}
PDF = b"%PDF-1.7\nx"
INDEX = b"No,Surname,Copies\n7,Ash,GP;Ward\n"
PAIR = [File("LET_7_P9.pdf", PDF), File("LET_7.csv", INDEX)]


def declare(options: dict[str, Any], charset: str = "") -> Source:
    return FORMAT.declare("Europe/London", charset, options)


def read(files: list[File], *sources: Source) -> list[Any]:
    return [item for item, _ in FORMAT.messages(written(files), sources or (declare(CSV),))]


def letter(files: list[File], *sources: Source) -> Letter:
    (found,) = read(files, *sources)
    assert isinstance(found, Letter)
    return found


def one(path: str, message: Letter, source: Source) -> Any:
    found = FORMAT.scan(path, 0, len(path))
    assert found is not None
    assert found[1] == len(path)
    return FORMAT.first(found[0], Scope(source))(FORMAT.cursor(message))


# --- what is read ------------------------------------------------------------------------------------------


def test_a_letter_is_its_document_its_name_and_its_index() -> None:
    source = declare(CSV)
    found = letter(PAIR, source)
    assert (found.facts.kind, found.facts.control_id) == ("letter", "7")
    assert one("[file:patient]", found, source) == "P9"
    assert one("[Surname]", found, source) == "Ash"
    assert one("[file:content]", found, source).body == PDF
    loop, inside = FORMAT.loop(FORMAT.scan_loop("[Copies]", 0, 8)[0], Scope(source))  # type: ignore[index]
    value = FORMAT.scan(".", 0, 1)
    assert value is not None
    assert [FORMAT.first(value[0], inside)(c) for c in loop.cursors(FORMAT.cursor(found))] == ["GP", "Ward"]
    again = letter([File(f.name, f.body) for f in found.files], source)
    assert again.body == found.body


def test_a_name_may_say_all_there_is() -> None:
    source = declare(ALONE)
    found = letter([File("P9_1950-01-02_L7.HTM", b"<p>Well.</p>")], source)
    assert [one(f"[file:{name}]", found, source) for name in ("patient", "born", "no")] == ["P9", "1950-01-02", "L7"]
    assert found.facts.control_id == "L7"
    with pytest.raises(PathError, match="no index"):
        one("[Surname]", found, source)


@pytest.mark.parametrize("format_", ["xml", "json"])
def test_an_index_may_be_xml_or_json(format_: str) -> None:
    own = {"xml": {"root": "a"}, "json": {"control_id": "$.no"}}[format_]
    source = declare({"letter": "{no}.pdf", "index": f"{{no}}.{format_}", "index_format": format_, **own})
    index = {"xml": b"<a><b c='d'/></a>", "json": b'{"no": "7", "b": "d"}'}[format_]
    path = {"xml": "/a/b/@c", "json": "$.b"}[format_]
    found = letter([File("7.pdf", PDF), File(f"7.{format_}", index)], source)
    assert FORMAT.text(one(path, found, source)) == "d"
    leaves = {
        FORMAT.path(found, cell, bit, source, exact=True): FORMAT.leaf(found, cell, bit)
        for cell, mask in FORMAT.populated(found)
        for bit in range(mask.bit_length())
        if mask >> bit & 1
    }
    assert leaves["[file:content]"] == PDF.decode()
    assert "d" in leaves.values()


# --- what is made of a document ----------------------------------------------------------------------------

DOCUMENTS: dict[str, tuple[str, bytes, str, Any]] = {
    "pdf": ("7.pdf", PDF, "application/pdf", ABSENT),
    "docx": (
        "7.docx",
        b"PK\x03\x04x",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        ABSENT,
    ),
    "rtf": ("7.rtf", rb"{\rtf1\ansi Take \'bd tablet.\par Rest.}", "text/rtf", "Take ½ tablet.\nRest."),
    "html": ("7.html", "<p>Café<br>– daily</p>".encode(), "text/html", "Café\n– daily"),
    "html that says its encoding": (
        "7.htm",
        b'<html><head><meta charset="windows-1252"></head><p>Caf\xe9</p></html>',
        "text/html",
        "Café",
    ),
    "text": ("7.txt", b"\xef\xbb\xbfWell.\r\nHome.\n", "text/plain", "Well.\r\nHome."),
    "empty of words": ("7.html", b"<p> </p>", "text/html", ABSENT),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_document_is_attached_as_it_came_and_read_where_that_is_faithful(case: str) -> None:
    name, body, media_type, text = DOCUMENTS[case]
    content = letter([File(name, body)], declare({"letter": "{no}.*", "control_id": "no"})).content
    notes: list[str] = []
    context = Context(note=lambda code, _: notes.append(code))
    as_attachment, as_text, as_xhtml = (conversion("document", Type(to)) for to in ("Attachment", "text", "xhtml"))
    assert as_attachment is not None
    assert as_text is not None
    assert as_xhtml is not None
    attachment = as_attachment.convert(content, context)
    assert attachment["contentType"] == media_type
    assert __import__("base64").b64decode(attachment["data"]) == body
    assert as_text.convert(content, context) == text
    assert notes == (["I690"] if content.text is None else [])
    made = as_xhtml.convert(content, context)
    assert (made is ABSENT) == (text is ABSENT)
    assert made is ABSENT or plain(made) == text.replace("\r", "")


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("7.html", '<meta charset="utf-8"><p>Café – daily</p>'.encode(), "Café – daily"),
        ("7.html", "\ufeff<p>Café – daily</p>".encode(), "Café – daily"),
        ("7.txt", "\ufeffCafé – daily".encode(), "Café – daily"),
        ("7.txt", "Café – daily".encode("cp1252"), "Café – daily"),
        ("7.html", "<p>Café – daily</p>".encode("cp1252"), "Café – daily"),
    ],
    ids=["head", "mark", "mark of a text", "text", "page"],
)
def test_what_a_letter_says_of_its_encoding_comes_before_what_the_feed_says(name: str, body: bytes, said: str) -> None:
    source = declare({"letter": "{no}.*", "control_id": "no"}, "windows-1252")
    as_text = conversion("document", Type("text"))
    assert as_text is not None
    assert as_text.convert(letter([File(name, body)], source).content, Context()) == said


# --- what goes wrong ---------------------------------------------------------------------------------------

BROKEN: dict[str, tuple[list[File], list[str]]] = {
    "no index": ([PAIR[0]], ["M860"]),
    "no document": ([PAIR[1]], ["M860"]),
    "another letter's index": ([PAIR[0], File("LET_8.csv", INDEX)], ["M860", "M860"]),
    "neither": ([*PAIR, File("notes.pdf", PDF)], ["M861", "7"]),
    "two documents": ([*PAIR, File("LET_7_P9.rtf", b"{\\rtf1 x}")], ["M861", "7"]),
    "an index of nobody": ([PAIR[0], File("LET_7.csv", b"No,Surname,Copies\n")], ["M862"]),
    "an index of two": ([PAIR[0], File("LET_7.csv", INDEX + b"8,Oak,\n")], ["M862"]),
    "an index that is another table": ([PAIR[0], File("LET_7.csv", b"No,Name\n7,Ash\n")], ["M770"]),
    "an index with a ragged row": ([PAIR[0], File("LET_7.csv", INDEX.replace(b";", b","))], ["M771"]),
    "not what it is called": ([File("LET_7_P9.pdf", b"<html>"), PAIR[1]], ["M863"]),
    "an ending that is none": ([File("LET_7_P9.exe", b"MZ"), PAIR[1]], ["M863"]),
    "empty": ([File("LET_7_P9.txt", b" \n"), PAIR[1]], ["M863"]),
    "undecodable": ([File("LET_7_P9.txt", b"Caf\xe9"), PAIR[1]], ["M704"]),
    "an encoding that nobody knows": ([File("LET_7_P9.html", b'<meta charset="x-y">'), PAIR[1]], ["M704"]),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_a_whole_letter_waits_for_a_person(case: str) -> None:
    files, expected = BROKEN[case]
    found = read(files)
    assert [item.facts.control_id if isinstance(item, Letter) else item.code for item in found] == expected
    for item in found:
        if not isinstance(item, Letter):
            assert isinstance(item, BrokenMessage)
            assert item.code in explanations()
            assert "Ash" not in item.message
            assert "P9" not in item.message
    bodies = b"".join(item.body for item in found)
    assert all(file.body.strip() in bodies for file in files), "nothing is lost"


def test_what_came_without_a_name_waits_for_a_person() -> None:
    for body in (PDF, b" "):
        ((broken, takers),) = FORMAT.messages(body, [declare(CSV)])
        assert isinstance(broken, BrokenMessage)
        assert (broken.code, takers) == ("M860" if body is PDF else "M700", ())


# --- the field ledger --------------------------------------------------------------------------------------


def test_a_changed_leaf_is_the_only_one_that_differs() -> None:
    source = declare(CSV)
    message = letter(PAIR, source)
    before = {FORMAT.path(message, cell, 0, source, exact=True): cell for cell, _ in FORMAT.populated(message)}
    assert list(before) == ["[file:content]", "[file:no]", "[file:patient]", "[No]", "[Surname]", "[Copies]"]
    acted = {FORMAT.path(message, cell, 0, source, exact=True) for cell, _ in FORMAT.structural(message, source)}
    assert acted == {"[file:no]", "[No]"}
    for path, cell in before.items():
        changed = "%PDF-2.0" if path == "[file:content]" else "Q7"
        again = [item for item, _ in FORMAT.messages(FORMAT.altered(message, cell, 0, changed, source), [source])]
        (other,) = again
        assert isinstance(other, Letter)
        assert {p for p, c in before.items() if FORMAT.leaf(other, c, 0) != FORMAT.leaf(message, c, 0)} == {path}


# --- declarations ------------------------------------------------------------------------------------------

DECLARED: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"letter": None}, "letter"),
    "a path": ({"letter": "a/{no}.pdf"}, "letter"),
    "a field twice": ({"letter": "{no}_{no}.pdf"}, "letter"),
    "two fields without a sign between": ({"letter": "{no}{patient}.pdf"}, "letter"),
    "a field that is taken": ({"letter": "{name}_{no}.pdf"}, "letter"),
    "a brace that is open": ({"letter": "LET_{no.pdf"}, "letter"),
    "nothing in common": ({"letter": "LET_{patient}.pdf"}, "index"),
    "a field of the index alone": ({"index": "LET_{no}_{part}.csv"}, "index"),
    "an index in a format that is none": ({"index_format": "hl7v2"}, "index_format"),
    "a key of nobody": ({"rows": "7"}, "rows"),
    "columns without an index": ({"index": None, "control_id": "no"}, "columns"),
    "no number": ({"index": None, "columns": None, "separators": None}, "control_id"),
    "a column that there is not": ({"control_id": "Nr"}, "control_id"),
    "a wait that is none": ({"wait": "soon"}, "wait"),
}


@pytest.mark.parametrize("case", DECLARED)
def test_a_declaration_that_is_not_possible_is_refused(case: str) -> None:
    changed, key = DECLARED[case]
    with pytest.raises(DeclarationError) as wrong:
        declare({name: value for name, value in {**CSV, **changed}.items() if value is not None})
    assert wrong.value.key == key


@pytest.mark.parametrize(
    ("path", "code"), [("[file:content", "E107"), ("[file:ward]", "E205"), ("$.a", "E107"), ("[Sirname]", "E205")]
)
def test_a_path_that_is_not_possible_says_so(path: str, code: str) -> None:
    with pytest.raises(PathError) as wrong:
        one(path, letter(PAIR), declare(CSV))
    assert wrong.value.code == code


def test_files_are_told_by_their_names() -> None:
    gathering = FORMAT.gathers([declare(CSV), declare({**ALONE, "letter": "own_{no}.pdf", "wait": "9h"})])
    assert gathering.wait == 9 * 3600
    assert gathering.place("let_7_p9.PDF") == ("0|7", "letter")
    assert gathering.place("LET_7.csv") == ("0|7", "index")
    assert gathering.place("own_7.pdf") == ("1|own_7.pdf", "whole")
    assert gathering.place("thumbs.db") is None
    assert [gathering.lacking(present) for present in (["letter"], ["index"], ["letter", "index"], ["whole"])] == [
        True, True, False, False,
    ]  # fmt: skip
