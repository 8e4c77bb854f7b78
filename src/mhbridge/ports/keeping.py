"""
What is kept no longer, and whether what is kept is whole.

`mhbridge.ports` says what a port is. This module must never say how a promise is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

__all__ = ["Erased", "Expired", "Keeping", "Purged", "Retention", "RetentionClass"]


RetentionClass = Literal["raw", "document", "episode"]


@dataclass(frozen=True, slots=True)
class Retention:
    """
    How many days each class is kept. A key is dropped at the end of the month in which its days are over.

    Args:
        raw: envelopes as they were received, after their receipt.
        document: documents, after they were made.
        episode: readings, after the last message of their episode.
        documents: document type → days, where its routes keep it for longer or shorter.
        basis: the legal basis of keeping all this.
        bases: document type → the legal basis that its routes name.
    """

    raw: int = 90
    document: int = 30
    episode: int = 400
    documents: Mapping[str, int] = field(default_factory=dict)
    basis: str = "UK GDPR Art. 6(1)(e) and 9(2)(h), direct care"
    bases: Mapping[str, str] = field(default_factory=dict)

    def days(self, retention: RetentionClass, kind: str = "") -> int:
        """How long; `kind` is the type of a document."""
        if retention == "document":
            return self.documents.get(kind, self.document)
        return self.raw if retention == "raw" else self.episode

    def why(self, retention: RetentionClass) -> str:
        """The legal basis of what a class keeps, for the log."""
        named = [self.basis, *self.bases.values()] if retention == "document" else [self.basis]
        return "; ".join(dict.fromkeys(named))


@dataclass(frozen=True, slots=True)
class Expired:
    """
    What a class kept until the end of one month.

    Args:
        retention: `raw`, `document` or `episode`.
        month: class and month, for people.
        rows: how many go.
        kept: how many are kept for longer, since something of them is open or came later.
        dropped: nobody can read those rows any more.
    """

    retention: str
    month: str
    rows: int
    kept: int
    dropped: bool


@dataclass(frozen=True, slots=True)
class Purged:
    """
    What a purge did, or in a dry run would do.

    Args:
        cleared: rows that lost what nobody could read any more.
        forgotten: rows that people were found by.
        encrypted: bodies of an older version that were encrypted first.
    """

    expired: tuple[Expired, ...] = ()
    cleared: int = 0
    forgotten: int = 0
    encrypted: int = 0


@dataclass(frozen=True, slots=True)
class Erased:
    """
    What was erased of one patient.

    Args:
        patients: identifiers that were merged are one each.
        shared: envelopes among the bodies that held messages of others, too.
    """

    patients: int
    bodies: int
    readings: int
    tokens: int
    shared: int = 0


class Keeping(Protocol):
    """What is kept no longer, and whether what is kept is whole."""

    async def purge(self, now: datetime, *, who: str = "gateway", dry_run: bool = False) -> Purged:
        """
        Make unreadable what was kept for as long as it was to be, and nothing of which something is open.

        What is counted stays as rows without a body; whoever reads one is told (S222). Other calls are worked between.
        """

    async def erase(self, kind: str, patient: str, who: str, basis: str, now: datetime) -> Erased:
        """
        Erase one patient, with those who were merged into them: bodies, readings, and what they are found by.

        Args:
            kind: what `patient` is: a kind of `Sought`.

        Raises:
            StoreError: S228 when something of the patient is open, S229 when it is nobody or several people.
        """

    async def verify_log(self) -> int:
        """
        Follow the log's chain from its first row. Returns how many rows it has.

        Raises:
            StoreError: S207, naming the first row that is missing or is not what was written.
        """

    async def verify_heads(self, lines: Sequence[str]) -> int:
        """
        Check that the log has come as far as such lines say. Returns how many of them count.

        Raises:
            StoreError: S224, when a row that was told of is not there or is another one now.
        """

    async def log_head(self, now: datetime) -> tuple[str, str]:
        """How far the log has come, in short, and as a signed line to be kept outside of the store."""
