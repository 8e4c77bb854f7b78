"""
What generated code calls: reading and converting one value, calling a function, putting values into lists and objects.

The compiler hands these in by name and the interpreter calls them too, so that the twins differ in how they walk and
never in what they do. A leaf must never raise for anything that a message holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from mhbridge.fhir.recurring import RECURRING, Again, forget, recur
from mhbridge.formats import STATE_BITS, Format, Path, Plain, PlainValue, Plan, Scope
from mhbridge.mapping import nodes
from mhbridge.mapping.conversions import Conversion, Unconvertible
from mhbridge.mapping.functions import Function
from mhbridge.mapping.marks import (
    ASKED,
    COMPARED,
    DELETES,
    DROPPED,
    FAILED,
    FAILED_WHOLE,
    KEPT,
    PLAIN,
    READ,
    Mark,
    Trace,
    flip,
    narrow,
)
from mhbridge.mapping.run import Run, kept_as_text
from mhbridge.mapping.types import Type
from mhbridge.model import ABSENT, DELETED, UNKNOWN_ERROR, State, Unknown

__all__ = [
    "Assembled",
    "Taker",
    "as_list",
    "asked",
    "begun",
    "better",
    "by_row",
    "calling",
    "coded",
    "data_absent",
    "every",
    "fill",
    "first",
    "gathered",
    "has_code",
    "kept_again",
    "marks_of",
    "one_number",
    "plain_every",
    "plain_first",
    "position",
    "presence",
    "present_alone",
    "settled",
    "settling",
    "splice",
    "texts",
    "whole_as_text",
    "whole_settling",
]

#: (what was found, cursor, run) → a value, a list of values, or a state.
Taker = Callable[[Any, Any, Run], Any]

#: Codes of one place of a mapping whose translation is remembered; real feeds use a few dozen.
REMEMBERED: Final = 512

#: What names the arguments of a function (`Function.key`) → what it gave, and the parts that it made no use of.
Memory: TypeAlias = dict[tuple[Any, ...] | None, tuple[Any, frozenset[str]]]

#: FHIR R4 §2.5.1.1: why a required element has no value.
DATA_ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


_NOTHING: Final = frozenset[str]()


# --- reading -----------------------------------------------------------------------------------------------


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


#: (What stands at a place, its row, cursor, run) → a value, or a state.
Reader: TypeAlias = Callable[[Any, Any, Any, Run], Any]


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
        if _comes_again(value) and (kind := trace[-1][1]) > PLAIN:
            if len(known) >= REMEMBERED:
                _forget([one for _, _, one in known.values()])
                known.clear()
            known[held] = row.delimiters, kind, value
            _recur(value)
        return value

    return read_again


def _recur(value: Any) -> None:
    """Say of a value that it is remembered: of a concept, which may be given words of its own, its codes as well."""
    if type(value) is dict:
        recur(value)
        if "coding" in value:
            recur(value["coding"])


def _comes_again(value: Any) -> bool:
    """Whether a value is worth remembering: words that somebody wrote beside a code are not, and may be of anybody."""
    return type(value) is str or (type(value) is dict and "text" not in value)


def _forget(values: Iterable[Any]) -> None:
    """Say of values that they are no longer remembered: of concepts, which may have their own words, the codes."""
    for value in values:
        if type(value) is dict:
            forget([value, *([value["coding"]] if "coding" in value else ())])


class Assembled:
    """
    Records made of what stands at one place of a row and comes again in messages about others (`Plan.common`): each is
    made once, and remembered with what the ledger is told of it.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        #: What stands at the place → what tells its parts apart, what the ledger is told, and the record.
        self._known: dict[str, tuple[Any, list[tuple[Mark, int]], dict[str, Any]]] = {}

    def recall(self, held: str, row: Any, run: Run) -> dict[str, Any] | None:
        """The record, if it was made before."""
        known = self._known.get(held)
        if known is None or known[0] is not row.delimiters:
            return None
        run.trace += [(mark, kind, held, row) for mark, kind in known[1]]
        return known[2]

    def keep(self, held: str, row: Any, run: Run, begun: tuple[int, int], record: Any) -> None:
        """
        Remember a record, if all that was read for it was plain and there was nothing to note.

        Args:
            begun: how much there was when its making began (`begun`).
        """
        traced, noted = begun
        read = run.trace[traced:]
        if not held or type(record) is not dict or len(run.issues) > noted or any(one[1] <= PLAIN for one in read):
            return
        if len(self._known) >= REMEMBERED:
            _forget([one for _, _, one in self._known.values()])
            self._known.clear()
        self._known[held] = row.delimiters, [(mark, kind) for mark, kind, _, _ in read], record
        recur(record)


