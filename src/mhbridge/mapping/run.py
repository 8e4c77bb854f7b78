"""
What is collected about one message while its mapping runs: issues, the reason to park it, the conversion context.

A run belongs to one message and is thrown away with it. It must never keep a value of the message in an issue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from weakref import ref

from mhbridge.mapping.codes import CodeSystems
from mhbridge.mapping.conversions import Context
from mhbridge.mapping.marks import Trace
from mhbridge.mapping.types import Type
from mhbridge.model import UNKNOWN_ERROR, Issue, MessageFacts, Severity

__all__ = ["OnBad", "Run", "can_keep_text", "kept_as_text", "uri_table"]

#: What a value that will not convert costs (mapping language §4).
OnBad: Final = ("omit", "text", "park")

_SEVERITY: Final[Mapping[str, Severity]] = {
    "I601": Severity.ERROR,
    "I602": Severity.WARNING,
    "I606": Severity.WARNING,
    "I611": Severity.WARNING,
    "I612": Severity.WARNING,
    "I631": Severity.WARNING,
    "I643": Severity.WARNING,
    "I645": Severity.WARNING,
}


class Run:
    """
    Args:
        facts: what the message says about itself.
        received_at: FHIR instant of the receipt, read as `message.received_at`.
        context: makes the conversion context, given the function that takes its notes.
        uris: system name → URI in the target; needed by builds only.
    """

    __slots__ = (
        "__weakref__", "context", "facts", "failures", "issues", "item", "message", "parked", "rule", "trace", "uris",
    )  # fmt: skip

    def __init__(
        self,
        facts: MessageFacts,
        *,
        supplier: str,
        received_at: str,
        context: Callable[[Callable[[str, str], None]], Context],
        uris: Mapping[str, str] | None = None,
    ) -> None:
        self.facts = facts
        self.message: dict[str, Any] = {"received_at": received_at, "supplier": supplier}
        if facts.control_id:
            self.message["control_id"] = facts.control_id
        if facts.sender:
            self.message["sender"] = facts.sender
        self.issues: list[Issue] = []
        self.trace: Trace = []
        self.parked = ""
        self.failures = 0
        self.item = ""
        self.rule = ""
        self.context = context(_noting(self))
        self.uris: Mapping[str, str] = uris or {}

    def note(self, code: str, text: str, path: str = "") -> None:
        """An issue about the value being worked on; the conversion or function says only code and text."""
        self.issues.append(Issue(code, _SEVERITY.get(code, Severity.INFORMATION), text, path, self.item, self.rule))

    def failed(self, *, code: str, reason: str, path: str, item: str, rule: str, on_bad: str) -> Any:
        """
        A value did not convert: say so, and park the message if the item's rule asks for it.

        Returns `unknown("error")`; keeping the text instead is the caller's, who has it.
        """
        self.failures += 1
        self.issues.append(Issue(code, Severity.ERROR, reason, path, item, rule))
        if on_bad == "park" and not self.parked:
            self.parked = code
        return UNKNOWN_ERROR


def _noting(run: Run) -> Callable[[str, str], None]:
    """
    The function that takes a run's notes. It does not hold the run: two that hold each other, and the whole message
    with them, would stay until somebody collects them, and the next message would find no memory that is warm.
    """
    here = ref(run)

    def note(code: str, text: str) -> None:
        if (found := here()) is not None:
            found.note(code, text)

    return note


def can_keep_text(type_: Type) -> bool:
    """Whether `on_bad: text` is possible for values of a type."""
    return any(kept_as_text("text", Type(name, type_.many)) is not None for name in type_.names)


def kept_as_text(text: str, type_: Type) -> Any:
    """
    A text in the shape of a type that can carry one: what `on_bad: text` keeps. `None` when the type cannot.
    """
    if not text.strip():
        return None
    for name in type_.names:
        match name:
            case "string" | "text" | "markdown":
                return text
            case "CodeableConcept" | "HumanName" | "Address":
                return {"text": text}
            case "person":
                return {"name": [{"text": text}]}
            case "organisation" | "place":
                return {"name": text}
    return None


def uri_table(systems: CodeSystems, target: str) -> dict[str, str]:
    """System name → URI in one target; a name without one is missing."""
    return {name: uri for name in systems.names() if (uri := systems.uri(name, target))}
