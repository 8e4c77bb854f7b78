"""
Whether a resource is what the profiles that it claims (`meta.profile`) ask beyond base R4.

Looked at: cardinalities, fixed values, narrowed types and reference targets, required bindings, slices told apart by
a fixed value or an extension's url, and the profile's own invariants. Not an error: what is only `mustSupport`, codes
outside an extensible or preferred value set, a claim of a profile that the tables do not have (information). Whether
the resource is good R4 is the walk's; what is malformed is passed over here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import inf
from typing import Any

from mhbridge.fhir.bindings import codes, is_bound
from mhbridge.fhir.definitions import CORE, UKCORE, Constraint, Definitions, Profile
from mhbridge.fhir.extension_rules import points_to, target_types
from mhbridge.fhir.invariants import OF_PROFILES, Invariant
from mhbridge.fhir.primitives import ABSOLUTE
from mhbridge.fhir.stated import STATED
from mhbridge.model import Severity

__all__ = ["ProfileRules", "profile_rules"]

#: Path, code, sentence, severity.
Finding = tuple[str, str, str, Severity]


@dataclass(slots=True)
class _Node:
    """What a profile asks of one element, or of one slice of it."""

    name: str = ""
    min: int = 0
    max: float = inf
    fixed: Any = None
    kinds: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    codes: frozenset[Any] | None = None
    url: str = ""
    by: str = ""
    closed: bool = False
    children: dict[str, _Node] = field(default_factory=dict)
    slices: dict[str, _Node] = field(default_factory=dict)
    #: For the fast answer: whether it must be there, whether each repetition is looked at, how its slices are told.
    needed: bool = False
    each: bool = False
    told: tuple[tuple[tuple[str, ...], str, _Node], ...] = ()
    #: Ids of what is stated (`stated`) and was found to be right here.
    right: set[int] = field(default_factory=set)

    @property
    def asks(self) -> bool:
        """Whether anything at all is asked here or below."""
        return (
            self.min > 0
            or self.max != inf
            or self.fixed is not None
            or bool(self.kinds or self.targets or self.closed)
            or self.codes is not None
            or bool(self.children or self.slices)
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """One profile, ready to be asked."""

    name: str
    type: str
    root: _Node
    invariants: tuple[Invariant, ...]
    asks: bool


class ProfileRules:
    """
    The profiles of the tables. Use `profile_rules`.

    Args:
        definitions: whose.
    """

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._plans: dict[str, _Plan] = {}

    def findings(self, resource: Mapping[str, Any], kind: str, path: str) -> Iterator[Finding]:
        """Where a resource is not what it claims to be."""
        for place, claim in enumerate(_claims(resource)):
            plan = self._plan(claim)
            if plan is None:
                if claim.startswith(UKCORE):
                    yield f"{path}.meta.profile[{place}]", "V160", "UK Core has no such profile", Severity.ERROR
                elif claim.partition("|")[0] != f"{CORE}{kind}" and ABSOLUTE.match(claim):
                    text = "the tables do not have this profile: the resource was not compared with it"
                    yield f"{path}.meta.profile[{place}]", "V160", text, Severity.INFORMATION
            elif plan.type != kind:
                text = f"the profile that is claimed is one of {plan.type}"
                yield f"{path}.meta.profile[{place}]", "V160", text, Severity.ERROR
            elif plan.asks:
                yield from _inside(plan.root, resource, path, plan.name)
                for invariant in plan.invariants:
                    if not invariant.holds(resource):
                        yield path, "V127", f"{invariant.text} ({invariant.key})", invariant.severity

    def are_clean(self, resource: Mapping[str, Any], kind: str) -> bool:
        """Whether `findings` is known to find nothing. The resource is known to be good base R4."""
        for claim in resource["meta"]["profile"]:
            plan = self._plans.get(claim) or self._plan(claim)
            if plan is None or plan.type != kind:
                return False
            if plan.asks and not (
                _is_inside_clean(plan.root, resource)
                and all(invariant.holds(resource) for invariant in plan.invariants)
            ):
                return False
        return True

    def _plan(self, claim: str) -> _Plan | None:
        url = claim.partition("|")[0]
        if url not in self._plans:
            profile = self._definitions.profile(url)
            if profile is None or profile.url != url:
                return None  # not remembered: there is no end of addresses
            root = self._root(profile)
            invariants = tuple(i for name in self._lineage(profile) for i in OF_PROFILES.get(name, ()))
            self._plans[url] = _Plan(profile.name, profile.type, root, invariants, root.asks or bool(invariants))
        return self._plans[url]

    def _lineage(self, profile: Profile) -> Iterator[str]:
        found: Profile | None = profile
        while found is not None:
            yield found.name
            found = self._definitions.profile(found.base)

    def _root(self, profile: Profile) -> _Node:
        root = _Node(profile.type)
        for identity, constraint in profile.constraints.items():
            node = root
            for step in identity.split(".")[1:]:
                name, _, sliced = step.partition(":")
                node = node.children.setdefault(name, _Node(name.removesuffix("[x]")))
                if sliced:
                    node = node.slices.setdefault(sliced, _Node(name.removesuffix("[x]")))
            if node is not root:
                self._constrain(node, identity, constraint)
        _handed_down(root)
        return _pruned(root)

    def _constrain(self, node: _Node, identity: str, said: Constraint) -> None:
        node.min = said.min or 0
        node.max = inf if said.max in (None, "*") else int(said.max)
        node.fixed = said.fixed
        node.targets = target_types(self._definitions, said.targets)
        node.codes = codes(self._definitions, said.binding)
        if said.types and identity.endswith("[x]"):
            node.kinds = frozenset(f"{kind[0].upper()}{kind[1:]}" for kind in said.types)
        if said.types == ("Extension",) and said.profiles:
            node.url = said.profiles[0]
        if said.slicing:
            rules, *discriminators = said.slicing
            kinds = [d.removeprefix("value:") for d in discriminators if d.startswith("value:")]
            node.by = kinds[0] if len(kinds) == len(discriminators) == 1 else ""
            node.closed = rules == "closed" and bool(node.by)


def _handed_down(node: _Node, base: _Node | None = None) -> None:
    """Give the slices inside a slice what the profile says of them outside of it: how they are told apart."""
    if base is not None:
        node.by = node.by or base.by
        for name, inner in node.slices.items():
            for step, known in base.slices[name].children.items() if name in base.slices else ():
                inner.children.setdefault(step, known)
    for name, inner in node.children.items():
        _handed_down(inner, base.children.get(name) if base else None)
    for inner in node.slices.values():
        _handed_down(inner, node)


def _pruned(node: _Node) -> _Node:
    """Without what asks nothing; the fixed values that tell slices apart stay."""
    node.children = {name: inner for name, inner in node.children.items() if _pruned(inner).asks}
    node.slices = {
        name: inner for name, inner in node.slices.items() if _pruned(inner).asks and _told(node, inner) is not None
    }
    if not node.slices:
        node.closed = False
    node.told = tuple((told[:-1], told[-1], inner) for inner in node.slices.values() if (told := _told(node, inner)))
    node.needed = node.min > 0 or any(inner.min > 0 for inner in node.slices.values())
    node.each = bool(node.fixed is not None or node.targets or node.codes is not None or node.children)
    return node


def _told(holder: _Node, sliced: _Node) -> tuple[str, ...] | None:
    """The path and value by which a slice is known, as one tuple; None when it cannot be told."""
    if sliced.url:
        return ("url", sliced.url)
    found, steps = sliced, tuple(filter(None, holder.by.split(".")))
    for step in steps:
        if step not in found.children:
            # A slice of a profile that is derived from another may leave the fixed value to it.
            return None
        found = found.children[step]
    return (*steps, found.fixed) if steps and isinstance(found.fixed, str) else None


def _claims(resource: Mapping[str, Any]) -> list[str]:
    meta = resource.get("meta")
    claims = meta.get("profile") if type(meta) is dict else None
    return [claim for claim in claims if type(claim) is str] if type(claims) is list else []


# --- asking ----------------------------------------------------------------------------------------------------------


def _inside(node: _Node, holder: Mapping[str, Any], path: str, profile: str) -> Iterator[Finding]:
    """What is asked of the elements of an object."""
    for name, inner in node.children.items():
        at = f"{path}.{inner.name}"
        if name.endswith("[x]"):
            keys = [key for key in holder if _of_choice(key.removeprefix("_"), inner.name)]
            found = [holder[key] for key in keys]
            if inner.kinds and any(key.removeprefix("_")[len(inner.name) :] not in inner.kinds for key in keys):
                text = f"the profile allows only {', '.join(sorted(inner.kinds))} here ({profile})"
                yield at, "V164", text, Severity.ERROR
        else:
            value = holder.get(name)
            companion = holder.get(f"_{name}")
            found = value if type(value) is list else [] if value is None else [value]
            if not found and companion is not None:
                found = companion if type(companion) is list else [companion]
        many = type(holder.get(name)) is list
        yield from _counted(inner, len(found), at, profile, "")
        for place, item in enumerate(found):
            yield from _one(inner, item, f"{at}[{place}]" if many else at, profile)
        if inner.slices:
            yield from _sliced(inner, found, at, profile)


def _is_inside_clean(node: _Node, holder: Mapping[str, Any]) -> bool:
    """`_inside`, as a yes or no."""
    for name, inner in node.children.items():
        found = holder.get(name)
        if found is None and name.endswith("[x]"):
            keys = [key for key in holder if inner.name in key]
            if len(keys) == 1 and _of_choice(keys[0], inner.name):
                if inner.kinds and keys[0][len(inner.name) :] not in inner.kinds:
                    return False
                found = holder[keys[0]]
            elif keys:
                if next(_inside(_Node(children={name: inner}), holder, "", ""), None) is not None:
                    return False
                continue
        if found is None:
            if inner.needed or f"_{name}" in holder:
                return False
            continue
        # What a build states is looked at once.
        is_stated = id(found) in STATED
        if is_stated and id(found) in inner.right:
            continue
        items = found if type(found) is list else (found,)
        if not inner.min <= len(items) <= inner.max:
            return False
        if inner.each and not all(_is_one_clean(inner, item) for item in items):
            return False
        matched = 0
        for steps, value, sliced in inner.told:
            if len(steps) == 1:
                fitting = [item for item in items if item.get(steps[0]) == value]
            else:
                fitting = [item for item in items if _at(item, steps, value)]
            if not sliced.min <= len(fitting) <= sliced.max:
                return False
            if fitting and sliced.each and not all(_is_one_clean(sliced, item) for item in fitting):
                return False
            matched += len(fitting)
        if inner.closed and matched != len(items):
            return False
        if is_stated:
            inner.right.add(id(found))
    return True


def _is_one_clean(node: _Node, item: Any) -> bool:
    if node.fixed is None and not node.targets and node.codes is None:
        return type(item) is dict and _is_inside_clean(node, item)
    return next(_one(node, item, "", ""), None) is None


def _sliced(node: _Node, found: list[Any], path: str, profile: str) -> Iterator[Finding]:
    unmatched = set(range(len(found)))
    for name, inner in node.slices.items():
        told = _told(node, inner)
        assert told is not None
        fitting = [place for place, item in enumerate(found) if _at(item, told[:-1], told[-1])]
        unmatched -= set(fitting)
        yield from _counted(inner, len(fitting), path, profile, name)
        for place in fitting:
            yield from _one(inner, found[place], f"{path}[{place}]", profile)
    if node.closed:
        for place in sorted(unmatched):
            text = f"it is none of the slices that the profile allows here: {', '.join(node.slices)} ({profile})"
            yield f"{path}[{place}]", "V165", text, Severity.ERROR


def _counted(node: _Node, count: int, path: str, profile: str, sliced: str) -> Iterator[Finding]:
    what = f"the slice {sliced}" if sliced else "the element"
    if count < node.min:
        yield path, "V161", f"the profile asks for {what} at least {node.min} times ({profile})", Severity.ERROR
    elif count > node.max:
        yield path, "V162", f"the profile allows {what} at most {node.max:g} times ({profile})", Severity.ERROR


def _one(node: _Node, item: Any, path: str, profile: str) -> Iterator[Finding]:
    if node.fixed is not None and item != node.fixed:
        yield path, "V163", f"the profile fixes another value here ({profile})", Severity.ERROR
    if node.targets and not points_to(item, node.targets):
        text = f"the profile allows only references to {', '.join(sorted(node.targets))} here ({profile})"
        yield path, "V164", text, Severity.ERROR
    if node.codes is not None:
        kind = "CodeableConcept" if type(item) is dict and "coding" in item else "Coding"
        if not is_bound(node.codes, kind, item):
            yield path, "V106", f"no code of the value set that the profile requires ({profile})", Severity.ERROR
    if node.children and type(item) is dict:
        yield from _inside(node, item, path, profile)


def _at(item: Any, steps: tuple[str, ...], value: str) -> bool:
    """Whether a value stands at a path, in any of the repetitions on the way."""
    if type(item) is list:
        return any(_at(inner, steps, value) for inner in item)
    if not steps:
        return bool(item == value)
    return type(item) is dict and _at(item.get(steps[0]), steps[1:], value)


def _of_choice(key: str, name: str) -> bool:
    return key.startswith(name) and key[len(name) : len(name) + 1].isupper()


@cache
def profile_rules(definitions: Definitions) -> ProfileRules:
    """The profiles of the tables, ready to be asked."""
    return ProfileRules(definitions)
