"""
What was read of a message is gone as soon as nobody reads in it, and does not wait for the collector of circles.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest

import shipped
from mhbridge.formats.xml.tree import Tree
from mhbridge.mapping.run import Run
from mhbridge.testing.replaying import RECEIVED_AT, feed_of, outcomes_of

FIXTURES = Path(__file__).parents[1] / "fixtures"
MESSAGES = {
    "international": "v2-adt",
    "international-ccda": "discharge",
}


def held() -> list[str]:
    """What is still there of messages: what reading one left behind, and the trees of documents."""
    return [type(one).__name__ for one in gc.get_objects() if type(one) in (Run, Tree)]


@pytest.mark.parametrize("supplier", MESSAGES)
def test_no_message_is_left_in_a_circle(supplier):
    feed = feed_of(shipped.catalogue(), supplier)
    folder = FIXTURES / supplier / MESSAGES[supplier]
    paths = [path for path in sorted(folder.glob("*")) if path.suffix in (".hl7", ".xml")]
    # What is not well formed is read by lxml, whose parser and builder hold each other.
    bodies = [path.read_bytes() for path in paths if path.stem != "truncated"]
    assert bodies
    gc.collect()
    before = held()
    gc.disable()
    try:
        for body in bodies:
            outcomes_of(body, feed, RECEIVED_AT)
        assert held() == before
    finally:
        gc.enable()


def test_one_that_is_would_be_seen():
    gc.collect()
    before = held()
    gc.disable()
    try:
        tree: Any = Tree()
        tree.memo[""] = tree
        del tree
        assert held() == [*before, "Tree"]
    finally:
        gc.enable()
        gc.collect()
