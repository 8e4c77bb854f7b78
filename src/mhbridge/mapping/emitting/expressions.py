"""
One Python function under construction: its names, the places of its nodes, and the code of expressions and conditions.

Every node has the line and column of the mapping file that it comes from. Text of the file never becomes code:
constants are `ast.Constant`, every name is one of ours, and what the function calls is handed in by name. `bindings`
and `builds` add what those need.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from operator import truth
from typing import Any, Final, NamedTuple, NoReturn

from mhbridge.errors import Span
from mhbridge.fhir.stated import shared
from mhbridge.mapping import nodes
from mhbridge.mapping.leaves import (
    as_list,
    asked,
    begun,
    better,
    by_row,
    data_absent,
    fill,
    gathered,
    has_code,
    kept_again,
    marks_of,
    position,
    present_alone,
    settled,
    splice,
)
from mhbridge.mapping.marks import DROPPED, Mark, flip
from mhbridge.mapping.placed import Block, Placed
from mhbridge.mapping.straight import (
    Again,
    Argument,
    Composed,
    Found,
    InRow,
    Reader,
    Straight,
    applied,
    applied_to_all,
    first_of,
    is_there,
    reader,
    said,
    taken,
)
from mhbridge.model import ABSENT, DELETED, State, Unknown

__all__ = ["Case", "Emitter", "Lines", "shareable"]

#: (file, line number) → the text of that line.
Lines = Callable[[str, int], str]

#: All that generated code can name, beside what is handed in. There are no builtins.
_NAMES: Final[Mapping[str, Any]] = {
    "ABSENT": ABSENT, "DELETED": DELETED, "State": State, "Unknown": Unknown, "isinstance": isinstance,
    "enumerate": enumerate, "as_list": as_list, "splice": splice, "fill": fill, "data_absent": data_absent,
    "has_code": has_code, "position": position, "asked": asked, "flip": flip, "id": id, "shared": shared,
    "better": better, "gathered": gathered, "settled": settled, "present_alone": present_alone,
    "kept_again": kept_again, "begun": begun,
}  # fmt: skip

_WORDS: Final = ("string", "text")
_LEAF: Final = frozenset({"1"})
_TRUTH: Final = ("boolean",)


def shareable(node: nodes.Read) -> bool:
    """Whether a path is read as a word to decide something: the same for all who ask, never failing, never noted."""
    made, mark = node.mark.conversion, node.mark
    return mark.decides and made is not None and not mark.many and made.target.name in _WORDS and made.reads == _LEAF


def _bytes(text: str, column: int) -> int:
    """How many bytes stand before a column of a line."""
    return len(text[: column - 1].encode())


def _is_bool(test: ast.expr) -> bool:
    """Whether what a test gives is true or false, and nothing that is merely taken for it."""
    if isinstance(test, ast.BoolOp):
        return all(map(_is_bool, test.values))
    return isinstance(test, ast.Compare | ast.UnaryOp) or (
        isinstance(test, ast.Constant) and test.value in (True, False)
    )


@dataclass(frozen=True, slots=True)
class Case:
    """One of several, of which the first that holds is taken. `make` puts into a block what its value needs."""

    condition: nodes.Condition | None
    make: Callable[[Block], ast.expr]
    span: Span


class Held(NamedTuple):
    """Code for a value that stands in a row: whether it is there, and what is then made of it."""

    there: ast.expr
    taken: ast.expr


class Emitter:
    """
    One Python function under construction.

    What `value` and `test` give is to be used once, before anything else is put into the block; what `expression` gives
    may be used more than once, and later.

    Args:
        span: the place of the whole function; its file is the function's.
        lines: to turn columns into the byte offsets that Python counts.
        alias: what the function's own `element` is called in the mapping.
    """

    def __init__(self, span: Span, lines: Lines, alias: str = "") -> None:
        self.span = span
        self.lines = lines
        #: Raises a fault again from a place in the file, as if there were code for it.
        self.again: Again = partial(_raise_again, span, lines)
        self.aliases: dict[str, tuple[str, str]] = {alias: ("element", "place")} if alias else {}
        self.count = 0
        self._places: dict[Span, Placed] = {}
        self.names: dict[str, Any] = dict(_NAMES)
        #: (Cursor, key of a plan) → the names of its row, and of what stands at its places.
        self.rows: dict[tuple[str, Hashable], tuple[str, str]] = {}
        #: Path of the message → the name under which its text is kept, for conditions.
        self.shared: dict[str, str] = {}

    # -- making ---------------------------------------------------------------------------------------------

    def finish(self, name: str, args: tuple[str, ...], body: Block) -> Callable[..., Any]:
        """
        Compile the function under the mapping file's name.

        Args:
            name: what tracebacks call it; any text, so it is never an identifier of the code.
        """
        tree = self.at(self.span).function("made", args, body)
        names = {**self.names, "__builtins__": {}}
        exec(compile(tree, self.span.file, "exec"), names)  # noqa: S102 - our own tree: no text becomes code
        made: Any = names["made"]
        made.__code__ = made.__code__.replace(co_name=name, co_qualname=name)
        return made  # type: ignore[no-any-return]

    def at(self, span: Span) -> Placed:
        """What makes nodes at a place."""
        known = self._places.get(span)
        if known is None:
            file, line, column, end_line, end = span if span.file == self.span.file else self.span
            text = self.lines(file, line)
            if line == end_line and text.isascii():
                known = Placed(line, column - 1, line, end - 1)
            else:
                last = self.lines(file, end_line)
                known = Placed(line, _bytes(text, column), end_line, _bytes(last, end))
            self._places[span] = known
        return known

    def local(self) -> str:
        """A new name for a value."""
        self.count += 1
        return f"v{self.count}"

    def given(self, prefix: str, value: Any) -> str:
        """Hand a value in by name."""
        self.count += 1
        name = f"{prefix}{self.count}"
        self.names[name] = value
        return name

    def constant(self, value: Any, at: Placed) -> ast.expr:
        """A value that the mapping states."""
        if value is None or isinstance(value, (str, bool, int)):
            return at.constant(value)
        return at.load(self.given("k", value))

    def keep(self, value: ast.expr, block: Block, span: Span) -> ast.Name:
        """Assign to a new local."""
        name, at = self.local(), self.at(span)
        block.append(at.set(name, value))
        return at.load(name)

    def kept(self, value: ast.expr, block: Block, span: Span) -> ast.Name | ast.Constant:
        """The same, for a value that is no name or constant already."""
        return value if isinstance(value, ast.Name | ast.Constant) else self.keep(value, block, span)

    def present(self, node: nodes.Expression | nodes.Node, value: ast.expr, at: Placed) -> ast.expr:
        """Whether a value is present, to be decided by, in the cheapest way that its type allows."""
        return value if nodes.plain_truth(node) else at.not_(at.call("isinstance", value, at.load("State")))

    # -- expressions ----------------------------------------------------------------------------------------

    def expression(self, node: nodes.Expression, block: Block, cursor: str = "cursor") -> ast.Name | ast.Constant:
        """Code for a value that may be used more than once."""
        return self.kept(self.value(node, block, cursor), block, node.span)

    def value(self, node: nodes.Expression, block: Block, cursor: str = "cursor") -> ast.expr:
        """Code for a value."""
        at = self.at(node.span)
        match node:
            case nodes.Read():
                if self._is_shared(node, cursor):
                    return at.load(self.shared[node.path])
                told = node if _is_told(node) else None
                return self.at_once(self._looked_for(node, cursor, node.quick), cursor, at, told)
            case nodes.Literal():
                return self.constant(node.value, at)
            case nodes.ItemOf():
                if node.name == "message":
                    return self._get(at.attribute(at.load("run"), "message"), node.fields[0], at)
                return self._fields(self._get(at.load("items"), node.name, at), node.fields, at)
            case nodes.AliasOf():
                return self._fields(at.load(self.aliases[node.alias][0]), node.fields, at)
            case nodes.PositionOf():
                return at.call("position", at.load(self.aliases[node.alias][1]))
            case nodes.Apply() | nodes.Alternatives():
                found = self.straight(node, cursor, [])
                if found is not None:
                    return self.at_once(found, cursor, at)
                if isinstance(node, nodes.Apply):
                    return self._apply(node, block, cursor)
                return self._alternatives(node, block, cursor)
            case nodes.Choose():
                then, otherwise = node.then, node.otherwise
                cases = [Case(node.condition, lambda inner: self.value(then, inner, cursor), then.span)]
                if otherwise is not None:
                    cases.append(Case(None, lambda inner: self.value(otherwise, inner, cursor), otherwise.span))
                return self.first_of(cases, block, node.span, cursor)
            case nodes.Decide():
                return self.condition(node.condition, block, cursor)
            case nodes.Reference():
                return self._reference(node, block, cursor)

    def straight(self, node: nodes.Expression, cursor: str, rows: list[str], *, alone: bool = False) -> Straight | None:
        """
        How a value of the message is read in one go, where it can be.

        Args:
            rows: the names of the rows that a value made of others looks into; new ones are put there.
            alone: no list holds it.
        """
        match node:
            case nodes.Read():
                return self._straight_read(node, cursor, alone=alone)
            case nodes.Apply():
                return self._straight_call(node, cursor, alone=alone) or self._composed(node, cursor, rows)
            case nodes.Alternatives():
                return self._composed(node, cursor, rows)
            case _:
                return None

    def _straight_read(self, node: nodes.Read, cursor: str, *, alone: bool = False) -> InRow | Found | None:
        if self._is_shared(node, cursor) or (_is_told(node) and self._is_in_row(node, cursor)):
            return None
        return self._looked_for(node, cursor, (alone and node.alone) or node.quick)

    def _straight_call(self, node: nodes.Apply, cursor: str, *, alone: bool = False) -> InRow | Found | None:
        """The same of a function of a value, all else of which is stated."""
        read, *others = node.args or (None,)
        stated = [other.value for other in others if isinstance(other, nodes.Literal)]
        if not isinstance(read, nodes.Read) or len(stated) < len(others):
            return None
        in_row, passing = self._is_in_row(read, cursor), node.passing[0]
        if node.coded is not None and not (_is_told(read) and in_row):
            return self._looked_for(read, cursor, node.alone if alone else node.coded)
        found = self._straight_read(read, cursor)
        if found is None or (in_row and not passing) or (passing and not nodes.plain_truth(read)):
            return None
        return applied(found, node.call, stated, always=not passing)

    def _composed(self, node: nodes.Expression, cursor: str, rows: list[str]) -> Composed | None:
        read = self._part(node, cursor, rows)
        return None if read is None else Composed(tuple(rows), read)

    def _part(self, node: nodes.Expression, cursor: str, rows: list[str]) -> Reader | None:
        """What reads a value as a part of another; see `straight.reader`."""
        match node:
            case nodes.Literal():
                return said(node.value)
            case nodes.Read() if not self._is_shared(node, cursor):
                told = node.take if _is_told(node) else None
                return reader(self._looked_for(node, cursor, node.quick), rows, told)
            case nodes.Alternatives():
                terms = [(self._part(term, cursor, rows), term.span) for term in node.terms]
                known = [(term, span) for term, span in terms if term is not None]
                return first_of(known, self.again) if len(known) == len(terms) else None
            case nodes.Apply():
                found = self._straight_call(node, cursor)
                return self._called(node, cursor, rows) if found is None else reader(found, rows)
            case _:
                return None

    def _called(self, node: nodes.Apply, cursor: str, rows: list[str]) -> Reader | None:
        if all(isinstance(arg, nodes.Literal) for arg in node.args):
            return None
        args: list[Argument] = []
        before: frozenset[Mark] = frozenset()
        for arg, passing in zip(node.args, node.passing, strict=True):
            part = self._part(arg, cursor, rows)
            if part is None:
                return None
            there = None
            if passing and not isinstance(arg, nodes.Literal):
                there = truth if nodes.plain_truth(arg) else is_there
            marks = marks_of([arg])
            args.append(Argument(part, arg.span, there, before | marks if before else before))
            before |= marks
        return applied_to_all(node.call, args, self.again)

    def _is_shared(self, node: nodes.Read, cursor: str) -> bool:
        return cursor == "cursor" and node.path in self.shared and shareable(node)

    def _is_in_row(self, node: nodes.Read, cursor: str) -> bool:
        return node.plan is not None and (cursor, node.plan.key) in self.rows

    def _looked_for(self, node: nodes.Read, cursor: str, quick: Callable[..., Any] | None) -> InRow | Found:
        """
        How a value of the message is looked for.

        Args:
            quick: what reads it in one go, where something does.
        """
        plan = node.plan
        names = None if plan is None else self.rows.get((cursor, plan.key))
        if plan is not None and names is not None:
            return InRow(*names, plan.place, quick or taken(plan.value, node.take))
        if quick is None:
            return Found(node.find, node.take)
        if plan is not None:
            quick = by_row(plan, quick, node.take if _is_told(node) else None)
        return Found(None, quick)

    def held(self, found: InRow, cursor: str, at: Placed) -> Held:
        """A value that is looked for in a row."""
        value, run = self.local(), at.load("run")
        there = at.named(value, at.entry(found.places, found.place))
        read = self.given("quick", found.read)
        return Held(there, at.call(read, at.load(value), at.load(found.row), at.load(cursor), run))

    def at_once(self, found: Straight, cursor: str, at: Placed, told: nodes.Read | None = None) -> ast.expr:
        """
        Code for a value that is read in one go. Where nothing stands at its place in a row nothing is called.

        Args:
            told: what is read, where the ledger is to be told all the same that its predicate was asked.
        """
        if isinstance(found, InRow):
            there, read = self.held(found, cursor, at)
            absent: ast.expr = at.load("ABSENT")
            if told is not None:
                absent = at.call(self.given("take", told.take), absent, at.load(cursor), at.load("run"))
            return at.choice(there, read, absent)
        if isinstance(found, Composed):
            rows = at.list_([at.load(row) for row in found.rows])
            return at.call(self.given("read", found.read), at.load(cursor), at.load("run"), rows)
        if found.find is None:
            return at.call(self.given("quick", found.take), at.load(cursor), at.load("run"))
        what = at.call(self.given("find", found.find), at.load(cursor))
        return at.call(self.given("take", found.take), what, at.load(cursor), at.load("run"))

    def hoist(self, paths: Iterable[nodes.Read | nodes.BindEach], block: Block, cursor: str) -> None:
        """Find the rows that several paths look into once for all of them, before anything is read at this cursor."""
        reads = (path for path in paths if isinstance(path, nodes.Read))
        plans = [(read.plan, read.span) for read in reads if read.plan is not None]
        often = Counter(plan.key for plan, _ in plans)
        width: dict[Hashable, int] = {}
        for plan, _ in plans:
            width[plan.key] = max(width.get(plan.key, 0), plan.place + 1)
        for plan, span in plans:
            if often[plan.key] > 1 and (cursor, plan.key) not in self.rows:
                at = self.at(span)
                row, places = self.rows[cursor, plan.key] = self.local(), self.local()
                found = at.call(self.given("row", plan.row), at.load(cursor), at.constant(width[plan.key]))
                block.append(at.set_both(row, places, found))

    @staticmethod
    def _get(value: ast.expr, key: str, at: Placed) -> ast.Call:
        return at.method(value, "get", at.constant(key), at.load("ABSENT"))

    def _fields(self, value: ast.expr, fields: tuple[str, ...], at: Placed) -> ast.expr:
        for field in fields:
            # A state has no fields, and is false: what is below it is in the same state.
            test = value
            if not isinstance(value, ast.Name):
                name = self.local()
                test, value = at.named(name, value), at.load(name)
            value = at.choice(test, self._get(value, field, at), value)
        return value

    def _apply(self, node: nodes.Apply, block: Block, cursor: str) -> ast.expr:
        apply, open_ = self.given("f", node.call), [arg for arg in node.args if not isinstance(arg, nodes.Literal)]
        at = self.at(node.span)
        if len(open_) <= 1:
            return self._apply_to_one(node, apply, block, cursor)
        values: list[ast.expr] = []
        result = self.local()
        before: set[Mark] = set()
        for arg, passing in zip(node.args, node.passing, strict=True):
            value = self.expression(arg, block, cursor)
            values.append(value)
            if passing and not isinstance(arg, nodes.Literal):
                # Not called on a value that is not present: its state is the result (mapping language §3.1).
                there = self.at(arg.span)
                inner: Block = []
                stop: Block = [there.set(result, value)]
                if before:
                    # What was read for the other arguments is then used for nothing.
                    trace = there.attribute(there.load("run"), "trace")
                    marks = there.load(self.given("k", frozenset(before) | marks_of([arg])))
                    stop.append(there.do(there.call("flip", trace, marks, there.constant(DROPPED))))
                block.append(there.when(self.present(arg, value, there), inner, stop))
                block = inner
            before |= marks_of([arg])
        block.append(at.set(result, at.call(apply, at.load("run"), *values)))
        return at.load(result)

    def _apply_to_one(self, node: nodes.Apply, apply: str, block: Block, cursor: str) -> ast.expr:
        """A call of which all arguments are stated, or all but one."""
        at = self.at(node.span)
        test: ast.expr | None = None
        values: list[ast.expr] = [at.load("run")]
        state: ast.expr = at.load("ABSENT")
        for arg, passing in zip(node.args, node.passing, strict=True):
            value = self.value(arg, block, cursor)
            if passing and not isinstance(arg, nodes.Literal):
                there, given = self.at(arg.span), value
                if not isinstance(value, ast.Name):
                    name = self.local()
                    given, value = there.named(name, value), there.load(name)
                test, state = self.present(arg, given, there), value
            values.append(value)
        called = at.call(apply, *values)
        return called if test is None else at.choice(test, called, state)

    def _alternatives(self, node: nodes.Alternatives, block: Block, cursor: str) -> ast.expr:
        result, at = self.local(), self.at(node.terms[0].span)
        block.append(at.set(result, self.value(node.terms[0], block, cursor)))
        for term in node.terms[1:]:
            # Present, deleted, error and masked stop here; the first unknown is kept in case nothing better comes.
            inner: Block = []
            value, at = self.value(term, inner, cursor), self.at(term.span)
            inner.append(at.set(result, at.call("better", at.load(result), value)))
            none = at.call("isinstance", at.load(result), at.load("State"))
            passes = at.attribute(at.load(result), "passes")
            block.append(at.when(at.all_of([none, passes]), inner, []))
            block = inner
        return self.at(node.span).load(result)

    def _reference(self, node: nodes.Reference, block: Block, cursor: str) -> ast.expr:
        at = self.at(node.span)
        method = {"one": "one", "each": "all" if node.element is None else "element", "for": "template"}[node.kind]
        args: list[ast.expr] = [at.constant(node.resource)]
        if node.element is not None:
            args.append(self.value(node.element, block, cursor))
        return at.method(at.load("assembly"), method, *args)

    # -- conditions -----------------------------------------------------------------------------------------

    def first_of(self, cases: Iterable[Case], block: Block, span: Span, cursor: str = "cursor") -> ast.expr:
        """The value of the first case whose condition holds; absent where there is none."""
        at = self.at(span)
        made: list[tuple[Block, ast.expr | None, Block, ast.expr, Span]] = []
        for case in cases:
            asking: Block = []
            inside: Block = []
            test = None if case.condition is None else self.test(case.condition, asking, cursor)
            made.append((asking, test, inside, case.make(inside), case.span))
            if test is None:
                break
        if not any(inside or (asking and place) for place, (asking, _, inside, _, _) in enumerate(made)):
            block += made[0][0]
            value: ast.expr = at.load("ABSENT")
            for _, test, _, then, _ in reversed(made):
                value = then if test is None else at.choice(test, then, value)
            return value
        result = self.local()
        for asking, test, inside, value, place in made:
            inside.append(self.at(place).set(result, value))
            block += asking
            if test is None:
                block += inside
                break
            otherwise: Block = []
            block.append(at.when(test, inside, otherwise))
            block = otherwise
        else:
            block.append(at.set(result, at.load("ABSENT")))
        return at.load(result)

    def condition(self, node: nodes.Condition, block: Block, cursor: str = "cursor") -> ast.expr:
        """Code for a condition; the result is a plain bool."""
        test = self.test(node, block, cursor)
        if _is_bool(test):
            return test
        at = self.at(node.span)
        return at.not_(at.not_(test))

    def test(self, node: nodes.Condition, block: Block, cursor: str = "cursor") -> ast.expr:
        """Code for a condition; the result is to be decided by, and may be anything that is as true as it is."""
        at = self.at(node.span)
        match node:
            case nodes.Truth(value=nodes.Literal(value=said)) if not nodes.plain_truth(node.value):
                return at.constant(value=said is not False)
            case nodes.Truth() if _may_be_false(node.value):
                value = self.expression(node.value, block, cursor)
                there = at.not_(at.call("isinstance", value, at.load("State")))
                return at.all_of([there, at.is_not(value, at.constant(value=False))])
            case nodes.Truth():
                return self.value(node.value, block, cursor)
            case nodes.Present():
                return self.present(node.value, self.value(node.value, block, cursor), at)
            case nodes.Negation():
                return at.not_(self.test(node.term, block, cursor))
            case nodes.AnyOf() | nodes.AllOf():
                return self._several(node, block, cursor)
            case nodes.Equal():
                if isinstance(node.right, nodes.Literal) and node.right.value:
                    # What is not present is equal to no literal.
                    return at.equal(self.value(node.left, block, cursor), self.constant(node.right.value, at))
                left, right = self.expression(node.left, block, cursor), self.expression(node.right, block, cursor)
                return at.all_of([self.present(node.left, left, at), at.equal(left, right)])
            case nodes.OneOf():
                value_ = self.value(node.value, block, cursor)  # a state is in no list of texts
                return at.within(value_, at.load(self.given("k", node.members)))
            case nodes.Coded():
                value_ = self.value(node.value, block, cursor)
                return at.call("has_code", value_, at.load(self.given("k", node.members)))

    def _several(self, node: nodes.AnyOf | nodes.AllOf, block: Block, cursor: str) -> ast.expr:
        """Later terms are worked only when they decide: `and` stops at the first false, `or` at the first true."""
        at, any_ = self.at(node.span), isinstance(node, nodes.AnyOf)
        tests: list[tuple[ast.expr, Block, Span]] = []
        for term in node.terms:
            asking: Block = []
            tests.append((self.test(term, asking, cursor), asking, term.span))
        block += tests[0][1]
        if not any(asking for _, asking, _ in tests[1:]):
            together = [test for test, _, _ in tests]
            if len(together) == 1:
                return together[0]
            return at.any_of(together) if any_ else at.all_of(together)
        result = self.local()
        for place, (test, asking, span) in enumerate(tests):
            inner = block
            if place:
                inner = asking
                decides = at.load(result)
                block.append(at.when(at.not_(decides) if any_ else decides, inner, []))
            inner.append(self.at(span).set(result, test))
            block = inner
        return at.load(result)


def _raise_again(whole: Span, lines: Lines, span: Span, fault: Exception) -> NoReturn:
    """
    Raise a fault from a place in a file, as a function of the mapping would.

    Args:
        whole: the place of that function.
    """
    emitter = Emitter(whole, lines)
    at = emitter.at(span)
    # The first that stands in the traceback is who asks for this, and will stand there again.
    behind = fault.__traceback__.tb_next if fault.__traceback__ is not None else None
    emitter.finish("bind", ("fault",), [at.raise_(at.load("fault"))])(fault.with_traceback(behind))
    raise AssertionError  # it has been raised


def _may_be_false(node: nodes.Expression) -> bool:
    """Whether Python may take a value for false that is neither `false` nor a state."""
    if nodes.plain_truth(node):
        return False
    return not isinstance(node, nodes.Apply | nodes.Read | nodes.Decide) or node.type.names != _TRUTH


def _is_told(node: nodes.Read) -> bool:
    """Whether the ledger is to be told that its predicate was asked: where that is so in every message, it knows."""
    return bool(node.mark.spot.asks) and not node.mark.always
