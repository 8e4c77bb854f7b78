"""
Published examples of FHIR as a source: the national Transfer of Care, ITK3 responses and events, the PDS, UK Core.

They are no fixtures: of some nothing says that they may be copied. They lie in the folder `data` beside the corpus that
TEST_CORPUS names, and in it.
"""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

import shipped
from mhbridge.errors import MessageError
from mhbridge.formats import format_named
from mhbridge.model import MessageState, Severity
from mhbridge.pipeline import Feed
from mhbridge.testing.replaying import RECEIVED_AT, feed_of, outcomes_of

ROOT = os.environ.get("TEST_CORPUS", "")
DATA = Path(ROOT).parent / "data"
MENTAL_HEALTH = "ITK-MH-Document-Bundle-Example-1.xml"
needs_data = pytest.mark.skipif(not ROOT, reason="TEST_CORPUS names no folder")


def files(*folders: Path) -> list[Path]:
    return sorted(p for f in folders for p in f.rglob("*") if p.suffix in (".xml", ".json")) if ROOT else []


@cache
def feed() -> Feed:
    return feed_of(shipped.catalogue(), "example-toc")


def read(body: bytes):
    format_ = format_named("fhir")
    assert format_ is not None
    kinds = ["document", "message", "transaction", "collection", "batch", "searchset"]
    for version in ("STU3", "R4"):
        source = format_.declare("Europe/London", "", {"version": version, "messages": kinds})
        try:
            return format_, source, [message for message, _ in format_.messages(body, [source])]
        except MessageError as error:
            wrong = error
    raise wrong


@needs_data
def test_every_example_is_read_and_every_leaf_of_it_has_a_path_of_its_own() -> None:
    found = files(DATA / "stu3-toc" / "examples", DATA / "nems", DATA / "pds")
    if not found:
        pytest.skip("there are no examples")
    kinds = Counter()
    for path in found:
        format_, source, messages = read(path.read_bytes())
        for message in messages:
            paths = [format_.path(message, cell, 0, source, exact=True) for cell, _ in format_.populated(message)]
            assert len(set(paths)) == len(paths) > 0, path.name
            kinds[message.facts.kind.partition("/")[0]] += 1
    assert kinds["document"] >= 5
    assert kinds["message"] >= 30
    assert kinds["Patient"] >= 2


@needs_data
def test_transfers_of_care_are_translated_or_rightly_refused() -> None:
    found = files(DATA / "stu3-toc" / "examples", DATA / "nems")
    if not found:
        pytest.skip("there are no examples")
    verdicts = {}
    for path in found:
        outcomes, answer = outcomes_of(path.read_bytes(), feed(), RECEIVED_AT)
        verdicts[path.name] = " ".join(one.code or one.state.value for one in outcomes) or answer.code
    # Their NHS number, 1234567890, has a wrong check digit: nobody may file it.
    letters = (MENTAL_HEALTH, "ITK-EC-Document-Bundle-1-Example-1.xml", "ITK-EDIS-Example-1.xml")
    assert [verdicts.pop(name) for name in letters] == ["I601"] * len(letters)
    assert set(verdicts.values()) == {"M710"}, "other documents, responses and events: no mapping takes them"


@needs_data
def test_the_mental_health_example_with_a_number_that_is_one() -> None:
    path = DATA / "stu3-toc" / "examples" / MENTAL_HEALTH
    if not path.is_file():
        pytest.skip("there is no example")
    body = path.read_bytes().replace(b"1234567890", b"9990123438")
    ((outcome,), _) = outcomes_of(body, feed(), RECEIVED_AT)
    assert outcome.state is MessageState.DONE
    assert not [issue for issue in outcome.issues if issue.severity is Severity.ERROR]
    assert outcome.ledger.unmapped
    assert not outcome.ledger.failed
    text = outcome.documents[0].body.decode()
    for said in ("Sertraline 100mg tablets", "Peanut", "HoNOS", "Risks to self", "Informal", "Beck", "Gillingham"):
        assert said in text


@needs_data
def test_uk_core_examples_are_read() -> None:
    found = files(Path(ROOT) / "nhs-ukcore-examples")
    if not found:
        pytest.skip("there are no examples")
    read_, refused = Counter(), Counter()
    for path in found:
        try:
            _, _, messages = read(path.read_bytes())
        except MessageError as error:
            refused[error.code] += 1
        else:
            read_.update(message.facts.kind for message in messages if not isinstance(message, MessageError))
    # What is refused is no resource of FHIR R4: snippets, logical models, files of a publishing tool.
    assert read_["Patient"] > 3
    assert sum(read_.values()) > 10 * sum(refused.values())
