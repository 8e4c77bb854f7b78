"""
What every source format does: bytes → messages, paths into them, and the answer to their sender.

This module must never name one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from mhbridge.errors import MessageError
from mhbridge.formats.messages import Message
from mhbridge.formats.paths import Loop, Path, Scope
from mhbridge.formats.places import Placed
from mhbridge.formats.sources import Source
from mhbridge.model import Answer

__all__ = ["Format"]


class Format(Placed, Protocol):
    """
    A source format. Instances are stateless singletons.

    The generated code calls what `first`, `every` and `loop` return; these are made once, when a mapping is compiled,
    so all that can be decided from the path and the scope is decided there and not once per message.
    """

    name: str
    #: Keys accepted in `source:` besides `format`, `timezone` and `charset`, with one line of help each.
    keys: Mapping[str, str]

    def declare(self, timezone: str, charset: str, options: Mapping[str, Any]) -> Source:
        """Check a `source:` block's own keys (plain strings, lists and dicts). Raises `DeclarationError`."""

    def recognise(self, head: bytes) -> bool:
        """Whether bytes that begin like `head` (up to 4 kB) are of this format, as far as their beginning tells."""

    def messages(
        self, body: bytes, sources: Sequence[Source]
    ) -> Iterator[tuple[Message | MessageError, tuple[int, ...]]]:
        """
        The messages of an envelope in order, each with the indexes of the sources that take it (none, one or more).

        A format that takes files to pieces (`Divisible`) has a third parameter, `before`.

        A message that is broken is yielded as the error that says why, a `BrokenMessage` where its own bytes are known;
        the others go on. Raises `MalformedMessage` when nothing of the envelope can be read.
        """

    def scan(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """
        The longest path that begins exactly at `start` of `text`, and where it ends; `None` when there is none.

        Raises `PathError` when it begins like a path and then goes wrong.
        """

    def source_type(self, path: Path, scope: Scope) -> str:
        """
        The type of what `path` finds: an HL7 v2 data type of the declared version (`CX`), `varies`, `undeclared`
        (a Z segment: the item's type decides), or `text`. Raises `PathError` when the path is impossible in this scope.
        """

    def first(self, path: Path, scope: Scope) -> Callable[[Any], Any]:
        """Cursor → the first raw value, `ABSENT`, or `DELETED`."""

    def every(self, path: Path, scope: Scope) -> Callable[[Any], list[Any]]:
        """Cursor → all raw values, in order, `DELETED` among them where the source deletes; empty if there is none."""

    def loop(self, path: Path, scope: Scope) -> tuple[Loop, Scope]:
        """What `$each` over `path` runs over, and the scope inside it. Raises `PathError`."""

    def scan_loop(self, text: str, start: int, end: int) -> tuple[Path, int] | None:
        """Like `scan`, for the path of a `$each`: there a whole segment or table may be named."""

    def cursor(self, message: Message) -> Any:
        """The outermost cursor of a message."""

    def text(self, raw: Any) -> str:
        """A raw value as unescaped text, line breaks kept: what `=` compares, and what a failed conversion keeps."""

    def acknowledge(self, body: bytes, answer: Answer, *, name: str) -> bytes:
        """
        The answer in the sender's own format, for transports that answer in kind; empty when the format has none.

        Args:
            body: the envelope's bytes; may be malformed.
            name: this gateway's own name, where the answer names its sender.
        """
