"""
Work grows as the input does: ten times the input takes about ten times the calls, whatever its shape. Calls are counted
and not seconds. What happens inside one call of C is not seen; for that, run this file, which prints ratios of times:

    python tests/hostile/test_linear.py
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import pytest
import shapes
from doors import feed, take
from steps import calls_of

from mhbridge.adapters.mllp.framing import NEED_DATA, Framer
from mhbridge.fhir.xhtml import sanitise
from mhbridge.formats import format_named
from mhbridge.formats.hl7v2 import message
from mhbridge.mapping import reader
from mhbridge.mapping.expression import parse
from mhbridge.mapping.files import Pairs, Text
from mhbridge.mapping.reader import read

#: Ten times the input may take so many times the calls: ten, and something for what is there once.
AT_MOST = 13


def hl7v2(body: bytes) -> object:
    return take(body)


def csv(body: bytes) -> object:
    return take(body, "csv")


def mllp(sent: bytes) -> object:
    """In packets of 1,400 bytes, as they come."""
    framer, found = Framer(100_000), 0
    for at in range(0, len(sent), 1_400):
        framer.receive_data(sent[at : at + 1_400])
        while framer.next_event() is not NEED_DATA:
            found += 1
    return found


def mllp_byte_by_byte(sent: bytes) -> object:
    framer = Framer(100_000)
    for at in range(len(sent)):
        framer.receive_data(sent[at : at + 1])
        while framer.next_event() is not NEED_DATA:
            pass
    return framer


def mapping(body: bytes) -> object:
    # What was read before is not read again, and would cost nothing.
    reader._read.cache_clear()
    return [diagnostic.render() for diagnostic in read("a.yaml", body).diagnostics]


Work = Callable[[Any], object]
#: (work, shapes, the smaller size)
TABLES: Mapping[str, tuple[Work, Mapping[str, Callable[[int], Any]], int]] = {
    "hl7v2": (hl7v2, shapes.HL7V2, 400),
    "csv": (csv, shapes.CSV, 400),
    "mllp": (mllp, shapes.MLLP, 3_000),
    "mllp byte by byte": (mllp_byte_by_byte, shapes.MLLP, 400),
    "mapping": (mapping, shapes.MAPPING, 300),
    "xhtml": (sanitise, shapes.XHTML, 800),
}
CASES = [(table, name) for table, (_, shapes_, _) in TABLES.items() for name in shapes_]


@pytest.mark.parametrize(("table", "name"), CASES, ids=[f"{table}, {name}" for table, name in CASES])
def test_ten_times_the_input_takes_ten_times_the_calls(table, name):
    work, table_of_shapes, size = TABLES[table]
    grows_as_its_input(work, table_of_shapes[name], size)


def grows_as_its_input(work, shape, size):
    work(shape(size))
    small, large = (calls_of(partial(work, shape(n))) for n in (size, 10 * size))
    assert large <= AT_MOST * small + 2_000, f"{small} calls, then {large}"


EXPRESSIONS = {
    "or": lambda n: "a" + " or a" * (n // 5),
    "pipes": lambda n: "a" + " | f" * (n // 4),
    "brackets": lambda n: "(" * n,
    "calls": lambda n: "f(" * (n // 2),
    "arguments": lambda n: "f(" + "a, " * (n // 3) + "a)",
    "texts": lambda n: 'a in ("x"' + ', "x"' * (n // 5) + ")",
    "predicates": lambda n: "PID" + '[3="x"]' * (n // 7) + "-5",
    "quotes": lambda n: '"' + '\\"' * (n // 2) + '"',
    "digits": lambda n: "1" * n,
    "dots": lambda n: "a" + ".b" * (n // 2),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_a_longer_expression_takes_no_more_calls_for_each_character(name):
    """The longest is 4,000 characters, so ten times is from 350 to 3,500."""
    counted = []
    for size in (350, 3_500):
        file = read("a.yaml", b"x: '= %s'\n" % EXPRESSIONS[name](size).encode())
        assert isinstance(file.root, Pairs)
        text = file.root.entries["x"]
        assert isinstance(text, Text)
        parse(file, text, format_named("hl7v2"))
        counted.append(calls_of(lambda file=file, text=text: parse(file, text, format_named("hl7v2"))))
    assert counted[1] <= AT_MOST * counted[0] + 500, counted


def test_a_square_would_be_seen(monkeypatch):
    """The control: patients compared each with each."""

    def patients(self):
        own = [pid.first(3) for pid in self.named("PID")]
        return sum(not any(one.casefold() == other.casefold() for other in own[:i]) for i, one in enumerate(own))

    monkeypatch.setattr(message.Message, "patients", property(patients))
    with pytest.raises(AssertionError, match="calls"):
        grows_as_its_input(hl7v2, shapes.HL7V2["patients"], 90)


def ratios() -> None:
    """Seconds for the size and for ten times it, and their ratio; the worst first."""
    found = []
    feed()
    for table, (work, table_of_shapes, size) in TABLES.items():
        for name, shape in table_of_shapes.items():
            spent = []
            for n in (size, 10 * size):
                given = shape(n)
                tries = []
                for _ in range(3):
                    begin = time.perf_counter()
                    work(given)
                    tries.append(time.perf_counter() - begin)
                spent.append(min(tries))
            found.append((spent[1] / max(spent[0], 1e-5), *spent, f"{table}: {name}"))
    for ratio, small, large, what in sorted(found, reverse=True):
        sys.stdout.write(f"{ratio:8.1f} ×   {small * 1e3:9.2f} ms → {large * 1e3:9.2f} ms   {what}\n")


if __name__ == "__main__":
    ratios()
