"""
The proof of the field ledger: change each leaf of a message and see whether what the ledger says of it is true.

What a change may alter:

* the *output*: what the sender is answered; the message's state, code and issues; its facts, patient, episode, act and
  time; every document of every target, its series and status, and where it is sent. The readable letter is made of the
  document. Identifiers of the version alone are left out: they are derived from the control id, which has its own leaf.
  Where a message waits for a person and no document is made, or items are withheld, not written (I607) or kept for
  letters, the items that were read are the output: they are what there is to look at.
* the *ledger*: the state of every leaf, and the paths of the mapping that took it.

What is said of a leaf is a lie

* if it is said to be bound, and no value tried alters the output;
* if it is said to be a selector or to have failed, and no value tried alters the output or the ledger;
* if it is said to be ignored, passed over or unmapped, and a value alters the output while the leaf stays so.

The last condition leaves room for values of which a part is open only because of what it says: a telephone's use that
FHIR has no word for is open, and another that FHIR knows is bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from mhbridge.errors import MalformedMessage, MessageError
from mhbridge.formats import Format, Message, Source
from mhbridge.mapping import nodes
from mhbridge.mapping.codes import Table
from mhbridge.mapping.ledger import Leaf, Taken, detailed
from mhbridge.mapping.supplier import SupplierMapping
from mhbridge.model import LeafState, Outcome
from mhbridge.pipeline import Feed, answer, step, take
from mhbridge.testing.replaying import NAME, RECEIVED_AT

__all__ = ["Lie", "Work", "Worker", "lies", "tried", "wanted_by"]

#: States of a leaf that nothing is made of.
OPEN: Final = frozenset({LeafState.IGNORED, LeafState.PASSED_OVER, LeafState.UNMAPPED})


@dataclass(frozen=True, slots=True)
class Lie:
    """One leaf of which the ledger does not say the truth. `why` is for a person; it holds no contents."""

    path: str
    state: LeafState
    why: str
    by: tuple[str, ...] = ()


class Work:
    """
    What became of some bytes that hold one message.

    Args:
        output: all that a change may alter, comparable.
        outcome: `None` when it was refused before it was read.
        taken: gives what each mapping took; of most changes nobody asks for it.
    """

    def __init__(
        self, output: Any, outcome: Outcome | None = None, message: Any = None, taken: Callable[[], list[Taken]] = list
    ) -> None:
        self.output = output
        self.outcome = outcome
        self.message = message
        self._take = taken

    @cached_property
    def _taken(self) -> list[Taken]:
        return self._take()

    @property
    def source(self) -> Source:
        """What the mapping that took it declares of its messages."""
        return self._taken[0][0].source

    @cached_property
    def leaves(self) -> dict[str, Leaf]:
        """The detailed ledger, by path; empty where nothing was read."""
        return {leaf.path: leaf for leaf in detailed(self.message, self._taken)} if self._taken else {}


class Worker:
    """
    Works one message of a feed again and again, with nothing known before.

    Args:
        format_: of the message; the feed's mappings of other formats are left out.
    """

    def __init__(self, feed: Feed, format_: Format) -> None:
        self.feed = feed
        self.format = format_
        self.mappings = [mapping for mapping in feed.mappings if mapping.format.name == format_.name]

    def sources(self) -> list[Source]:
        """What the mappings declare of the messages they take."""
        return [mapping.source for mapping in self.mappings]

    def work(self, body: bytes, like: Message | None = None) -> Work:
        """
        What becomes of some bytes.

        Args:
            like: the message that this is a change of.
        """
        try:
            found = list(self.format.messages(body, self.sources()))
        except MalformedMessage as error:
            return Work(("refused", error.code))
        if len(found) != 1:
            return Work(("several", len(found)))
        message, takers = found[0]
        if isinstance(message, MessageError):
            return Work(("unreadable", message.code))
        mappings = [self.mappings[index] for index in takers]
        if like is not None and mappings and not list(self.format.structural(message, mappings[0].source)):
            # The control id is made of the message's own bytes: without this every change would show in it.
            message.facts = like.facts  # type: ignore[misc]
        taken = take(message, mappings, RECEIVED_AT, False)
        outcome = step(taken, {}, RECEIVED_AT, self.feed)
        read = mappings if not taken.error else []

        def traces() -> list[Taken]:
            return [mapping.read_traced(message, RECEIVED_AT)[1] for mapping in read]

        return Work(self._output(body, message, mappings, outcome), outcome, message, traces)

    def _output(self, body: bytes, message: Message, mappings: list[SupplierMapping], outcome: Outcome) -> Any:
        answered = replace(answer([outcome], self.feed, RECEIVED_AT), reference="R")
        documents = [
            (
                one.type, one.target, one.bundle, one.series, one.status,
                one.body.replace(one.identifier.removeprefix("urn:uuid:").encode(), b"version"),
            )
            for one in outcome.documents
        ]  # fmt: skip
        readings = [
            (r.act, r.patient, r.merged_from, r.authors, r.restricted, r.effective_at) for r in outcome.readings
        ]
        items: list[Any] = []
        unwritten = {name.partition(": ")[2].partition(".")[0] for name in outcome.ledger.not_written}
        for mapping, reading in zip(mappings, outcome.readings, strict=False):
            read = mapping.bind(self.format.cursor(message), mapping.run(message.facts, RECEIVED_AT))
            if not outcome.documents or reading.restricted:
                items.append(repr(sorted(read.items(), key=lambda item: item[0])))
            # What is kept for letters comes out in letters.
            kept = {one.name for one in mapping.document.items.values() if one.for_letters}
            items += [repr((name, value)) for name, value in read.items() if name in unwritten | kept]
        return (
            outcome.facts, outcome.state, outcome.code, tuple(replace(issue, rule="") for issue in outcome.issues),
            outcome.patient, outcome.episode, outcome.occurred_at, outcome.deliveries, documents, readings, items,
            self.format.acknowledge(body, answered, name=NAME),
        )  # fmt: skip


# --- what is tried -----------------------------------------------------------------------------------------

_DATE: Final = re.compile(r"\d{8}(\d{2,6})?([.+-]\d+)*")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")
_SHORT: Final = ("Y", "N", "1", "2", "F", "M", "A", "I", "S", "R", "H", "P", "HOME", "NHS")
#: Codes of HL7's tables that conversions understand, for leaves whose own value means the same as none (a telephone).
_TABLES: Final = ("FX", "WPN", "L", "B", "SCT", "I10", "text/plain", "A")
#: A valid NHS number of the range that is never issued.
_NHS_NUMBER: Final = "9990000018"


def tried(text: str, wanted: Sequence[str] = ()) -> Iterator[str]:
    """
    Other values for a leaf, by its shape, the likeliest to matter first.

    Args:
        wanted: texts that the mapping looks for at such a leaf.
    """
    found: list[str] = []
    if _DATE.fullmatch(text) and len(text) < 20:
        found.append("19770304" + ("0506" if len(text) > 8 else ""))
    if len(text) == 10 and text.isdigit():
        found.append(_NHS_NUMBER)
    if _NUMBER.fullmatch(text):
        found.append(str(int(float(text)) + 7) if len(text) < 9 else "7" * len(text))
    found += ("ZQXJ7", *wanted, "Zqx Jvk")
    if len(text) <= 4:
        found += _SHORT
    found += (*_TABLES, '""', "")
    return (one for one in dict.fromkeys(found) if one != text)


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What mappings look for.

    Args:
        at: path of leaves alike (`OBX-3.1`) → the texts that predicates want to see there.
        anywhere: texts of conditions and codes of tables, some of each.
    """

    at: Mapping[str, tuple[str, ...]]
    anywhere: tuple[str, ...]


