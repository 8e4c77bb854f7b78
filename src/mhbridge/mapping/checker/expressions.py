"""
Resolves an expression: every name, type, scope, conversion and function is decided here, before any message is read.

The same resolver serves bindings (paths of a format, no items) and builds (items and aliases, no paths).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from mhbridge.errors import Span
from mhbridge.fhir.definitions import r4
from mhbridge.formats import Format, Path, PathError, Scope
from mhbridge.mapping import nodes, syntax
from mhbridge.mapping.checker.declarations import did_you_mean
from mhbridge.mapping.codes import CodeSystems, Table
from mhbridge.mapping.conversions import Conversion, Unconvertible, conversion
from mhbridge.mapping.expression import parse
from mhbridge.mapping.functions import Function, Parameter, functions
from mhbridge.mapping.packs import MESSAGE_FIELDS, DocumentType
from mhbridge.mapping.reader import Text, YamlFile
from mhbridge.mapping.run import Run, kept_as_text
from mhbridge.mapping.types import BUILT_IN_RECORDS, Type
from mhbridge.model import ABSENT, UNKNOWN_ERROR, State

__all__ = ["Environment", "Resolver", "ResourceName", "assignable", "reads"]

TEXT = Type("text")
BOOLEAN = Type("boolean")
REFERENCE = Type("Reference")
ANY = Type("any")
CONCEPT = Type("CodeableConcept")

#: Primitive item types that another primitive type takes as it is: every one is text of the narrower kind.
_WIDER: Mapping[str, frozenset[str]] = {
    "string": frozenset(
        {"code", "text", "markdown", "id", "uri", "url", "nhs_number", "date", "dateTime", "time", "instant"}
    ),
    "markdown": frozenset({"string", "text", "code", "nhs_number"}),
    "text": frozenset({"string", "markdown", "code"}),
    "dateTime": frozenset({"date", "instant"}),
    "uri": frozenset({"url", "canonical", "oid", "uuid"}),
    "code": frozenset(),
    "integer": frozenset({"positiveInt", "unsignedInt"}),
    "decimal": frozenset({"integer", "positiveInt", "unsignedInt"}),
    "positiveInt": frozenset({"integer"}),
    "unsignedInt": frozenset({"integer", "positiveInt"}),
    "Coding": frozenset({"CodeableConcept"}),
}


#: Types whose literal is a text.
_TEXTS: frozenset[str] = frozenset({"code", "string", "text", "markdown", "id", "uri", "date", "dateTime", "time", "instant"})


def assignable(have: str, want: str) -> bool:
    """Whether a value of item type `have` may stand where `want` is wanted, without a conversion."""
    return have == want or want == "any" or have in _WIDER.get(want, ())


@dataclass(frozen=True, slots=True)
class ResourceName:
    """How a resource of a build is declared, for `ref`."""

    kind: str
    record: str = ""
    over: str = ""


@dataclass(frozen=True, slots=True)
class Environment:
    """
    Where an expression stands.

    Args:
        format: the source format; `None` in a build.
        scope: the loops around a path; `None` in a build.
        document: whose items names mean; `None` while binding, where items cannot be read.
        aliases: alias → type of one element.
        resources: names that `ref` may take; `None` where references make no sense.
        item: the item being bound, for issues.
        on_bad: what a value that will not convert costs.
    """

    file: YamlFile
    systems: CodeSystems
    format: Format | None = None
    scope: Scope | None = None
    document: DocumentType | None = None
    aliases: Mapping[str, Type] = field(default_factory=dict)
    resources: Mapping[str, ResourceName] | None = None
    tables: Mapping[str, Table] = field(default_factory=dict)
    lists: Mapping[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    code_lists: Mapping[str, Any] = field(default_factory=dict)
    item: str = ""
    on_bad: str = "omit"
    used_tables: set[str] = field(default_factory=set)

    def with_alias(self, alias: str, type_: Type) -> Environment:
        """Inside a loop of a build."""
        return replace(self, aliases={**self.aliases, alias: type_})


class Resolver:
    """Resolves the expressions of one environment. Returns `None` where a diagnostic was reported."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.file = env.file

    # -- entry points ---------------------------------------------------------------------------------------

    def value(self, text: Text, want: Type) -> nodes.Expression | None:
        """The expression of a text node (`= …`), giving a value of type `want`."""
        tree = parse(self.file, text, self.env.format)
        return None if tree is None else self.expression(tree, want)

    def test(self, text: Text) -> nodes.Condition | None:
        """The condition of a structure word."""
        tree = parse(self.file, text, self.env.format, condition=True)
        return None if tree is None else self.condition(tree)

    # -- values ---------------------------------------------------------------------------------------------

    def expression(self, tree: syntax.Expr, want: Type) -> nodes.Expression | None:
        match tree:
            case syntax.PathNode():
                return self._path(tree, want)
            case syntax.TextNode():
                return nodes.Literal(tree.span, Type(want.name if want.name in _TEXTS else "string"), tree.value)
            case syntax.NumberNode():
                return number(tree)
            case syntax.CodeNode():
                if not self._system(tree):
                    return None
                return nodes.Literal(tree.span, CONCEPT, {"coding": [{"system": tree.system, "code": tree.code}]})
            case syntax.NameNode():
                return self._name(tree)
            case syntax.CallNode():
                return self._call(tree, want)
            case syntax.OrNode():
                return self._alternatives(tree, want)
            case syntax.IfNode():
                condition = self.condition(tree.condition)
                then = self.expression(tree.then, want)
                otherwise = self.expression(tree.otherwise, want) if tree.otherwise is not None else None
                if condition is None or then is None or (tree.otherwise is not None and otherwise is None):
                    return None
                return nodes.Choose(tree.span, then.type, condition, then, otherwise)
            case syntax.AndNode() | syntax.NotNode() | syntax.CompareNode() | syntax.InNode():
                decided = self.condition(tree)
                return None if decided is None else nodes.Decide(tree.span, BOOLEAN, decided)

    def _alternatives(self, tree: syntax.OrNode, want: Type) -> nodes.Expression | None:
        found = [self.expression(term, want) for term in tree.terms]
        terms = tuple(term for term in found if term is not None)
        if len(terms) != len(found):
            return None
        if all(term.type == BOOLEAN for term in terms):
            # Is `false` a value, or a no? Nobody can tell (mapping language §3.2).
            self.file.report(
                "E209",
                "'or' between booleans is a condition, not a value",
                tree.span,
                'write: if a then "…" else …, or use it under $when',
            )
            return None
        for early in terms[:-1]:
            if isinstance(early, nodes.Literal):
                self.file.report("E211", "what follows is never reached: a literal is always present", early.span)
        return nodes.Alternatives(tree.span, terms[0].type, terms)

    def _path(self, tree: syntax.PathNode, want: Type) -> nodes.Expression | None:
        env = self.env
        assert env.format is not None
        assert env.scope is not None
        source_type = self._source_type(tree)
        if source_type is None:
            return None
        if want.name == "any" and not want.options:
            read = presence(env.format, tree.path, env.scope)
            return nodes.Read(tree.span, ANY, tree.path.text, read)
        found = conversion(source_type, want.single())
        if found is None:
            self.file.report(
                "E204",
                f"{source_type} cannot become {want.single()}",
                tree.span,
                "bind one of its components, or use a function that says how",
            )
            return None
        rule = str(tree.span)
        reader = every if want.many else first
        read = reader(
            env.format, tree.path, env.scope, found, item=env.item, rule=rule, on_bad=env.on_bad, type_name=want.name
        )
        return nodes.Read(tree.span, want, tree.path.text, read)

    def _source_type(self, tree: syntax.PathNode) -> str | None:
        env = self.env
        if env.format is None or env.scope is None:
            self.file.report("E107", "a path of the source has no place here: this reads items", tree.span)
            return None
        try:
            return env.format.source_type(tree.path, env.scope)
        except PathError as error:
            self.report_path(error, tree.span)
            return None

    def report_path(self, error: PathError, span: Span) -> None:
        """Report what a format says about a path."""
        start = span.column + error.offset
        where = Span(span.file, span.line, start, span.line, start + max(1, error.width)) if error.offset else span
        self.file.report(error.code, error.message, where, error.hint)

    def _name(self, tree: syntax.NameNode) -> nodes.Expression | None:
        head, *fields = tree.parts
        env = self.env
        if head in env.aliases:
            type_ = self._fields(env.aliases[head], tree)
            return None if type_ is None else nodes.AliasOf(tree.span, type_, head, tuple(fields))
        if head == "message":
            if len(fields) != 1 or fields[0] not in MESSAGE_FIELDS:
                self.file.report("E201", "message has no such field", tree.span, f"one of {', '.join(MESSAGE_FIELDS)}")
                return None
            return nodes.ItemOf(tree.span, MESSAGE_FIELDS[fields[0]], "message", (fields[0],))
        if env.document is None:
            hint = did_you_mean(
                head, functions(), "a binding reads the source only; derived items are declared with `is`"
            )
            self.file.report("E201", f"unknown name {head!r}", tree.span, hint)
            return None
        item = env.document.items.get(head)
        if item is None:
            self.file.report(
                "E201",
                f"unknown item or alias {head!r}",
                tree.spans[0],
                did_you_mean(head, [*env.document.items, *env.aliases]),
            )
            return None
        type_ = self._fields(item.type, tree)
        return None if type_ is None else nodes.ItemOf(tree.span, type_, head, tuple(fields))

    def _fields(self, type_: Type, tree: syntax.NameNode) -> Type | None:
        """The type of the last field of a dotted name."""
        for name, span in zip(tree.parts[1:], tree.spans[1:], strict=True):
            if type_.many:
                self.file.report(
                    "E214",
                    f"{tree.parts[0]} is a list: its elements have fields, the list has none",
                    span,
                    "use $each, or first(…)",
                )
                return None
            known = self.fields(type_.name)
            if known is None:
                self.file.report("E201", f"a {type_} has no fields", span)
                return None
            if name not in known:
                self.file.report("E201", f"a {type_} has no field {name!r}", span, did_you_mean(name, known))
                return None
            type_ = known[name]
        return type_

    def fields(self, type_name: str) -> Mapping[str, Type] | None:
        """The fields of a record or of a FHIR data type."""
        if self.env.document is not None and (declared := self.env.document.fields_of(type_name)) is not None:
            return declared
        if type_name in BUILT_IN_RECORDS:
            return BUILT_IN_RECORDS[type_name]
        if type_name == "section":
            return {name: Type("string") for name in ("heading", "title", "code", "text", "xhtml")}
        definitions = r4()
        if definitions.is_type(type_name) and not definitions.is_primitive(type_name):
            return {
                name: Type(element.types[0] if element.types else "any", element.many)
                for name, element in definitions.elements(type_name).items()
            }
        return None

    # -- calls ----------------------------------------------------------------------------------------------

    def _call(self, tree: syntax.CallNode, want: Type) -> nodes.Expression | None:
        known = functions()
        function = known.get(tree.name)
        if function is None:
            self.file.report(
                "E104",
                f"unknown function {tree.name!r}",
                tree.name_span,
                did_you_mean(tree.name, known, "`mhbridge functions` lists them"),
            )
            return None
        least = sum(not p.optional for p in function.parameters)
        most = len(function.parameters)
        repeats = most > 0 and function.parameters[-1].repeats
        if not least <= len(tree.args) or (len(tree.args) > most and not repeats):
            count = str(least) if least == most else f"{least} to {most}"
            self.file.report(
                "E108",
                f"{tree.name} takes {count} argument{'s' if count != '1' else ''}, got {len(tree.args)}",
                tree.name_span,
            )
            return None
        if tree.name == "ref":
            return self._ref(tree)
        if tree.name == "position":
            return self._position(tree)
        if function.structural:
            self.file.report("E104", f"{tree.name} has no place here", tree.name_span)
            return None
        parameters = [*function.parameters, *[function.parameters[-1]] * (len(tree.args) - most)] if most else []
        args: list[nodes.Expression] = []
        passing: list[bool] = []
        for argument, parameter in zip(tree.args, parameters, strict=False):
            resolved = self._argument(argument, parameter, want)
            if resolved is None:
                return None
            args.append(resolved)
            passing.append(parameter.kind in ("value", "all") and not function.states)
        result = self._result(function, want, args)
        self._check_kept(tree, args, result)
        call = calling(function, result, item=self.env.item, rule=str(tree.span), on_bad=self.env.on_bad)
        return nodes.Apply(tree.span, result, tree.name, call, tuple(args), tuple(passing))

    def _check_kept(self, tree: syntax.CallNode, args: list[nodes.Expression], result: Type) -> None:
        """A code that has no entry cannot be kept where there is no room for its system and its text."""
        for arg, written in zip(args, tree.args, strict=True):
            table = arg.value if isinstance(arg, nodes.Literal) and isinstance(arg.value, Table) else None
            if table is not None and table.unmapped == "keep" and result.name != "CodeableConcept":
                self.file.report(
                    "E405",
                    f"an unknown code cannot be kept in a {result.name}",
                    written.span,
                    "declare the table with `unmapped: omit` or `unmapped: refuse`",
                )

    @staticmethod
    def _result(function: Function, want: Type, args: list[nodes.Expression]) -> Type:
        """The type that a call gives: of those the function can give, the one that is wanted."""
        if "want" in function.results:
            # It gives back one of what it is given (`first`), or stands for any value (`deleted`).
            given = next((a for a, p in zip(args, function.parameters, strict=False) if "want" in p.type), None)
            return want.single() if given is None else given.type.single()
        for name in want.names:
            if name in function.results:
                return Type(name)
        return next((Type(r) for r in function.results if assignable(r, want.name)), Type(function.results[0]))

    def _argument(self, tree: syntax.Expr, parameter: Parameter, want: Type) -> nodes.Expression | None:
        env = self.env
        match parameter.kind:
            case "literal":
                if isinstance(tree, syntax.TextNode):
                    return nodes.Literal(tree.span, Type("string"), tree.value)
                if isinstance(tree, syntax.NumberNode):
                    return number(tree)
                if isinstance(tree, syntax.NameNode) and len(tree.parts) == 1 and env.systems.known(tree.parts[0]):
                    return nodes.Literal(tree.span, Type("string"), tree.parts[0])
                self.file.report("E108", f"{parameter.name} is a literal", tree.span, 'write it in double quotes: "…"')
                return None
            case "table":
                if isinstance(tree, syntax.NameNode) and len(tree.parts) == 1:
                    if tree.parts[0] in env.tables:
                        env.used_tables.add(tree.parts[0])
                        return nodes.Literal(tree.span, ANY, env.tables[tree.parts[0]])
                    self.file.report(
                        "E205",
                        f"no table {tree.parts[0]!r} is declared here",
                        tree.span,
                        did_you_mean(tree.parts[0], env.tables, "declare it under `tables:`"),
                    )
                    return None
                self.file.report("E108", f"{parameter.name} is the name of a table", tree.span)
                return None
            case "list":
                if isinstance(tree, syntax.NameNode) and len(tree.parts) == 1 and tree.parts[0] in env.code_lists:
                    return nodes.Literal(tree.span, ANY, env.code_lists[tree.parts[0]])
                self.file.report(
                    "E108",
                    f"{parameter.name} is the name of a code list",
                    tree.span,
                    did_you_mean(getattr(tree, "parts", ("",))[0], env.code_lists),
                )
                return None
        return self._value_argument(tree, parameter, want)

    def _value_argument(self, tree: syntax.Expr, parameter: Parameter, want: Type) -> nodes.Expression | None:
        many = parameter.kind == "all"
        for name in parameter.type:
            wanted = Type(want.name if name == "want" else name, many)
            if isinstance(tree, syntax.PathNode):
                source_type = self._source_type(tree)
                if source_type is None:
                    return None
                if wanted.name == "any" and not many:
                    # A function that takes anything from a source takes its text, unless it asks only whether it is there.
                    return self._path(tree, ANY if parameter.presence else TEXT)
                if conversion(source_type, Type("text" if wanted.name == "any" else wanted.name)) is None:
                    continue
                return self._path(tree, Type("text" if wanted.name == "any" else wanted.name, many))
            resolved = self.expression(tree, wanted)
            if resolved is None:
                return None
            if (
                any(assignable(resolved.type.name, t) or t == "want" for t in parameter.type)
                or resolved.type.name == "any"
            ):
                return resolved
            self.file.report(
                "E108", f"{parameter.name} is a {' or '.join(parameter.type)}, not a {resolved.type}", tree.span
            )
            return None
        self.file.report("E204", f"this cannot become a {' or '.join(parameter.type)}", tree.span)
        return None

    def _ref(self, tree: syntax.CallNode) -> nodes.Expression | None:
        target = tree.args[0]
        resources = self.env.resources
        if resources is None:
            self.file.report("E305", "references are made in builds", tree.span)
            return None
        if not isinstance(target, syntax.NameNode) or len(target.parts) != 1 or target.parts[0] not in resources:
            name = ".".join(target.parts) if isinstance(target, syntax.NameNode) else "this"
            self.file.report("E305", f"no resource {name!r} in this build", target.span, did_you_mean(name, resources))
            return None
        name = target.parts[0]
        declared = resources[name]
        if len(tree.args) == 1:
            if declared.kind == "for":
                self.file.report(
                    "E305", f"{name} is a template: say for which {declared.record}", tree.span, f"ref({name}, …)"
                )
                return None
            return nodes.Reference(tree.span, Type("Reference", declared.kind == "each"), name, declared.kind, None)
        if declared.kind == "one":
            self.file.report("E305", f"{name} is one resource, not one per element", tree.args[1].span, f"ref({name})")
            return None
        element = self.expression(tree.args[1], ANY)
        if element is None:
            return None
        if declared.kind == "for" and element.type.name != declared.record:
            self.file.report("E305", f"{name} is made for a {declared.record}, not a {element.type}", tree.args[1].span)
            return None
        return nodes.Reference(tree.span, Type("Reference", element.type.many), name, declared.kind, element)

    def _position(self, tree: syntax.CallNode) -> nodes.Expression | None:
        alias = tree.args[0]
        if isinstance(alias, syntax.NameNode) and len(alias.parts) == 1 and alias.parts[0] in self.env.aliases:
            return nodes.PositionOf(tree.span, Type("positiveInt"), alias.parts[0])
        self.file.report("E201", "position takes the alias of a loop around it", alias.span)
        return None

    # -- conditions -----------------------------------------------------------------------------------------

    def condition(self, tree: syntax.Expr) -> nodes.Condition | None:
        match tree:
            case syntax.OrNode() | syntax.AndNode():
                found = [self.condition(term) for term in tree.terms]
                terms = tuple(term for term in found if term is not None)
                if len(terms) != len(found):
                    return None
                return (nodes.AnyOf if isinstance(tree, syntax.OrNode) else nodes.AllOf)(tree.span, terms)
            case syntax.NotNode():
                term = self.condition(tree.term)
                return None if term is None else nodes.Negation(tree.span, term)
            case syntax.CompareNode():
                return self._comparison(tree)
            case syntax.InNode():
                return self._membership(tree)
        value = self.expression(tree, ANY)
        return None if value is None else nodes.Truth(tree.span, value, value.type.name == "boolean")

    def _comparison(self, tree: syntax.CompareNode) -> nodes.Condition | None:
        result: nodes.Condition | None
        if isinstance(tree.right, syntax.CodeNode):
            value = self.expression(tree.left, CONCEPT)
            if value is None or not self._system(tree.right):
                return None
            result = nodes.Coded(tree.span, value, frozenset({(tree.right.system, tree.right.code)}))
        else:
            left, right = self.expression(tree.left, TEXT), self.expression(tree.right, TEXT)
            if left is None or right is None:
                return None
            for side in (left, right):
                if side.type.name in ("CodeableConcept", "Coding"):
                    self.file.report(
                        "E210",
                        "a coded value is compared with a code that names its system",
                        tree.span,
                        "system#code, or `in` a named list",
                    )
                    return None
            result = nodes.Equal(tree.span, left, right)
        return nodes.Negation(tree.span, result) if tree.operator == "!=" else result

    def _membership(self, tree: syntax.InNode) -> nodes.Condition | None:
        if tree.list_name is None:
            value = self.expression(tree.value, TEXT)
            if value is None:
                return None
            if value.type.name in ("CodeableConcept", "Coding"):
                self.file.report(
                    "E210",
                    "a coded value is compared with codes that name their system",
                    tree.span,
                    "declare a list under `lists:`",
                )
                return None
            return nodes.OneOf(tree.span, value, frozenset(tree.strings))
        members = self.env.lists.get(tree.list_name)
        if members is None:
            self.file.report(
                "E201",
                f"no list {tree.list_name!r} is declared here",
                tree.list_span or tree.span,
                did_you_mean(tree.list_name, self.env.lists, "declare it under `lists:`"),
            )
            return None
        value = self.expression(tree.value, CONCEPT)
        if value is None:
            return None
        if value.type.name in ("CodeableConcept", "Coding"):
            return nodes.Coded(tree.span, value, members)
        return nodes.OneOf(tree.span, value, frozenset(code for _, code in members))

    def _system(self, tree: syntax.CodeNode) -> bool:
        if self.env.systems.known(tree.system):
            return True
        self.file.report(
            "E401",
            f"unknown code system {tree.system!r}",
            tree.span,
            did_you_mean(tree.system, self.env.systems.names(), "code systems are named in codes/systems.csv"),
        )
        return False


