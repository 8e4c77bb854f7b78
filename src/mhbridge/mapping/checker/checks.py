"""
Reads `documents/<type>/checks.yaml`, and that of the parts it names, into safety checks (mapping language §9).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from mhbridge.errors import Span
from mhbridge.mapping.checker.declarations import Declaration
from mhbridge.mapping.checker.environment import Environment
from mhbridge.mapping.checker.expressions import Resolver
from mhbridge.mapping.checker.items import Codes
from mhbridge.mapping.checker.layers import entries
from mhbridge.mapping.checker.lists import Lists
from mhbridge.mapping.checker.structure import loop_over
from mhbridge.mapping.checks import ACTIONS, Action, CheckRule
from mhbridge.mapping.library import Library
from mhbridge.mapping.nodes import ItemOf, reads
from mhbridge.mapping.packs import DocumentType
from mhbridge.mapping.reader import Node, YamlFile
from mhbridge.model import Severity

__all__ = ["read_checks"]

_KEYS: Final = ("fails_when", "each", "severity", "action", "says", "source", "hazard")
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
_SEVERITIES: Final = tuple(severity.value for severity in Severity)


def read_checks(library: Library, document: DocumentType, codes: Codes) -> tuple[CheckRule, ...]:
    """The checks of a document type and its parts, in order. What is wrong is reported, and left out."""
    # Derived items belong to the build; a check reads what the sender says.
    seen = replace(
        document, items={name: item for name, item in document.items.items() if not item.derived}, derived=()
    )
    found = []
    for one in entries(library, document, codes, "checks"):
        lists = Lists(document.lists, document.code_lists) | one.lists
        env = Environment(
            one.file, codes.systems, document=seen, lists=lists.members, code_lists=lists.files, message=False
        )  # fmt: skip
        found.append(_check(one.file, env, one.name, one.node, one.key))
    return tuple(check for check in found if check is not None)


def _check(file: YamlFile, env: Environment, name: str, node: Node, key: Span) -> CheckRule | None:
    if not _NAME.fullmatch(name):
        file.report("E520", f"{name!r} cannot be the name of a check", key, "lower-case letters, digits, -")
    what = Declaration(file, node, "a check", _KEYS, at=key)
    severity = Severity(what.choice("severity", _SEVERITIES, Severity.WARNING.value))
    action = Action(what.choice("action", ACTIONS, Action.FLAG.value))
    if not what.require("fails_when", "says", "source"):
        return None
    over, alias = None, ""
    if "each" in what:
        loop = loop_over(env, what.entries["each"])
        if loop is None:
            return None
        over, alias, element = loop
        env = env.with_alias(alias, element)
    fails_when = Resolver(env).test(what.entries["fails_when"])
    if fails_when is None:
        return None
    trees = (fails_when,) if over is None else (fails_when, over)
    return CheckRule(
        name=name,
        fails_when=fails_when,
        over=over,
        alias=alias,
        severity=severity,
        action=action,
        says=what.text("says"),
        source=what.text("source"),
        hazard=what.text("hazard"),
        reads=frozenset(read.name for read in reads(trees) if isinstance(read, ItemOf)),
        span=key,
    )
