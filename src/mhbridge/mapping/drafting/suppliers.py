"""
What a feed needs beside its mapping, where nobody has it: the supplier, its code systems, tables without a row.

Of samples only issuers go into these files, and only where they look like one. This module must never read a sample:
what is in them is given to it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from mhbridge.mapping.codes import TABLE_COLUMNS
from mhbridge.mapping.drafting.columns import plain_name
from mhbridge.mapping.library import Snapshot

__all__ = ["WORD", "Newcomer"]

_TABLE_HEADER: Final = ",".join(TABLE_COLUMNS) + "\n"
_SYSTEMS_HEADER: Final = "system,title,r4,stu3,oid,v2\n"
#: What names an issuer, a list or a part, and cannot be a name of a person or a sentence.
WORD: Final = re.compile(r"[A-Z0-9][A-Z0-9_.-]{1,19}")
_ISSUERS: Final = re.compile(r"PID-3\.4|PV1-19\.4|TXA-12\.2|[A-Z]{2}[A-Z0-9]-\d+\.9(?:\.1)?")
#: Issuers that every supplier means alike.
_KNOWN_ISSUERS: Final = {
    "NHS": "https://fhir.nhs.uk/Id/nhs-number",
    "ODS": "https://fhir.nhs.uk/Id/ods-organization-code",
    "GMC": "https://fhir.hl7.org.uk/Id/gmc-number",
    "NMC": "https://fhir.hl7.org.uk/Id/nmc-number",
}


@dataclass(frozen=True, slots=True)
class Newcomer:
    """
    A supplier of whom a feed is begun.

    Args:
        snapshot: the mappings that there are.
        name: of its folder.
        title: its name for people.
    """

    snapshot: Snapshot
    name: str
    title: str

    def empty_tables(self, tables: Mapping[str, str]) -> dict[str, str]:
        """The files of tables that nobody has, without a row."""
        found: dict[str, str] = {}
        for raw in tables.values():
            file = re.search(r"file: *([\w.-]+)", raw)
            own = f"suppliers/{self.name}/codes/tables/{file[1] if file else ''}"
            if file and self.snapshot.read(own) is None and self.snapshot.read(f"codes/tables/{file[1]}") is None:
                found[own] = _TABLE_HEADER
        return found

    def systems(self, lines: Iterable[str], tables: Mapping[str, str]) -> dict[str, str]:
        """
        `systems.csv` with what it lacks: systems of identifiers that lines name, and those of own tables.

        Args:
            lines: those of the mapping.
            tables: name → what the mapping says of it.
        """
        own = re.compile(rf'"({re.escape(self.name)}-[a-z]+)"')
        names = dict.fromkeys(name for line in lines for name in own.findall(line))
        rows = [self._system(one.removeprefix(f"{self.name}-"), "id") for one in names]
        rows += [self._system(table.replace("_", "-"), "codes") for table in self._own(tables)]
        path = f"suppliers/{self.name}/codes/systems.csv"
        there = self.snapshot.read(path)
        text = there[1].decode("utf-8", "replace") if there is not None else _SYSTEMS_HEADER
        rows = [row for row in rows if f"\n{row.partition(',')[0]}," not in text]
        return {path: text.rstrip("\n") + "\n" + "".join(rows)} if rows else {}

    def _system(self, name: str, kind: str) -> str:
        """A line of `systems.csv`; what the URI is, only the supplier can say."""
        title = f'"{self.title} {name}"' if "," in self.title else f"{self.title} {name}"
        return f"{self.name}-{name},{title},https://{self.name}.example/{kind}/{name},,,\n"

    def _own(self, tables: Mapping[str, str]) -> list[str]:
        """Names of the tables that only the supplier can fill."""
        return [
            name
            for name, raw in tables.items()
            if (file := re.search(r"file: *([\w.-]+)", raw)) and self.snapshot.read(f"codes/tables/{file[1]}") is None
        ]

    def supplier(self, leaves: Iterable[tuple[str, str]], senders: Iterable[str]) -> dict[str, str]:
        """
        `supplier.yaml`, where there is none.

        Args:
            leaves: path and text of all that the samples say.
            senders: what the samples call their sender.
        """
        path = f"suppliers/{self.name}/supplier.yaml"
        if self.snapshot.read(path) is not None:
            return {}
        issuers = Counter(text for like, text in leaves if _ISSUERS.fullmatch(like) and WORD.fullmatch(text))
        lines = [
            f"supplier: {self.name}",
            f"title: {self.title!r}" if ":" in self.title else f"title: {self.title}",
            "timezone: Europe/London  # of times without an offset",
        ]
        base = f"https://{self.name}.example/id"
        known = {one: f"{base}/{plain_name(one)}" for one, _ in issuers.most_common(12)} | _KNOWN_ISSUERS
        named = list(senders)
        if named and all(WORD.fullmatch(part) for one in named for part in one.split("|")):
            lines.append(f"senders: [{', '.join(chr(39) + one + chr(39) for one in named)}]")
        lines += [
            "# Whom messages call the issuer of an identifier → the system it belongs to. Those in .example are",
            "# made up: put the URIs there that your organisation uses, because receivers file by them.",
            "identifiers:",
            *(f"  {issuer}: {uri}" for issuer, uri in known.items()),
        ]
        return {path: "\n".join(lines) + "\n"}
