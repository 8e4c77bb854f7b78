"""
Where things are in a message: every populated leaf once, by the path that finds it, and nothing else.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mhbridge.formats import Scope
from mhbridge.formats.hl7v2 import FORMAT

SOURCE = FORMAT.declare("Europe/London", "", {"messages": ["ADT^A08"], "version": "2.4"})
HEADER = "MSH|^~\\&|A|B|C|D|20250314||ADT^A08|1|P|2.4"

leaf = st.sampled_from(["", "a", '""', " ", "Zoë", "\\T\\", "1.10", "\u2003", "\u00a0 \u00a0", "x x", "! #", "日本"])
component = st.lists(leaf, min_size=1, max_size=3).map("&".join)
repetition = st.lists(component, min_size=1, max_size=4).map("^".join)
field = st.lists(repetition, min_size=1, max_size=3).map("~".join)
segment = st.tuples(st.sampled_from(["PID", "ZZZ", "OBX"]), st.lists(field, min_size=1, max_size=5)).map(
    lambda made: "|".join([made[0], *made[1]])
)


def message(*segments: str):
    ((found, _),) = FORMAT.messages("\r".join([HEADER, *segments]).encode(), [SOURCE])
    return found


def places(parsed) -> list[tuple[int, int]]:
    """(cell, bit) of all leaves that the format finds."""
    return [
        (cell, bit) for cell, mask in FORMAT.populated(parsed) for bit in range(mask.bit_length()) if mask >> bit & 1
    ]


def leaves(parsed) -> dict[str, str]:
    """Exact path → text, of all leaves that the format finds."""
    found = {}
    for cell, bit in places(parsed):
        path = FORMAT.path(parsed, cell, bit, SOURCE, exact=True)
        assert path not in found
        found[path] = FORMAT.leaf(parsed, cell, bit)
    return found


@given(st.lists(segment, min_size=1, max_size=4))
def test_all_that_is_populated_is_found_once(segments) -> None:
    texts = [
        text
        for line in segments
        for value in line.split("|")[1:]
        for text in value.replace("~", "^").replace("&", "^").split("^")
        if text.strip()
    ]
    found = leaves(message(*segments))
    assert sorted(text for path, text in found.items() if not path.startswith("MSH")) == sorted(texts)


@given(st.lists(segment, min_size=1, max_size=3), st.data())
def test_a_changed_leaf_is_the_only_one_that_differs(segments, data) -> None:
    parsed = message(*segments, "ZZY|a")
    cells = [place for place in places(parsed) if place[0] >> 20]  # not of the header, which decides how it is read
    cell, bit = data.draw(st.sampled_from(cells))
    path = FORMAT.path(parsed, cell, bit, SOURCE, exact=True)
    ((other, _),) = FORMAT.messages(FORMAT.altered(parsed, cell, bit, "Q7", SOURCE), [SOURCE])
    assert leaves(other) == leaves(parsed) | {path: "Q7"}


def test_paths_that_are_said_are_paths_of_the_language() -> None:
    """What a ledger says can be written into a mapping: the path of a leaf finds its text."""
    parsed = message("PID|||1^^^A~2^^^B&1.2&ISO||ASH^ROWAN|||M")
    for path, text in leaves(parsed).items():
        scanned, end = FORMAT.scan(path, 0, len(path))
        assert end == len(path)
        assert FORMAT.first(scanned, Scope(SOURCE))(FORMAT.cursor(parsed)).text == text


def test_what_is_alike_has_one_path() -> None:
    parsed = message("OBX|1||X^Y", "OBX|2||X^Y", "PID|||1~2")
    alike = {FORMAT.path(parsed, cell, bit, SOURCE, exact=False) for cell, bit in places(parsed)}
    assert {path for path in alike if not path.startswith("MSH")} == {"OBX-1", "OBX-3.1", "OBX-3.2", "PID-3.1"}


def test_a_segment_that_comes_often_costs_no_more_for_each() -> None:
    """Thousands of segments of a name: the place of each is looked up, not searched for."""
    parsed = message(*["ZZZ|a"] * 9_000)
    assert len(leaves(parsed)) == 9_000 + len(leaves(message("ZZZ|a"))) - 1


@given(st.lists(segment, min_size=1, max_size=4))
def test_shapes_are_the_same_whatever_the_encoding_characters(segments) -> None:
    """They are made of separators as the standard recommends them, and of where something stands between."""
    names, found = FORMAT.shapes(message(*segments))
    swapped = "\r".join([HEADER, *segments]).translate(str.maketrans("|^~&!#", "!$%*|^"))
    ((other, _),) = FORMAT.messages(swapped.encode(), [SOURCE])
    others, same = FORMAT.shapes(other)
    assert (names[1:], found[1:]) == (others[1:], same[1:])
    assert set(b"".join(found)) <= set(b"|^~&x")


def test_a_shape_holds_no_content() -> None:
    one = message("PID|||999 000 0018^^^NHS~7||ASH^ROWAN&\\T\\| |Zoë", "PID|\u00a0|ELM")
    other = message("PID|||1^^^A~2||B^C&D||E", "PID||F")
    assert FORMAT.shapes(one) == FORMAT.shapes(other) == (
        ["MSH", "PID", "PID"],
        [b"x|^~x&|x|x|x|x|x||x^x|x|x|x", b"x|||x^^^x~x||x^x&x||x", b"x||x"],
    )  # fmt: skip
