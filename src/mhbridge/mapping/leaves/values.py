"""
Reading what stands at a path and converting it: one value or all of them, in one go where they are plain.

A value that will not convert costs what its item says. This module must never look at a value but through its format
and its conversion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from mhbridge.formats import STATE_BITS, Format, Path, Plain, PlainValue, Plan, Scope
from mhbridge.mapping.conversions import Conversion, Unconvertible
from mhbridge.mapping.leaves.remembered import comes_again, forgotten, full, recurs
from mhbridge.mapping.leaves.together import splice
from mhbridge.mapping.marks import ASKED, COMPARED, DELETES, FAILED, FAILED_WHOLE, PLAIN, READ, Mark
from mhbridge.mapping.run import Run, kept_as_text
from mhbridge.mapping.types import Type
from mhbridge.model import ABSENT, DELETED, State

__all__ = [
    "Reader",
    "Taker",
    "asked",
    "by_row",
    "every",
    "first",
    "one_number",
    "plain_every",
    "plain_first",
    "presence",
    "texts",
]

#: (what was found, cursor, run) → a value, a list of values, or a state.
Taker: TypeAlias = Callable[[Any, Any, Run], Any]
#: (What stands at a place, its row, cursor, run) → a value, or a state.
Reader: TypeAlias = Callable[[Any, Any, Any, Run], Any]


def presence(mark: Mark) -> Taker:
    """Takes whether anything is there; the value itself is not converted."""
    asks = mark.spot.asks

    def take(raw: Any, cursor: Any, run: Run) -> Any:
        if asks and not mark.always:
            run.trace.append((mark, ASKED, None, cursor))
        if raw is not ABSENT:
            run.trace.append((mark, DELETES if raw is DELETED else READ, raw, cursor))
        return raw

    return take


def first(format_: Format, found: Conversion, want: Type, mark: Mark, *, on_bad: str) -> Taker:
    """Takes the first value of a path and converts it; a value that will not convert costs what its item says."""
    convert, text = found.convert, format_.text
    asks, item, rule, path = mark.spot.asks, mark.item, mark.rule, mark.path

    def take(raw: Any, cursor: Any, run: Run) -> Any:
        if asks and not mark.always:
            run.trace.append((mark, ASKED, None, cursor))
        if raw is ABSENT:
            return raw
        if raw is DELETED:
            run.trace.append((mark, DELETES, None, cursor))
            return raw
        run.item, run.rule = item, rule
        try:
            value = convert(raw, run.context)
        except Unconvertible as error:
            bad = run.failed(code=error.code, reason=str(error), path=path, item=item, rule=rule, on_bad=on_bad)
            kept = kept_as_text(text(raw), want) if on_bad == "text" else None
            run.trace.append((mark, FAILED_WHOLE if kept else FAILED, raw, cursor))
            return kept or bad
        run.trace.append((mark, READ, raw, cursor))
        return value

    return take


def plain_first(plan: Plan, take: Taker, mark: Mark) -> tuple[Reader | None, Reader | None]:
    """
    Takes the value of a path in one go where it is plain, without making a raw value of it.

    Args:
        take: takes any other.

    Returns:
        What does that, and what does it where no list holds the value: it may be the very object that came before.
    """
    parts_of, chosen, value, made, asks = plan.parts, plan.chosen, plan.value, mark.conversion, mark.spot.asks
    if made is None or made.plain is None or (parts_of is None and chosen is None):
        return None, None
    plain, codes, beside = made.plain, mark.plain, mark.beside
    mark.opened = lambda held, row, _: value(held, row)

    def read(held: Any, row: Any, cursor: Any, run: Run) -> Any:
        parts, number = None, 0
        if parts_of is not None:
            parts = parts_of(held, row)
        elif chosen is not None and (choice := chosen(held, row)) is not None:
            parts, _, _, number = choice
        if parts is None or (found := plain(parts, row, run.context)) is None:
            return take(value(held, row), cursor, run)
        result, used = found
        if asks and not mark.always:
            run.trace.append((mark, ASKED, None, cursor))
        run.trace.append((mark, (codes.get(used) or mark.coded(used)) | number << STATE_BITS, held, row))
        if beside:
            for one in beside.get(used, ()):
                run.trace.append((mark, one, None, row))
        return result

    if parts_of is None or not (made.common or plan.common):
        return read, read
    alone = _remembering(read, mark)

    def read_again(held: Any, row: Any, cursor: Any, run: Run) -> Any:
        value = alone(held, row, cursor, run)
        # Not the same object twice; see `calling`.
        return value.copy() if type(value) is dict else value

    return read_again, alone


def _remembering(read: Reader, mark: Mark) -> Reader:
    """The same, with what it gave for what stands at a place remembered, if that was plain."""
    asks = mark.spot.asks
    #: What stands at the place → what tells its parts apart, what the ledger takes of it, and the value.
    known: dict[Any, tuple[Any, int, Any]] = {}

    def read_again(held: Any, row: Any, cursor: Any, run: Run) -> Any:
        trace = run.trace
        if (before := known.get(held)) is not None and before[0] is row.delimiters:
            if asks and not mark.always:
                trace.append((mark, ASKED, None, cursor))
            trace.append((mark, before[1], held, row))
            return before[2]
        value = read(held, row, cursor, run)
        if comes_again(value) and (kind := trace[-1][1]) > PLAIN:
            if full(known):
                forgotten([one for _, _, one in known.values()])
                known.clear()
            known[held] = row.delimiters, kind, value
            recurs(value)
        return value

    return read_again


def by_row(plan: Plan, read: Callable[[Any, Any, Any, Run], Any], told: Taker | None) -> Callable[[Any, Run], Any]:
    """
    Reads what stands at a place in a row that nothing else looks into.

    Args:
        told: takes what is not there, where the ledger is to know that it was looked for.
    """
    row_of, place = plan.row, plan.place

    def look(cursor: Any, run: Run) -> Any:
        row, places = row_of(cursor, place + 1)
        held = places[place]
        if held:
            return read(held, row, cursor, run)
        return ABSENT if told is None else told(ABSENT, cursor, run)

    return look


def plain_every(
    every: Plain, find: Callable[[Any], Any], take: Taker, mark: Mark, *, alone: Plan | None = None
) -> Callable[[Any, Run], Any] | None:
    """
    Takes all values of a path in one go where all are plain, without making raw values of them.

    Args:
        find: finds values of any kind, and `take` takes them.
        alone: one value is wanted, which this plan finds as well, and only where there is no other.
    """
    made, asks = mark.conversion, mark.spot.asks
    if made is None or made.plain is None:
        return None
    plain, codes, beside, find_plain = made.plain, mark.plain, mark.beside, every.find
    mark.opened = every.opened

    def read(cursor: Any, run: Run) -> Any:
        found, context = find_plain(cursor), run.context
        if found is None or (alone is not None and not _is_alone(found, alone, cursor)):
            return take(find(cursor), cursor, run)
        values: list[Any] = []
        trace = run.trace
        begun = len(trace)
        if asks and not mark.always:
            trace.append((mark, ASKED, None, cursor))
        for parts, held, row, number in found:
            converted = plain(parts, row, context)
            if converted is None:
                del trace[begun:]  # it is all to be read again
                return take(find(cursor), cursor, run)
            value, used = converted
            values.append(value)
            trace.append((mark, (codes.get(used) or mark.coded(used)) | number << STATE_BITS, held, row))
            if beside:
                for one in beside.get(used, ()):
                    trace.append((mark, one, None, row))
        if alone is not None:
            return values[0]
        return values or ABSENT

    return read


def _is_alone(found: list[PlainValue], plan: Plan, cursor: Any) -> bool:
    """Whether there is one value, and it is the first that stands at the plan's place."""
    if len(found) != 1 or (plan.chosen is None and found[0][3]):
        return False
    return plan.row(cursor, 0)[0] is found[0][2]