def number(tree: syntax.NumberNode) -> nodes.Literal:
    """A number as written: whole, or a decimal with its digits."""
    if "." in tree.text:
        return nodes.Literal(tree.span, Type("decimal"), Decimal(tree.text))
    return nodes.Literal(tree.span, Type("integer"), int(tree.text))


# --- leaves: what generated code calls ---------------------------------------------------------------------


def presence(format_: Format, path: Path, scope: Scope) -> Callable[[Any, Run], Any]:
    """Reads whether anything is there; the value itself is not converted."""
    find = format_.first(path, scope)
    return lambda cursor, _run: find(cursor)


def first(
    format_: Format, path: Path, scope: Scope, found: Conversion, *, item: str, rule: str, on_bad: str, type_name: str
) -> Callable[[Any, Run], Any]:
    """Reads the first value of a path and converts it; a value that will not convert costs what its item says."""
    find, convert, text = format_.first(path, scope), found.convert, format_.text

    def read(cursor: Any, run: Run) -> Any:
        raw = find(cursor)
        if isinstance(raw, State):
            return raw
        run.item, run.rule = item, rule
        try:
            return convert(raw, run.context)
        except Unconvertible as error:
            bad = run.failed(code="I601", reason=str(error), path=path.text, item=item, rule=rule, on_bad=on_bad)
            if on_bad == "text" and (kept := kept_as_text(text(raw), type_name)) is not None:
                return kept
            return bad

    return read


