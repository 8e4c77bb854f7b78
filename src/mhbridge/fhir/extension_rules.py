"""
Whether extensions that the tables know stand where their definitions allow, as often, and hold what they say.

An extension that the tables do not know is nobody's fault: FHIR lets anybody define one. What every extension must be
(a url, a value or inner extensions) is the walk's. This module must never quote a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

from mhbridge.fhir.bindings import codes, is_bound
from mhbridge.fhir.definitions import CORE, UKCORE, Definitions
from mhbridge.fhir.facts import Extension, Part
from mhbridge.fhir.primitives import ABSOLUTE
from mhbridge.fhir.stated import STATED
from mhbridge.model import Severity

__all__ = ["ExtensionRules", "Finding", "contexts", "extension_rules", "target_types"]

#: Path below the list's element, code, sentence, severity.
Finding = tuple[str, str, str, Severity]


@cache
def contexts(definitions: Definitions, type_path: str, place: str) -> frozenset[str]:
    """
    The contexts of extensions that an element is.

    Args:
        type_path: its type, or for an element with elements of its own their type path.
        place: path of the element itself, `Patient.identifier`; empty for a resource.
    """
    # "Element" is anywhere: HL7's validator takes it so for resources, too.
    return frozenset(("Element", type_path, *definitions.bases(type_path), place, place.removesuffix("[x]"))) - {""}


def target_types(definitions: Definitions, targets: Iterable[str]) -> frozenset[str]:
    """Reference targets as resource types: a profile of the tables counts as the type that it constrains."""
    found = set()
    for target in targets:
        profile = definitions.profile(target)
        found.add(profile.type if profile else target)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class _Value:
    """What an extension or a part of one may hold: the JSON keys of its value, its codes, its targets."""

    keys: Mapping[str, str]
    allowed: frozenset[Any] | None
    targets: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Rule:
    """One extension definition, ready to be asked."""

    contexts: frozenset[str]
    many: bool
    modifier: bool
    value: _Value | None
    parts: Mapping[str, tuple[Part, _Value]]
    needed: tuple[str, ...]


class ExtensionRules:
    """
    The extension definitions of the tables. Use `extension_rules`.

    Args:
        definitions: whose.
    """

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._rules: dict[str, _Rule] = {}
        #: (Contexts, whether they modify) → ids of stated extensions that are right there.
        self._right: dict[tuple[frozenset[str], bool], set[int]] = {}

    @cached_property
    def places(self) -> frozenset[str]:
        """The elements that some extension names as its place; types are not among them."""
        found = (self._definitions.extension(name) for name in self._definitions.names("extension"))
        return frozenset(context for facts in found if facts for context in facts.contexts if "." in context)

    def findings(self, items: list[Any], here: frozenset[str], *, modifier: bool = False) -> Iterator[Finding]:
        """
        What is wrong with the extensions of one element.

        Args:
            items: its `extension` or `modifierExtension`, in whatever form.
            here: the contexts that the element is, by `contexts`.
            modifier: it is `modifierExtension`.
        """
        seen: Counter[str] = Counter()
        for place, item in enumerate(items):
            url = item.get("url") if type(item) is dict else None
            if type(url) is not str:
                continue
            rule = self._rule(url)
            if rule is None:
                if "Extension" not in here:
                    yield from self._unknown(url, f"[{place}].url")
                continue
            seen[url] += 1
            if here.isdisjoint(rule.contexts):
                allowed = ", ".join(sorted(rule.contexts))
                yield f"[{place}]", "V124", f"this extension must not stand here (only on: {allowed})", Severity.ERROR
            elif rule.modifier is not modifier:
                name = "modifierExtension" if rule.modifier else "extension"
                yield f"[{place}]", "V124", f"this extension belongs into {name}", Severity.ERROR
            if seen[url] == 2 and not rule.many:
                yield f"[{place}]", "V126", "this extension must not be there more than once", Severity.ERROR
            if rule.value is not None:
                yield from self._held(item, rule.value, f"[{place}]")
            elif rule.parts:
                yield from self._complex(item, rule, f"[{place}]")

    def _unknown(self, url: str, path: str) -> Iterator[Finding]:
        """What is wrong with the url of an extension that the tables do not have."""
        if not ABSOLUTE.match(url):
            text = "an extension has an absolute address, unless it is part of another"
            yield path, "V105", text, Severity.ERROR
        elif url.startswith(UKCORE):
            yield path, "V128", "UK Core has no extension of this address", Severity.ERROR
        elif url.startswith(CORE):
            text = "R4 has no extension of this address that may stand in these resources"
            yield path, "V128", text, Severity.WARNING

    def are_clean(self, items: list[dict[str, Any]], here: frozenset[str], modifier: bool) -> bool:
        """Whether `findings` is known to find nothing. The extensions are known to be good base R4."""
        if len(items) == 1 and id(items[0]) in STATED:
            # What is stated is looked at once for each kind of place.
            known = self._right.setdefault((here, modifier), set())
            if id(items[0]) not in known:
                if not self._are_clean(items, here, modifier):
                    return False
                known.add(id(items[0]))
            return True
        return self._are_clean(items, here, modifier)

    def _are_clean(self, items: list[dict[str, Any]], here: frozenset[str], modifier: bool) -> bool:
        urls = [item["url"] for item in items]
        for item, url in zip(items, urls, strict=True):
            rule = self._rules.get(url) or self._rule(url)
            if rule is None:
                if "Extension" not in here and next(self._unknown(url, ""), None) is not None:
                    return False
                continue
            if here.isdisjoint(rule.contexts) or rule.modifier is not modifier:
                return False
            if not rule.many and len(urls) > 1 and urls.count(url) > 1:
                return False
            if rule.value is not None:
                if not _holds(item, rule.value):
                    return False
            elif rule.parts and not _is_whole(item, rule):
                return False
        return True

    def _complex(self, item: dict[str, Any], rule: _Rule, path: str) -> Iterator[Finding]:
        if any(_is_value(key) for key in item):
            text = "this extension has inner extensions and no value of its own"
            yield path, "V125", text, Severity.ERROR
            return
        inner = item.get("extension")
        seen: Counter[str] = Counter()
        for place, part in enumerate(inner if type(inner) is list else ()):
            url = part.get("url") if type(part) is dict else None
            if type(url) is not str:
                continue
            known = rule.parts.get(url)
            at = f"{path}.extension[{place}]"
            if known is None:
                if ":" not in url:  # an address would be some other extension, which may stand there
                    text = f"this extension has no part of that name (it has: {', '.join(rule.parts)})"
                    yield at, "V125", text, Severity.ERROR
                continue
            seen[url] += 1
            if seen[url] == 2 and not known[0].many:
                yield at, "V126", "this part of the extension must not be there more than once", Severity.ERROR
            yield from self._held(part, known[1], at)
        for url, (facts, _) in rule.parts.items():
            if facts.min and not seen[url]:
                yield path, "V125", f"the part '{url}' of this extension is missing", Severity.ERROR

    def _held(self, item: dict[str, Any], value: _Value, path: str) -> Iterator[Finding]:
        keys = [key for key in item if _is_value(key)]
        if not value.keys:
            return
        if not keys:
            yield path, "V125", f"this extension needs a value ({_named(value)})", Severity.ERROR
        for key in keys:
            kind = value.keys.get(key.removeprefix("_"))
            if kind is None:
                yield path, "V125", f"the value of this extension is of another type ({_named(value)})", Severity.ERROR
                return
            if key[0] == "_":
                continue
            held = item[key]
            if value.allowed is not None and not is_bound(value.allowed, kind, held):
                text = "no code of the value set that the extension's definition requires"
                yield f"{path}.value", "V106", text, Severity.ERROR
            if value.targets and kind == "Reference" and not points_to(held, value.targets):
                allowed = ", ".join(sorted(value.targets))
                text = f"the reference points to a type that is not allowed here (allowed: {allowed})"
                yield f"{path}.value", "V113", text, Severity.ERROR

    def _rule(self, url: str) -> _Rule | None:
        if url not in self._rules:
            facts = self._definitions.extension(url)
            if facts is None or facts.url != url:
                return None  # not remembered: there is no end of addresses
            self._rules[url] = self._made(facts)
        return self._rules[url]

    def _made(self, facts: Extension) -> _Rule:
        parts = {url: (part, self._value(part)) for url, part in facts.parts.items()}
        value = None if parts or not facts.value else self._value(facts)
        needed = tuple(url for url, part in facts.parts.items() if part.min)
        return _Rule(frozenset(facts.contexts), facts.many, facts.modifier, value, parts, needed)

    def _value(self, facts: Extension | Part) -> _Value:
        types = facts.value if isinstance(facts, Extension) else facts.types
        keys = {f"value{kind[0].upper()}{kind[1:]}": kind for kind in types}
        allowed = codes(self._definitions, facts.binding)
        return _Value(keys, allowed, target_types(self._definitions, facts.targets))


def _is_whole(item: dict[str, Any], rule: _Rule) -> bool:
    """Whether a complex extension has its parts, each with what it must hold."""
    parts = item.get("extension", ())
    urls = [part["url"] for part in parts]
    for part, url in zip(parts, urls, strict=True):
        known = rule.parts.get(url)
        if known is None or not _holds(part, known[1]) or (not known[0].many and urls.count(url) > 1):
            return False
    return "extension" in item and all(url in urls for url in rule.needed)


def _holds(item: dict[str, Any], value: _Value) -> bool:
    """Whether an extension, which has a url and one thing more, holds a value of the right type and code."""
    for key, held in item.items():
        if key == "url":
            continue
        kind = value.keys.get(key)
        if kind is None or (value.allowed is not None and not is_bound(value.allowed, kind, held)):
            return False
        if value.targets and kind == "Reference" and not points_to(held, value.targets):
            return False
    return True


def points_to(reference: Any, targets: frozenset[str]) -> bool:
    """Whether a Reference, as far as it names a type, names one of these."""
    if type(reference) is not dict:
        return True
    named = reference.get("type")
    if type(named) is str and named.rpartition("/")[2] not in targets:
        return False
    address = reference.get("reference")
    if type(address) is not str:
        return True
    kind = address.partition("/")[0].partition("?")[0]
    return not kind[:1].isupper() or not kind.isalpha() or kind in targets


def _is_value(key: str) -> bool:
    return key.startswith(("value", "_value"))


_MANY_TYPES: Final = 6


def _named(value: _Value) -> str:
    kinds = list(value.keys.values())
    return ", ".join(kinds) if 0 < len(kinds) <= _MANY_TYPES else "one of the listed types"


@cache
def extension_rules(definitions: Definitions) -> ExtensionRules:
    """The extension definitions of the tables, ready to be asked."""
    return ExtensionRules(definitions)
