"""
A rehearsal: what would become of a message if it were worked again now, against what became of it.

It reads and steps as the backlog does, and nothing of it is kept. What is different is named by place; values are given
along, and whoever shows them decides to whom. This module must never change anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import orjson

from mhbridge.errors import MessageError, StoreError
from mhbridge.gateway.workers.apart import ALL, Part
from mhbridge.gateway.working import failed_on, outcomes_of
from mhbridge.model import Document, MessageState, Outcome
from mhbridge.pipeline.difference import Difference, differences
from mhbridge.ports import Store

if TYPE_CHECKING:
    from mhbridge.gateway.workers import Here, Workers

__all__ = ["Compared", "Rehearsed", "rehearse"]

#: So many differences of one document are named.
_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Compared:
    """
    One document, as it is and as it would be.

    Args:
        change: `same`, `changed`, `new`, or `gone`: it would not be made any more.
        to: where it would go.
    """

    type: str
    target: str
    change: str
    to: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """
    What became of a message, and what would.

    Args:
        issues: code and place of what there would be to say of it.
    """

    message: int
    was: str
    would_be: str
    documents: tuple[Compared, ...] = ()
    issues: tuple[tuple[str, str], ...] = ()

    def plain(self, *, values: bool) -> dict[str, Any]:
        """As JSON has it; what documents say only with `values`."""
        return {
            "message": self.message,
            "was": self.was,
            "would_be": self.would_be,
            "issues": [{"code": code, "path": path} for code, path in self.issues],
            "documents": [
                {
                    "type": one.type,
                    "target": one.target,
                    "change": one.change,
                    "to": list(one.to),
                    "differences": [_plain(difference, values=values) for difference in one.differences],
                }
                for one in self.documents
            ],
        }


def _plain(one: Difference, *, values: bool) -> dict[str, Any]:
    shown = {"path": one.path, "change": one.change}
    return shown | {"was": one.was, "now": one.now} if values else shown


async def rehearse(store: Store, workers: Workers | Here, message: int) -> Rehearsed | None:
    """
    What would become of a message; `None` when there is no such message.

    Raises:
        StoreError: its bytes were purged, or cannot be read.
    """
    trace, pending = await store.trace(message), await store.as_pending(message)
    if trace is None or pending is None:
        return None
    envelope = await store.envelope(pending.envelope)
    assert envelope is not None
    row = trace.message
    was = _said(row.state, row.code)
    try:
        read = await workers.read(envelope, ALL if pending.of == 1 else Part(frozenset([pending.number])))
        try:
            if pending.of == 1 and read.asked.messages > 1:
                return Rehearsed(message, was, f"{read.asked.messages} messages, each worked by itself")
            outcomes = await outcomes_of(store, read) if not read.asked.many else []
        finally:
            read.drop()
    except StoreError:
        raise
    except MessageError as error:
        outcomes = [failed_on(error.code, error.message)]
    except Exception:  # noqa: BLE001  what our own code fails on, it would fail on
        outcomes = [failed_on("D902", "the gateway itself would fail on this message")]
    if len(outcomes) != 1:
        outcomes = [failed_on("M781", "the message is not found in its envelope any more")]
    (outcome,) = outcomes
    documents = tuple(_compared(await store.documents(message), outcome))
    issues = tuple(dict.fromkeys((issue.code, issue.path or issue.item) for issue in outcome.issues))
    return Rehearsed(message, was, _said(outcome.state, outcome.code), documents, issues)


def _said(state: MessageState, code: str) -> str:
    return f"{state.value} {code}".strip()


def _compared(had: Sequence[Document], outcome: Outcome) -> list[Compared]:
    # The last of each kind is what there is now.
    before = {(document.type, document.target): document for document in had}
    found: list[Compared] = []
    for number, document in enumerate(outcome.documents):
        to = tuple(planned.destination for planned in outcome.deliveries if planned.document == number)
        old = before.pop((document.type, document.target), None)
        if old is None:
            found.append(Compared(document.type, document.target, "new", to))
            continue
        named = tuple(islice(differences(orjson.loads(old.body), orjson.loads(document.body)), _MOST))
        found.append(Compared(document.type, document.target, "changed" if named else "same", to, named))
    # Where what it says is what was sent, no version is made of it.
    rest = "same" if outcome.state is MessageState.DONE else "gone"
    found += [Compared(document.type, document.target, rest) for document in before.values()]
    return found