def begun(run: Run) -> tuple[int, int]:
    """How much was read, and noted."""
    return len(run.trace), len(run.issues)


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


# --- calling -----------------------------------------------------------------------------------------------


def calling(
    function: Function,
    result: Type,
    args: Iterable[nodes.Expression],
    *,
    item: str,
    rule: str,
    on_bad: str,
    memory: Memory | None = None,
) -> Callable[..., Any]:
    """
    Wraps a registered function so that what it cannot do costs what the item says.

    Args:
        memory: what it remembers; left out: its own.
    """
    call, want = function.call, result.name
    assert call is not None
    marks, key_of = marks_of(args), function.key
    # Where nothing is read of a message for it, as in a build, nobody asks what it made no use of.
    unused = function.unused if marks else None
    remembered: Memory = {} if memory is None else memory

    def apply(run: Run, *args: Any) -> Any:
        key = key_of(*args) if key_of is not None else None
        if key is not None and (pair := remembered.get(key)) is not None:
            known, parts = pair
            if parts:
                narrow(run.trace, marks, parts)
            # Not the same object twice: what is made for an element of a list is found by which element it is.
            return dict(known) if isinstance(known, dict) else known
        run.item, run.rule = item, rule
        noted = len(run.issues)
        try:
            value = call(run.context, *args, want=want)
        except Unconvertible as error:
            severe = "park" if error.refused else on_bad
            bad = run.failed(code=error.code, reason=str(error), path="", item=item, rule=rule, on_bad=severe)
            flip(run.trace, marks, FAILED)
            return kept_as_text(_words(args), result) or bad if severe == "text" else bad
        if isinstance(value, State):
            failed = value == UNKNOWN_ERROR
            flip(run.trace, marks, FAILED if failed else DROPPED)
            run.failures += failed  # an atomic record is then kept whole
            return value
        if unused is None and key is None:
            return value
        parts = unused(value, *args) if unused is not None else _NOTHING
        if parts:
            narrow(run.trace, marks, parts)
        if key is not None and len(run.issues) == noted:
            if len(remembered) >= REMEMBERED:
                _forget([one for one, _ in remembered.values()])
                remembered.clear()
            remembered[key] = value, parts
            _recur(value)
        return value

    return apply


