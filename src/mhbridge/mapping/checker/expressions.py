"""
Resolves an expression: every name, type, scope, conversion and function is decided here, before any message is read.

The same resolver serves bindings (paths of a format, no items) and builds (items and aliases, no paths).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeVar

from mhbridge.errors import Span
from mhbridge.fhir.definitions import r4
from mhbridge.formats import PathError, Plain, Plan
from mhbridge.mapping import leaves, nodes, syntax
from mhbridge.mapping.checker.calls import resolve_call
from mhbridge.mapping.checker.declarations import did_you_mean
from mhbridge.mapping.checker.environment import (
    ANY,
    BOOLEAN,
    CONCEPT,
    TEXT,
    Environment,
    common,
    comparable,
    is_coded,
    is_text,
)
from mhbridge.mapping.conversions import Conversion, conversion
from mhbridge.mapping.expression import parse
from mhbridge.mapping.functions import functions
from mhbridge.mapping.marks import Mark
from mhbridge.mapping.packs import MESSAGE_FIELDS
from mhbridge.mapping.reader import Node, Text
from mhbridge.mapping.types import BUILT_IN_RECORDS, Type
from mhbridge.model import Severity

__all__ = ["Resolver", "existence"]

#: What a caller that reports a problem would have returned.
_Nothing = TypeVar("_Nothing")

#: Types that a text in double quotes may be of without a check.
_LITERALS = frozenset({"code", "markdown", "string", "text"})


#: HL7 v2 types of free text and of bare codes.
_PROSE = frozenset({"FT", "ID", "IS", "ST", "TX", "varies"})


def _article(name: str) -> str:
    """For the letters of a type, as they are spoken: an XPN, a TS."""
    return "an" if name[0] in "AEFHILMNORSX" and len(name) > 1 and name != "NULL" else "a"


class Resolver:
    """
    Resolves the expressions of one environment. Returns `None` where a diagnostic was reported.

    `deciding` counts the conditions around what is being resolved.
    """

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.file = env.file
        self.deciding = 0

    def wrong(self, code: str, message: str, span: Span, hint: str = "") -> _Nothing | None:
        """Report what is wrong. Gives `None`, for the caller to return."""
        self.file.report(code, message, span, hint)
        return None

    # -- entry points ---------------------------------------------------------------------------------------

    def value(self, text: Text, want: Type) -> nodes.Expression | None:
        """The expression of a text node (`= …`), giving a value of type `want`."""
        tree = parse(self.file, text, self.env.format)
        return None if tree is None else self.expression(tree, want)

    def test(self, node: Node) -> nodes.Condition | None:
        """The condition of a structure word."""
        if not isinstance(node, Text):
            return self.wrong("E042", "a condition is one expression", node.span)
        tree = parse(self.file, node, self.env.format, condition=True)
        return None if tree is None else self.condition(tree)

    # -- values ---------------------------------------------------------------------------------------------

    def expression(self, tree: syntax.Expr, want: Type) -> nodes.Expression | None:
        """An expression as a value; `want` decides what a path becomes and which result a function gives."""
        match tree:
            case syntax.PathNode():
                return self.path(tree, want)
            case syntax.TextNode():
                return nodes.Literal(tree.span, Type(want.name if want.name in _LITERALS else "string"), tree.value)
            case syntax.NumberNode():
                return self.number(tree)
            case syntax.CodeNode():
                if not self._system(tree):
                    return None
                return nodes.Literal(tree.span, CONCEPT, {"coding": [{"system": tree.system, "code": tree.code}]})
            case syntax.NameNode():
                return self._name(tree)
            case syntax.CallNode():
                return resolve_call(self, tree, want)
            case syntax.OrNode():
                return self._alternatives(tree, want)
            case syntax.IfNode():
                return self._choice(tree, want)
            case syntax.AndNode() | syntax.NotNode() | syntax.CompareNode() | syntax.InNode():
                decided = self.condition(tree)
                return None if decided is None else nodes.Decide(tree.span, BOOLEAN, decided)

    @staticmethod
    def number(tree: syntax.NumberNode) -> nodes.Literal:
        """A number as written: whole, or a decimal with its digits."""
        if "." in tree.text:
            return nodes.Literal(tree.span, Type("decimal"), Decimal(tree.text))
        return nodes.Literal(tree.span, Type("integer"), int(tree.text))

    def _alternatives(self, tree: syntax.OrNode, want: Type) -> nodes.Expression | None:
        found = [self.expression(term, want) for term in tree.terms]
        terms = tuple(term for term in found if term is not None)
        if len(terms) != len(found):
            return None
        if all(term.type == BOOLEAN for term in terms):
            # Is `false` a value, or a no? Nobody can tell (mapping language §3.2).
            hint = 'write: if a then "…" else …, or use it under $when'
            return self.wrong("E209", "'or' between booleans is a condition, not a value", tree.span, hint)
        for early in terms[:-1]:
            if isinstance(early, nodes.Literal | nodes.Decide | nodes.PositionOf):
                self.wrong("E211", "what follows is never reached: a literal is always present", early.span)
        return nodes.Alternatives(tree.span, common(term.type for term in terms), terms)

    def _choice(self, tree: syntax.IfNode, want: Type) -> nodes.Expression | None:
        condition = self.condition(tree.condition)
        then = self.expression(tree.then, want)
        otherwise = self.expression(tree.otherwise, want) if tree.otherwise is not None else None
        if condition is None or then is None or (tree.otherwise is not None and otherwise is None):
            return None
        type_ = then.type if otherwise is None else common((then.type, otherwise.type))
        return nodes.Choose(tree.span, type_, condition, then, otherwise)

    def path(self, tree: syntax.PathNode, want: Type, source_type: str | None = None) -> nodes.Expression | None:
        """
        A path of the source, converted to what is wanted; `any` asks only whether something is there.

        Args:
            source_type: the type of what the path finds, where that is known.
        """
        env, source_type = self.env, source_type or self.source_type(tree)
        if source_type is None or env.format is None or env.scope is None:
            return None
        if not self.deciding:
            env.read_paths.add(tree.path.text)
        texts = leaves.texts(env.format, tree.path, env.scope)
        if want.name == "any" and not want.options:
            mark = self._mark(tree, None, many=False)
            return self._read(tree, ANY, leaves.presence(mark), texts, mark)
        found = conversion(source_type, want.single())
        if found is None:
            hint = self._beside(tree, want) or "bind one of its components, or use a function that says how"
            return self.wrong("E204", f"{source_type} cannot become {want.single()}", tree.span, hint)
        mark = self._mark(tree, found, many=want.many)
        if want.many:
            take = leaves.every(env.format, found, want, mark, on_bad=env.on_bad)
        elif found.target.name == "nhs_number":
            take = leaves.one_number(env.format.every(tree.path, env.scope), found, mark, on_bad=env.on_bad)
        else:
            take = leaves.first(env.format, found, want, mark, on_bad=env.on_bad)
        return self._read(tree, want, take, texts, mark)

    def _beside(self, tree: syntax.PathNode, want: Type) -> str:
        """The hint at what near a path could become what is wanted; empty where the format has no types."""
        env = self.env
        listed = getattr(env.format, "alternatives", None)  # `formats.Typed`
        if listed is None:
            return ""
        # All that is text could be most things, which helps nobody.
        near = [
            f"{path} is {_article(name)} {name}"
            for path, name in listed(tree.path, env.scope)
            if name not in _PROSE and conversion(name, want.single()) is not None
        ]
        return f"did you mean another? {', '.join(near[:3])}" if near else ""

    def _read(
        self, tree: syntax.PathNode, want: Type, take: leaves.Taker, texts: Callable[[Any], list[str]], mark: Mark
    ) -> nodes.Read | None:
        format_, scope, path = self.env.format, self.env.scope, tree.path
        assert format_ is not None
        assert scope is not None
        find: Any
        quick: Any = None
        alone: Any = None
        planned = hasattr(format_, "plan")  # `formats.Planned`
        # Of NHS numbers all are looked at, so that two are noticed.
        number = mark.conversion is not None and mark.conversion.target.name == "nhs_number"
        every: Plain | None = format_.plain(path, scope) if planned and (want.many or number) else None  # type: ignore[attr-defined]
        if want.many:
            find = format_.every(path, scope)
            if every is not None:
                quick = leaves.plain_every(every, find, take, mark)
            return nodes.Read(tree.span, want, path.text, find, take, None, texts, mark, quick)
        plan: Plan | None = format_.plan(path, scope) if planned else None  # type: ignore[attr-defined]
        try:
            find = format_.first(path, scope) if plan is None else plan.find
        except PathError as error:
            return self.report_path(error, tree.span)
        if plan is not None and not number:
            quick, alone = leaves.plain_first(plan, take, mark)
        elif plan is not None and every is not None:
            quick = leaves.plain_every(every, find, take, mark, alone=plan)
            plan = plan if quick is None else None
        return nodes.Read(tree.span, want, path.text, find, take, plan, texts, mark, quick, alone)

    def _mark(self, tree: syntax.PathNode, found: Conversion | None, *, many: bool) -> Mark:
        """What stands for a path in the field ledger. One that only its presence matters of decides, wherever it is."""
        env = self.env
        assert env.format is not None
        assert env.scope is not None
        # Of NHS numbers all are looked at, so that two are noticed.
        beside = found is not None and found.target.name == "nhs_number"
        spot = env.format.spot(tree.path, env.scope, many=many or beside)
        decides = found is None or self.deciding > 0
        return Mark(tree.path.text, spot, found, decides=decides, many=many, item=env.item, rule=str(tree.span))

    def source_type(self, tree: syntax.PathNode) -> str | None:
        """The source type of what a path finds."""
        env = self.env
        if env.format is None or env.scope is None:
            return self.wrong("E107", "a path of the source has no place here: this reads items", tree.span)
        try:
            found = env.format.source_type(tree.path, env.scope)
        except PathError as error:
            return self.report_path(error, tree.span)
        doubt = getattr(env.format, "doubt", None) if env.scope.loops else None  # `formats.Doubting`
        if doubt is not None and (what := doubt(tree.path, env.scope)) is not None:
            env.file.report(what.code, what.message, tree.span, what.hint, Severity.WARNING)
        return found

    def report_path(self, error: PathError, span: Span) -> _Nothing | None:
        """Report what a format says about a path."""
        start = span.column + error.offset
        where = Span(span.file, span.line, start, span.line, start + max(1, error.width)) if error.offset else span
        return self.wrong(error.code, error.message, where, error.hint)

    # -- names ----------------------------------------------------------------------------------------------

    def _name(self, tree: syntax.NameNode) -> nodes.Expression | None:
        head, *fields = tree.parts
        env = self.env
        if head in env.aliases:
            type_ = self._field_type(env.aliases[head], tree)
            return None if type_ is None else nodes.AliasOf(tree.span, type_, head, tuple(fields))
        if head == "message" and env.message:
            if len(fields) != 1 or fields[0] not in MESSAGE_FIELDS:
                return self.wrong("E201", "message has no such field", tree.span, f"one of {', '.join(MESSAGE_FIELDS)}")
            return nodes.ItemOf(tree.span, MESSAGE_FIELDS[fields[0]], "message", (fields[0],))
        if env.document is None:
            hint = did_you_mean(
                head, functions(), "a binding reads the source only; derived items are declared with `is`"
            )
            return self.wrong("E201", f"unknown name {head!r}", tree.span, hint)
        item = env.document.items.get(head)
        if item is None:
            hint = did_you_mean(head, [*env.document.items, *env.aliases])
            return self.wrong("E201", f"unknown item or alias {head!r}", tree.spans[0], hint)
        type_ = self._field_type(item.type, tree)
        return None if type_ is None else nodes.ItemOf(tree.span, type_, head, tuple(fields))

    def _field_type(self, type_: Type, tree: syntax.NameNode) -> Type | None:
        """The type of the last field of a dotted name."""
        for at, (name, span) in enumerate(zip(tree.parts[1:], tree.spans[1:], strict=True), 1):
            if type_.many:
                what = f"{'.'.join(tree.parts[:at])} is a list: its elements have fields, the list has none"
                return self.wrong("E214", what, span, "use $each, or first(…)")
            known = None if type_.options else self.fields(type_.name)
            if known is None:
                return self.wrong("E201", f"a {type_} has no fields", span)
            if name not in known:
                return self.wrong("E201", f"a {type_} has no field {name!r}", span, did_you_mean(name, known))
            type_ = known[name]
        return type_

    def fields(self, type_name: str) -> Mapping[str, Type] | None:
        """The fields of a record or of a FHIR data type."""
        if self.env.document is not None and (declared := self.env.document.fields_of(type_name)) is not None:
            return declared
        if type_name in BUILT_IN_RECORDS:
            return BUILT_IN_RECORDS[type_name]
        definitions = r4()
        if definitions.is_type(type_name) and not definitions.is_primitive(type_name):
            return {
                name: Type(element.types[0] if element.types else "any", element.many)
                for name, element in definitions.elements(type_name).items()
            }
        return None

    # -- conditions -----------------------------------------------------------------------------------------

    def condition(self, tree: syntax.Expr) -> nodes.Condition | None:
        """An expression as a condition: a boolean is its truth, anything else is true when it is present."""
        self.deciding += 1
        try:
            return self._condition(tree)
        finally:
            self.deciding -= 1

    def _condition(self, tree: syntax.Expr) -> nodes.Condition | None:
        match tree:
            case syntax.OrNode() | syntax.AndNode():
                found = [self._condition(term) for term in tree.terms]
                terms = tuple(term for term in found if term is not None)
                if len(terms) != len(found):
                    return None
                return (nodes.AnyOf if isinstance(tree, syntax.OrNode) else nodes.AllOf)(tree.span, terms)
            case syntax.NotNode():
                term = self._condition(tree.term)
                return None if term is None else nodes.Negation(tree.span, term)
            case syntax.CompareNode():
                return self._comparison(tree)
            case syntax.InNode():
                return self._membership(tree)
        value = self.expression(tree, ANY)
        return None if value is None else nodes.Truth(tree.span, value)

    def _comparison(self, tree: syntax.CompareNode) -> nodes.Condition | None:
        if isinstance(tree.right, syntax.CodeNode):
            value = self._single(tree.left, CONCEPT)
            if value is None or not self._system(tree.right):
                return None
            if not is_coded(value.type):
                hint = f'compare it with a text: "{tree.right.code}"'
                return self.wrong("E210", f"a {value.type} names no code system", tree.left.span, hint)
            result: nodes.Condition = nodes.Coded(tree.span, value, frozenset({(tree.right.system, tree.right.code)}))
        else:
            left, right = self._single(tree.left, TEXT), self._single(tree.right, TEXT)
            if left is None or right is None:
                return None
            if is_coded(left.type) or is_coded(right.type):
                what = "a coded value is compared with a code that names its system"
                return self.wrong("E210", what, tree.span, "system#code, or `in` a named list")
            if not comparable(left.type, right.type):
                return self.wrong("E218", f"a {left.type} is never equal to a {right.type}", tree.span)
            result = nodes.Equal(tree.span, left, right)
        return nodes.Negation(tree.span, result) if tree.operator == "!=" else result

    def _membership(self, tree: syntax.InNode) -> nodes.Condition | None:
        if tree.list_name is None:
            value = self._single(tree.value, TEXT)
            if value is None:
                return None
            if is_coded(value.type):
                what = "a coded value is compared with codes that name their system"
                return self.wrong("E210", what, tree.span, "declare a list under `lists:`")
            if not is_text(value.type):
                return self.wrong("E218", f"a {value.type} is never equal to a text", tree.value.span)
            return nodes.OneOf(tree.span, value, frozenset(tree.strings))
        members = self.env.lists.get(tree.list_name)
        if members is None:
            hint = did_you_mean(tree.list_name, self.env.lists, "declare it under `lists:`")
            if tree.list_name in self.env.code_lists:
                hint = f"its entries have dates: member(…, {tree.list_name}, date)"
            return self.wrong("E201", f"no list {tree.list_name!r} is declared here", tree.list_span, hint)
        value = self._single(tree.value, CONCEPT)
        if value is None:
            return None
        if is_coded(value.type):
            return nodes.Coded(tree.span, value, members)
        if not is_text(value.type):
            return self.wrong("E218", f"a {value.type} is in no list of codes", tree.value.span)
        return nodes.OneOf(tree.span, value, frozenset(code for _, code in members))

    def _single(self, tree: syntax.Expr, want: Type) -> nodes.Expression | None:
        """One value: a list is compared with nothing."""
        value = self.expression(tree, want)
        if value is not None and value.type.many:
            return self.wrong("E214", f"one value is compared, and this is a {value.type}", tree.span, "use first(…)")
        return value

    def _system(self, tree: syntax.CodeNode) -> bool:
        systems = self.env.systems
        if not systems.known(tree.system):
            hint = did_you_mean(tree.system, systems.names(), "code systems are named in codes/systems.csv")
            self.wrong("E401", f"unknown code system {tree.system!r}", tree.span, hint)
            return False
        return True


def existence(env: Environment) -> Environment:
    """The environment of what decides whether a resource exists: references do not, for they depend on it (§6.2.2)."""
    return replace(env, resources=None)