def one_number(find_all: Callable[[Any], list[Any]], found: Conversion, mark: Mark, *, on_bad: str) -> Taker:
    """
    Takes an NHS number where others may stand beside it.

    Nobody has two, so two that differ are two people, and nobody can say which of them the rest is about.
    """
    asks, item, rule, path = mark.spot.asks, mark.item, mark.rule, mark.path

    def another(raw: Any, value: Any, run: Run) -> bool:
        try:
            return not isinstance(raw, State) and found.convert(raw, run.context) != value
        except Unconvertible:
            return False

    def take(raw: Any, cursor: Any, run: Run) -> Any:
        trace = run.trace
        if asks and not mark.always:
            trace.append((mark, ASKED, None, cursor))
        if isinstance(raw, State):
            if raw is DELETED:
                trace.append((mark, DELETES, None, cursor))
            return raw
        run.item, run.rule = item, rule
        try:
            value = found.convert(raw, run.context)
        except Unconvertible as error:
            trace.append((mark, FAILED, raw, cursor))
            return run.failed(code=error.code, reason=str(error), path=path, item=item, rule=rule, on_bad=on_bad)
        others = find_all(cursor)
        trace += [(mark, COMPARED, one, cursor) for one in others[1:] if not isinstance(one, State)]
        if len(others) > 1 and any(another(one, value, run) for one in others):
            trace.append((mark, FAILED, raw, cursor))
            said = "there are two NHS numbers, and they differ"
            return run.failed(code="M721", reason=said, path=path, item=item, rule=rule, on_bad="park")
        trace.append((mark, READ, raw, cursor))
        return value

    return take


def every(format_: Format, found: Conversion, want: Type, mark: Mark, *, on_bad: str) -> Taker:
    """Takes all values of a path. One that will not convert costs itself, not the others."""
    convert, text = found.convert, format_.text
    asks, item, rule, path = mark.spot.asks, mark.item, mark.rule, mark.path

    def take(raws: Any, cursor: Any, run: Run) -> Any:
        trace = run.trace
        if asks and not mark.always:
            trace.append((mark, ASKED, None, cursor))
        if not raws:
            return ABSENT
        values: list[Any] = []
        state: State = ABSENT
        run.item, run.rule = item, rule
        deletes, context = False, run.context
        for raw in raws:
            value = raw
            if isinstance(raw, State):
                deletes = True
            else:
                try:
                    value = convert(raw, context)
                    trace.append((mark, READ, raw, cursor))
                except Unconvertible as error:
                    value = run.failed(
                        code=error.code, reason=str(error), path=path, item=item, rule=rule, on_bad=on_bad
                    )
                    kept = kept_as_text(text(raw), want) if on_bad == "text" else None
                    trace.append((mark, FAILED_WHOLE if kept else FAILED, raw, cursor))
                    value = kept or value
            if isinstance(value, str | dict):
                values.append(value)
            else:
                state = splice(values, value, state)
        if deletes:
            trace.append((mark, DELETES, None, cursor))
        return values or state

    return take


def asked(mark: Mark, cursor: Any, run: Run) -> None:
    """Write down that the predicates of a loop were asked, where that does not happen in every message."""
    if not mark.always:
        run.trace.append((mark, ASKED, None, cursor))


def texts(format_: Format, path: Path, scope: Scope) -> Callable[[Any], list[str]]:
    """Reads all that stands at a path, as received. Made ready only when it is asked for, which is seldom."""

    def read(cursor: Any) -> list[str]:
        return [format_.text(raw) for raw in format_.every(path, scope)(cursor) if not isinstance(raw, State)]

    return read
