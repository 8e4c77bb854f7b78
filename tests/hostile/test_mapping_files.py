"""
Mapping files that mean harm are refused where they stand, and nothing happens while they are: no file is opened, no
socket, no process, nothing is imported and nothing executed. The control: a good mapping is compiled, and that is seen.

The cases of the corpus (`$TEST_CORPUS`) are tried besides those here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mhbridge.errors import explanations
from mhbridge.formats import formats
from mhbridge.mapping.catalogue import Catalogue
from mhbridge.mapping.library import Library, Snapshot, built_in
from mhbridge.model import Severity

SMALL = Path(__file__).parents[1] / "mapping" / "small"
NOTE = "suppliers/acme/note.yaml"
WATCHED = ("open", "socket", "subprocess", "os.", "exec", "compile", "import", "ctypes", "shutil", "tempfile", "urllib")

#: Expressions in the place of a value. None is more than a refusal with a place.
EXPRESSIONS = {
    "dunder": "= NTE-3.__class__",
    "call of a builtin": '= __import__("os")',
    "evaluation": '= eval("1")',
    "opening a file": '= open("/etc/passwd")',
    "attribute of a text": '= "x".format',
    "lambda": "= lambda x: x",
    "comprehension": "= [x for x in NTE]",
    "walrus": "= (x := NTE-3)",
    "format string": '= f"{NTE-3}"',
    "percent": '= "%s" % NTE-3',
    "arithmetic": "= NTE-3 * 1000000",
    "power": "= 10 ** 10 ** 10",
    "semicolon": "= NTE-3; NTE-3",
    "star call": "= lines(*NTE-3)",
    "keyword argument": "= lines(values=NTE-3)",
    "index": '= NTE-3["x"]',
    "backtick": "= `id`",
    "dollar": "= $(id)",
    "regular expression": '= matches(NTE-3, "(a+)+$")',
    "a thousand pipes": "= NTE-3" + " | lines" * 1000,
    "a thousand brackets": "= " + "(" * 1000 + "NTE-3" + ")" * 1000,
    "a long text": '= "' + "a" * 5000 + '"',
    "full-width letters": "= ｌｉｎｅｓ(NTE-3)",
    "right to left": "= NTE-3 \u202e| lines",
    "null": "= NTE-3\x00 | lines",
}

FILES = {
    "a tag that calls": 'a: !!python/object/apply:os.system ["id"]',
    "a tag that makes an object": "a: !!python/name:os.system",
    "anchors that multiply": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "a merge key": "a: &a {b: c}\nd: {<<: *a}",
    "many documents": "---\na: b\n---\nc: d",
    "a key twice": "a: b\na: c",
    "deep": "a: " + "[" * 100 + "]" * 100,
    "a tab": "a:\tb",
    "a reversed line": "a: \u202eb",
    "an unknown key": "maping: x",
    "a file as destination": "destination: file:///etc/passwd",
    "nothing": "",
}


def corpus() -> dict[str, str]:
    folder = os.environ.get("TEST_CORPUS", "")
    found = sorted(Path(folder).glob("**/generated/mapping/*")) if folder else []
    return {path.name: path.read_text("utf-8", "surrogateescape") for path in found}


GOOD = Snapshot.of([SMALL, built_in("mappings")])

_events: list[str] | None = None


def _hook(event: str, _: tuple[object, ...]) -> None:
    if _events is not None and event.startswith(WATCHED):
        _events.append(event)


@contextmanager
def watched() -> Iterator[list[str]]:
    """What Python's audit events say meanwhile. A hook cannot be taken away again, so it is there once and asleep."""
    global _events  # noqa: PLW0603  # the hook has no other way to hear of it
    if not getattr(sys, "_mhbridge_hook", False):
        sys.addaudithook(_hook)
        sys._mhbridge_hook = True
    _events = found = []
    try:
        yield found
    finally:
        _events = None


def loaded(text: str) -> tuple[list, list[str]]:
    """The diagnostics of a mapping file with this text, and what happened while it was read."""
    # Whatever is loaded on first use is loaded before: definitions, formats, the codes of the other mappings.
    assert formats()
    Catalogue(Library(GOOD)).mapping("acme/note")
    files = {**GOOD.files, NOTE: (NOTE, text.encode("utf-8", "surrogateescape"))}
    catalogue = Catalogue(Library(Snapshot(files)))
    # The pack is a good one, and its clocks and checks are compiled whatever the mapping is.
    catalogue._loader.clocks("note")
    catalogue._loader.checks("note")
    with watched() as events:
        catalogue.header("acme/note")
        catalogue._loader.mapping("acme/note")
        found = list(events)
    return [one for one in catalogue.diagnostics() if one.severity is Severity.ERROR and one.span.file == NOTE], found


def in_place(expression: str) -> str:
    text = GOOD.files[NOTE][1].decode()
    shown = expression.replace("'", "''")
    assert "= NTE-3 | lines" in text
    return text.replace("= NTE-3 | lines", f"'{shown}'")


def cases() -> dict[str, str]:
    found = {name: in_place(text) for name, text in EXPRESSIONS.items()} | FILES
    for name, text in corpus().items():
        found[name] = in_place(f"= {text.strip()}") if name.startswith("expr_") else text
    return found


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_with_a_place_and_nothing_happens(name) -> None:
    found, events = loaded(CASES[name])
    assert found, "it was taken"
    assert events == []
    for one in found:
        assert one.code in explanations()
        assert one.span.line >= 1
        assert one.span.column >= 1
        assert len(one.render()) < 6_000


def test_a_good_mapping_is_compiled_and_that_is_seen() -> None:
    """The control: the hook hears what happens."""
    found, events = loaded(GOOD.files[NOTE][1].decode())
    assert found == []
    assert "exec" in events
    assert not {event for event in events if event.startswith(("open", "socket", "import", "subprocess"))}
