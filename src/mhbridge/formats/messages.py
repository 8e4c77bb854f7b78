"""
What a format makes of bytes: messages, and the parts of a file that is too large to be one body.

This module must never know what a message is written in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol, TypeAlias

from mhbridge.errors import MalformedMessage
from mhbridge.model import Before, Issue, MessageFacts

__all__ = ["BrokenMessage", "Message", "Part", "Spill"]


class Message(Protocol):
    """One parsed message. Lazy: nothing is taken apart before a path asks for it."""

    @property
    def facts(self) -> MessageFacts:
        """What the message says about itself."""

    @property
    def body(self) -> bytes:
        """The bytes of this message alone, as received."""

    @property
    def patients(self) -> int:
        """How many patients the message names; more than one, and only a merge may be worked by itself."""

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """(what, value) of identifiers worth finding a message by; `what` is `control_id`, `patient` or `visit`."""

    def noted(self, issues: Sequence[Issue]) -> tuple[Issue, ...]:
        """What was found while it was read, and `issues` with their places as a person finds them in the original."""


class BrokenMessage(MalformedMessage):
    """
    A message of which only some can be read: enough to say whose it is, and its own bytes, to be sent again.

    Args:
        facts: as far as they can be read; `kind` is `unreadable` where it cannot.
        body: the bytes of this message alone.
    """

    def __init__(self, error: MalformedMessage, facts: MessageFacts, body: bytes) -> None:
        super().__init__(error.code, error.message, path=error.path, offset=error.offset)
        self.facts = facts
        self.body = body


@dataclass(frozen=True, slots=True)
class Part:
    """
    Some messages of a large file, as a body that can be read alone.

    Args:
        before: what there is of the file before it.
        after: where the next part begins.
    """

    body: bytes
    before: Before
    after: Before


Spill: TypeAlias = Callable[[], BinaryIO]
"""Makes a file without a name, which ends with whoever holds it."""
