r"""HL7 v2 escapes: each becomes what the sender meant, and one that is not understood loses no character."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mhbridge.formats.hl7v2.delimiters import Delimiters, delimiters


def separators(field: str = "|", characters: str = "^~\\&", codec: str = "utf-8") -> Delimiters:
    found = delimiters(field, characters, codec)
    assert found is not None
    return found


USUAL = separators()


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        (r"\E\F\E\ ", r"\F\ "),
        (r"\X0D0A\ ", "\n "),
        (r"a\X0D\b\X0A\c\X0D0A\d", "a\nb\nc\nd"),
        (r"a\X0D\\X0A\b", "a\nb"),
        (r"\XC3A9\ and \XC3\\XA9\ ", "é and é "),
        (r"\Xe282ac\ ", "€ "),
        (r"one\.br\two\.BR\three", "one\ntwo\nthree"),
        (r"one\.sp\two\.sp3\three\.sp+2\four", "one\ntwo\n\n\nthree\n\nfour"),
        (r"one\.ce\two", "one\ntwo"),
        (r"\.in+4\one\.br\\.ti2\two\.sk3\three", "    one\n  two   three"),
        (r"\.nf\one\.fi\two\.nf\ ".rstrip(), "one two"),
        (r"\H\loud\N\ quiet", "loud quiet"),
        # Kept exactly, because nobody knows what they mean.
        (r"\C2842\ \M1B2842\ \Zabc\ ", r"\C2842\ \M1B2842\ \Zabc\ "),
        (r"\P\ ", r"\P\ "),
        (r"\f\ \x0d\ ", r"\f\ \x0d\ "),
        (r"\X\ \X0\ \XG0\ \X0D0\ ", r"\X\ \X0\ \XG0\ \X0D0\ "),
        (r"\XFF\ \XC3\ ", r"\XFF\ \XC3\ "),
        (r"\X00\ \X07\ \X1C\ \X7F\ \XC285\ ", r"\X00\ \X07\ \X1C\ \X7F\ \XC285\ "),
        (r"\.sp999999999\ \.xx\ \.br3x\ ", r"\.sp999999999\ \.xx\ \.br3x\ "),
        ("unterminated \\", "unterminated \\"),
        (r"unterminated \F", r"unterminated \F"),
        (r"\X0D0A", r"\X0D0A"),
        # A lone backslash does not swallow the escape behind it.
        (r"C:\temp and x\F\y", r"C:\temp and x|y"),
        (r"\F\F\ ", r"|F\ "),
        ("nothing to do", "nothing to do"),
        ("", ""),
    ],
)
def test_an_escape_becomes_what_was_meant_or_stays(encoded: str, text: str) -> None:
    assert USUAL.unescape(encoded) == text


@pytest.mark.parametrize(
    ("limits", "encoded", "text"),
    [
        (separators(characters="^~\\&#"), r"\P\ ", "# "),
        (separators("#", "@!?%"), r"?F? ?S? ?R? ?E? ?T? \F\ ", r"# @ ! ? % \F\ "),
        (separators(characters="^~"), r"\F\ \X41\ ", r"\F\ \X41\ "),
        (separators(characters="^~\\"), r"\S\ \T\ ", r"^ \T\ "),
        (separators(codec="iso8859-1"), r"\XE9\ \XC3A9\ ", "é Ã© "),
        (separators(codec="ascii"), r"\XE9\ \X41\ ", r"\XE9\ A "),
        (separators(codec="utf-16"), r"\X00E9\ ", "é "),
        (separators("|", "^~[&"), r"[F[ [.br[", "| \n"),
        (separators("|", "^~$&"), r"$X41$$T$", "A&"),
    ],
)
def test_escapes_are_those_of_the_message(limits: Delimiters, encoded: str, text: str) -> None:
    assert limits.unescape(encoded) == text


def test_a_huge_escape_costs_no_more_than_its_length() -> None:
    assert len(USUAL.unescape("\\X" + "41" * 200_000 + "\\")) == 200_000
    assert USUAL.unescape("\\X" + "4" * 400_001 + "\\").startswith("\\X44")
    assert USUAL.unescape("\\X41" * 100_000).startswith("AX41A")


PUNCTUATION = "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


@settings(deadline=None)
@given(
    st.permutations(PUNCTUATION).map(lambda p: "".join(p[:6])),
    st.integers(4, 5),
    st.text(st.characters(exclude_categories=["Cc", "Cs"])),
)
def test_what_is_escaped_comes_back(characters: str, count: int, text: str) -> None:
    limits = separators(characters[0], characters[1 : 1 + count])
    written = limits.escape(text)
    assert not set(characters[:count]) - {limits.escape_character} & set(written)
    assert limits.unescape(written) == text


def test_line_breaks_are_written_as_escapes() -> None:
    assert USUAL.escape("a\r\nb") == r"a\.br\b"
    assert USUAL.unescape(USUAL.escape("a\nb")) == "a\nb"
    assert separators(characters="^~").escape("a|b\nc^d") == "a b c d"


@settings(deadline=None)
@given(st.text(alphabet="\\XFST0D.brspE|^&~ é", max_size=40))
def test_no_character_outside_an_escape_is_lost(text: str) -> None:
    plain = USUAL.unescape(text)
    if text.count("\\") < 2:
        assert plain == text
    assert plain.count("é") == text.count("é")


@pytest.mark.parametrize(
    ("encoded", "text", "says"),
    [
        ("NHS", "NHS", True),
        ("NHS^^", "NHS", True),
        ("NHS&2.16.840.1.113883.2.1.4.1&ISO", "NHS", True),
        ("PLAN^Plan^L", "PLAN", True),
        ("PLAN^Plan^L", "Plan", False),
        ("PLAN&x^Plan", "PLAN", True),
        ("A&E", "A&E", True),
        (r"A\T\E", "A&E", True),
        (r"\H\NHS\N\ ".strip(), "NHS", True),
        ("NHSX", "NHS", False),
        ("nhs", "NHS", False),
        ("", "NHS", False),
        ('""', '""', False),
        ("^NHS", "NHS", False),
        ("^NHS", "^NHS", True),
    ],
)
def test_a_value_says_a_text_as_a_whole_or_by_its_first_part(encoded: str, text: str, says: bool) -> None:
    assert USUAL.says(encoded, text) is says
