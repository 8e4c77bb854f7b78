"""
The fast answer to one question: is there anything at all to report of a resource?

`Compiled` says yes, this resource is clean, or that it cannot say so; then the walk (`structure`) looks again and
reports every issue with its place. So no place is worked out and no text is made for what is right, and there is one
set of texts and places. It must never call clean what the walk has an issue for, be it a warning; it may refuse what
the walk has none for, and does so for rare forms (contained resources, ids of elements, lists of primitives with
extensions, Bundles that are search results or histories): they only take longer.

One Python function per type is made from the tables when the type is first met, and kept. It goes through the keys
that are there, not through those that the type has: keys of small types are told apart by a chain of comparisons,
those of large ones by a dictionary. Chosen by measurement, with CPython 3.11 on one of two busy cores, best of many
rounds, on the Bundle of an admission (237 keys) and structure and primitives alone:

    the walk                                     840 µs
    per type, one function per key                40 µs   the plainest form of what is here
    per shape (tuple of keys), straight-line code 36 µs   needs a bounded cache of shapes, each 0.3 ms to compile
    per shape, a list of check functions          54 µs
    one pydantic-core schema                      35 µs   before any invariant, each of which would be a call back into
                                                          Python; no place for slices and for a Bundle as a whole

A chain in place of one function per key made the first 34 µs, so that neither shapes nor a schema is worth its price.
With systems, extensions, invariants, profiles and references it is 50 to 65 µs. Nothing of a message is kept between
calls: what is remembered is of the definitions alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Final

from mhbridge.fhir.bindings import codes, is_bound, systems
from mhbridge.fhir.compiled_bundle import Met, are_entries_clean, is_address_clean, is_bundle_clean
from mhbridge.fhir.definitions import Definitions, Element
from mhbridge.fhir.extension_rules import contexts, extension_rules
from mhbridge.fhir.invariants import INVARIANTS
from mhbridge.fhir.primitives import ABSOLUTE, OF_SYSTEM, fault, is_decimal
from mhbridge.fhir.profile_rules import profile_rules
from mhbridge.fhir.recurring import LASTING
from mhbridge.fhir.structure import BARE
from mhbridge.fhir.xhtml_rules import is_clean

__all__ = ["Compiled", "compiled"]

Judge = Callable[[dict[str, Any], Met], bool]

#: As many keys as a chain of comparisons may have; with more, a dictionary is faster.
CHAIN: Final = 14
#: How often elements that may hold themselves are entered: with at most eight levels from one to the next, everything
#: below stays above the depth at which the walk stops.
RECURSIONS: Final = 6
#: Elements whose type leads back to the type that has them; extensions, resources and R4's contentReference besides.
RECURSIVE: Final = frozenset({"Identifier.assigner"})
#: Elements that are left to the walk: resources in other places than the entries of a Bundle.
LEFT: Final = frozenset({"contained", "Parameters.parameter.resource"})

#: Types of what lasts, so that it pays to ask whether an object is such: builds state some, and some say who or what
#: works there. So do parts of resources that have no type of their own.
LASTING_TYPES: Final = frozenset({"CodeableConcept", "Coding", "Extension", "Meta", "Narrative", "Reference"})
#: So many are remembered of those in a kind of place that were right.
MOST: Final = 1 << 14

#: What R4 calls a system: an absolute address.
SYSTEMS: Final = frozenset({"Coding.system", "Identifier.system", "Quantity.system"})

# Days up to 28 are in every month; what these do not match, the exact rules decide.
_DATE: Final = r"[12][0-9]{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])"
_TIME: Final = r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:Z|[+-](?:0[0-9]|1[0-3]):[0-5][0-9])"

#: Primitive type → a quick test that only passes what is right; the exact rule is asked of the rest.
_TEXT: Final = "{v} > '!' and {v}.isprintable()"
_WORD: Final = "{v} > '!' and {v}.isprintable() and ' ' not in {v}"
_WEB: Final = f"{{v}}.startswith(('https://', 'http://')) and {_WORD}"
_QUICK: Final = {
    "string": _TEXT,
    "markdown": _TEXT,
    "uri": f"({_WORD} and {{v}}[:4] != 'urn:') or is_urn({{v}})",
    "url": _WEB,
    "canonical": _WEB,
    "code": _WORD,
    "id": "is_id({v})",
    "date": "is_date({v})",
    "dateTime": "is_time({v}) or is_date({v})",
    "instant": "is_time({v})",
}
_EXACT: Final = {
    "boolean": "{v} is True or {v} is False",
    "integer": "type({v}) is int and -2147483648 <= {v} < 2147483648",
    "unsignedInt": "type({v}) is int and 0 <= {v} < 2147483648",
    "positiveInt": "type({v}) is int and 0 < {v} < 2147483648",
    "decimal": "type({v}) is int or is_decimal({v})",
    "xhtml": "type({v}) is str and is_clean({v})",
}


class Compiled:
    """
    Says of a resource that nothing is wrong with it. Use `compiled`.

    Args:
        definitions: what resources are compared with.
    """

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._extensions = extension_rules(definitions)
        self._types = frozenset(definitions.codesystem("http://hl7.org/fhir/resource-types") or ())
        self._resources: dict[str, Judge] = {}
        self._constants: dict[Any, str] = {}
        #: What an object must pass → the name of what remembers which of those that last do.
        self._provers: dict[str, str] = {}
        self.scope: dict[str, Any] = {
            "are_claims_clean": profile_rules(definitions).are_clean,
            "are_entries_clean": are_entries_clean,
            "are_extensions_clean": self._extensions.are_clean,
            "is_bound": is_bound,
            "is_clean": is_clean,
            "is_date": re.compile(_DATE).fullmatch,
            "is_decimal": is_decimal,
            "is_id": re.compile(r"[A-Za-z0-9.-]{1,64}").fullmatch,
            "is_resource": self._resource,
            "is_right": lambda kind, value: fault(definitions, kind, value) is None,
            "is_urn": re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch,
            "is_absolute": ABSOLUTE.match,
            "forms": OF_SYSTEM,
            "systems": systems(definitions),
            "is_time": re.compile(_DATE + _TIME).fullmatch,
            "lasting": LASTING,
        }

    def __call__(self, resource: Any) -> bool:
        """Whether nothing at all is to be said of a resource. False says nothing: ask the walk."""
        met = Met(self._types)
        try:
            if type(resource) is not dict or not self._resource(resource, met):
                return False
            if resource["resourceType"] == "Bundle":
                return is_bundle_clean(resource, met)
            return all(is_address_clean(link, met) for link in met.links)
        except (TypeError, AttributeError, LookupError, ValueError, RecursionError):
            return False  # something was not of the kind that it must be; the walk says what

    def _resource(self, resource: dict[str, Any], met: Met) -> bool:
        kind = resource["resourceType"]
        judge = self._resources.get(kind)
        if judge is None:
            if not self._definitions.is_resource(kind):
                return False
            judge = self._resources[kind] = self._made(f"is_{kind}", kind)
        return judge(resource, met)

    # --- making one function ---

    def _name(self, type_path: str, place: str = "", of: str = "", targets: tuple[str, ...] = ()) -> str:
        """
        The name of the function for objects of a type; it is made when it is first called.

        Args:
            place: path of the element that holds the object, where extensions depend on it.
            of: the primitive type beside which the object stands (`_birthDate`).
            targets: what a Reference there may point to.
        """
        if place not in self._extensions.places:
            place = ""
        name = re.sub(r"\W+", "_", "_".join(("is", type_path, place, of, *targets)))
        if name not in self.scope:

            def first(node: dict[str, Any], met: Met) -> bool:
                if self.scope[name] is first:  # whoever was handed this one asks it again
                    self.scope[name] = self._made(name, type_path, place, of, targets)
                judge: Judge = self.scope[name]
                return judge(node, met)

            self.scope[name] = first
        return name

    def _made(self, name: str, type_path: str, place: str = "", of: str = "", targets: tuple[str, ...] = ()) -> Judge:
        return self._compiled(name, "o", self._lines(type_path, place, of, targets))

    def _compiled(self, name: str, argument: str, lines: Iterable[str]) -> Judge:
        source = "\n".join([f"def {name}({argument}, met):", *(f" {line}" for line in lines), " return True"])
        made: dict[str, Judge] = {}
        # The source is made of names in the tables, never of anything received.
        exec(compile(source, f"<{name}>", "exec"), self.scope, made)  # noqa: S102
        return made[name]

    def constant(self, value: Any) -> str:
        """The name of a value that the functions share."""
        if value not in self._constants:
            name = self._constants[value] = f"k{len(self._constants)}"
            self.scope[name] = value
        return self._constants[value]

    def _lines(self, type_path: str, place: str, of: str, targets: tuple[str, ...]) -> Iterator[str]:
        """The function for a type: each key that is there, then what must be there, then what holds between them."""
        elements = self._elements(type_path)
        # Extensions last: most elements have none.
        chain = {key: e for key, e in elements.items() if key[0] != "_" and e.types != ("Extension",)}
        chain |= {key: e for key, e in elements.items() if e.types == ("Extension",)}
        if len(chain) > CHAIN:
            chain = {}
        here = contexts(self._definitions, of or type_path, place)

        def rest(key: str) -> Judge | None:
            element = elements.get(key)
            if element is None:
                return None
            return self._beside(element) if key[0] == "_" else self._single(element, here)

        yield "if not o: return False"
        yield "for k, v in o.items():"
        word = "if"
        if self._definitions.is_resource(type_path):
            yield " if k == 'resourceType': continue"
        for key, element in chain.items():
            yield f" {word} k == {key!r}:"
            yield from (f"  {line}" for line in self._member(element, here))
            word = "elif"
        yield f" {'else' if chain else 'if True'}:"
        self.scope[name := f"m{len(self.scope)}"] = _Members(rest)
        yield f"  if not {name}[k](v, met): return False"
        yield from self._together(type_path, elements, targets)

    def _elements(self, type_path: str) -> dict[str, Element]:
        """The keys that the function knows; any other is left to the walk."""
        found: dict[str, Element] = {}
        for key, element in self._definitions.keys(type_path).items():
            if element.path in LEFT or key in LEFT or (key == "id" and not self._definitions.is_resource(type_path)):
                continue
            found[key] = element
            if (
                element.types
                and key != "id"
                and element.path not in BARE
                and self._definitions.is_primitive(element.types[0])
                and not (element.many or element.choice)
                and codes(self._definitions, element.binding) is None
            ):
                found[f"_{key}"] = element
        return found

    def _member(self, element: Element, here: frozenset[str]) -> Iterator[str]:
        """What is asked of the value `v` of one key."""
        if element.path == "Bundle.entry":
            yield f"if not are_entries_clean(v, met, {self._name('Bundle.entry')}): return False"
            return
        is_extension = element.types == ("Extension",)
        deep = is_extension or element.path in RECURSIVE or element.children not in ("", element.path)
        if deep:
            yield "met.depth += 1"
            yield f"if met.depth > {RECURSIONS}: return False"
        if element.many:
            yield "if type(v) is not list or not v: return False"
            yield "for x in v:"
            yield f" if not ({self._test(element, 'x')}): return False"
        else:
            yield f"if not ({self._test(element, 'v')}): return False"
        if is_extension:
            modifier = element.name == "modifierExtension"
            yield f"if not are_extensions_clean(v, {self.constant(here)}, {modifier}): return False"
        if deep:
            yield "met.depth -= 1"

    def _single(self, element: Element, here: frozenset[str]) -> Judge:
        """A function for the value of one key."""
        return self._compiled(f"is_{element.name}", "v", self._member(element, here))

    def _beside(self, element: Element) -> Judge:
        """A function for what stands beside a primitive value, or in its place."""
        name = self._name("Element", element.path, element.types[0])
        return self._compiled(
            f"is_beside_{element.name}", "v", [f"if type(v) is not dict or not {name}(v, met): return False"]
        )

    def _test(self, element: Element, v: str) -> str:
        """An expression for one value, true only if it is right."""
        if element.children:
            return f"type({v}) is dict and {self._once(f'{self._name(element.children, element.path)}({{v}}, met)', v)}"
        (kind,) = element.types
        allowed = codes(self._definitions, element.binding)
        if self._definitions.is_primitive(kind):
            if allowed is not None:
                return f"type({v}) is str and {v} in {self.constant(allowed)}"
            if kind in _EXACT:
                return _EXACT[kind].format(v=v)
            quick = _QUICK.get(kind, "False").format(v=v)
            if element.path in SYSTEMS:
                quick = f"{v} in systems or ({_WEB.format(v=v)}) or is_urn({v})"
                return f"type({v}) is str and ({quick} or (is_right({kind!r}, {v}) and is_absolute({v})))"
            return f"type({v}) is str and ({quick} or is_right({kind!r}, {v}))"
        if kind == "Resource":
            return f"type({v}) is dict and is_resource({v}, met)"
        name = self._name(kind, element.path, "", element.targets if kind == "Reference" else ())
        test = f"{name}({{v}}, met)"
        if allowed is not None:
            test += f" and is_bound({self.constant(allowed)}, {kind!r}, {{v}})"
        if element.simple and kind == "Quantity":
            test += " and 'comparator' not in {v} and '_comparator' not in {v}"
        return f"type({v}) is dict and {self._once(test, v) if kind in LASTING_TYPES else test.format(v=v)}"

    def _once(self, test: str, v: str) -> str:
        """A test that is asked but once of what lasts."""
        return f"({self._prover(test)}({v}, met) if id({v}) in lasting else {test.format(v=v)})"

    def _prover(self, test: str) -> str:
        """The name of what asks a test of an object that lasts, and only once of each."""
        name = self._provers.get(test)
        if name is None:
            name = self._provers[test] = f"p{len(self._provers)}"
            self.scope[name] = _Proof(self._compiled(name, "o", [f"if not ({test.format(v='o')}): return False"]))
        return name

    def _together(self, type_path: str, elements: Mapping[str, Element], targets: tuple[str, ...]) -> Iterator[str]:
        """What is asked of the keys of an object together, as `o`."""
        keys_of: dict[str, list[str]] = {}
        for key, element in elements.items():
            keys_of.setdefault(element.path, []).append(key)
        for element in self._definitions.elements(type_path).values():
            keys = keys_of.get(element.path, [])
            if element.min:
                yield f"if {' and '.join(f'{key!r} not in o' for key in keys)}: return False"
            if element.choice and type_path != "Extension":
                yield f"if len({self.constant(frozenset(keys))}.intersection(o)) > 1: return False"
        if type_path == "Extension":
            yield "if len(o) != 2: return False"  # the url, and either a value or inner extensions (ext-1)
        if type_path == "Coding":
            yield "k = systems.get(o.get('system'))"
            yield "if k is not None and 'code' in o and o['code'] not in k: return False"
        if type_path == "Identifier":
            yield "k = forms.get(o.get('system'))"
            yield "if k is not None and 'value' in o and not k.fullmatch(o['value']): return False"
        if type_path == "Reference":
            yield from self._reference(frozenset(targets))
        for base in self._definitions.bases(type_path):
            for invariant in INVARIANTS.get(base, ()):
                asked = " or ".join(f"{key!r} in o" for key in invariant.when) or "True"
                yield f"if ({asked}) and not {self.constant(invariant.holds)}(o): return False"
        if self._definitions.is_resource(type_path):
            yield "m = o.get('meta')"
            yield f"if m is not None and 'profile' in m and not are_claims_clean(o, {type_path!r}): return False"

    def _reference(self, targets: frozenset[str]) -> Iterator[str]:
        allowed = self.constant(targets)
        if targets:
            # Either the name of the type or its address.
            yield f"if 'type' in o and o['type'] not in {allowed}:"
            yield f" if o['type'].rpartition('/')[2] not in {allowed}: return False"
        yield f"if 'reference' in o: met.links.append((o['reference'], {allowed}, 'type' in o))"


class _Members(dict[str, Judge]):
    """Functions for the values of single keys, each made when it is first met; none is kept for an unknown key."""

    def __init__(self, make: Callable[[str], Judge | None]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: str) -> Judge:
        made = self._make(key)
        if made is None:
            return _unknown
        self[key] = made
        return made


class _Proof:
    """
    Whether an object that lasts (`recurring`) is right in a kind of place; found out once, since nobody changes it.

    Not of one with references: where they lead, the document that it stands in decides. How deep one stood when it was
    looked at does not matter: what lasts is never deep.
    """

    __slots__ = ("_judge", "_right")

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        #: Held, so that no other object ever has the id of one.
        self._right: dict[int, Any] = {}

    def __call__(self, part: dict[str, Any], met: Met) -> bool:
        if id(part) in self._right:
            return True
        links = len(met.links)
        if not self._judge(part, met):
            return False
        if len(met.links) == links:
            if len(self._right) >= MOST:
                self._right.clear()
            self._right[id(part)] = part
        return True


def _unknown(_: Any, __: Met) -> bool:
    return False


@cache
def compiled(definitions: Definitions) -> Compiled:
    """The compiled form of definitions, one for each."""
    return Compiled(definitions)
