"""
What stands at the head of a message of MESH: from whom, of which workflow, in how many chunks; or what a report says.

Whatever is not as the specification has it makes the whole message unreadable, since a message that is put together
wrongly may be another patient's. This module must never let a header be a path, or a log entry, as it came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mhbridge.errors import MalformedMessage

__all__ = ["Head", "chunk_of", "is_id"]

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,100}")
_WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{1,300}")
_RANGE: Final = re.compile(r"([0-9]{1,6}):([0-9]{1,6})")
#: A message of the largest size that there is (100 GB) in chunks of the largest size that there is (100 MB).
_MOST_CHUNKS: Final = 1_000


def is_id(value: object) -> bool:
    """Whether this can be the id of a message: it becomes part of an address."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Head:
    """
    The head of a message.

    Args:
        report: it says what became of one that was sent from this mailbox, and has no body.
        chunks: how many it comes in.
        linked: of a report: the message that it is about; `local_id` is what its sender called that one.
        status: of a report: the code of what went wrong.
        packed: the body was compressed before it was given to MESH.
    """

    id: str
    report: bool
    sender: str
    workflow: str
    chunks: int = 1
    linked: str = ""
    local_id: str = ""
    status: str = ""
    packed: bool = False

    @classmethod
    def of(cls, id_: str, headers: Mapping[str, str]) -> Head:
        """
        The head of the message that was asked for.

        Raises:
            MalformedMessage: it is another's, of a type that nobody knows, or in chunks that cannot be.
        """
        if headers.get("Mex-MessageID", id_).upper() != id_.upper():
            raise MalformedMessage("D980", "the message that came is not the one that was asked for")
        kind = headers.get("Mex-MessageType", "DATA").upper()
        if kind not in ("DATA", "REPORT"):
            raise MalformedMessage("D980", "the message is of a type that is not known")
        report, linked = kind == "REPORT", headers.get("Mex-LinkedMsgID", "")
        return cls(
            id=id_,
            report=report,
            sender=_word(headers.get("Mex-From", "")),
            workflow=_word(headers.get("Mex-WorkflowID", "")),
            chunks=1 if report else chunk_of(headers, 1),
            linked=linked if is_id(linked) else "",
            local_id=_word(headers.get("Mex-LocalID", "")),
            status=_word(headers.get("Mex-StatusCode", "")),
            packed=headers.get("Mex-Content-Compressed", "").upper() in ("Y", "TRUE"),
        )


def chunk_of(headers: Mapping[str, str], number: int) -> int:
    """
    Of how many chunks this one is the `number`th.

    Raises:
        MalformedMessage: it is not that one, or there cannot be so many.
    """
    if "Mex-Chunk-Range" not in headers and number == 1:
        return 1
    found = _RANGE.fullmatch(headers.get("Mex-Chunk-Range", "").strip())
    if found is None or int(found[1]) != number or not number <= int(found[2]) <= _MOST_CHUNKS:
        raise MalformedMessage("D980", "the chunks of the message are numbered as they cannot be")
    return int(found[2])


def _word(value: str) -> str:
    value = value.strip()
    return value if _WORD.fullmatch(value) else ""
