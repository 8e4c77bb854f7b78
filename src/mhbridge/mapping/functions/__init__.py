"""
The functions that an expression may call: a closed register of typed, documented and tested Python.

A mapping reaches Python nowhere else (mapping language §3, §13). The built-in functions enter by the door that is open
to everybody: the entry point `mhbridge.functions`, which names one `Function` or several. A function is pure: the same
arguments give the same result, and it must never do I/O, read a clock, or put a value into a message or an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from inspect import cleandoc
from typing import Any, Final

__all__ = ["BUILT_IN", "KINDS", "Example", "Function", "Parameter", "function", "functions", "structural"]

#: What an argument may be: an expression's value, all values of a path, a literal, or the name of a declared table, of
#: a declared list, of a resource of the build, of a loop's alias.
KINDS: Final = ("value", "all", "literal", "table", "list", "resource", "alias")

BUILT_IN: Final = (
    "mhbridge.mapping.functions.coded:FUNCTIONS",
    "mhbridge.mapping.functions.dates:FUNCTIONS",
    "mhbridge.mapping.functions.values:FUNCTIONS",
    "mhbridge.mapping.functions.texts:FUNCTIONS",
    "mhbridge.mapping.functions.words:FUNCTIONS",
    "mhbridge.mapping.functions.gaps:FUNCTIONS",
    "mhbridge.mapping.functions.lists:FUNCTIONS",
    "mhbridge.mapping.functions.pairs:FUNCTIONS",
)


@dataclass(frozen=True, slots=True)
class Parameter:
    """
    One argument.

    Args:
        kind: one of `KINDS`.
        type: item types that it takes, the best first: a path is converted to the first that it can become. `any`
            takes whatever comes, `want` the type that is wanted of the result.
        optional: it may be left out; only further optional ones follow it.
        repeats: the last parameter, which may be given several times.
        presence: only whether it is there matters, so that a path is not converted at all.
        needed: its state is the result, whatever states the function takes its other arguments in.
    """

    name: str
    kind: str = "value"
    type: tuple[str, ...] = ("any",)
    optional: bool = False
    repeats: bool = False
    presence: bool = False
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """
    One call and what comes of it; a test makes it.

    Args:
        shown: the call as it is written in a mapping.
        arguments: what the call is given.
        want: the item type that is wanted; empty: the first of the function's results.
    """

    shown: str
    arguments: tuple[Any, ...]
    result: Any
    want: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """
    A function of the mapping language.

    Args:
        results: item types that it can give, the most natural first; `want` is whatever is wanted, and `wanted` a list
            where a list is; `some` are some of the list that it is given.
        call: (context, *arguments, want=item type) → a value or a state. Raises `Unconvertible` and nothing else.
        states: it takes its arguments in any state, except those that are `needed`. Otherwise it is not called when a
            value is not present: the state of that value is the result.
        structural: it is part of how builds are made, which the compiler does itself; it has no `call`.
        key: (*arguments) → what names them, where what it gives depends on that alone: it may be remembered then,
            unless there was something to note; `None` where it may not.
        unused: (what it gave, *arguments) → the parts of its arguments that it made no use of (`Conversion.parts`).
    """

    name: str
    parameters: tuple[Parameter, ...]
    results: tuple[str, ...]
    summary: str
    examples: tuple[Example, ...] = ()
    call: Callable[..., Any] | None = None
    states: bool = False
    structural: bool = False
    unused: Callable[..., frozenset[str]] | None = None
    key: Callable[..., tuple[Any, ...] | None] | None = None

    @property
    def signature(self) -> str:
        """`code(value, table[, date])`."""
        shown = ""
        for at, parameter in enumerate(self.parameters):
            comma = ", " if at else ""
            name = f"{parameter.name}{', …' if parameter.repeats else ''}"
            shown += f"[{comma}{name}]" if parameter.optional else f"{comma}{name}"
        return f"{self.name}({shown})"


def function(
    *parameters: Parameter,
    results: Iterable[str],
    examples: Iterable[Example] = (),
    states: bool = False,
    unused: Callable[..., frozenset[str]] | None = None,
    key: Callable[..., tuple[Any, ...] | None] | None = None,
) -> Callable[[Callable[..., Any]], Function]:
    """
    Decorates a Python function: `(context, *arguments, want)` becomes a `Function` of the same name, its docstring's
    first paragraph the summary.
    """

    def made(call: Callable[..., Any]) -> Function:
        return Function(
            call.__name__, parameters, tuple(results), _summary(call.__doc__ or ""), tuple(examples), call, states,
            unused=unused, key=key,
        )  # fmt: skip

    return made


def structural(name: str, *parameters: Parameter, results: Iterable[str], summary: str) -> Function:
    """A declaration of what the compiler does itself."""
    return Function(name, parameters, tuple(results), summary, structural=True)


def _summary(docstring: str) -> str:
    return " ".join(cleandoc(docstring).partition("\n\n")[0].split())


@cache
def functions() -> Mapping[str, Function]:
    """
    All functions by name: the built-in ones, and those of the entry point `mhbridge.functions`.

    Nobody replaces a built-in function: what a mapping says must mean the same everywhere.
    """
    found: dict[str, Function] = {}
    for target in BUILT_IN:
        module, _, attribute = target.partition(":")
        _add(found, getattr(import_module(module), attribute))
    for point in entry_points(group="mhbridge.functions"):
        _add(found, point.load())
    return found


def _add(found: dict[str, Function], loaded: Function | Iterable[Function]) -> None:
    for each in (loaded,) if isinstance(loaded, Function) else loaded:
        found.setdefault(each.name, each)
