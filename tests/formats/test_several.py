"""Several files in one body: what is written is read, byte for byte, and what is not in order is refused."""

from __future__ import annotations

from io import BytesIO
from zipfile import ZipFile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mhbridge.errors import MalformedMessage, explanations
from mhbridge.formats import format_named, sniff
from mhbridge.formats.several import File, first_name, is_several, read_files, written

NAMES = st.text(st.sampled_from('aB_ .-"é;='), min_size=1, max_size=8).map(lambda name: f"n{name}.csv")
BODIES = st.binary(max_size=60) | st.text(st.sampled_from("-mhbridge\r\n\n,a"), max_size=60).map(str.encode)


@given(st.lists(st.tuples(NAMES, BODIES), min_size=1, max_size=4, unique_by=lambda pair: pair[0].casefold()))
@example([("a.csv", b"--mhbridge--\r\n"), ("b.csv", b"\r\n--mhbridge\r\n\r\n"), ("c.csv", b"\r")])
def test_what_is_written_is_read(files: list[tuple[str, bytes]]) -> None:
    made = tuple(File(name, body) for name, body in files)
    body = written(made)
    assert is_several(body[:4096])
    assert read_files(body) == made
    assert written(made) == body, "the same bytes at every time"


def test_lines_are_kept() -> None:
    file = File("a.csv", b"h\nx\ny\n", ((1, 1), (17, 18)))
    assert read_files(written([file])) == (file,)


def test_a_body_by_hand_and_one_that_a_form_posts() -> None:
    hand = b'--x\nContent-Disposition: attachment; filename="a.csv"\n\nh\r\n1\r\n\n--x--\n'
    assert read_files(hand) == (File("a.csv", b"h\r\n1\r\n"),)
    form = (
        b"------WebKitFormBoundary7\r\n"
        b'Content-Disposition: form-data; name="f"; filename="C:\\\\out\\\\b.csv"\r\nContent-Type: text/csv\r\n\r\n'
        b"h\r\n------WebKitFormBoundary7--\r\n"
    )
    assert read_files(form) == (File("b.csv", b"h"),)


def test_a_zip_file_is_several_files_in_whatever_folders() -> None:
    made = BytesIO()
    with ZipFile(made, "w") as archive:
        archive.writestr("2025/04/a.csv", b"1")
        archive.writestr("__MACOSX/a.csv", b"2")
    assert read_files(made.getvalue()) == (File("a.csv", b"1"),)


def _zip(*names: str) -> bytes:
    made = BytesIO()
    with ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, b"1")
    return made.getvalue()


PART = b'--x\r\nContent-Disposition: attachment; filename="a.csv"\r\n\r\nh\r\n'
REFUSED = {
    "ends within a file": (PART, "M857"),
    "ends where another begins": (PART + b"--x", "M857"),
    "no name": (b"--x\r\nContent-Type: text/csv\r\n\r\nh\r\n--x--\r\n", "M857"),
    "no headers": (b"--x\r\n\r\nh\r\n--x--\r\n", "M857"),
    "two of one name": (PART + PART.replace(b"a.csv", b"A.CSV") + b"--x--\r\n", "M857"),
    "something behind": (PART + b"--x--\r\nand more", "M857"),
    "an encoding": (PART.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n") + b"--x--", "M857"),
    "lines that fall": (PART.replace(b"\r\n\r\n", b"\r\nLines: 7,3\r\n\r\n") + b"--x--", "M857"),
    "lines that are none": (PART.replace(b"\r\n\r\n", b"\r\nLines: -3\r\n\r\n") + b"--x--", "M857"),
    "a name in another charset": (PART.replace(b"a.csv", b"\xff.csv") + b"--x--", "M857"),
    "a name that cannot be shown": (PART.replace(b"a.csv", b"a\x00.csv") + b"--x--", "M857"),
    "more files than anybody sends": (PART * 101 + b"--x--", "M857"),
    "two members of one name": (_zip("a/x.csv", "b/X.csv"), "M857"),
    "a way out of the archive": (_zip("../x.csv"), "D976"),
    "half an archive": (_zip("x.csv")[:-30], "D976"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_in_order_is_refused(case: str) -> None:
    body, code = REFUSED[case]
    with pytest.raises(MalformedMessage) as refused:
        read_files(body)
    assert refused.value.code == code
    assert code in explanations()


def test_the_first_name_tells_tables_from_documents() -> None:
    tables, pair = written([File("Spell.csv", b"h\n")]), written([File("LET_7.rtf", b"x"), File("LET_7.csv", b"h\n")])
    for head in (tables, _zip("2025/Spell.csv")):
        assert first_name(head[:4096]) == "Spell.csv"
        assert sniff(head) is format_named("csv")
    assert first_name(pair) == "LET_7.rtf"
    assert sniff(pair) is format_named("document")
    assert first_name(b"--x\r\nContent-Type: text/csv\r\n\r\n") == ""


@pytest.mark.parametrize("head", [b"", b"a,b\r\n", b"--\r\n", b"--x\r\nname,other\r\n", b"PK\x03\x04", b"MSH|^~\\&|"])
def test_what_is_one_file_is_not_several(head: bytes) -> None:
    assert not is_several(head)
