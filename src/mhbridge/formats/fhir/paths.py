"""
What a path of a message of FHIR finds: `Encounter.participant[type.coding.code="DIS"].individual->Practitioner.name`.

A path begins at the resources of a type, or with a dot where the loop stands. A step goes to an element; `->Type` to
the resource that a reference leads to; `<-Type.element` to the resources of a type whose element refers to this one. A
choice is named as a whole (`.value`) or by one of its types (`.valueQuantity`). Whether there are such elements is
known from the definitions of the declared version, before any message is read.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from mhbridge.formats import Path, PathError, Scope
from mhbridge.formats.fhir.graph import Graph, type_of
from mhbridge.formats.fhir.structure import PRIMITIVES, Structure, structure
from mhbridge.formats.json.path import JsonPath, Step, scan_predicate
from mhbridge.formats.json.reach import JsonLoop
from mhbridge.formats.json.tree import Node, each

__all__ = [
    "Choice",
    "FhirLoop",
    "FhirPath",
    "Follow",
    "Refer",
    "Root",
    "Start",
    "check",
    "ends",
    "make_loop",
    "root_of",
    "scan_path",
]

_TYPE: Final = re.compile(r"[A-Z][A-Za-z]*")
_ELEMENT: Final = re.compile(r"_?[a-z][A-Za-z0-9]*")
_MOST_STEPS: Final = 50


class Root(Node):
    """The topmost node of a message, from which its resources are reached."""

    __slots__ = ("graph",)

    graph: Graph


def root_of(node: Node) -> Graph:
    """The resources of the message that a node is in."""
    top = node.top
    assert isinstance(top, Root)
    return top.graph


@dataclass(frozen=True, slots=True)
class Start(Step):
    """The resources of a type, in the order of the message."""

    def led(self, node: Node) -> Iterable[Node]:
        """All entries of the type."""
        assert isinstance(node, Root)
        return node.graph.resources.get(self.name, ())


@dataclass(frozen=True, slots=True)
class Choice(Step):
    """A choice as a whole: whichever of its keys is there."""

    keys: tuple[str, ...] = ()

    def led(self, node: Node) -> Iterator[Node]:
        """The one that is there."""
        children = node.children
        if type(children) is dict:
            for key in self.keys:
                if (child := children.get(key)) is not None:
                    yield from each(child)


@dataclass(frozen=True, slots=True)
class Follow(Step):
    """`->Type`: where a reference leads to."""

    looks: ClassVar[bool] = True

    def led(self, node: Node) -> Iterable[Node]:
        """The resource, if it is one of the type."""
        found = root_of(node).resolve(node)
        return (found,) if found is not None and type_of(found) == self.name else ()

    def looked(self, node: Node) -> Iterable[Node]:
        """The reference, and the name of what it leads to."""
        return root_of(node).led_by(node)

    @property
    def asks(self) -> bool:
        """Always."""
        return True


@dataclass(frozen=True, slots=True)
class Refer(Step):
    """`<-Type.element`: the resources of a type whose element refers here."""

    element: str = ""
    looks: ClassVar[bool] = True

    def led(self, node: Node) -> Iterator[Node]:
        """Each of them once."""
        seen: set[int] = set()
        for resource, _ in root_of(node).referring(node, self.name, self.element):
            if id(resource) not in seen:
                seen.add(id(resource))
                yield resource

    def looked(self, node: Node) -> Iterator[Node]:
        """The references, and the name of what they lead to."""
        for _, reference in root_of(node).referring(node, self.name, self.element):
            yield from root_of(node).led_by(reference)

    @property
    def asks(self) -> bool:
        """Always."""
        return True


@dataclass(frozen=True, slots=True)
class FhirPath(JsonPath):
    """A path; `type` is that of what it finds, once it is checked."""

    type: str = ""


# --- reading a path ----------------------------------------------------------------------------------------


def scan_path(text: str, start: int, end: int) -> tuple[FhirPath, int] | None:
    """
    The path that begins at `start`, and where it ends.

    Raises:
        PathError: E107, it begins like a path and then goes wrong.
    """
    steps: list[Step] = []
    starts: list[int] = []
    relative = text.startswith(".", start, end)
    at = start
    if not relative:
        word = _TYPE.match(text, start, end)
        if word is None:
            return None
        starts.append(0)
        at = word.end()
        first: Step = Start(word[0])
        if text.startswith("[", at, end):
            which, at = scan_predicate(text, at, end, start)
            first = Start(word[0], which)
        steps.append(first)
    elif not _ELEMENT.match(text, at + 1, end):
        at += 1  # the value of the loop itself, from which an arrow may lead on
    while at < end and (text[at] == "." or text.startswith(("->", "<-"), at, end)):
        starts.append(at - start)
        step, at = _step(text, at, end, start)
        steps.append(step)
        if len(steps) > _MOST_STEPS:
            raise PathError("E107", f"more than {_MOST_STEPS} steps", width=at - start)
    return FhirPath(text[start:at], relative, tuple(steps), tuple(starts)), at


def _step(text: str, at: int, end: int, start: int) -> tuple[Step, int]:
    arrow = text[at : at + 2] if text[at] != "." else ""
    word = (_TYPE if arrow else _ELEMENT).match(text, at + (2 if arrow else 1), end)
    if word is None:
        if arrow:
            raise PathError(
                "E107", f"a resource type follows '{arrow}'", offset=at - start, width=2, hint="->Practitioner"
            )
        raise PathError("E107", "an element follows the '.'", offset=at - start)
    begun, at = at, word.end()
    step: Step = Follow(word[0]) if arrow else Step(word[0])
    if arrow == "<-":
        element = _ELEMENT.match(text, at + 1, end) if text.startswith(".", at, end) else None
        if element is None:
            hint = "<-PractitionerRole.practitioner: those whose practitioner refers here"
            raise PathError("E107", "'<-Type' names the element that refers here", offset=begun - start, hint=hint)
        step, at = Refer(word[0], None, element[0]), element.end()
    if text.startswith("[", at, end):
        which, at = scan_predicate(text, at, end, start)
        step = replace(step, which=which)
    return step, at


# --- what a path may be ------------------------------------------------------------------------------------


def check(path: Path, scope: Scope) -> FhirPath:
    """
    The path with its choices and types, by the definitions of the declared version.

    Raises:
        PathError: E205, there is no such resource or element; E206, there is no loop around a relative path.
    """
    assert isinstance(path, FhirPath)
    known = structure(scope.source.options["version"])
    if path.relative and not scope.loops:
        raise PathError("E206", "a path that begins with a dot needs a $each around it", width=len(path.text))
    here = scope.loops[-1].type if path.relative else ""
    steps: list[Step] = []
    for step, at in zip(path.steps, path.starts, strict=True):
        made: Step = step
        if isinstance(step, Start | Follow | Refer):
            if isinstance(step, Follow) and here not in ("Reference", "choice"):
                hint = "an arrow stands behind an element that is a Reference"
                raise PathError("E205", f"a {here} refers to nothing", offset=at, width=2, hint=hint)
            if step.name not in known.resources:
                raise PathError(
                    "E205", f"{known.version} has no resource {step.name!r}", offset=at, width=len(step.name),
                    hint=_near(step.name, known.resources),
                )  # fmt: skip
            if isinstance(step, Refer) and (element := known.elements(step.name).get(step.element)) is not None:
                if element.type != "Reference":
                    raise PathError("E205", f"{step.name}.{step.element} is no reference", offset=at, width=2)
            elif isinstance(step, Refer):
                hint = _near(step.element, known.elements(step.name))
                raise PathError("E205", f"a {step.name} has no {step.element!r}", offset=at, width=2, hint=hint)
            here = step.name
        else:
            here, keys = _element(known, here, step.name, at)
            if keys != (step.name,):
                made = Choice(step.name, step.which, keys)
        _check_tests(known, here, step, at)
        steps.append(made)
    return replace(path, steps=tuple(steps), type=here)


def ends(path: FhirPath, scope: Scope) -> tuple[str, ...]:
    """The names of what a path that is checked finds: several for a choice, none for a whole resource."""
    steps = path.steps or (scope.loops[-1].steps if path.relative else ())
    last = steps[-1] if steps else None
    if isinstance(last, Choice):
        return last.keys
    return (last.name,) if type(last) is Step else ()


def _element(known: Structure, around: str, name: str, at: int) -> tuple[str, tuple[str, ...]]:
    """The type of an element, and its keys."""
    if around == "choice":
        hint = "name one of its types: valueQuantity.value"
        raise PathError("E205", "a choice has no elements of its own", offset=at, width=len(name) + 1, hint=hint)
    if around in ("Resource", ""):
        hint = "begin at the type of the resource: Patient.name"
        raise PathError(
            "E205", "of what type this resource is, is not known", offset=at, width=len(name) + 1, hint=hint
        )
    elements = known.elements(around)
    found = elements.get(name)
    if found is None:
        what = f"a {around} has no {name!r} in {known.version}"
        hint = _near(name, [one for one in elements if not one.startswith("_")])
        if around in PRIMITIVES:
            what, hint = f"a {around} has no elements", ""
        raise PathError("E205", what, offset=at, width=len(name) + 1, hint=hint)
    return found.type, found.keys


def _check_tests(known: Structure, here: str, step: Step, at: int) -> None:
    for test in step.which.tests if step.which is not None else ():
        type_ = here
        for name in test.names:
            type_, keys = _element(known, type_, name, at)
            if len(keys) > 1:
                hint = f"one of {', '.join(keys[:6])}"
                raise PathError("E205", f"{name} is a choice: a test names one of its types", offset=at, hint=hint)


def _near(name: str, known: Collection[str]) -> str:
    """A hint at what was meant."""
    lowered = {one.casefold(): one for one in sorted(known)}
    found = difflib.get_close_matches(name.casefold(), lowered, n=1)
    if found:
        return f"did you mean {lowered[found[0]]!r}?"
    some = sorted(known)
    return f"it has {', '.join(some[:12])}{', …' if len(some) > 12 else ''}"


@dataclass(frozen=True, slots=True)
class FhirLoop(JsonLoop):
    """`$each` over all that a path finds; `type` is that of each."""

    type: str = ""

    def cursors(self, cursor: Node) -> Iterator[Node]:
        """Those that say something, in order."""
        for node in self.led(cursor):
            if node.end > node.first:
                yield node


def make_loop(path: Path, scope: Scope) -> tuple[FhirLoop, Scope]:
    """
    Raises:
        PathError: as `check`.
    """
    found = check(path, scope)
    loop = FhirLoop(found.steps, found.relative, (), found.type)
    return loop, Scope(scope.source, (*scope.loops, loop))
