"""
What the sender of an envelope is told. Never a value of a message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from mhbridge.model import Answer, MessageState, Outcome, Verdict
from mhbridge.pipeline.routing import Feed

__all__ = ["answer"]

_STORED: Final = "Safely stored."
#: What the pack itself refuses, whatever the feed does with what is parked.
_REFUSED: Final = "M746"
#: Why a message waits for a person, as its sender is told. Never a value of the message.
_WHY: Final[Mapping[str, str]] = {
    "M710": "No mapping takes this message",
    "M711": "Several mappings take this message",
    "M720": "The message does not say which stay it belongs to",
    "M722": "The message does not say whose it is",
    "M721": "The message names several patients; send a message for each",
    "M740": "The record is restricted and is not routed automatically",
    "M741": "No destination takes it",
    "M743": "The message has no number of its own",
    "M742": "It says that it is a trial and this gateway is live",
    "M744": "A document that has left cannot be taken back by itself",
    "M745": "A safety check holds it",
    "M746": "A safety check refuses it",
    "M767": "What it takes back has not come",
    "M768": "It contradicts an earlier merge",
    "M750": "What it was translated to is not valid",
}


def answer(outcomes: Sequence[Outcome], feed: Feed, now: datetime) -> Answer:
    """What the sender of an envelope is told, once all of it is durable."""
    parked = [outcome for outcome in outcomes if outcome.state is MessageState.PARKED]
    issues = tuple(dict.fromkeys(issue for outcome in outcomes for issue in outcome.issues))
    if parked:
        code = parked[0].code
        refused = feed.parked == "refuse" or any(outcome.code == _REFUSED for outcome in parked)
        verdict = Verdict.REFUSED if refused else Verdict.ACCEPTED
        # To a sender that is refused, "Safely stored" would read as success.
        kept = _STORED if verdict is Verdict.ACCEPTED else "Not passed on, and kept for a person to look at."
        why = _WHY.get(code, "It could not be translated")
        return Answer(verdict, f"{kept} {why}; a person has been told.", now, code, issues)
    return Answer(Verdict.ACCEPTED, _STORED, now, issues=issues)
