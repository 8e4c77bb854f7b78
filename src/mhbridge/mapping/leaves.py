"""
What generated code calls: reading and converting one value, calling a function, putting values into lists and objects.

The compiler hands these in by name and the interpreter calls them too, so that the twins differ in how they walk and
never in what they do. A leaf must never raise for anything that a message holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mhbridge.formats import Format, Path, Scope
from mhbridge.mapping import nodes
from mhbridge.mapping.conversions import Conversion, Unconvertible
from mhbridge.mapping.functions import Function
from mhbridge.mapping.run import Run, kept_as_text
from mhbridge.mapping.types import Type
from mhbridge.model import ABSENT, DELETED, UNKNOWN_ERROR, State, Unknown

__all__ = [
    "Reader",
    "as_list",
    "calling",
    "data_absent",
    "every",
    "fill",
    "first",
    "has_code",
    "position",
    "presence",
    "splice",
    "texts",
    "whole_as_text",
]

#: (cursor, run) → a value, a list of values, or a state.
Reader = Callable[[Any, Run], Any]

#: FHIR R4 §2.5.1.1: why a required element has no value.
DATA_ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


# --- reading -----------------------------------------------------------------------------------------------


def presence(format_: Format, path: Path, scope: Scope) -> Reader:
    """Reads whether anything is there; the value itself is not converted."""
    find = format_.first(path, scope)
    return lambda cursor, _run: find(cursor)


def first(
    format_: Format, path: Path, scope: Scope, found: Conversion, want: Type, *, item: str, rule: str, on_bad: str
) -> Reader:
    """Reads the first value of a path and converts it; a value that will not convert costs what its item says."""
    find, convert, text = format_.first(path, scope), found.convert, format_.text
    if found.target.name == "nhs_number":
        return _one_number(find, format_.every(path, scope), found, path.text, item=item, rule=rule, on_bad=on_bad)

    def read(cursor: Any, run: Run) -> Any:
        raw = find(cursor)
        if isinstance(raw, State):
            return raw
        run.item, run.rule = item, rule
        try:
            return convert(raw, run.context)
        except Unconvertible as error:
            bad = run.failed(code=error.code, reason=str(error), path=path.text, item=item, rule=rule, on_bad=on_bad)
            return kept_as_text(text(raw), want) or bad if on_bad == "text" else bad

    return read


def _one_number(
    find: Callable[[Any], Any],
    find_all: Callable[[Any], list[Any]],
    found: Conversion,
    path: str,
    *,
    item: str,
    rule: str,
    on_bad: str,
) -> Reader:
    """
    Reads an NHS number where others may stand beside it.

    Nobody has two, so two that differ are two people, and nobody can say which of them the rest is about.
    """

    def another(raw: Any, value: Any, run: Run) -> bool:
        try:
            return not isinstance(raw, State) and found.convert(raw, run.context) != value
        except Unconvertible:
            return False

    def read(cursor: Any, run: Run) -> Any:
        raw = find(cursor)
        if isinstance(raw, State):
            return raw
        run.item, run.rule = item, rule
        try:
            value = found.convert(raw, run.context)
        except Unconvertible as error:
            return run.failed(code=error.code, reason=str(error), path=path, item=item, rule=rule, on_bad=on_bad)
        others = find_all(cursor)
        if len(others) > 1 and any(another(one, value, run) for one in others):
            said = "there are two NHS numbers, and they differ"
            return run.failed(code="M721", reason=said, path=path, item=item, rule=rule, on_bad="park")
        return value

    return read


def every(
    format_: Format, path: Path, scope: Scope, found: Conversion, want: Type, *, item: str, rule: str, on_bad: str
) -> Reader:
    """Reads all values of a path. One that will not convert costs itself, not the others."""
    find, convert, text = format_.every(path, scope), found.convert, format_.text

    def read(cursor: Any, run: Run) -> Any:
        values: list[Any] = []
        state: State = ABSENT
        run.item, run.rule = item, rule
        for raw in find(cursor):
            value = raw
            if not isinstance(raw, State):
                try:
                    value = convert(raw, run.context)
                except Unconvertible as error:
                    value = run.failed(
                        code=error.code, reason=str(error), path=path.text, item=item, rule=rule, on_bad=on_bad
                    )
                    if on_bad == "text":
                        value = kept_as_text(text(raw), want) or value
            state = splice(values, value, state)
        return values or state

    return read


def texts(format_: Format, path: Path, scope: Scope) -> Callable[[Any], list[str]]:
    """Reads all that stands at a path, as received. Made ready only when it is asked for, which is seldom."""

    def read(cursor: Any) -> list[str]:
        return [format_.text(raw) for raw in format_.every(path, scope)(cursor) if not isinstance(raw, State)]

    return read


# --- calling -----------------------------------------------------------------------------------------------


def calling(function: Function, result: Type, *, item: str, rule: str, on_bad: str) -> Callable[..., Any]:
    """Wraps a registered function so that what it cannot do costs what the item says."""
    call, want = function.call, result.name
    assert call is not None

    def apply(run: Run, *args: Any) -> Any:
        run.item, run.rule = item, rule
        try:
            value = call(run.context, *args, want=want)
        except Unconvertible as error:
            severe = "park" if error.refused else on_bad
            bad = run.failed(code=error.code, reason=str(error), path="", item=item, rule=rule, on_bad=severe)
            return kept_as_text(_words(args), result) or bad if severe == "text" else bad
        if isinstance(value, State) and value == UNKNOWN_ERROR:
            run.failures += 1  # an atomic record is then kept whole
        return value

    return apply


def _words(args: tuple[Any, ...]) -> str:
    """What a function was given, in words: its first argument, when that is a text or a concept."""
    value = args[0] if args else ""
    if isinstance(value, Mapping):
        codings: Any = value.get("coding") or ({},)
        value = value.get("text") or codings[0].get("display") or codings[0].get("code")
    return value if isinstance(value, str) else ""


def has_code(value: Any, members: frozenset[tuple[str, str]]) -> bool:
    """Whether any coding of a concept is one of (system name, code). The text of a concept never decides."""
    if isinstance(value, Mapping):
        return any((c.get("system", ""), c.get("code", "")) in members for c in (value.get("coding") or (value,)))
    return False


def position(place: int) -> int:
    """Places are counted from one, as in every standard here."""
    return place + 1


# --- putting together --------------------------------------------------------------------------------------


def as_list(value: Any) -> Any:
    """A list element given one value gets a list of one (mapping language §6.2.5)."""
    return value if isinstance(value, list | State) else [value]


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


def whole_as_text(record: Mapping[str, Any], node: nodes.BindRecord, cursor: Any) -> dict[str, Any]:
    """
    An atomic record of which a part failed, kept whole as the text received, never in part.

    A dose without its drug, or a drug without its route, is more dangerous than a line to be read by a person.
    """
    words = list(_received(tuple(body for _, body in node.fields), cursor, set()))
    if words:
        return {node.whole: {"text": "; ".join(words)}}
    return {key: value for key, value in record.items() if value is not DELETED}


def _received(tree: Any, cursor: Any, seen: set[str]) -> Iterator[str]:
    """The texts at every path below a binding; `seen` are the paths read at this cursor already."""
    for node in nodes.walk(tree, closed=(nodes.BindEach,)):
        if isinstance(node, nodes.BindEach):
            for inner in node.loop.cursors(cursor):
                yield from _received(node.body, inner, set())
        elif isinstance(node, nodes.Read) and node.path not in seen:
            seen.add(node.path)
            yield from node.texts(cursor)