_PREDICATE: Final = re.compile(r"([A-Z][A-Z0-9]{2}(?:-\d+)?)\[([^\]]*)\]")
_TEST: Final = re.compile(r'([\d.]+) *!?= *"([^"]+)"')


def wanted_by(mappings: Sequence[SupplierMapping]) -> Wanted:
    """What the predicates, conditions and tables of mappings look for."""
    at: dict[str, dict[str, None]] = {}
    anywhere: dict[str, None] = {}
    for node in nodes.walk(tuple(item.body for mapping in mappings for item in mapping.file.items)):
        match node:
            case nodes.OneOf():
                anywhere.update(dict.fromkeys(sorted(node.members)))
            case nodes.Equal(right=nodes.Literal(value=str(text))) | nodes.Equal(left=nodes.Literal(value=str(text))):
                anywhere[text] = None
            case nodes.Literal(value=Table() as table):
                anywhere.update(dict.fromkeys(list(table.rows)[:2]))
            case nodes.Read() | nodes.BindEach():
                for place, tests in _PREDICATE.findall(node.path):
                    for number, text in _TEST.findall(tests):
                        sign = "." if "-" in place else "-"
                        at.setdefault(f"{place}{sign}{number}", {})[text] = None
    return Wanted({path: tuple(texts) for path, texts in at.items()}, tuple(anywhere))