def every(
    format_: Format, path: Path, scope: Scope, found: Conversion, *, item: str, rule: str, on_bad: str, type_name: str
) -> Callable[[Any, Run], Any]:
    """Reads all values of a path. One that will not convert costs itself, not the others."""
    find, convert, text = format_.every(path, scope), found.convert, format_.text

    def read(cursor: Any, run: Run) -> Any:
        values: list[Any] = []
        state: State | None = None
        run.item, run.rule = item, rule
        for raw in find(cursor):
            if isinstance(raw, State):
                state = raw if state is None else state
                continue
            try:
                value = convert(raw, run.context)
            except Unconvertible as error:
                state = run.failed(code="I601", reason=str(error), path=path.text, item=item, rule=rule, on_bad=on_bad)
                if on_bad == "text" and (kept := kept_as_text(text(raw), type_name)) is not None:
                    values.append(kept)
                continue
            if isinstance(value, State):
                state = value if state is None else state
            else:
                values.append(value)
        if values:
            return values
        return nothing(state)

    return read


def nothing(state: State | None) -> State:
    """What an empty list is: the first state that was met, else absent."""
    return ABSENT if state is None else state


def calling(function: Function, result: Type, *, item: str, rule: str, on_bad: str) -> Callable[..., Any]:
    """Wraps a registered function so that what it cannot do costs what the item says."""
    call, want = function.call, result.name
    assert call is not None

    def apply(run: Run, *args: Any) -> Any:
        run.item, run.rule = item, rule
        try:
            value = call(run.context, *args, want=want)
        except Unconvertible as error:
            severe = "park" if error.refused else on_bad
            return run.failed(code=error.code, reason=str(error), path="", item=item, rule=rule, on_bad=severe)
        if isinstance(value, State) and value == UNKNOWN_ERROR:
            run.failures += 1  # an atomic record is then kept whole
        return value

    return apply


