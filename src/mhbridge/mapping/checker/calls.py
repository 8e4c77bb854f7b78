"""
Resolves the calls of an expression: which function, what each argument may be, what comes of it.

`ref` and `position` are calls too, which the compiler makes itself.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from mhbridge.fhir.definitions import r4
from mhbridge.mapping import leaves, nodes, syntax
from mhbridge.mapping.checker.declarations import did_you_mean
from mhbridge.mapping.checker.environment import ANY, TEXT, assignable
from mhbridge.mapping.codes import Table
from mhbridge.mapping.conversions import conversion
from mhbridge.mapping.functions import Function, Parameter, functions
from mhbridge.mapping.functions.texts import PHONE_USES, pattern_fault
from mhbridge.mapping.functions.values import REASONS
from mhbridge.mapping.types import Type

if TYPE_CHECKING:
    from mhbridge.mapping.checker.expressions import Resolver

__all__ = ["instead", "resolve_call"]

#: Types of parameters to which nothing need be converted.
_ANYTHING: Final = frozenset({"any", "want"})


def instead(name: str) -> str:
    """A hint for a function that there is not: one of nearly that name, or those that say that they are about it."""
    known = functions()
    about = [one.name for one in known.values() if re.search(rf"\b{re.escape(name)}s?\b", one.summary, re.IGNORECASE)]
    said = f"{', '.join(map(repr, about[:4]))} {'is' if len(about) == 1 else 'are'} about that"
    near = did_you_mean(name, known, least=0.75)
    return near or (f"{said}: mhbridge functions {about[0]}" if about else "`mhbridge functions` lists them")


def resolve_call(resolver: Resolver, tree: syntax.CallNode, want: Type) -> nodes.Expression | None:
    """What a call is; `None` when it is broken, and then the file has the diagnostic."""
    known = functions()
    function = known.get(tree.name)
    if function is None:
        table = tree.name in resolver.env.tables
        hint = f"{tree.name} is a table: code({tree.name})" if table else instead(tree.name)
        return resolver.wrong("E104", f"unknown function {tree.name!r}", tree.name_span, hint)
    if not _counted(resolver, tree, function):
        return None
    if tree.name == "ref":
        return _ref(resolver, tree)
    if tree.name == "position":
        return _position(resolver, tree)
    if function.structural:
        return resolver.wrong("E104", f"{tree.name} has no place here", tree.name_span)
    parameters = function.parameters
    if (more := len(tree.args) - len(parameters)) > 0:
        parameters += parameters[-1:] * more
    args: list[nodes.Expression] = []
    passing: list[bool] = []
    for argument, parameter in zip(tree.args, parameters, strict=False):
        resolved = _argument(resolver, argument, parameter, want)
        if resolved is None:
            return None
        args.append(resolved)
        passing.append(parameter.kind in ("value", "all") and (parameter.needed or not function.states))
    result = _result(function, want, args)
    _check_table(resolver, tree, args, result)
    _check_literal(resolver, tree, args)
    env = resolver.env
    memory: leaves.Memory = {}
    rule, on_bad = str(tree.span), env.on_bad
    call = leaves.calling(function, result, args, item=env.item, rule=rule, on_bad=on_bad, memory=memory)
    coded, alone = leaves.coded(call, function, memory, args) if passing[:1] == [True] else (None, None)
    return nodes.Apply(tree.span, result, tree.name, call, tuple(args), tuple(passing), coded, alone)


def _counted(resolver: Resolver, tree: syntax.CallNode, function: Function) -> bool:
    given, most = len(tree.args), len(function.parameters)
    if given == most:
        return True
    least = sum(not p.optional for p in function.parameters)
    repeats = most > 0 and function.parameters[-1].repeats
    if least <= given and (given <= most or repeats):
        return True
    count = f"{least} or more" if repeats else str(least) if least == most else f"{least} to {most}"
    ending = "" if count == "1" else "s"
    resolver.wrong("E108", f"{tree.name} takes {count} argument{ending}, got {given}", tree.name_span)
    return False


def _result(function: Function, want: Type, args: list[nodes.Expression]) -> Type:
    """The type that a call gives: of those the function can give, the one that is wanted."""
    if "some" in function.results:
        # It gives back some of the list that it is given.
        return next((a.type for a, p in zip(args, function.parameters, strict=False) if p.kind == "all"), ANY)
    if "wanted" in function.results:
        return want
    if "want" in function.results:
        # It gives back one of what it is given (`first`), or stands for any value (`deleted`).
        given = next((a for a, p in zip(args, function.parameters, strict=False) if "want" in p.type), None)
        return want.single() if given is None else given.type.single()
    for name in want.names:
        if name in function.results:
            return Type(name)
    fitting = (r for r in function.results if any(assignable(r, name) for name in want.names))
    return Type(next(fitting, function.results[0]))


# --- arguments ---------------------------------------------------------------------------------------------


def _argument(resolver: Resolver, tree: syntax.Expr, parameter: Parameter, want: Type) -> nodes.Expression | None:
    env = resolver.env
    name = tree.parts[0] if isinstance(tree, syntax.NameNode) and len(tree.parts) == 1 else ""
    match parameter.kind:
        case "literal":
            if isinstance(tree, syntax.TextNode):
                return nodes.Literal(tree.span, Type("string"), tree.value)
            if isinstance(tree, syntax.NumberNode):
                return resolver.number(tree)
            if name and env.systems.known(name):
                return nodes.Literal(tree.span, Type("string"), name)
            return resolver.wrong("E108", f"{parameter.name} is a literal", tree.span, 'write it in double quotes: "…"')
        case "table":
            if name in env.tables:
                env.used_tables.add(name)
                return nodes.Literal(tree.span, ANY, env.tables[name])
            if name in env.lost_tables:
                return None
            if name:
                # The one that was meant, as far as anybody can tell, is not also called unused.
                env.used_tables.update(get_close_matches(name, env.tables, n=1))
                hint = did_you_mean(name, env.tables, "declare it under `tables:`")
                return resolver.wrong("E205", f"no table {name!r} is declared here", tree.span, hint)
            hint = ""
            if isinstance(tree, syntax.TextNode) and tree.value in env.tables:
                env.used_tables.add(tree.value)
                hint = f"write it without quotes: {tree.value}"
            return resolver.wrong("E108", f"{parameter.name} is the name of a table", tree.span, hint)
        case "list":
            if name in env.code_lists:
                return nodes.Literal(tree.span, ANY, env.code_lists[name])
            hint = did_you_mean(name, env.code_lists, "declare its file under `lists:`")
            return resolver.wrong("E108", f"{parameter.name} is the name of a code list", tree.span, hint)
    return _value(resolver, tree, parameter, want)


def _value(resolver: Resolver, tree: syntax.Expr, parameter: Parameter, want: Type) -> nodes.Expression | None:
    many = parameter.kind == "all"
    takes = " or ".join(parameter.type)
    names = parameter.type
    if isinstance(tree, syntax.OrNode) and not _ANYTHING.issuperset(names):
        # Of alternatives all become the same, so it is the first type that all of them can become.
        types = [resolver.source_type(term) for term in tree.terms if isinstance(term, syntax.PathNode)]
        names = tuple(name for name in names if _suits(types, name)) or names
    source_type = resolver.source_type(tree) if isinstance(tree, syntax.PathNode) else None
    for name in names:
        wanted = Type(want.name if name == "want" else name, many, want.options if name == "want" else ())
        if isinstance(tree, syntax.PathNode):
            if source_type is None:
                return None
            if wanted == ANY:
                # A function that takes anything from a source takes its text, unless it asks only whether it is there.
                return resolver.path(tree, ANY if parameter.presence else TEXT, source_type)
            wanted = Type("text", many) if wanted == Type("any", many) else wanted
            if conversion(source_type, wanted.single()) is None:
                continue
            return resolver.path(tree, wanted, source_type)
        resolved = resolver.expression(tree, wanted)
        if resolved is None:
            return None
        if resolved.type.many and not many and "any" not in parameter.type:
            hint = "use $each, or first(…)"
            return resolver.wrong("E214", f"{parameter.name} is one {takes}, and this is a list", tree.span, hint)
        if "want" in parameter.type or all(_takes(parameter, name) for name in resolved.type.names):
            return resolved
        return resolver.wrong("E108", f"{parameter.name} is a {takes}, not a {resolved.type}", tree.span)
    return resolver.wrong("E204", f"this cannot become a {takes}", tree.span)


def _suits(types: list[str | None], name: str) -> bool:
    """Whether what all paths among alternatives find can become a type."""
    if name in _ANYTHING:
        return False
    return all(type_ is not None and conversion(type_, Type(name)) is not None for type_ in types)


def _takes(parameter: Parameter, have: str) -> bool:
    return have == "any" or any(assignable(have, wanted) for wanted in parameter.type)


def _check_table(resolver: Resolver, tree: syntax.CallNode, args: list[nodes.Expression], result: Type) -> None:
    """That a table can do what is asked of it: keep what it does not have, tell days apart, give allowed codes."""
    for arg, written in zip(args, tree.args, strict=True):
        table = arg.value if isinstance(arg, nodes.Literal) and isinstance(arg.value, Table) else None
        if table is None:
            continue
        if table.unmapped == "keep" and result.name != "CodeableConcept":
            # There is no room for its system and its text.
            hint = "declare the table with `unmapped: omit` or `unmapped: refuse`"
            resolver.wrong("E405", f"an unknown code cannot be kept in a {result.name}", written.span, hint)
        if table.dated and len(args) < 3:
            hint = f"code(…, {table.name}, date)"
            resolver.wrong("E404", f"the rows of {table.name!r} have dates: say which day counts", written.span, hint)
        if not resolver.deciding and (row := _forbidden(resolver, table)):
            what = f"the table {table.name!r} gives {row}, which {resolver.env.item!r} cannot be"
            resolver.wrong("E402", what, written.span, _allowed(resolver))


def _check_literal(resolver: Resolver, tree: syntax.CallNode, args: list[nodes.Expression]) -> None:
    """That a word which is the same for every message is one that the function knows: else it fails for each."""
    last = args[-1] if args else None
    if not isinstance(last, nodes.Literal) or not isinstance(last.value, str):
        return
    word, span, env = last.value, tree.args[-1].span, resolver.env
    if tree.name == "unknown" and word not in REASONS:
        hint = did_you_mean(word, REASONS, f"one of {', '.join(sorted(REASONS))}")
        resolver.wrong("E108", f"{word!r} is no code of FHIR's data-absent-reason", span, hint)
    elif tree.name == "match" and (fault := pattern_fault(word)):
        resolver.wrong(
            "E585", f"this is no pattern: {fault}", span, "patterns are those of RE2, with one group at most"
        )
    elif tree.name == "phone" and len(args) > 1 and word not in PHONE_USES:
        hint = did_you_mean(word, PHONE_USES, f"one of {', '.join(sorted(PHONE_USES))}")
        resolver.wrong("E108", f"{word!r} is no use that FHIR has for a telephone", span, hint)
    elif tree.name == "identifier" and env.issuers is not None:
        known = {*env.issuers, *env.systems.names()}
        if word.strip() not in known and ":" not in word:
            near = did_you_mean(word, known, least=0.75)
            hint = near or "declare it in the supplier's codes/systems.csv, or as an issuer in supplier.yaml"
            resolver.wrong("E401", f"nobody declares the issuer {word!r}", span, hint)


def _forbidden(resolver: Resolver, table: Table) -> str:
    """A target of the table that the item's declaration does not allow, as `system#code`."""
    env = resolver.env
    values = r4().valueset(env.binding) if env.binding else None
    codes = {code for _, code in values.codes} if values is not None and values.codes is not None else None
    for row in (row for rows in table.rows.values() for row in rows if row.target_code):
        if (env.allowed and row.target_system not in env.allowed) or (
            codes is not None and row.target_code not in codes
        ):
            return f"{row.target_system}#{row.target_code}"
    return ""


