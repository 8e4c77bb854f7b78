"""
Calling a function of the mapping language, so that what it cannot do costs what the item says.

What a function gave for arguments that say all it depends on is remembered. This module must never know what a function
does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from mhbridge.mapping import nodes
from mhbridge.mapping.conversions import Unconvertible
from mhbridge.mapping.functions import Function
from mhbridge.mapping.leaves.remembered import comes_again, forgotten, full, recurs
from mhbridge.mapping.leaves.values import Reader
from mhbridge.mapping.marks import ASKED, DROPPED, FAILED, PLAIN, Mark, flip, narrow
from mhbridge.mapping.run import Run, kept_as_text
from mhbridge.mapping.types import Type
from mhbridge.model import ABSENT, UNKNOWN_ERROR, State

__all__ = ["Memory", "calling", "coded", "has_code", "marks_of", "position"]

#: What names the arguments of a function (`Function.key`) → what it gave, and the parts that it made no use of.
Memory: TypeAlias = dict[tuple[Any, ...] | None, tuple[Any, frozenset[str]]]

_NOTHING: Final = frozenset[str]()


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
            if full(remembered):
                forgotten([one for one, _ in remembered.values()])
                remembered.clear()
            remembered[key] = value, parts
            recurs(value)
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
            result, again = made, len(run.issues) == noted and comes_again(made)
        if again:
            if full(results):
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