def reads(node: Any) -> Iterator[nodes.ItemOf | nodes.AliasOf]:
    """Every item and alias that an expression, condition or node reads, except inside references."""
    match node:
        case nodes.ItemOf() | nodes.AliasOf():
            yield node
        case nodes.Reference() | nodes.Literal() | nodes.Read() | nodes.PositionOf() | nodes.Fixed() | None:
            return
        case nodes.Apply():
            for arg in node.args:
                yield from reads(arg)
        case nodes.Alternatives() | nodes.AnyOf() | nodes.AllOf():
            for term in node.terms:
                yield from reads(term)
        case nodes.Choose():
            for part in (node.condition, node.then, node.otherwise):
                yield from reads(part)
        case nodes.Decide():
            yield from reads(node.condition)
        case nodes.Truth() | nodes.OneOf() | nodes.Coded() | nodes.Write():
            yield from reads(node.value)
        case nodes.Negation():
            yield from reads(node.term)
        case nodes.Equal():
            yield from reads(node.left)
            yield from reads(node.right)
        case nodes.Build():
            yield from reads(node.base)
            for put in node.puts:
                yield from reads(put.node)
        case nodes.BuildEach():
            yield from reads(node.value)
            yield from reads(node.body)
        case nodes.BuildWhen():
            yield from reads(node.condition)
            yield from reads(node.body)
        case nodes.BuildCase():
            for condition, body in node.branches:
                yield from reads(condition)
                yield from reads(body)
        case nodes.BuildList():
            for entry in node.entries:
                yield from reads(entry)
