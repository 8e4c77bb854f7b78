"""
Literals of a build: texts in the shape of their element, checked against its binding (mapping language §6.2.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from mhbridge.fhir.definitions import Definitions, Element
from mhbridge.mapping.checker.declarations import did_you_mean
from mhbridge.mapping.codes import CodeSystems
from mhbridge.mapping.reader import Node, Text, YamlFile

__all__ = ["Literals"]


class Literals:
    """
    Args:
        target: whose URIs the code systems have.
    """

    def __init__(self, definitions: Definitions, systems: CodeSystems, target: str) -> None:
        self.definitions, self.systems, self.target = definitions, systems, target

    def of(self, node: Node, element: Element, type_: str, profile: str, file: YamlFile) -> Any:
        """A literal in the shape of its element, checked against its binding; `None` when it is not possible."""
        if not isinstance(node, Text):
            file.report("E303", "a literal is a single value here", node.span)
            return None
        value = node.value
        match type_:
            case "boolean":
                if value in ("true", "false"):
                    return value == "true"
            case "integer" | "positiveInt" | "unsignedInt":
                least = {"integer": -(2**31), "positiveInt": 1, "unsignedInt": 0}[type_]
                if re.fullmatch(r"-?\d{1,10}", value, re.ASCII) and least <= int(value) < 2**31:
                    return int(value)
            case "decimal":
                if re.fullmatch(r"-?\d+(\.\d+)?", value, re.ASCII):
                    return Decimal(value)
            case "CodeableConcept" | "Coding":
                coding = self._coding(node, element, profile, file)
                return None if coding is None else coding if type_ == "Coding" else {"coding": [coding]}
            case "uri" if self.systems.known(value):
                if uri := self.systems.uri(value, self.target):
                    return uri
                file.report("E407", f"{value!r} has no URI for {self.target}", node.span)
                return None
            case "code":
                return value if self._allowed(node, element, profile, file) else None
            case _ if self.definitions.is_primitive(type_):
                regex = self.definitions.regex(type_)
                if value.strip() and (regex is None or re.fullmatch(regex, value)):
                    return value
        file.report("E303", f"{value!r} is not a {type_}", node.span)
        return None

    def _binding(self, element: Element, profile: str) -> Any:
        known = self.definitions.profile(profile) if profile else None
        return (known.bindings.get(element.path) if known is not None else None) or element.binding

    def _codes(self, binding: Any) -> Mapping[tuple[str, str], str] | None:
        """(system URI, code) → display of a binding's value set; `None` when it cannot be enumerated."""
        found = self.definitions.valueset(binding.valueset) if binding is not None else None
        return found.codes if found is not None else None

    def _allowed(self, node: Text, element: Element, profile: str, file: YamlFile) -> bool:
        binding = self._binding(element, profile)
        values = self._codes(binding) if binding is not None and binding.strength == "required" else None
        if values is None or any(code == node.value for _, code in values):
            return True
        known = sorted({code for _, code in values})
        file.report(
            "E302",
            f"{element.path} cannot be {node.value!r}",
            node.span,
            did_you_mean(node.value, known, f"one of {', '.join(known[:12])}"),
        )
        return False

    def _coding(self, node: Text, element: Element, profile: str, file: YamlFile) -> Mapping[str, str] | None:
        stated = re.fullmatch(r'([a-z][a-z0-9-]*)#([^\s"]+)(?:\s+"([^"]*)")?', node.value)
        binding = self._binding(element, profile)
        values = self._codes(binding)
        if stated:
            system, code, display = stated.groups()
            if not self.systems.known(system):
                file.report(
                    "E401", f"unknown code system {system!r}", node.span, did_you_mean(system, self.systems.names())
                )
                return None
            uri = self.systems.uri(system, self.target)
            if not uri:
                file.report("E407", f"{system!r} has no URI for {self.target}", node.span)
                return None
            listed = values.get((uri, code)) if values is not None else None
            if (
                values is not None
                and binding is not None
                and binding.strength == "required"
                and (uri, code) not in values
            ):
                file.report("E302", f"{element.path} cannot be {system}#{code}", node.span)
                return None
            shown = display or listed
            return {"system": uri, "code": code, **({"display": shown} if shown else {})}
        if values is None:
            file.report(
                "E302",
                f"{element.path} has no list of codes to find {node.value!r} in",
                node.span,
                'write system#code "display"',
            )
            return None
        hits = [(uri, display) for (uri, code), display in values.items() if code == node.value]
        if len(hits) == 1:
            uri, shown = hits[0]
            return {"system": uri, "code": node.value, **({"display": shown} if shown else {})}
        known = sorted({code for _, code in values})
        file.report(
            "E302",
            f"{node.value!r} is {'in several systems' if hits else 'not'} among the codes of {element.path}",
            node.span,
            "write system#code" if hits else did_you_mean(node.value, known, f"one of {', '.join(known[:12])}"),
        )
        return None
