"""
Everything that others have collected to break parsers, through our doors: each file gives messages or a refusal, in a
number of steps that its size bounds, and nothing of it is in an issue, an exception or an answer.

Set TEST_CORPUS to the folder of the corpus. What runs without it is `test_cases.py`.
"""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cases
import json_cases
import pytest
from doors import catalogue, feed, sound, take
from steps import calls_of

from mhbridge.errors import MessageError, explanations
from mhbridge.fhir.bundle import loads
from mhbridge.fhir.xhtml import visible
from mhbridge.formats import BrokenMessage, format_named, sniff
from mhbridge.formats.hl7v2.delimiters import delimiters
from mhbridge.model import MessageState
from mhbridge.pipeline import Feed
from mhbridge.testing.replaying import feed_of

ROOT = os.environ.get("TEST_CORPUS", "")
FOLDERS = (
    "hl7v2", "badinput/nhapi", "badinput/hapi-hl7v2", "badinput/oie-mirth", "badinput/blns", "badinput/python-hl7",
    "badinput/ioactive-hl7fuzzer", "badinput/csv-spectrum", "badinput/defusedxml", "badinput/jsontestsuite",
)  # fmt: skip
#: Calls for one byte, and for none: about three times what the hungriest file here takes.
EACH, BASE = 10, 20_000
#: A byte may be a token of JSON, which is looked at several times: to be read, to find the fault, and where it ends.
EACH_TOKEN = 60
#: A file of this size is read in part only: the others say all that there is to say.
LARGEST = 1_000_000
#: A value worth looking for: long enough not to be a word of ours by chance.
WORTH = re.compile(r"[^\s|^~\\&\r\n]{9,}")

needs_corpus = pytest.mark.skipif(not ROOT, reason="TEST_CORPUS names no folder of messages")


def files(folder: str) -> list[Path]:
    return sorted(p for p in Path(ROOT, folder).rglob("*") if p.is_file() and "ORIGIN" not in p.name) if ROOT else []


@cache
def feeds() -> tuple[tuple[str, Feed], ...]:
    """Ours that binds what is attacked, and each shipped supplier's."""
    found = [(kind, feed(kind)) for kind in ("hl7v2", "csv", "xml", "json", "fhir")]
    for supplier in catalogue().suppliers():
        if supplier != "hostile":
            whole = feed_of(catalogue(), supplier)
            found.append((whole.mappings[0].format.name, whole))
    sniff(b"")
    explanations()
    for body, kind, _ in json_cases.CASES.values():
        take(body, kind)
    for kind, own in found:
        # What is made ready on first use is no file's cost.
        take(cases.GOOD, kind, own=own)
        sound(take(b"", kind, own=own))
    return tuple(found)


def told(body: bytes, kind: str, own: Feed) -> Iterator[str]:
    """Everything that anybody is told of an envelope, but for what an acknowledgement has to quote."""
    taken = take(body, kind, own=own)
    if taken.outcomes or kind not in ("json", "fhir") or body.strip(b" \t\r\n[]"):
        sound(taken)  # an empty list says that nothing happened that day
    yield taken.answer.text
    for outcome in taken.outcomes:
        assert outcome.state in MessageState
        for issue in outcome.issues:
            yield f"{issue.text} {issue.path}"
    format_ = format_named(kind)
    assert format_ is not None
    sources = [mapping.source for mapping in own.mappings if mapping.format.name == format_.name]
    try:
        for found, _ in format_.messages(body, sources):
            if isinstance(found, MessageError):
                yield str(found)
                assert isinstance(found, BrokenMessage) or found.__cause__ is None
    except MessageError as error:
        yield str(error)


@needs_corpus
@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_gives_messages_or_a_refusal(folder):
    found = files(folder)
    if not found:
        pytest.skip(f"the corpus has no {folder}")
    for path in found:
        body = path.read_bytes()[:LARGEST]
        for kind, own in feeds():
            sayings: list[str] = []

            def work(body=body, kind=kind, own=own, sayings=sayings):
                sayings += told(body, kind, own)

            calls = calls_of(work)
            each = EACH_TOKEN if kind in ("json", "fhir") else EACH
            if calls > BASE + each * len(body):
                # The tables of its version may have been read for the first time.
                calls = calls_of(work)
            assert calls <= BASE + each * len(body), f"{calls} calls for {len(body)} bytes of {path.name}"
            secrets = set(WORTH.findall(body.decode("latin-1")))
            quoted = [word for saying in sayings for word in WORTH.findall(saying) if word in secrets]
            # Names of segments, types and versions are what a refusal is about.
            assert not [
                word for word in quoted if not re.fullmatch(r"[A-Z]{3}.[A-Z]\d\d|undecodable|character", word)
            ], path.name


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from texts(part)
    elif isinstance(value, str):
        yield value


def naughty() -> list[str]:
    """Our own naughty strings, and the well-known big list of them where it is at hand."""
    found = [
        "undefined", "0x0", "1e309", "-0", "NaN", "\\", "\\\\E\\", '""x', "'; DROP TABLE x;--", "&amp;&#x41;",
        "<script>alert(1)</script>", "{{7*7}}", "%s%n", "$(id)", "../../etc/passwd",
        "e\u0301\u0302\u0303", "\U0001f469\u200d\U0001f52c",
        "\u202eabc", "\ufeffa", "a\x1b[31mb", "\x85", "\u2028x", "ﬀ", "İ", "K",
        "|^~\\&", "a\nb\n\nc", "x" * 5_000,
    ]  # fmt: skip
    for path in files("badinput/blns"):
        if path.name == "blns.json":
            found += json.loads(path.read_text("utf-8"))
    return found


def test_naughty_strings_keep_their_text_or_are_parked():
    limits = delimiters("|", "^~\\&", "utf-8")
    assert limits is not None
    done = parked = 0
    for text in naughty():
        if not text.strip() or text == '""':
            continue
        written = limits.escape(text).encode()
        taken = take(cases.message(name=written + b"^NELLIE", note=written))
        sound(taken)
        if taken.verdict == "store_dlq":
            assert taken.codes == "M705"
            parked += 1
            continue
        done += 1
        (outcome,) = taken.outcomes
        found = list(texts(loads(outcome.documents[0].body)))
        # A name has no blanks round it and no line breaks in it; everything else is as it came.
        assert text.strip() in found or " ".join(text.split()) in found, ascii(text)[:60]
        shown = ["".join(ET.fromstring(one).itertext()) for one in found if one.startswith("<div")]
        wanted = "".join(visible(text).split())
        assert any(wanted in "".join(one.split()) for one in shown), ascii(text)[:60]
    assert done > parked > 0


def test_the_count_sees_work_that_grows_with_the_square():
    """The control."""
    small, large = (calls_of(lambda n=n: [abs(i * j) for i in range(n) for j in range(n)]) for n in (10, 100))
    assert large > 50 * small
