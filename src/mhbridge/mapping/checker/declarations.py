"""
Reads the keys of a YAML mapping that has a fixed shape, and says what is unknown, missing or of the wrong kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from mhbridge.errors import Span
from mhbridge.mapping.reader import Items, Node, Pairs, Text, YamlFile

__all__ = ["Declaration", "did_you_mean", "plain"]


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "", *, least: float = 0.6) -> str:
    """A hint with the nearest known word, or `otherwise`; `least` is how near it must be, from 0 to 1."""
    near = get_close_matches(word, list(known), 1, least)
    return f"did you mean {near[0]!r}?" if near else otherwise


def plain(node: Node) -> Any:
    """A node as plain strings, lists and dicts: for keys that belong to somebody else (a format's own)."""
    match node:
        case Text():
            return node.value
        case Items():
            return [plain(entry) for entry in node.entries]
        case Pairs():
            return {key: plain(value) for key, value in node.entries.items()}


class Declaration:
    """
    A map with known keys.

    Args:
        where: what the map declares, for messages: `an item`.
        keys: the keys that may stand in it, beside those beginning with one of `prefixes`.
    """

    def __init__(
        self, file: YamlFile, node: Node | None, where: str, keys: Iterable[str], *, at: Span | None = None
    ) -> None:
        self.file, self.where = file, where
        self.span = node.span if node is not None else at or file.span(0, 1)
        self.entries: Mapping[str, Node] = {}
        self.keys: Mapping[str, Span] = {}
        if node is None:
            return
        if not isinstance(node, Pairs):
            file.report("E042", f"{where} is written as `key: value` pairs", node.span)
            return
        self.entries, self.keys = node.entries, node.keys
        allowed = frozenset(keys)
        for key, span in node.keys.items():
            if key not in allowed:
                file.report(
                    "E040",
                    f"{where} has no key {key!r}",
                    span,
                    # A weak likeness would send people the wrong way, so all of them are said.
                    did_you_mean(key, sorted(allowed), f"one of {', '.join(sorted(allowed))}", least=0.75),
                )

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def node(self, key: str) -> Node | None:
        """What stands at a key."""
        return self.entries.get(key)

    def require(self, *keys: str) -> bool:
        """Report every key that is missing; true when none is."""
        missing = [key for key in keys if key not in self.entries]
        for key in missing:
            self.file.report("E041", f"{self.where} needs the key {key!r}", self.span)
        return not missing

    def text(self, key: str, default: str = "") -> str:
        """A literal text."""
        node = self.entries.get(key)
        if node is None:
            return default
        if not isinstance(node, Text):
            self.file.report("E042", f"{key!r} is a single value", node.span)
            return default
        return node.value

    def choice(self, key: str, among: Iterable[str], default: str) -> str:
        """One of a few words."""
        value, words = self.text(key, default), list(among)
        if value not in words:
            self.file.report(
                "E043", f"{key!r} is one of {', '.join(words)}", self.entries[key].span, did_you_mean(value, words)
            )
            return default
        return value

    def flag(self, key: str) -> bool:
        """`true` or `false`; missing is false. (`yes` and `no` are accepted: YAML people write them.)"""
        return self.choice(key, ("true", "false", "yes", "no"), "false") in ("true", "yes")

    def texts(self, key: str) -> list[Text]:
        """A sequence of literal texts; one alone may stand without brackets."""
        node = self.entries.get(key)
        entries = node.entries if isinstance(node, Items) else () if node is None else (node,)
        found = []
        for entry in entries:
            if isinstance(entry, Text):
                found.append(entry)
            else:
                self.file.report("E042", f"{key!r} is a list of single values", entry.span)
        return found

    def pairs(self, key: str) -> Pairs | None:
        """A map."""
        node = self.entries.get(key)
        if node is None or isinstance(node, Pairs):
            return node
        self.file.report("E042", f"{key!r} is written as `key: value` pairs", node.span)
        return None

    def items(self, key: str) -> tuple[Node, ...]:
        """A sequence of anything."""
        node = self.entries.get(key)
        if node is None:
            return ()
        if isinstance(node, Items):
            return node.entries
        self.file.report("E042", f"{key!r} is a list (`- …`)", node.span)
        return ()
