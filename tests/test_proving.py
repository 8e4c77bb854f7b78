"""
The field ledger says the truth: leaves of every fixture are changed, and what it says of them holds.

Here a few leaves of each fixture, other ones in each; all of them with `mhbridge coverage SUPPLIER/FEED --mutate`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from zlib import crc32

import pytest

import shipped
from mhbridge.errors import MessageError
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.checker import expressions
from mhbridge.mapping.library import Library, built_in
from mhbridge.model import LeafState
from mhbridge.testing.proving import Worker, lies
from mhbridge.testing.replaying import Case, cases, feed_of

CASES = list(cases(built_in("fixtures")))
LETTER = next(case for case in CASES if case.name == "example-mental-health/adt/a01-admission.hl7")
#: Leaves of a fixture that are tried.
FEW = 4


@cache
def worker(supplier: str, feed: str) -> Worker:
    catalogue = shipped.catalogue()
    return Worker(feed_of(catalogue, supplier), catalogue.mapping(f"{supplier}/{feed}").format)


def messages(case: Case, work: Worker) -> list[bytes]:
    try:
        found = [message for message, _ in work.format.messages(case.path.read_bytes(), work.sources())]
    except MessageError:
        return []
    return [message.body for message in found if not isinstance(message, MessageError)]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_of_every_fixture_a_few_leaves(case: Case) -> None:
    work = worker(case.supplier, case.feed)
    bodies = messages(case, work)
    for body in bodies[:2]:
        base = work.work(body)
        every = max(1, len(base.leaves) // FEW)
        found, _ = lies(body, work, every=every, start=crc32(case.name.encode()) % every)
        assert found == []


def fresh(monkeypatch: pytest.MonkeyPatch, change) -> Worker:
    """The mappings with the conversion of a name declared otherwise."""
    real = expressions.conversion

    def conversion(source, want):
        found = real(source, want)
        return change(found) if (source, want.name) == ("XPN", "HumanName") else found

    monkeypatch.setattr(expressions, "conversion", conversion)
    catalogue = Catalogue(Library([built_in("mappings")]))
    return Worker(feed_of(catalogue, LETTER.supplier), catalogue.mapping(f"{LETTER.supplier}/{LETTER.feed}").format)


def with_a_stray_component() -> bytes:
    body = LETTER.path.read_bytes()
    assert body.count(b"^Marigold^Ann^^Ms^^L") == 1
    return body.replace(b"^Marigold^Ann^^Ms^^L", b"^Marigold^Ann^^Ms^^L^A")


def test_a_declared_component_that_is_not_read_is_a_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a conversion that says of itself more than it does."""
    body = with_a_stray_component()
    assert lies(body, worker(LETTER.supplier, LETTER.feed), only="PID-5[1]")[0] == []
    liar = fresh(monkeypatch, lambda made: replace(made, reads=made.reads | {"8"}, used=None, plain=None))
    ((lie,), _) = lies(body, liar, only="PID-5[1]")
    assert (lie.path, lie.state) == ("PID-5[1].8", LeafState.BOUND)


def test_a_component_that_is_read_and_not_declared_is_a_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a conversion that keeps quiet about what it reads."""
    liar = fresh(monkeypatch, lambda made: replace(made, reads=made.reads - {"2"}, used=None, plain=None))
    ((lie,), _) = lies(with_a_stray_component(), liar, only="PID-5[1]")
    assert (lie.path, lie.state) == ("PID-5[1].2", LeafState.UNMAPPED)


def test_a_plain_form_that_says_more_than_it_reads_is_a_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the general form is honest, and is not asked."""

    def boasting(made):
        return replace(made, plain=lambda *given: (made.plain(*given)[0], made.reads | {"8"}))

    ((lie,), _) = lies(with_a_stray_component(), fresh(monkeypatch, boasting), only="PID-5[1]")
    assert (lie.path, lie.state) == ("PID-5[1].8", LeafState.BOUND)


def test_a_refused_message_has_no_ledger_to_prove() -> None:
    assert lies(b"MSH|^~\\&|nothing", worker(LETTER.supplier, LETTER.feed)) == ([], 1)