def coded(
    call: Callable[..., Any], function: Function, memory: Memory, args: Sequence[nodes.Expression]
) -> tuple[Reader | None, Reader | None]:
    """
    Reads a plain value and calls a function of it that remembers values, or of a value that comes again in messages
    about others, in one go; the other arguments are stated.

    Args:
        call: calls it (see `calling`).
        memory: what `call` remembers.

    Returns:
        What does that, and what does it where no list holds the value (see `plain_first`).
    """
    read, *others = args
    key_of = function.key
    if not isinstance(read, nodes.Read) or not all(isinstance(other, nodes.Literal) for other in others):
        return None, None
    if read.quick is None or read.plan is None or not (key_of is not None or read.plan.common):
        return None, None
    take, mark, asks = read.quick, read.mark, read.mark.spot.asks
    stated = [other.value for other in others if isinstance(other, nodes.Literal)]
    divisible = mark.conversion is not None and bool(mark.conversion.parts)
    #: What stands at the place → what tells its parts apart, what the ledger takes of it, and the result.
    results: dict[Any, tuple[Any, int, Any]] = {}

    def alone(held: Any, row: Any, cursor: Any, run: Run) -> Any:
        trace = run.trace
        known = results.get(held)
        if known is not None and known[0] is row.delimiters:
            _, code, result = known
            if asks and not mark.always:
                trace.append((mark, ASKED, None, cursor))
            trace.append((mark, code, held, row))
            return result
        value = take(held, row, cursor, run)
        if not value:
            return value
        noted = len(run.issues)
        made = call(run, value, *stated)
        read_as = trace[-1][1]
        if read_as <= PLAIN:
            return made
        if key_of is not None:
            result, unused = memory.get(key_of(value, *stated), (ABSENT, _NOTHING))
            again = result is not ABSENT and not (unused and divisible)
        else:
            result, again = made, len(run.issues) == noted and _comes_again(made)
        if again:
            if len(results) >= REMEMBERED:
                results.clear()
            results[held] = row.delimiters, read_as, result
        return made

    def apply(held: Any, row: Any, cursor: Any, run: Run) -> Any:
        value = alone(held, row, cursor, run)
        # Not the same object twice; see `calling`.
        return value.copy() if type(value) is dict else value

    return apply, alone


def marks_of(tree: Any) -> frozenset[Mark]:
    """The marks of all values that an expression, or some of them, read."""
    return frozenset(node.mark for node in nodes.walk(tuple(tree)) if isinstance(node, nodes.Read))


def _words(args: tuple[Any, ...]) -> str:
    """What a function was given, in words: its first argument, when that is a text or a concept."""
    value = args[0] if args else ""
    if isinstance(value, Mapping):
        codings: Any = value.get("coding") or ({},)
        value = value.get("text") or codings[0].get("display") or codings[0].get("code")
    return value if isinstance(value, str) else ""


def has_code(value: Any, members: frozenset[tuple[str, str]]) -> bool:
    """Whether any coding of a concept is one of (system name, code). The text of a concept never decides."""
    if isinstance(value, dict):
        return any((c.get("system", ""), c.get("code", "")) in members for c in (value.get("coding") or (value,)))
    return False


def position(place: int) -> int:
    """Places are counted from one, as in every standard here."""
    return place + 1


# --- putting together --------------------------------------------------------------------------------------


def as_list(value: Any) -> Any:
    """A list element given one value gets a list of one (mapping language §6.2.5)."""
    return value if type(value) is list or isinstance(value, State) else [value]


_SINGLE: Final = frozenset({dict, str})


def splice(into: list[Any], value: Any, state: State) -> State:
    """
    Append a value, or every entry of a list.

    Returns:
        What an empty list is to be: the first state met that says more than absent.
    """
    if isinstance(value, State):
        return value if state is ABSENT else state
    if isinstance(value, list):
        into.extend(value)
    else:
        into.append(value)
    return state


def gathered(values: list[Any]) -> Any:
    """A list of these values and of the entries of lists among them, or the state that it has when there is none."""
    if _SINGLE.issuperset(map(type, values)):
        return values or ABSENT
    found: list[Any] = []
    state: State = ABSENT
    for value in values:
        state = splice(found, value, state)
    return found or state


def better(first: Any, other: Any) -> Any:
    """`first or other`, where the first is absent or unknown: what is unknown stays if the other says no more."""
    return first if isinstance(other, State) and other.passes and first is not ABSENT else other


def present_alone(items: dict[str, Any]) -> dict[str, Any]:
    """Items without those that are absent."""
    if ABSENT not in items.values():
        return items
    return {name: value for name, value in items.items() if value is not ABSENT}


