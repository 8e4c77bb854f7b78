"""
The frozen values in which `definitions` answers: elements, extensions, profiles, value sets. They must never do work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Binding", "Constraint", "Element", "Extension", "Part", "Profile", "ValueSet"]


@dataclass(frozen=True, slots=True)
class Binding:
    """
    Which codes an element takes.

    Args:
        strength: `required`, `extensible`, `preferred` or `example`.
        valueset: canonical URL without version.
    """

    strength: str
    valueset: str


@dataclass(frozen=True, slots=True)
class Element:
    """
    One element of a resource or data type.

    Args:
        path: the type path it was asked for and its name, for example `Encounter.class`.
        name: its key in JSON, `value[x]` for a choice as a whole and `valueQuantity` for one of its types.
        types: names of data types; empty for an element that has elements of its own.
        children: type path of those elements, else empty; also for R4's `contentReference`.
        min: 0 or 1, for a choice as a whole.
        many: it repeats: a list in JSON.
        targets: resource types that a Reference may point to; empty for any.
        simple: a Quantity there must have no comparator (SimpleQuantity).
    """

    path: str
    name: str
    types: tuple[str, ...]
    children: str = ""
    min: int = 0
    many: bool = False
    choice: bool = False
    binding: Binding | None = None
    targets: tuple[str, ...] = ()
    simple: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """An inner extension of a complex extension."""

    types: tuple[str, ...]
    min: int = 0
    many: bool = False
    binding: Binding | None = None
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Extension:
    """
    An extension definition.

    Args:
        name: short name, `UKCore-LegalStatus` or `patient-birthTime`.
        status: `active`, `draft` or `retired`.
        contexts: element paths it may stand on, `Element` for any, `Resource` for any resource.
        many: it may stand there more than once.
        value: data types of its value; empty for a complex extension.
        parts: inner extensions by their url; empty for a simple one.
        modifier: it belongs into `modifierExtension`.
    """

    name: str
    url: str
    status: str
    contexts: tuple[str, ...]
    many: bool = False
    value: tuple[str, ...] = ()
    binding: Binding | None = None
    targets: tuple[str, ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
    modifier: bool = False


@dataclass(frozen=True, slots=True)
class Constraint:
    """
    What a profile says about one element, as far as it differs from its base.

    Args:
        min, max: cardinality, None where the base's stands; `max` may be `*`.
        fixed: the only value it may have.
        profiles: URLs of the profiles or extensions that its type must follow.
        slicing: (rules, discriminator, …), for example `("open", "value:system")`.
        must_support: the profile's mustSupport.
    """

    min: int | None = None
    max: str | None = None
    fixed: Any = None
    pattern: Any = None
    types: tuple[str, ...] = ()
    binding: Binding | None = None
    targets: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    slicing: tuple[str, ...] = ()
    must_support: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """
    A profile, with what it inherits from other profiles of the tables already laid under it.

    Args:
        name: `UKCore-Encounter`.
        type: the resource type that it constrains.
        status: `active`, `draft` or `retired`; only active ones are safe to claim.
        base: URL of the definition that it constrains.
        constraints: by element id, in which a slice follows a colon (`Patient.identifier:nhsNumber.system`).
    """

    name: str
    url: str
    version: str
    type: str
    status: str
    base: str
    constraints: Mapping[str, Constraint]

    @property
    def bindings(self) -> dict[str, Binding]:
        """The bindings that this profile adds or overrides, by element id; without slices that is the path."""
        return {path: c.binding for path, c in self.constraints.items() if c.binding is not None}

    @property
    def required(self) -> dict[str, int]:
        """The minimum cardinalities that this profile raises, by element id."""
        return {path: c.min for path, c in self.constraints.items() if c.min}

    @property
    def extensions(self) -> dict[str, tuple[str, ...]]:
        """Element path → URLs of the extensions that this profile names there."""
        found: dict[str, tuple[str, ...]] = {}
        for path, constraint in self.constraints.items():
            if constraint.profiles and constraint.types == ("Extension",):
                holder = path.rpartition(".")[0]
                found[holder] = (*found.get(holder, ()), *constraint.profiles)
        return found


@dataclass(frozen=True, slots=True)
class ValueSet:
    """
    A value set.

    Args:
        systems: URIs of the code systems it draws on, in order, whether or not its codes are known.
        codes: (system, code) → display, or None when it cannot be listed here (SNOMED CT hierarchies, media types, …).
    """

    url: str
    systems: tuple[str, ...]
    codes: Mapping[tuple[str, str], str] | None