def _allowed(resolver: Resolver) -> str:
    env = resolver.env
    return f"its codes are of {', '.join(env.allowed)}" if env.allowed else f"its codes are those of {env.binding}"


# --- what the compiler does itself -------------------------------------------------------------------------


def _ref(resolver: Resolver, tree: syntax.CallNode) -> nodes.Expression | None:
    target, resources = tree.args[0], resolver.env.resources
    if resources is None:
        return resolver.wrong("E305", "a reference has no place here", tree.span, "it is a value of a build")
    name = target.parts[0] if isinstance(target, syntax.NameNode) and len(target.parts) == 1 else ""
    declared = resources.get(name)
    if declared is None:
        shown = ".".join(target.parts) if isinstance(target, syntax.NameNode) else "this"
        hint = did_you_mean(shown, resources)
        return resolver.wrong("E305", f"no resource {shown!r} in this build", target.span, hint)
    if len(tree.args) == 1:
        if declared.kind == "for":
            what = f"{name} is a template: say for which {declared.record}"
            return resolver.wrong("E305", what, tree.span, f"ref({name}, …)")
        return nodes.Reference(tree.span, Type("Reference", declared.kind == "each"), name, declared.kind, None)
    if declared.kind == "one":
        what = f"{name} is one resource, not one per element"
        return resolver.wrong("E305", what, tree.args[1].span, f"ref({name})")
    element = resolver.expression(tree.args[1], ANY)
    if element is None:
        return None
    if declared.record and (element.type.options or element.type.name != declared.record):
        return resolver.wrong(
            "E305", f"{name} is made for a {declared.record}, not a {element.type}", tree.args[1].span
        )
    return nodes.Reference(tree.span, Type("Reference", element.type.many), name, declared.kind, element)


def _position(resolver: Resolver, tree: syntax.CallNode) -> nodes.Expression | None:
    alias = tree.args[0]
    if isinstance(alias, syntax.NameNode) and len(alias.parts) == 1 and alias.parts[0] in resolver.env.aliases:
        return nodes.PositionOf(tree.span, Type("positiveInt"), alias.parts[0])
    return resolver.wrong("E201", "position takes the alias of a loop around it", alias.span)
