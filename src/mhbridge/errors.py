"""
Whose fault it is, and how a person is told: the exception tree, positioned diagnostics, the catalogue of codes.

    MhbridgeError                     every one has .code and .message; neither ever holds a value of a message
    ├── MappingError(diagnostics)     the mapping author's: reported all at once, nothing starts
    ├── ConfigurationError(problems)  the operator's: reported all at once, nothing starts
    ├── MessageError                  the sender's
    │   ├── MalformedMessage          cannot be parsed: AR, 400
    │   └── UnsupportedMessage        no mapping takes it: AR, 422
    ├── DeliveryError                 the receiver's or the network's; the sender is already answered
    │   ├── DestinationUnavailable    certainly not taken: retry
    │   ├── DestinationSilent         nobody answered, it may have arrived: unknown
    │   ├── DestinationHeld           401, 403: the destination is held, no attempt is burnt
    │   └── DestinationRejected       4xx content: parked
    └── StoreError                    ours: nothing is acknowledged, the sender will send again

Codes are never reused. The catalogue itself is data (`explanations/*.toml`), read only when somebody asks.
This module must never print, log or import anything but `model`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from mhbridge.model import Severity

__all__ = [
    "ConfigurationError",
    "DeliveryError",
    "DestinationHeld",
    "DestinationRejected",
    "DestinationSilent",
    "DestinationUnavailable",
    "Diagnostic",
    "Explanation",
    "MalformedMessage",
    "MappingError",
    "MessageError",
    "MhbridgeError",
    "Span",
    "StoreError",
    "UnsupportedMessage",
    "explanations",
]


class Span(NamedTuple):
    """
    A stretch of a text file. Lines and columns are 1-based and count characters; `end_column` is exclusive.
    """

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def to(self, end: Span) -> Span:
        """The stretch from the start of this one to the end of `end`."""
        return Span(self.file, self.line, self.column, end.end_line, end.end_column)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """
    One problem in a file that a person wrote: code, place, what is wrong, what to do.

    Args:
        text: the source line that the span begins in, so that the caret can be drawn without reading the file again.
    """

    code: str
    message: str
    span: Span
    text: str = ""
    hint: str = ""
    severity: Severity = Severity.ERROR

    def short(self) -> str:
        """Place, what is wrong and what to do, on one line and without the code."""
        return f"{self.span}: {self.message}{'; ' + self.hint if self.hint else ''}"

    def render(self) -> str:
        """
        The diagnostic as text, three lines and the hint::

            mappings/x.yaml:10:28: E104: unknown function 'dat'
              10 |   birth_date: = PID-7 | dat
                 |                         ^^^
                 = hint: did you mean 'date'?
        """
        span, gutter = self.span, f"{self.span.line:>4} | "
        lines = [f"{span}: {self.code}: {self.message}"]
        if self.text:
            width = span.end_column - span.column if span.end_line == span.line else len(self.text) - span.column + 1
            # Tabs are kept under the caret's blanks, so that it stands where the editor shows it.
            blanks = "".join("\t" if c == "\t" else " " for c in self.text[: span.column - 1])
            lines += [f"{gutter}{self.text}", f"{' ' * 5}| {blanks}{'^' * max(1, width)}"]
        if self.hint:
            lines.append(f"     = hint: {self.hint}")
        return "\n".join(lines)


class MhbridgeError(Exception):
    """Something went wrong that mhbridge can name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class MappingError(MhbridgeError):
    """The mapping files have errors; nothing that depends on them starts."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        first = self.diagnostics[0]
        more = len(self.diagnostics) - 1
        super().__init__(first.code, f"{first.span}: {first.message}" + (f" (and {more} more)" if more else ""))


class ConfigurationError(MhbridgeError):
    """The configuration has errors; the gateway does not start. Each problem names the file and the key."""

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple(problems)
        code, message = self.problems[0]
        super().__init__(code, message)


class MessageError(MhbridgeError):
    """A message that cannot be worked. `offset` is the byte where it went wrong, when that is known."""

    def __init__(self, code: str, message: str, *, path: str = "", offset: int | None = None) -> None:
        super().__init__(code, message)
        self.path = path
        self.offset = offset


class MalformedMessage(MessageError):
    """The bytes are not what their format says they must be."""


class UnsupportedMessage(MessageError):
    """The message is well formed, but nothing here is made for it."""


class DeliveryError(MhbridgeError):
    """A delivery did not succeed; the subclass says what may be done next."""


class DestinationUnavailable(DeliveryError):
    """The destination certainly did not take it; it will be tried again. `after` is the wait asked for, in seconds."""

    def __init__(self, code: str, message: str, *, after: float | None = None) -> None:
        super().__init__(code, message)
        self.after = after


class DestinationSilent(DeliveryError):
    """
    Bytes may have arrived and nobody answered: look before sending again.

    Args:
        after: seconds before which to look would tell nothing.
        remote_id: what the receiver would call it, where that is known without an answer.
    """

    def __init__(self, code: str, message: str, *, after: float | None = None, remote_id: str = "") -> None:
        super().__init__(code, message)
        self.after = after
        self.remote_id = remote_id


class DestinationHeld(DeliveryError):
    """The destination refuses us, not this document: hold all that goes there until a person has looked."""


class DestinationRejected(DeliveryError):
    """The destination will never take this content: a person must look."""


class StoreError(MhbridgeError):
    """The store cannot make it durable; nothing is acknowledged."""


class PastChanged(StoreError):
    """What a step was told came before does not hold any more. Nothing was made durable; the step is done again."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """An entry of the catalogue: what a code means, an example, and how to mend it."""

    code: str
    title: str
    cause: str
    mend: str
    example: str = ""


@cache
def explanations() -> dict[str, Explanation]:
    """The whole catalogue, by code. Reads `mhbridge/explanations/*.toml` on the first call only."""
    import tomllib
    from importlib.resources import files

    found: dict[str, Explanation] = {}
    for file in sorted(files("mhbridge").joinpath("explanations").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml"):
            for code, entry in tomllib.loads(file.read_text("utf-8")).items():
                if code in found:
                    raise ValueError(f"{file.name}: code {code} is used twice")
                found[code] = Explanation(code, **entry)
    return found
