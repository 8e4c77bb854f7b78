"""
A supplier, and one of its mappings made ready to run: a message in, its reading out; items in, a document out.

Both are pure: the same message gives the same result, on every machine and in every replay. Nothing here may raise for
what a message holds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any, Final, TypeAlias
from zoneinfo import ZoneInfo

from mhbridge.formats import Format, Message, Source
from mhbridge.mapping.assembly import Built
from mhbridge.mapping.checker.builds import BuildFile
from mhbridge.mapping.checker.mapping_file import MappingFile
from mhbridge.mapping.checks import Action, ReadyCheck
from mhbridge.mapping.clocks import ReadyClock
from mhbridge.mapping.codes import CodeSystems
from mhbridge.mapping.conversions import Context
from mhbridge.mapping.known import restricts
from mhbridge.mapping.ledger import FieldLedger, Taken, drawn_up
from mhbridge.mapping.lineage import Line, items_by_resource, lineage, paths_by_resource
from mhbridge.mapping.packs import DocumentType, Item
from mhbridge.mapping.provenance import Origin, as_recorded, provenance
from mhbridge.mapping.run import Run
from mhbridge.mapping.translation import ReadyBuild, Translation, identity_text, seed_of
from mhbridge.mapping.written import not_written
from mhbridge.model import (
    ABSENT,
    DELETED,
    MASKED,
    Act,
    Issue,
    Key,
    MessageFacts,
    Reading,
    Recorded,
    Severity,
    State,
    Unknown,
)

__all__ = ["Supplier", "SupplierMapping"]

#: Takes (table, codings, words) of a code that a table does not have.
Collector: TypeAlias = Callable[[Any, Any, str], None]

#: From the mildest on.
_STRICTNESS: Final = tuple(Action)
#: What later messages ask of a letter, besides what is said once for a stay: whose it is, and that it is restricted.
_OF_LETTERS: Final = ("patient_key", "sensitivity")
_ACTS: Final = frozenset(act.value for act in Act)


@dataclass(frozen=True, slots=True)
class Supplier:
    """
    A supplier: what all its feeds share.

    Args:
        identifiers: assigning authority → system name or URI.
        senders: `MSH-3|MSH-4` of its systems, to recognise a message by; empty: not told apart.
        anybody: it is no supplier but whoever has none: a message that another one takes is never its.
    """

    name: str
    title: str
    timezone: str = "Europe/London"
    charset: str = ""
    identifiers: Mapping[str, str] = field(default_factory=dict)
    senders: frozenset[str] = frozenset()
    anybody: bool = False


@dataclass(frozen=True, slots=True)
class SupplierMapping:
    """
    A supplier mapping, compiled.

    Args:
        hash: content hash of every file that it consists of.
        paths: gives place of a function in the mapping → the paths that it is given; made when it is first asked.
        builds: target → the build of its document type.
        trees: target → the same before it was compiled, for lineage.
        clocks: the clocks of its document type.
        checks: its safety checks.
    """

    name: str
    supplier: Supplier
    document: DocumentType
    format: Format
    source: Source
    file: MappingFile
    hash: str
    systems: CodeSystems
    bind: Callable[[Any, Run], dict[str, Any]]
    ledger: FieldLedger
    paths: Callable[[], Mapping[str, str]]
    derive: Callable[[dict[str, Any], Run], None]
    builds: Mapping[str, ReadyBuild]
    trees: Mapping[str, BuildFile]
    clocks: tuple[ReadyClock, ...] = ()
    checks: tuple[ReadyCheck, ...] = ()

    def run(
        self, facts: MessageFacts, received_at: datetime, target: str = "", unknown: Collector | None = None
    ) -> Run:
        """
        A fresh run for one message.

        Args:
            target: of a build; empty while reading.
            unknown: takes the codes that tables do not have.
        """
        uris = self.builds[target].uris if target else None
        zone, dates, supplier = ZoneInfo(self.source.timezone), self.source.options.get("dates", ""), self.supplier
        context = partial(Context, zone, supplier.identifiers, self.systems, str(dates), supplier.name)
        if unknown is not None:
            context = partial(context, unknown=unknown)
        return Run(facts, supplier=supplier.name, received_at=_instant(received_at), context=context, uris=uris)

    # -- reading --------------------------------------------------------------------------------------------

    def read(self, message: Message, received_at: datetime) -> Reading:
        """What the message says: its items, bound; a reason to park it, if there is one."""
        return self.read_traced(message, received_at)[0]

    def read_traced(
        self, message: Message, received_at: datetime, unknown: Collector | None = None
    ) -> tuple[Reading, Taken]:
        """The same, with what the field ledger of several mappings together is drawn up from."""
        run = self.run(message.facts, received_at, unknown=unknown)
        items = self.bind(self.format.cursor(message), run)
        act = self._act(items, run)
        parked = run.parked
        if self.file.authors or not self.file.partial:
            parked = parked or self._missing(items, act, run)
        restricted = self.restricts(items)
        if restricted:
            items = self.withheld(items)
        # Beside the patient, who is known by the key; news of the patient alone has nothing else.
        episode = self._identity(items, without="patient_key") or self._identity(items)
        patient = _key(items.get("patient_key"))
        if patient is None and not parked and any(bound.name == "patient_key" for bound in self.file.items):
            parked = "M722"
            run.issues.append(
                Issue(
                    "M722",
                    Severity.ERROR,
                    "nothing in the message says whose it is",
                    item="patient_key",
                    rule=self.name,
                )
            )
        if not episode and not parked:
            parked = "M720"
            run.issues.append(
                Issue("M720", Severity.ERROR, "nothing in the message says which stay it belongs to", rule=self.name)
            )
        effective = items.get("effective_at", "")
        taken = (self.ledger, run.trace)
        reading = Reading(
            facts=message.facts,
            supplier=self.supplier.name,
            mapping=self.name,
            mapping_hash=self.hash,
            document=self.document.name,
            items=items,
            issues=tuple([self._placed(issue) for issue in run.issues]),
            parked=parked,
            act=act,
            patient=patient,
            merged_from=_key(items.get("merged_from")),
            episode=episode,
            effective_at="" if isinstance(effective, State) else effective,
            authors=self.file.authors,
            restricted=restricted,
            ledger=drawn_up(message, (taken,)),
            # A letter says what its author says, and nothing of it is ever said by another message.
            serves=(*self.document.settled, *_OF_LETTERS) if self.file.authors else None,
        )
        return reading, taken

    def _identity(self, items: Mapping[str, Any], *, without: str = "") -> str:
        names = (name for name in self.document.identity if name != without)
        return "|".join(filter(None, (identity_text(items.get(name)) for name in names)))

    def _placed(self, issue: Issue) -> Issue:
        """An issue of a function, which does not know what it was given, with the paths of that."""
        path = "" if issue.path else self.paths().get(issue.rule, "")
        return replace(issue, path=path) if path else issue

    def _act(self, items: Mapping[str, Any], run: Run) -> Act:
        """What the message does. A word that is no act is never taken for one: a person must look."""
        act = items.get("act", Act.NEW.value)
        if act in _ACTS:
            return Act(act)
        if not run.parked:
            item = self.document.items.get("act")
            reason = f"this is no act: one of {', '.join(sorted(_ACTS))}"
            if isinstance(act, State):
                reason = "what the message does to the stay cannot be told from it"
            rule = "" if item is None else str(item.span)
            run.failed(code="I601", reason=reason, path="", item="act", rule=rule, on_bad="park")
        return Act.NEW

    def _missing(self, items: Mapping[str, Any], act: Act, run: Run) -> str:
        """Note what is mandatory and did not come; the code when some of it parks the message."""
        parked = ""
        gone: list[Item] = []
        for name in self.file.mandatory:
            value = items.get(name, ABSENT)
            # That a name or the time of discharge is not known, some formats say in so many words; it still lacks.
            if isinstance(value, State) and (_is_missing(value) or _said_to_lack(value)):
                item = self.document.items[name]
                if _is_missing(value) or item.on_bad == "park":
                    gone.append(item)
        demanding = self.document.demanding
        inside = [(name, one) for name in items if name in demanding for one in _lacking(items[name], demanding[name])]
        for name, item in dict.fromkeys([*((item.name, item) for item in gone), *inside]):
            whole = name if item in gone else f"{name}.{item.name}"
            run.item, run.rule = whole, str(item.span)
            what = "the mandatory item" if item in gone else "in an entry the mandatory field"
            run.note("I611", f"the sender did not give {what} {whole}")
            parked = "I611" if item.on_bad == "park" else parked
        if act in (Act.NEW, Act.UPDATE):
            self._empty(items, {item.heading for item in gone}, run)
        return parked

    def _empty(self, items: Mapping[str, Any], said: Collection[str], run: Run) -> None:
        """
        Note the headings of the record standard under which nothing is said: the sender has still time to say it.

        Args:
            said: headings of which a mandatory item has been missed already.
        """
        required = []
        present = {name for name, value in items.items() if _is_said(value)}
        # What only this supplier has stands under a heading, too.
        own = {self.file.document.items[name].heading for name in present if name.startswith("x_")}
        for asked in self.document.headings:
            if (
                asked.need == "optional"
                or not present.isdisjoint(asked.items)
                or asked.heading in said
                or asked.heading in own
            ):
                continue
            if asked.need == "required":
                required.append(asked.title)
                continue
            run.item, run.rule = asked.heading, ""
            run.note("I612", f"nothing is said under the mandatory heading {asked.title!r}")
        if required:
            run.item, run.rule = "", ""
            run.note("I613", f"nothing is said under {', '.join(repr(title) for title in required)}")

    def lineage(self, target: str = "r4") -> list[Line]:
        """Element ← item ← source path ← place, for everything that this mapping can say in a target."""
        tree = self.trees[target]
        return lineage(self.file.items, self.document.derived, tree.resources, tree.sections)

    def checked(
        self, reading: Reading, items: Mapping[str, Any], received_at: datetime
    ) -> tuple[list[Issue], Action | None]:
        """What the safety checks say of a letter, and the strictest that follows from it."""
        found: list[Issue] = []
        actions = []
        if self.checks:
            run = self.run(reading.facts, received_at)
            for check in self.checks:
                said = list(check.issues(items, run))
                found += said
                if any(issue.code == "I650" for issue in said):
                    actions.append(check.rule.action)
        watched = [clock for clock in self.clocks if clock.each is not None]
        if watched:
            run, zone = self.run(reading.facts, received_at), ZoneInfo(self.source.timezone)
            for clock in watched:
                found += clock.unwatched(items, run, zone, received_at)
        return found, max(actions, key=_STRICTNESS.index, default=None)

    def extracted(self, reading: Reading, items: Mapping[str, Any], letter: DocumentType) -> tuple[Reading, Any]:
        """
        What of a letter a document is made of that is made beside it: a reading of its own, and its items.

        Args:
            items: those of the letter, with what it carries.
        """
        takes = self.document.taken_of(letter)
        taken = {name: value for name, value in items.items() if name in takes}
        # What names the letter names what is made of it.
        taken[self.document.identity[0]] = {"value": f"{reading.document}|{reading.episode}"}
        return replace(reading, document=self.document.name, items=taken, issues=(), written=b""), taken

    # -- what may leave -------------------------------------------------------------------------------------

    @staticmethod
    def restricts(items: Mapping[str, Any]) -> bool:
        """Whether the sensitivity among these items forbids automatic routing."""
        return restricts(items.get("sensitivity"))

    def withheld(self, items: Mapping[str, Any]) -> dict[str, Any]:
        """The items less contact details, next of kin and GP: of a restricted patient they never leave (design §12)."""
        hidden = {name for name, item in self.document.items.items() if item.withhold}
        return {name: MASKED if name in hidden else value for name, value in items.items()}

    # -- building -------------------------------------------------------------------------------------------

    def build(
        self,
        reading: Reading,
        items: Mapping[str, Any],
        received_at: datetime,
        target: str = "r4",
        carried: Mapping[str, Recorded] | None = None,
    ) -> Translation:
        """
        The document that `items` (of this reading, or folded with what is known) make in a target.

        Args:
            carried: of these items those that an earlier message said, and which.

        Raises:
            KeyError: the document type has no build for the target.
        """
        ready = self.builds[target]
        run = self.run(reading.facts, received_at, target)
        complete = dict(items)
        self.derive(complete, run)
        seed = seed_of(self.supplier.name, self.document.name, self.document.identity, complete)
        witness = self._witness(target, run, seed, carried or {}) if self.file.provenance else None
        zone = ZoneInfo(self.source.timezone)
        notes = {name: as_recorded(one, zone) for name, one in (carried or {}).items()}
        resource, identifier = ready.run(complete, run, seed, witness, notes)
        return Translation(
            self.name, self.document.name, target, ready.kind, resource, identifier, (*reading.issues, *run.issues),
            not_written(ready.written, complete),
        )  # fmt: skip

    def _witness(
        self, target: str, run: Run, seed: tuple[str, ...], carried: Mapping[str, Recorded]
    ) -> Callable[[list[Built]], list[Built]]:
        """Makes what says of each resource where it came from."""
        tree = self.trees[target]
        paths = paths_by_resource(self.file.items, self.document.derived, tree.resources)
        origin = Origin(self.name, self.hash, self.supplier.title, paths)
        zone = ZoneInfo(self.source.timezone)
        read = items_by_resource(self.document.derived, tree.resources) if carried else {}
        said = {
            name: [(self.document.items[item].label or item, as_recorded(carried[item], zone)) for item in of]
            for name, items in read.items()
            if (of := [item for item in items if item in carried])
        }
        return lambda built: provenance(built, origin, run, seed, said)

    def derived(self, reading: Reading, items: Mapping[str, Any], received_at: datetime) -> dict[str, Any]:
        """The items with the derived ones: what routing conditions read."""
        complete = dict(items)
        self.derive(complete, self.run(reading.facts, received_at))
        return complete


@lru_cache(maxsize=64)
def _instant(moment: datetime) -> str:
    """A moment as FHIR writes it. Asked several times for each message, of which several come at once."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _said_to_lack(value: Any) -> bool:
    """There is no value, and why is said; what could not be read parks by itself."""
    return isinstance(value, Unknown) and value.reason != "error"


def _is_missing(value: Any) -> bool:
    return value is ABSENT or value is DELETED


def _is_said(value: Any) -> bool:
    return not (value is None or value is ABSENT or value is DELETED or value == [])


def _lacking(value: Any, fields: tuple[Item, ...]) -> Iterable[Item]:
    """Those of the mandatory fields that a record, or one of a list of them, lacks."""
    for one in value if isinstance(value, list) else (value,):
        if isinstance(one, dict):
            yield from (item for item in fields if _is_missing(one.get(item.name, ABSENT)))


def _key(value: Any) -> Key | None:
    """A patient key: the Identifier's system and value."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, dict) and value.get("value"):
        return Key(str(value.get("system", "")), str(value["value"]))
    return None
