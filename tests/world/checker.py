"""
The checker: what was promised against what is there, by set arithmetic, as Jepsen does it.

    lost         answered, and not found            R1
    duplicated   found more than once               R5
    kept_twice   a repeat that was taken for new    R4
    disordered   found in another order             R6
    unexpected   found, and never sent
    recovered    found, though nobody had answered  (as it should be)
    unknown      sent, neither answered nor found   (as it may be)
    wrong        in the end the receiver has something else than all messages together say
    differences  the gateway's own accounts, C1 to C6

It shares nothing with what it checks: it has its own, slow and obvious, idea of what messages add up to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from receivers import Receiver
from senders import GONE, Attempts, Message

__all__ = ["Report", "check", "fold"]

Mark = tuple[int, int]


@dataclass
class Report:
    """What came of a run. `faults` is empty when every promise was kept."""

    sent: int = 0
    answered: int = 0
    repeats: int = 0
    lost: list[Mark] = field(default_factory=list)
    duplicated: list[Mark] = field(default_factory=list)
    disordered: list[tuple[int, list[int]]] = field(default_factory=list)
    unexpected: list[Mark] = field(default_factory=list)
    kept_twice: list[int] = field(default_factory=list)
    wrong: list[tuple[str, dict[str, str], dict[str, str]]] = field(default_factory=list)
    differences: Sequence[str] = ()
    recovered: int = 0
    unknown: int = 0

    @property
    def faults(self) -> dict[str, Any]:
        """By kind, the first of each; what must not be."""
        kinds = ("lost", "duplicated", "kept_twice", "disordered", "unexpected", "wrong", "differences")
        return {kind: getattr(self, kind)[:3] for kind in kinds if getattr(self, kind)}


def check(attempts: Attempts, receiver: Receiver, status: Any, *, excused: Iterable[str] = ()) -> Report:
    """
    Compare a run's ends, when all that was taken has been delivered.

    Args:
        excused: control ids of what the gateway keeps from the receiver, and says so: parked, filtered, superseded.
    """
    effects, excused, unknown, accepted = receiver.effects, set(excused), attempts.unknown, attempts.accepted
    times = Counter((patient, number) for patient, numbers in effects.items() for number in numbers)
    # What has no mark of its own, as a merge, is seen by what it does to others.
    marks = {(m.patient, m.number): control for control, m in attempts.attempted.items() if m.number >= 0}
    report = Report(len(attempts.attempted), len(attempts.answered), attempts.repeats)
    promised = accepted - excused
    report.lost = [m for m, control in marks.items() if m not in times and control in promised]
    report.duplicated = [m for m, n in times.items() if n > 1]
    kept = sum(status.messages.values())
    report.kept_twice = [kept - report.sent] if kept > report.sent else []
    report.unexpected = [m for m in times if m not in marks]
    report.recovered = sum(m in times and control in unknown for m, control in marks.items())
    report.unknown = sum(m not in times and control in unknown for m, control in marks.items())
    firsts = {patient: list(dict.fromkeys(numbers)) for patient, numbers in effects.items()}
    report.disordered = [(patient, numbers) for patient, numbers in firsts.items() if numbers != sorted(numbers)]
    report.wrong = list(_wrong(attempts, receiver, excused | unknown))
    report.differences = status.differences
    return report


def _wrong(attempts: Attempts, receiver: Receiver, without: set[str]) -> Iterable[tuple[str, Any, Any]]:
    of_each: dict[int, list[Message]] = {}
    strange = {attempts.attempted[control].patient for control in attempts.unknown}
    for message in attempts.attempted.values():
        # Where one was never answered nobody can say whether it counts.
        if message.control not in without and message.patient not in strange:
            of_each.setdefault(message.patient, []).append(message)
    for worked in of_each.values():
        local = worked[0].body.partition(b"PID|1||")[2].partition(b"^")[0].decode()
        for spell in dict.fromkeys(message.spell for message in worked):
            should = fold(worked, spell)
            if should and (found := receiver.facts(spell, local)) != should:
                yield spell, should, found


def fold(messages: Sequence[Message], spell: str) -> dict[str, str]:
    """
    What all these messages together say of a stay: in the order in which things happened each says what it says, what
    it does not mention stays as it was, and `""` ends it. A telephone number is the patient's, all else the stay's.
    """
    facts: dict[str, str] = {}
    for message in sorted(messages, key=lambda message: (message.at, message.number)):
        for fact, value in message.says.items():
            if fact != "phone" and message.spell != spell:
                continue
            if value == GONE:
                facts.pop(fact, None)
            elif value is not None:
                facts[fact] = value.partition("^")[0]
    if "bed" not in facts:
        return {}
    return {"status": "in-progress"} | facts
