"""
The objects of a PDF, by the library that reads them: everything of it that can be asked is asked here.

The library mends what it finds broken unless it is told not to; it is told. What it may unpack, parse and walk is
bounded, and how often it may look at the file is counted. This module must never let one of its exceptions out: they
quote the document.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from mhbridge.formats.document.blocks import Unread

if TYPE_CHECKING:
    from pypdf import PdfReader

__all__ = [
    "DAMAGED",
    "LIMITED",
    "Budget",
    "array",
    "contents",
    "dictionary",
    "name",
    "number",
    "opened",
    "operations",
    "value",
]

DAMAGED: Final = "the PDF is damaged"
LIMITED: Final = "the PDF is larger than a letter is"
#: A letter with a scanned page or two; the largest body that is taken is larger.
_LARGEST: Final = 20_000_000
#: What one stream may unpack to, and all together that are read. The pages of a letter are some ten kilobytes each, a
#: font's table some two, the objects of its structure some hundred.
_UNPACKED: Final = 1_000_000
_UNPACKED_IN_ALL: Final = 2_000_000
#: What one content stream may have of operators and operands: a page full of text has some ten thousand.
_PARSED: Final = 200_000
_OBJECTS: Final = 100_000
#: Operations, signs, elements, and shapes that are held against words.
_STEPS: Final = 600_000
#: Looks at the file, a character at a time where objects are; and objects that are asked for.
_LOOKS: Final = 5_000_000
_ASKED: Final = 300_000
#: Whether something is read here at present: what the library then warns of, it has mended.
_READING: ContextVar[bool] = ContextVar("reading", default=False)


@dataclass(slots=True)
class Budget:
    """What may be done for one document: operations, signs and comparisons; and bytes that are unpacked."""

    left: int = _STEPS
    bytes: int = _UNPACKED_IN_ALL

    def spend(self, count: int) -> None:
        """So much of it."""
        self.left -= count
        if self.left < 0:
            raise Unread(LIMITED)

    def unpack(self, count: int) -> None:
        """So many bytes of it; each stream costs something."""
        self.bytes -= count + 100
        if self.bytes < 0:
            raise Unread(LIMITED)


class _File(BytesIO):
    """A file in memory that is looked at so often and no more."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._left = _LOOKS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise Unread(LIMITED)
        return super().read(size)


class _Strict(logging.Handler):
    """The library says by a warning that it has mended something, even when it is told not to: that is a refusal."""

    def emit(self, record: logging.LogRecord) -> None:  # noqa: ARG002  # the standard library's
        if _READING.get():
            raise Unread(DAMAGED)


@contextmanager
def opened(body: bytes, budget: Budget) -> Iterator[PdfReader]:
    """
    A PDF, for as long as it is read.

    Raises:
        Unread: it is damaged or too large; in the `with` too, whatever the library finds wrong.
    """
    from pypdf import PdfReader, apply_configuration
    from pypdf.errors import LimitReachedError
    from pypdf.generic import StreamObject

    class Counted(PdfReader):
        """Objects are asked for so often and no more."""

        def __init__(self, body: bytes) -> None:
            self.left = _ASKED
            self.parsed: dict[int, Any] = {}
            super().__init__(_File(body), strict=True, xref_stream_maximum_entries=_OBJECTS)

        def get_object(self, indirect_reference: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise Unread(LIMITED)
            found = super().get_object(indirect_reference)
            if isinstance(found, StreamObject) and found.get("/Type") == "/ObjStm" and id(found) not in self.parsed:
                # A stream of objects, which are read all at once.
                self.parsed[id(found)] = found
                budget.unpack(len(found.get_data()))
            return found

    if len(body) > _LARGEST:
        raise Unread(LIMITED)
    limits: dict[str, Any] = dict.fromkeys(
        (
            "array_based_stream_maximum_output_length", "lzw_maximum_output_length", "run_length_maximum_output_length",
            "zlib_maximum_output_length", "brotli_maximum_output_length", "flate_maximum_row_length",
            "stream_decoding_work_maximum_length", "jbig2_maximum_output_length",
        ),
        _UNPACKED,
    )  # fmt: skip
    logger = logging.getLogger("pypdf")
    if not any(isinstance(handler, _Strict) for handler in logger.handlers):
        logger.addHandler(_Strict())
    reading = _READING.set(True)
    try:
        with apply_configuration(
            **limits,
            zlib_maximum_recovery_input_length=0,
            stream_filters_maximum_length=2,
            stream_parsing_work_maximum_count=_PARSED,
            jbig2dec_binary=None,
        ):
            yield Counted(body)
    except Unread:
        raise
    except LimitReachedError:
        raise Unread(LIMITED) from None
    except Exception:  # noqa: BLE001  # the library has errors of its own, and those of Python for what it did not expect
        # `from None`: the cause quotes the document.
        raise Unread(DAMAGED) from None
    finally:
        _READING.reset(reading)


def value(holder: Any, key: str) -> Any:
    """What a dictionary has under a key, whether it stands there or is named; `None`: nothing."""
    found = holder.get(key)
    found = found.get_object() if found is not None else None
    return None if type(found).__name__ == "NullObject" else found


def dictionary(holder: Any, key: str) -> Any:
    """The same where it is a dictionary; otherwise an empty one."""
    found = value(holder, key)
    return found if isinstance(found, dict) else {}


def array(holder: Any, key: str) -> list[Any]:
    """The same as an array, its members as they stand there."""
    found = value(holder, key)
    return found if isinstance(found, list) else []


def number(holder: Any, key: str, otherwise: float) -> float:
    """The same where it is a number."""
    found = value(holder, key)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else otherwise


def name(holder: Any, key: str) -> str:
    """The same where it is a name, without its slash."""
    found = value(holder, key)
    return found[1:] if isinstance(found, str) and found.startswith("/") else ""


def contents(holder: Any, key: str, budget: Budget) -> bytes:
    """The stream under a key, unpacked, or several as if they were one (ISO 32000-1, 7.8.2)."""
    found = value(holder, key)
    streams = [one.get_object() for one in found] if isinstance(found, list) else [found] if found is not None else []
    made: list[bytes] = []
    for stream in streams:
        made.append(stream.get_data())
        budget.unpack(len(made[-1]))
    return b"\n".join(made)


def operations(data: bytes, budget: Budget) -> list[tuple[Any, bytes]]:
    """What a content stream does: operands and operator. Strings are bytes."""
    from pypdf.generic import ContentStream, DecodedStreamObject

    stream = DecodedStreamObject()
    stream.set_data(data)
    found: list[tuple[Any, bytes]] = ContentStream(stream, None, "bytes").operations
    budget.spend(len(found))
    return found
