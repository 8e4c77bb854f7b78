"""
The invariants of FHIR R4 that apply to what a care-transition gateway writes, each a small function named by its key:

    data_types, resources, uk_core    the invariants, each declared on the type whose it is
    asking                            what they ask of a node
    declared                          how they are declared

Each function holds when it returns True, and never raises, whatever stands in the node: what is malformed is reported
by the walk, and an invariant is silent about it. `exists()` of FHIRPath is true of a primitive with nothing but
extensions, so presence always asks for `_element`, too.

Elsewhere: ele-1, ext-1, sqty-1, dom-2, dom-4 and dom-5 in the walk (`structure`), txt-1 and txt-2 in
`xhtml_rules`, bdl-1 to bdl-12, dom-3 and, between entries, ctm-1 in `bundle_rules`, dom-6 on request in `validate`.
Left out: ppc-2 to ppc-5, whose published expressions ask for the code system 'something' and so hold always; those of
Questionnaires (que-*) and of the data types in which definitions are written (drq-*, trd-*, exp-1). Where the answer
cannot be known (per-1 of times that overlap in their precision), the invariant holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mhbridge.fhir.invariants import data_types, resources, uk_core
from mhbridge.fhir.invariants.declared import Invariant

__all__ = ["INVARIANTS", "OF_PROFILES", "Invariant"]

#: Type path → its own invariants; a type has those of its bases, too.
INVARIANTS: Final[Mapping[str, tuple[Invariant, ...]]] = MappingProxyType(
    data_types.DECLARED.found | resources.DECLARED.found
)
#: Profile → its own invariants; a profile has those of the profiles it is derived from, too.
OF_PROFILES: Final[Mapping[str, tuple[Invariant, ...]]] = MappingProxyType(uk_core.DECLARED.found)