def settled(record: dict[str, Any]) -> Any:
    """
    A record of values of which each counts: itself when anything is present in it, deleted when all there was is
    deleted. What is absent is taken away.
    """
    values = record.values()
    if ABSENT in values:
        record = present_alone(record)
        values = record.values()
    for value in values:
        if value is not DELETED:
            return record
    return DELETED if record else ABSENT


def settling(said: frozenset[str], *, solid: bool) -> Callable[[dict[str, Any]], Any]:
    """
    What settles a record.

    Args:
        said: the fields that the mapping states, which do not count.
        solid: see `nodes.BindRecord`.
    """

    def settle(record: dict[str, Any]) -> Any:
        record = present_alone(record)
        if not record.keys() <= said and any(record[name] is not DELETED for name in record if name not in said):
            return record
        return DELETED if DELETED in record.values() else ABSENT

    def settle_solid(record: dict[str, Any]) -> Any:
        parts = {name: value for name, value in record.items() if not isinstance(value, State)}
        if not parts.keys() <= said:
            return parts
        return next((one for one in reversed(record.values()) if isinstance(one, State) and one is not ABSENT), ABSENT)

    return settle_solid if solid else settle if said else settled


def whole_settling(
    node: nodes.BindRecord, settle: Callable[[dict[str, Any]], Any]
) -> Callable[[dict[str, Any], int, Any, Run], Any]:
    """What settles an atomic record, which is kept as text when more failed than had before it."""
    solid = node.solid

    def settle_whole(record: dict[str, Any], failures: int, cursor: Any, run: Run) -> Any:
        if run.failures == failures:
            return settle(record)
        parts = {
            name: value
            for name, value in record.items()
            if not (isinstance(value, State) if solid else value is ABSENT)
        }
        return whole_as_text(parts, node, cursor, run) or settle(record)

    return settle_whole


def kept_again(again: Again, items: tuple[Any, ...], whole: Any, run: Run) -> None:
    """Remember what was made of items that are remembered, unless there was something to note."""
    for item in items:
        if item is not ABSENT and id(item) not in RECURRING:
            return
    if type(whole) is dict and not run.issues:
        again.keep(items[0] if len(items) == 1 else items, whole)


def fill(into: dict[str, Any], key: str, value: Any) -> None:
    """Put a value where there is none."""
    into.setdefault(key, value)


def data_absent(into: dict[str, Any], key: str, value: Unknown, primitive: bool, many: bool) -> None:
    """Say why a required element has no value, unless it has one from the object that was started from."""
    if key in into:
        return
    reason = {"extension": [{"url": DATA_ABSENT_REASON, "valueCode": value.reason}]}
    if primitive:
        into[f"_{key}"] = [reason] if many else reason
        if many:
            into[key] = [None]
    else:
        into[key] = [reason] if many else reason


def whole_as_text(record: Mapping[str, Any], node: nodes.BindRecord, cursor: Any, run: Run) -> dict[str, Any]:
    """
    An atomic record of which a part failed, kept whole as the text received, never in part.

    A dose without its drug, or a drug without its route, is more dangerous than a line to be read by a person.
    """
    words = list(_received(tuple(body for _, body in node.fields), cursor, set(), run.trace))
    if words:
        return {node.whole: {"text": "; ".join(words)}}
    return {key: value for key, value in record.items() if value is not DELETED}


def _received(tree: Any, cursor: Any, seen: set[str], trace: Trace) -> Iterator[str]:
    """The texts at every path below a binding; `seen` are the paths read at this cursor already."""
    for node in nodes.walk(tree, closed=(nodes.BindEach,)):
        if isinstance(node, nodes.BindEach):
            for inner in node.loop.cursors(cursor):
                yield from _received(node.body, inner, set(), trace)
        elif isinstance(node, nodes.Read) and node.path not in seen:
            seen.add(node.path)
            trace.append((node.mark, KEPT, None, cursor))
            yield from node.texts(cursor)
