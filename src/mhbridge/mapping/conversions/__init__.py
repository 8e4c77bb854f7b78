"""
What a source value becomes: the registered conversion for a pair (source type, item type), mapping language §4.1.

A conversion takes one raw value and gives an item value: FHIR-R4-shaped dicts, texts, booleans, integers and Decimals,
whose code systems are *names*. It says which components it reads, so that the ledger knows what stays open. It must
never guess, must never cut a value without saying so, and must never put a value into a message or an exception.

After HL7's v2-to-FHIR data type maps (github.com/HL7/v2-to-fhir, mappings/datatypes, 2025-10-01), and for what England
does differently the ITK HL7 v2 Message Specifications v1.0.15 and Reference Tables v1.0.14.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from mhbridge.mapping.codes import NO_SYSTEMS, CodeSystems
from mhbridge.mapping.types import Type
from mhbridge.model.frozen import frozen

__all__ = ["WHOLE", "Context", "Conversion", "Unconvertible", "conversion"]

#: In `Conversion.reads`: everything that the raw value holds.
WHOLE: Final = "*"


#: Source types that say nothing of what a value is.
_UNTYPED: Final = frozenset({"text", "undeclared", "json", "xml", "cda_attribute"})


class Unconvertible(Exception):
    """
    A value that does not become what was wanted.

    Args:
        reason: why, for a person, without the value.
        code: of the issue that it becomes.
        refused: the message waits for a person, whatever the item's `on_bad` says.
    """

    def __init__(self, reason: str, *, code: str = "I601", refused: bool = False) -> None:
        super().__init__(reason)
        self.code = code
        self.refused = refused


def _silent(code: str, text: str) -> None:
    """Takes no notes."""


def _nobody(table: Any, codings: Any, text: str) -> None:
    """Nobody collects the codes that a table does not have."""


@frozen(frozen=True, slots=True)
class Context:
    """
    What conversions and functions may know beside the value.

    Args:
        timezone: of times without an offset.
        authorities: what messages call the issuer of an identifier → name of a code system, or a URI. The keys `CX`,
            `EI`, `XCN`, `XON` and `PL` name the system of identifiers of that data type that name no issuer.
        systems: the code systems that the mappings know.
        dates: patterns of the dates in texts, separated by commas (`dd/mm/yyyy`); empty: ISO 8601.
        supplier: whose message it is.
        note: takes (code, text) of an issue that does not cost the value; the text holds no value either.
        unknown: takes (table, codings, words) of what a table does not have: values, for a tool that collects them.
    """

    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Europe/London"))
    authorities: Mapping[str, str] = field(default_factory=dict)
    systems: CodeSystems = NO_SYSTEMS
    dates: str = ""
    supplier: str = ""
    note: Callable[[str, str], None] = _silent
    unknown: Callable[[Any, Any, str], None] = _nobody


@dataclass(frozen=True, slots=True)
class Conversion:
    """
    How values of one source type become values of one item type.

    Args:
        source: HL7 v2 data type, `varies`, `undeclared`, `text`, `json`, `xml`, `cda` or `cda_attribute`.
        target: a single type.
        convert: (raw, context) → the value; `ABSENT` when none of what it reads is there, `DELETED` when what it
            reads was deleted (`""`). Raises `Unconvertible` and nothing else.
        reads: all that it may read: components as `1`, `4.2` (a missing subcomponent is 1), fields of the same
            segment as `OBX-2`, `OBX-6.3`, or `WHOLE`.
        used: (raw, context) → those of `reads` that this raw value's result depends on, where that is not all of
            them; a component that is empty may be among them. What is not among them stays open in the ledger.
        parts: for functions that do not use all of a value: a part of it (`identifiers`, `issuer`, `display`) → those
            of `reads` that it is made of.
        plain: (components, row, context) → what becomes of a raw value that is these components, in which nothing is
            escaped or deleted, and what `used` says of it. `None` where that is not so simple. Must not refuse, nor
            note anything.
        common: the same values come again in messages about others, so that they are worth remembering.
        tried: of one that tries others in order: the same as `convert`, with which of them it took.
    """

    source: str
    target: Type
    convert: Callable[[Any, Context], Any]
    reads: frozenset[str]
    used: Callable[[Any, Context], frozenset[str]] | None = None
    parts: Mapping[str, frozenset[str]] = field(default_factory=dict, compare=False)
    plain: Callable[[list[str], Any, Context], tuple[Any, frozenset[str]] | None] | None = field(
        default=None, compare=False
    )
    common: bool = field(default=False, compare=False)
    tried: Callable[[Any, Context], tuple[Conversion, Any]] | None = field(default=None, compare=False)

    def used_of(self, raw: Any, context: Context) -> frozenset[str]:
        """What this raw value's result depends on."""
        if self.used is None:
            return self.reads
        return self.used(raw, context if context.note is _silent else replace(context, note=_silent))


