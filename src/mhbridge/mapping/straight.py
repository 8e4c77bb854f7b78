"""
Items of which each is read in one go, as most are: a table of them, and one loop that goes through it.

Code for each of them would say the same with other names, and Python's compiler would take longer for it than for all
else of a mapping. Alternatives and functions of several values are put together here in the same way. A loop has no
line for each item, so a fault is raised again from where the item stands in the mapping's file (`Again`). This module
must never decide what a value comes to: what reads it does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, NoReturn, TypeAlias

from mhbridge.errors import Span
from mhbridge.mapping.marks import DROPPED, Mark, flip
from mhbridge.mapping.run import Run
from mhbridge.model import ABSENT, State

__all__ = [
    "Again",
    "Argument",
    "Composed",
    "Found",
    "InRow",
    "Reader",
    "Straight",
    "all_found",
    "all_in_row",
    "all_mixed",
    "all_taken",
    "applied",
    "applied_to_all",
    "first_of",
    "is_there",
    "made_into",
    "reader",
    "said",
    "taken",
]

#: (Where an item stands, what went wrong with it): raises that again, from there.
Again: TypeAlias = Callable[[Span, Exception], NoReturn]


class InRow(NamedTuple):
    """
    A value that is looked for in a row; of one that is not there nothing is said or done.

    Args:
        row, places: what the row and what stands at its places are called in the code.
        read: (what stands at the place, the row, cursor, run) → the value.
    """

    row: str
    places: str
    place: int
    read: Callable[[Any, Any, Any, Run], Any]


class Found(NamedTuple):
    """
    A value that is looked for at the cursor.

    Args:
        find: cursor → what stands there; `None` where `take` looks for it.
        take: (what was found, cursor, run) → the value, or (cursor, run) → the value.
    """

    find: Callable[[Any], Any] | None
    take: Callable[..., Any]


#: (Cursor, run, rows with what stands at their places) → a value.
Reader: TypeAlias = Callable[[Any, Run, Sequence[Any]], Any]


class Composed(NamedTuple):
    """
    A value that is made of several others.

    Args:
        rows: what the rows that they stand in are called in the code, each with what stands at its places.
    """

    rows: tuple[str, ...]
    read: Reader


Straight: TypeAlias = InRow | Found | Composed


class Argument(NamedTuple):
    """
    One of the values that a function is called with.

    Args:
        there: whether a value is present, where it has to be.
        unused: the marks of what was read for nothing when it is not.
    """

    read: Reader
    span: Span
    there: Callable[[Any], bool] | None
    unused: frozenset[Mark]


def taken(
    value: Callable[[Any, Any], Any], take: Callable[[Any, Any, Run], Any]
) -> Callable[[Any, Any, Any, Run], Any]:
    """Reads what stands at a place of a row by way of a raw value."""

    def read(held: Any, row: Any, cursor: Any, run: Run) -> Any:
        return take(value(held, row), cursor, run)

    return read


def applied(
    found: InRow | Found, call: Callable[..., Any], stated: Sequence[Any], *, always: bool = False
) -> InRow | Found:
    """
    The same value, and what a function makes of it when it is present; its other arguments are stated.

    Args:
        always: the function is called with a value that is not present, too. Of a value in a row it is not.
    """
    if isinstance(found, InRow):
        return found._replace(read=_applied_held(found.read, call, stated))
    if found.find is None:
        return Found(None, _applied_taken(found.take, call, stated, always=always))
    return Found(found.find, _applied_found(found.take, call, stated, always=always))


def made_into(found: Straight, make: Callable[[Any], Any]) -> Straight:
    """The same value, as something makes it of it, and of the state it may be in."""
    if isinstance(found, InRow):
        inner = found.read
        return found._replace(read=lambda held, row, cursor, run: make(inner(held, row, cursor, run)))
    if isinstance(found, Composed):
        composed = found.read
        return found._replace(read=lambda cursor, run, rows: make(composed(cursor, run, rows)))
    find, take = found
    if find is None:
        return Found(None, lambda cursor, run: make(take(cursor, run)))
    return Found(find, lambda what, cursor, run: make(take(what, cursor, run)))


# To call a function with arguments of which the number is not known takes twice as long. Most have none that is stated,
# or one.


def _applied_held(inner: Callable[..., Any], call: Callable[..., Any], stated: Sequence[Any]) -> Callable[..., Any]:
    def read(held: Any, row: Any, cursor: Any, run: Run) -> Any:
        value = inner(held, row, cursor, run)
        return alone(run, value) if value else value

    def read_one(held: Any, row: Any, cursor: Any, run: Run) -> Any:
        value = inner(held, row, cursor, run)
        return call(run, value, one) if value else value

    alone, one = _alone(call, stated), stated[0] if stated else None
    return read_one if len(stated) == 1 else read


def _applied_found(
    inner: Callable[..., Any], call: Callable[..., Any], stated: Sequence[Any], *, always: bool
) -> Callable[..., Any]:
    def read(found: Any, cursor: Any, run: Run) -> Any:
        value = inner(found, cursor, run)
        return alone(run, value) if value or always else value

    def read_one(found: Any, cursor: Any, run: Run) -> Any:
        value = inner(found, cursor, run)
        return call(run, value, one) if value or always else value

    alone, one = _alone(call, stated), stated[0] if stated else None
    return read_one if len(stated) == 1 else read


def _applied_taken(
    inner: Callable[..., Any], call: Callable[..., Any], stated: Sequence[Any], *, always: bool
) -> Callable[..., Any]:
    def read(cursor: Any, run: Run) -> Any:
        value = inner(cursor, run)
        return alone(run, value) if value or always else value

    def read_one(cursor: Any, run: Run) -> Any:
        value = inner(cursor, run)
        return call(run, value, one) if value or always else value

    alone, one = _alone(call, stated), stated[0] if stated else None
    return read_one if len(stated) == 1 else read


def _alone(call: Callable[..., Any], stated: Sequence[Any]) -> Callable[[Run, Any], Any]:
    """The function, of the one value that is not stated."""
    return (lambda run, value: call(run, value, *stated)) if stated else call


def reader(found: InRow | Found, rows: list[str], told: Callable[..., Any] | None = None) -> Reader:
    """
    What reads a value as a part of another.

    Args:
        rows: the names of the rows that the other looks into; this one's is put there.
        told: takes what is not there, where the ledger is to know that it was looked for.
    """
    if isinstance(found, InRow):
        if found.row not in rows:
            rows += found.row, found.places
        row, place, read = rows.index(found.row), found.place, found.read
        places = row + 1

        def in_row(cursor: Any, run: Run, given: Sequence[Any]) -> Any:
            if held := given[places][place]:
                return read(held, given[row], cursor, run)
            return ABSENT if told is None else told(ABSENT, cursor, run)

        return in_row
    find, take = found
    if find is None:
        return lambda cursor, run, _: take(cursor, run)
    return lambda cursor, run, _: take(find(cursor), cursor, run)


def said(value: Any) -> Reader:
    """What the mapping states, as a part of another value."""
    return lambda _cursor, _run, _rows: value


def is_there(value: Any) -> bool:
    """Whether a value is present that may be false."""
    return not isinstance(value, State)


def first_of(terms: Sequence[tuple[Reader, Span]], again: Again) -> Reader:
    """The first of several that is present or stops; the first unknown where there is none (mapping language §3.1)."""

    def read(cursor: Any, run: Run, rows: Sequence[Any]) -> Any:
        first: Any = ABSENT
        for term, span in terms:
            try:
                value = term(cursor, run, rows)
            except Exception as fault:  # noqa: BLE001 - whatever it is, it is raised again
                again(span, fault)
            if value or not (isinstance(value, State) and value.passes):
                return value
            if first is ABSENT:
                first = value
        return first

    return read


def applied_to_all(call: Callable[..., Any], args: Sequence[Argument], again: Again) -> Reader:
    """A function of several values. Where one is not present that has to be, its state is the result."""

    def read(cursor: Any, run: Run, rows: Sequence[Any]) -> Any:
        values = []
        for take, span, there, unused in args:
            try:
                value = take(cursor, run, rows)
            except Exception as fault:  # noqa: BLE001 - whatever it is, it is raised again
                again(span, fault)
            if there is not None and not there(value):
                if unused:
                    # What was read for the other arguments is then used for nothing.
                    flip(run.trace, unused, DROPPED)
                return value
            values.append(value)
        return call(run, *values)

    return read


def all_in_row(
    items: Sequence[tuple[str, Span, InRow | Found]], again: Again
) -> Callable[[dict[str, Any], Sequence[Any], Any, Any, Run], None]:
    """
    What puts values under their names, in order, that are looked for in one row or taken at once. What is absent has
    none.
    """
    table: tuple[tuple[int | None, str, Callable[..., Any]], ...] = tuple(
        (one.place, name, one.read) if isinstance(one, InRow) else (None, name, one.take) for name, _, one in items
    )
    spans = {name: span for name, span, _ in items}
    absent = ABSENT

    def put(into: dict[str, Any], places: Sequence[Any], row: Any, cursor: Any, run: Run) -> None:
        name = ""
        try:
            for place, name, read in table:
                if place is None:
                    if (value := read(cursor, run)) is not absent:
                        into[name] = value
                elif held := places[place]:
                    into[name] = read(held, row, cursor, run)
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is raised again
            again(spans[name], fault)

    return put


def all_found(items: Sequence[tuple[str, Span, Found]], again: Again) -> Callable[[dict[str, Any], Any, Run], None]:
    """The same for values that are looked for at the cursor, and found before they are taken."""
    table = tuple((name, found.find, found.take) for name, _, found in items if found.find)
    spans = {name: span for name, span, _ in items}
    absent = ABSENT

    def put(into: dict[str, Any], cursor: Any, run: Run) -> None:
        name = ""
        try:
            for name, find, take in table:
                if (value := take(find(cursor), cursor, run)) is not absent:
                    into[name] = value
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is raised again
            again(spans[name], fault)

    return put


def all_taken(items: Sequence[tuple[str, Span, Found]], again: Again) -> Callable[[dict[str, Any], Any, Run], None]:
    """The same for values that are found and taken at once."""
    table = tuple((name, found.take) for name, _, found in items)
    spans = {name: span for name, span, _ in items}
    absent = ABSENT

    def put(into: dict[str, Any], cursor: Any, run: Run) -> None:
        name = ""
        try:
            for name, take in table:
                if (value := take(cursor, run)) is not absent:
                    into[name] = value
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is raised again
            again(spans[name], fault)

    return put


def all_mixed(
    items: Sequence[tuple[str, Span, Straight]], rows: Sequence[str], again: Again
) -> Callable[[dict[str, Any], Sequence[Any], Any, Run], None]:
    """
    The same for values of all kinds, and of several rows.

    Args:
        rows: what the rows are called that are given, each before what stands at its places.
    """
    table = tuple((name, *_entry(found, rows)) for name, _, found in items)
    spans = {name: span for name, span, _ in items}
    absent = ABSENT

    def put(into: dict[str, Any], given: Sequence[Any], cursor: Any, run: Run) -> None:
        name = ""
        try:
            for name, places, where, read in table:
                if places:
                    if held := given[places][where]:
                        into[name] = read(held, given[places - 1], cursor, run)
                    continue
                if where is None:
                    value = read(cursor, run)
                elif where is _GIVEN:
                    value = read(cursor, run, given)
                else:
                    value = read(where(cursor), cursor, run)
                if value is not absent:
                    into[name] = value
        except Exception as fault:  # noqa: BLE001 - whatever it is, it is raised again
            again(spans[name], fault)

    return put


#: Where a value is looked for that is put together of others: in whatever is given.
_GIVEN: Final = object()


def _entry(found: Straight, rows: Sequence[str]) -> tuple[int, Any, Callable[..., Any]]:
    """Where the places of a row stand among what is given, or 0; its place there, or what finds it; what reads it."""
    if isinstance(found, InRow):
        return rows.index(found.row) + 1, found.place, found.read
    if isinstance(found, Composed):
        return 0, _GIVEN, found.read
    return 0, found.find, found.take
