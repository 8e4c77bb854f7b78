"""
What the benchmarks send: fixtures, each time about another patient, stay and control id.

All synthetic: NHS numbers from the 999 range with a valid check digit (Modulus 11), names as in the fixtures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

FIXTURES = Path(__file__).parents[2] / "fixtures"
MAPPINGS = Path(__file__).parents[2] / "mappings"


@dataclass(frozen=True)
class Fixture:
    """
    A fixture, and what in it names the patient, the stay and the message.

    Args:
        mapping: what it is translated by.
        born: the patient's date of birth.
        words: some of what is said of the patient: names, lines of an address, free text.
        bar: messages/s that the gateway is to take on two cores (design §11).
    """

    name: str
    mapping: str
    supplier: str
    file: str
    patient: bytes = b""
    local: bytes = b""
    stay: bytes = b""
    control: bytes = b""
    born: bytes = b""
    words: tuple[bytes, ...] = ()
    bar: int = 0

    @property
    def body(self) -> bytes:
        """The fixture as it stands."""
        return (FIXTURES / self.supplier / self.file).read_bytes()


MENTAL = "example-mental-health"
EVENT = Fixture(
    "event", f"{MENTAL}/adt", MENTAL, "adt/a01-admission.hl7", b"9990001014", b"M-104482", b"SP-2025-00481",
    b"EXMH-P-000201", b"19870621", (b"Marigold", b"Petunia", b"Invented Lane", b"Imaginary Close", b"S-0901"), 4_000,
)  # fmt: skip
LETTER = Fixture(
    "letter", f"{MENTAL}/discharge-letter", MENTAL, "discharge-letter/plain.hl7", b"9990001014", b"M-104482",
    b"SP-2025-00481", b"EXMH-W-000101", b"19870621",
    (b"Marigold", b"Petunia", b"Invented Lane", b"Osric", b"her job", b"mirtazapine", b"partner", b"EXMH-LETTER"),
    1_500,
)  # fmt: skip
#: A row of an extract: one message of 111 columns.
ROW = Fixture(
    "row", "example-community/discharges", "example-community", "discharges/plain.csv", b"9990004188", b"EC100417",
    b"CS0009017", b"DL-2025-00417",
)  # fmt: skip
#: Documents of 150 and of 370 values: no line of them says where the next one begins, so they are not varied.
MEMBERS = Fixture("json", "example-crisis-house/discharges", "example-crisis-house", "discharges/plain.json")
RESOURCES = Fixture("fhir", "example-toc/mental-health-discharge", "example-toc", "mental-health-discharge/plain.json")
MARKUP = Fixture(
    "fhir-xml", "example-toc/mental-health-discharge", "example-toc", "mental-health-discharge/plain-xml.xml"
)
FIXTURES_BY_NAME = {one.name: one for one in (EVENT, LETTER, ROW, MEMBERS, RESOURCES, MARKUP)}


def nhs_numbers(first: int) -> Iterator[str]:
    """Valid NHS numbers of the 999 range, from the one after `first` on."""
    for serial in range(first, 1_000_000):
        nine = f"999{serial:06d}"
        check = 11 - sum(int(digit) * weight for digit, weight in zip(nine, range(10, 1, -1), strict=True)) % 11
        if check != 10:
            yield f"{nine}{check % 11}"


def varied(fixture: Fixture, patients: int, run: str) -> Callable[[int], bytes]:
    """
    Makes the n-th message: its patient is the n-th of so many, one after the other, and its control id is its own.

    The patients differ in what is said of them, too, so that nothing that is remembered of one can serve another.

    Args:
        run: part of the control ids, so that what one run sends no other has sent.
    """
    numbers = nhs_numbers(1_000)
    known = [next(numbers).encode() for _ in range(patients)]
    pieces = fixture.body
    assert all((fixture.patient, fixture.local, fixture.stay, fixture.control)), "what differs is found by what it is"

    def message(n: int) -> bytes:
        which = n % patients
        body = (
            pieces.replace(fixture.patient, known[which])
            .replace(fixture.local, b"M-%06d" % which)
            .replace(fixture.stay, b"SP-2025-%05d" % which)
            .replace(fixture.control, b"B%b-%08d" % (run.encode(), n))
        )
        if fixture.born:
            body = body.replace(fixture.born, b"%04d%02d%02d" % (1930 + which % 80, which % 12 + 1, which % 28 + 1))
        for word in fixture.words:
            body = body.replace(word, word + _letters(which))
        return body

    return message


def _letters(number: int) -> bytes:
    """A number in letters: a name has no digits."""
    return str(number).translate(str.maketrans("0123456789", "abcdefghij")).encode()