# --- the proof ---------------------------------------------------------------------------------------------


def lies(
    body: bytes,
    worker: Worker,
    *,
    every: int = 1,
    start: int = 0,
    most: int = 0,
    only: str = "",
    tell: Callable[[int], None] | None = None,
) -> tuple[list[Lie], int]:
    """
    What the ledger of one message says that is not true.

    Args:
        every: only each so-many-th leaf is tried, beginning with `start`.
        most: how many values are tried for a leaf; 0: all.
        only: beginning of the paths of the leaves that are tried.
        tell: is told the number of changes made so far.

    Returns:
        The lies, and how many changed messages were worked.
    """
    base = _as_changes_are_written(worker, worker.work(body))
    if base.message is None or not base.leaves:
        return [], 1
    found: list[Lie] = []
    count = 1
    wanted = wanted_by(worker.mappings)
    for number, (cell, bit, leaf, text) in enumerate(_each(base, worker)):
        if (number - start) % every or not leaf.path.startswith(only):
            continue
        here = wanted.at.get(leaf.like, ())
        values = [*tried(text, here)]
        if leaf.state not in OPEN:
            values += [one for one in wanted.anywhere if one not in values]
        lie, made = _judge(base, worker, cell, bit, leaf, values[: most or None])
        count += made
        if lie is not None:
            found.append(lie)
        if tell is not None:
            tell(made)
    return found, count


def _as_changes_are_written(worker: Worker, base: Work) -> Work:
    """
    The message as its format writes a changed one, with nothing changed.

    A FHIR document that came as XML is written as JSON, and so is its answer: that is no change of a leaf.
    """
    first = next(_each(base, worker), None) if base.message is not None and base.leaves else None
    if first is None:
        return base
    cell, bit, _, text = first
    same = worker.work(worker.format.altered(base.message, cell, bit, text, base.source), base.message)
    return same if same.leaves == base.leaves else base


def _each(base: Work, worker: Worker) -> Iterator[tuple[int, int, Leaf, str]]:
    """Every leaf with its place and its text as it stands."""
    format_, source = worker.format, base.source
    for cell, mask in format_.populated(base.message):
        for bit in range(mask.bit_length()):
            if mask >> bit & 1:
                path = format_.path(base.message, cell, bit, source, exact=True)
                yield cell, bit, base.leaves[path], format_.leaf(base.message, cell, bit)


def _judge(base: Work, worker: Worker, cell: int, bit: int, leaf: Leaf, values: list[str]) -> tuple[Lie | None, int]:
    source, made = base.source, 0
    for value in values:
        if leaf.state is LeafState.BOUND and not value:
            continue  # that a value is there is not what it says
        made += 1
        other = worker.work(worker.format.altered(base.message, cell, bit, value, source), base.message)
        altered = other.output != base.output
        if leaf.state in OPEN:
            if altered and not value.strip():
                return Lie(leaf.path, leaf.state, "without it something else comes out", leaf.by), made
            now = other.leaves.get(leaf.path) if altered else None
            if altered and (now is None or now.state in OPEN):
                return Lie(leaf.path, leaf.state, "a change of it alters what comes out", leaf.by), made
        elif altered or (leaf.state is not LeafState.BOUND and _told(other) != _told(base)):
            return None, made
    if leaf.state in OPEN:
        return None, made
    what = "what comes out" if leaf.state is LeafState.BOUND else "what comes out, nor the ledger"
    return Lie(leaf.path, leaf.state, f"no change of it alters {what}", leaf.by), made


def _told(work: Work) -> list[tuple[str, LeafState, tuple[str, ...]]]:
    return [(leaf.path, leaf.state, leaf.by) for leaf in work.leaves.values()]
