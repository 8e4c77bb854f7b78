"""
Compiles a resolved mapping to Python whose line and column numbers are the mapping file's own.

Every function is built as an `ast` tree and compiled under the name of the YAML file that it came from: a traceback
then points into the mapping, with a caret under the very expression, and so does a debugger or a coverage tool, except
that it takes items that one loop reads as one step, in the line of the first of them. Text never becomes code: every
constant is an `ast.Constant`, every name one of ours, and the grammar has no loop but over what is there.

The code is straight and short, since it is a large part of what compiling takes: a value is read where it is used, and
what a record comes to is settled when all of it is there. For items that stand together, of which each is read in one
go, there is no code but the call of a loop (`straight`). What cannot change from message to message (paths,
conversions, tables, literals) is made once and handed in by name. `interpreter` does the same slowly and obviously; the
tests compare the two.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from mhbridge.errors import Span
from mhbridge.mapping import nodes
from mhbridge.mapping.emitting import Bindings, Builds, Lines, asked_often
from mhbridge.mapping.placed import Block

__all__ = ["Compiler"]


class Compiler:
    """
    Args:
        lines: (file, line number) → the text of that line; Python counts columns in bytes.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def bind(self, items: tuple[nodes.BoundItem, ...], span: Span) -> Callable[[Any, Any], dict[str, Any]]:
        """`bind(cursor, run)` → items. Items that are absent have no key."""
        function = Bindings(span, self._lines)
        at = function.at(span)
        body: Block = [at.set("out", at.dict_([], []))]
        paths = nodes.read_at(tuple(item.body for item in items))
        function.hoist(paths, body, "cursor")
        for read in asked_often(paths):
            function.shared[read.path] = function.keep(function.value(read, body), body, read.span).id
        function.items(items, body)
        body.append(at.give(at.call("present_alone", at.load("out"))))
        return function.finish("bind", ("cursor", "run"), body)

    def derive(self, derived: tuple[nodes.Derived, ...], span: Span) -> Callable[[dict[str, Any], Any], None]:
        """`derive(items, run)` adds the derived items that are present."""
        function = Builds(span, self._lines)
        body: Block = [function.at(span).nothing()]
        for item in derived:
            value = function.value(item.value, body)
            at = function.at(item.value.span)
            value = function.kept(at.call("as_list", value) if item.type.many else value, body, item.value.span)
            put = at.put("items", at.constant(item.name), value)
            absent = not isinstance(value, ast.Constant)  # what the mapping states never is
            body.append(at.when(at.is_not(value, at.load("ABSENT")), [put], []) if absent else put)
        return function.finish("derive", ("items", "run"), body)

    def condition(self, condition: nodes.Condition, alias: str = "") -> Callable[..., bool]:
        """`condition(items, assembly, run, element, place)` → bool."""
        function = Builds(condition.span, self._lines, alias)
        body: Block = []
        test = function.condition(condition, body)
        body.append(function.at(condition.span).give(test))
        return function.finish("exists", ("items", "assembly", "run", "element", "place"), body)

    def expression(self, expression: nodes.Expression, alias: str = "") -> Callable[..., Any]:
        """`expression(items, assembly, run, element, place)` → value."""
        function = Builds(expression.span, self._lines, alias)
        body: Block = []
        value = function.value(expression, body)
        body.append(function.at(expression.span).give(value))
        return function.finish("value", ("items", "assembly", "run", "element", "place"), body)

    def node(self, node: nodes.Node, name: str, alias: str = "") -> Callable[..., Any]:
        """`node(items, assembly, run, element, place)` → a piece of output: one resource, the Bundle's identifier."""
        function = Builds(node.span, self._lines, alias)
        block: Block = []
        value = function.node(node, block)
        block.append(function.at(node.span).give(value))
        return function.finish(name, ("items", "assembly", "run", "element", "place"), block)
