"""What comes again in messages about others is made once: it is what the interpreter makes, at the second time too."""

from __future__ import annotations

import pytest
from side_by_side import compare

from mhbridge.mapping.leaves import remembered
from mhbridge.mapping.library import built_in

NAME = "example-mental-health/adt"
BODY = (built_in("fixtures") / NAME / "a01-admission.hl7").read_bytes()
PLACES = (
    b"ALDER^^B01^EXMH-HARBOUR",
    b"ALDER^^B02^EXMH-HARBOUR",
    b"ALDER",
    b" ALDER ^^^ EXMH-HARBOUR ",
    b"^^B01",
    b"^^^EXMH-HARBOUR",
    b"ALDER^^B01^EXMH-HARBOUR&1.2.3&ISO",
    b'ALDER^^""^EXMH-HARBOUR',
    b'""',
    b'""^B01',
    b"",
    b"   ",
    b"^^^",
    b"ALDER~ELDER",
    b"AL\\S\\DER^^B01",
    b"AL\\X41\\DER",
    b"AL\\Q\\DER^^^EXMH",
    b"1.0^^1,000^1E+05",
    b"\xc3\x84LDER",
)
PEOPLE = (
    b"9990004^FICTIVE^Alaric^^^Dr^^^GMC",
    b"9990004^FICTIVE",
    b"^FICTIVE^Alaric",
    b"9990004",
    b"9990005^FICTIVE^Alaric^^^Dr^^^GMC",
    b'""',
    b"9990004^FICTIVE^Alaric^^^Dr^^^GMC^L",
    b'9990004^""^Alaric',
    b"9990004^FIC\\T\\TIVE&van^Alaric",
    b"^^^^^^^^GMC",
    b"",
)
CODES = (b"12^Mother", b"12^Mum", b"12", b"99^Other", b"^Mother", b"2^Partner", b'""', b"12^Mother^X", b"")
WORDS = (b"25", b"11", b"2A", b"19", b"79", b"ZZ", b"25^planned", b" 25 ", b'""', b"", b"S2", b"S3", b"01", b"N", b"U")
#: What stands in the message, and what else may stand there.
CASES = (
    (b"ALDER^^B01^EXMH-HARBOUR", PLACES),
    (b"|9990004^FICTIVE^Alaric^^^Dr^^^GMC", tuple(b"|" + one for one in PEOPLE)),
    (b"|9990003^NOTREAL^Ferelith^^^Dr^^^GMC", tuple(b"|" + one for one in PEOPLE)),
    (b"12^Mother", CODES),
    (b"HARBOUR|25|", tuple(b"HARBOUR|" + one + b"|" for one in WORDS)),
    (b"|19||N|", tuple(b"|" + one + b"||N|" for one in WORDS)),
    (b"|A||||||||||NSTS01", tuple(b"|" + one + b"||||||||||" + one for one in WORDS)),
    (b"ZMH|1|S2|", tuple(b"ZMH|1|" + one + b"|" for one in WORDS)),
    (
        b"|EXMH-PAS|EXMH|",
        (b"|EXMH-PAS|EXMH|", b"|EXMH-PAS|EXMH^1.2.3^ISO|", b"|EXMH-PAS||", b'|EXMH-PAS|""|', b"|EXMH-PAS|E H|"),
    ),
)


@pytest.mark.parametrize("room", [remembered.REMEMBERED, 2])
@pytest.mark.parametrize(("there", "others"), CASES, ids=range(len(CASES)))
def test_the_twins_agree_each_time(
    monkeypatch: pytest.MonkeyPatch, there: bytes, others: tuple[bytes, ...], room: int
) -> None:
    monkeypatch.setattr(remembered, "REMEMBERED", room)
    assert there in BODY
    compared = 0
    for turn in range(3):
        # Forwards, backwards, and with other encoding characters, under which the same bytes mean something else.
        for other in others[:: -1 if turn == 1 else 1]:
            body = BODY.replace(there, other)
            if turn == 2:
                body = body.replace(b"|^~\\&|", b"|^~\\#|", 1)
            compared += compare(built_in("mappings"), NAME, body)
    assert compared == 3 * len(others)