@lru_cache(maxsize=4096)
def conversion(source_type: str, target: Type) -> Conversion | None:
    """
    The conversion for a pair, or `None`: then the mapping has an error.

    For an `any of`, the alternatives are tried in the order that suits the source type best (a number is a Quantity
    before it is text); where the source has no type of its own, in the order of the mapping. For a list type it is
    the conversion of one element.
    """
    if source_type == "varies":
        from mhbridge.mapping.conversions.hl7v2 import by_value_type

        made = {name: _chosen(name, target, pairs) for name, pairs in _registered(results=True).items()}
        choices = {name: choice for name, choice in made.items() if choice is not None}
        return by_value_type(target.single(), choices) if choices else None
    if source_type == "choice":
        from mhbridge.mapping.conversions import fhir

        of = {name: _chosen(name, target, _registered()[name]) for name in fhir.TYPES}
        choices = {name: choice for name, choice in of.items() if choice is not None}
        return fhir.by_key(target.single(), choices) if choices else None
    return _chosen(source_type, target, _registered().get(source_type, {}))


def _chosen(source_type: str, target: Type, pairs: Mapping[str, Conversion]) -> Conversion | None:
    if not target.options:
        return pairs.get(target.name)
    names = target.options if source_type in _UNTYPED else tuple(pairs)
    choices = tuple(pairs[name] for name in names if name in target.options and name in pairs)
    return _first_of(source_type, target.single(), choices) if choices else None


def _first_of(source_type: str, target: Type, choices: tuple[Conversion, ...]) -> Conversion:
    """The conversion that tries several, in order. The first refusal is the reason when all refuse."""
    if len(choices) == 1:
        return replace(choices[0], target=target)

    def taken(raw: Any, context: Context) -> tuple[Conversion, Any]:
        reason: Unconvertible | None = None
        for choice in choices:
            try:
                return choice, choice.convert(raw, context)
            except Unconvertible as error:
                reason = reason or error.with_traceback(None)
        assert reason is not None
        try:
            raise reason
        finally:
            # A frame and an error that hold each other would hold the whole message until somebody collects them.
            reason = None

    def used(raw: Any, context: Context) -> frozenset[str]:
        try:
            choice, _ = taken(raw, context)
        except Unconvertible:
            return reads
        return choice.used_of(raw, context)

    reads = frozenset[str]().union(*(choice.reads for choice in choices))
    # What the first gives, nobody else is asked for.
    quick = choices[0].plain

    def convert(raw: Any, context: Context) -> Any:
        return taken(raw, context)[1]

    return Conversion(source_type, target, convert, reads, used, plain=quick, tried=taken)


@cache
def _registered(*, results: bool = False) -> Mapping[str, Mapping[str, Conversion]]:
    """By source type, by item type: the conversion. The order of the item types is the order of preference."""
    from mhbridge.mapping.conversions import cda, document, fhir, hl7v2, json, text, xml

    found: dict[str, dict[str, Conversion]] = {}
    for made in hl7v2.results() if results else _all(hl7v2, text, json, fhir, xml, cda, document):
        found.setdefault(made.source, {})[made.target.name] = made
    return found


def _all(*modules: Any) -> Iterator[Conversion]:
    for module in modules:
        yield from module.conversions()
