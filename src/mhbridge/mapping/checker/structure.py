"""
Structure words that bindings and builds share: what stands beside `$case`, its branches, what a loop of a build runs
over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mhbridge.errors import Span
from mhbridge.mapping import nodes
from mhbridge.mapping.checker.environment import ANY, Environment
from mhbridge.mapping.checker.expressions import Resolver
from mhbridge.mapping.expression import parse_loop
from mhbridge.mapping.reader import Items, Node, Pairs, Text, YamlFile
from mhbridge.mapping.types import Type

__all__ = ["branches", "check_alias", "check_name", "loop_over", "only", "without"]

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
#: Words of the grammar, which no expression can read as a name.
_WORDS: Final = frozenset({"and", "as", "else", "if", "in", "not", "or", "then"})


def check_name(file: YamlFile, name: str, span: Span, what: str) -> None:
    """That expressions can say the name of what is declared."""
    if not _NAME.fullmatch(name) or name in _WORDS:
        hint = "lower-case letters, digits and _; no word of the language"
        file.report("E049", f"{name!r} cannot be the name of {what}: no expression can say it", span, hint)


def without(node: Pairs, *keys: str) -> Pairs:
    """The same map less some keys."""
    return Pairs(
        node.span,
        {k: v for k, v in node.entries.items() if k not in keys},
        {k: v for k, v in node.keys.items() if k not in keys},
    )


def only(file: YamlFile, node: Pairs, word: str) -> None:
    """Report what has no place beside a structure word that stands for the whole place."""
    for key, span in node.keys.items():
        if key != word:
            file.report("E040", f"{key!r} has no place beside {word}", span)


def branches(file: YamlFile, node: Pairs) -> Iterator[tuple[Pairs, Node | None]]:
    """The branches of `$case`: each body without its `$when`, and the `$when`, which the last may lack."""
    listed = node.entries["$case"]
    if not isinstance(listed, Items):
        file.report("E042", "$case is a list of bodies (`- …`)", listed.span)
        return
    for at, branch in enumerate(listed.entries, 1):
        if not isinstance(branch, Pairs):
            file.report("E042", "a branch of $case is a map", branch.span, "{$when: …, $value: …}")
            continue
        if "$when" not in branch.keys and at < len(listed.entries):
            file.report("E211", "what follows is never reached: only the last branch has no $when", branch.span)
        yield without(branch, "$when"), branch.entries.get("$when")


def loop_over(env: Environment, node: Node) -> tuple[nodes.Expression, str, Type] | None:
    """What the `$each` of a build runs over, its alias, and the type of one element."""
    file = env.file
    if not isinstance(node, Text):
        file.report("E042", "$each is written as in: medicines as m", node.span)
        return None
    loop = parse_loop(file, node, None)
    over = None if loop is None else Resolver(env).expression(loop.over, Type(ANY.name, many=True))
    if loop is None or over is None:
        return None
    if not over.type.many:
        file.report("E214", f"$each needs a list; this is one {over.type}", node.span)
        return None
    check_alias(env, loop.alias or "", loop.alias_span or node.span)
    return over, loop.alias or "", over.type.single()


def check_alias(env: Environment, alias: str, span: Span) -> None:
    """That an alias hides nothing."""
    items = env.document.items if env.document is not None else {}
    if alias in env.aliases:
        env.file.report("E208", f"the alias {alias!r} hides that of the loop around it", span)
    elif alias in items or alias in ("message", "sections"):
        env.file.report("E208", f"the alias {alias!r} hides the item of that name", span)
