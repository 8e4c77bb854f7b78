"""
Inputs of nasty shapes, of any size: many of something, nested in something, or never ended. What is made of each should
grow as the input does, and not with its square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import cases

__all__ = ["CSV", "HL7V2", "MAPPING", "MLLP", "XHTML"]

_NHS = b"9997770013^^^NHS"


def _pid(number: int) -> bytes:
    return b"PID|%d||X%d^^^ELM\r" % (number, number)


#: At ten times the size of 900 still within 10,000 segments, 1,000 fields and 1,000 repetitions.
HL7V2: Final[Mapping[str, Callable[[int], bytes]]] = {
    "notes": lambda n: cases.message(tail=b"NTE|1||x\r" * n),
    "patients": lambda n: cases.message(tail=b"".join(map(_pid, range(n)))),
    "patients that share an identifier": lambda n: cases.message(
        tail=b"".join(b"PID|1||X%d^^^ELM~X%d^^^ELM\r" % (i, i + 1) for i in range(n))
    ),
    "identifiers": lambda n: cases.message(
        ids=b"~".join([_NHS] * (n // 10)), tail=(b"PID|1||" + b"~".join([_NHS] * (n // 10)) + b"\r") * 9
    ),
    "segments of different names": lambda n: cases.message(
        tail=b"".join(b"Z%c%c|1\r" % (65 + i % 26, 65 + i // 26 % 26) for i in range(n))
    ),
    "documents": lambda n: cases.message(tail=b"OBX|1|ED|D||^application^pdf^Base64^JVBERi0=\r" * (n // 10)),
    "components": lambda n: cases.message(tail=b"ZZZ|" + b"^a" * (n // 10) + b"\r"),
    "subcomponents": lambda n: cases.message(tail=b"ZZZ|" + b"&a" * n + b"\r"),
    "fields of many components": lambda n: cases.message(tail=b"ZZZ|" + (b"^a" * 900 + b"|") * (n // 40) + b"\r"),
    "escapes": lambda n: cases.message(note=rb"\F\\X41\\.br\ " * n),
    "escapes that are none": lambda n: cases.message(note=b"\\Z\\ " * n),
    "hexadecimal escapes side by side": lambda n: cases.message(note=b"\\X41\\" * n),
    "hexadecimal escapes that are not ended": lambda n: cases.message(note=b"\\X41" * n),
    "escape characters": lambda n: cases.message(note=b"\\" * n),
    "dots": lambda n: cases.message(note=b"\\." * n),
    "blank lines": lambda n: cases.message(tail=b"\r" * n + b"NTE|1||x\r"),
    "messages": lambda n: cases.GOOD * (n // 20),
    "messages in a batch": lambda n: cases.BATCH + cases.GOOD * (n // 20) + b"BTS|%d\r" % (n // 20),
    "broken messages": lambda n: b"MSH|^~\\&|A\r" * (n // 10),
    "batches that are not closed": lambda n: (cases.BATCH + cases.GOOD) * (n // 20),
    "lines that belong to nothing": lambda n: cases.BATCH + b"x\r" * n + cases.GOOD,
}
CSV: Final[Mapping[str, Callable[[int], bytes]]] = {
    "rows": lambda n: cases.HEAD + cases.ROW * (n // 10),
    "rows too short": lambda n: cases.HEAD + b"x\r\n" * n,
    "blank rows": lambda n: cases.HEAD + b",,,,,\r\n" * n + cases.ROW,
    "quotes": lambda n: cases.HEAD + cases.ROW.replace(b"fine", b'"' + b'""' * n + b'"'),
    "quotes that are not closed": lambda n: cases.HEAD + b'a,"b\r\n' * n,
    "a quote that is not closed, then rows": lambda n: cases.HEAD + b'a,"b\r\n' + cases.ROW * (n // 10),
    "quotes in every row": lambda n: cases.HEAD + (cases.ROW.replace(b"fine", b'"fine') + cases.ROW) * (n // 10),
    "line ends in a cell": lambda n: cases.HEAD + cases.ROW.replace(b"fine", b'"' + b"\r\n" * n + b'"'),
    "delimiters": lambda n: cases.HEAD + b"," * n,
    "columns": lambda n: b",".join(b"c%d" % i for i in range(n)) + b"\r\n",
    "a column again and again": lambda n: b",".join([b"family"] * n) + b"\r\n" + cases.ROW,
}
MLLP: Final[Mapping[str, Callable[[int], bytes]]] = {
    "VT": lambda n: cases.VT * n,
    "FS": lambda n: cases.VT + cases.FS * n,
    "line ends": lambda n: cases.CR * n,
    "empty frames": lambda n: b"\x0b\x1c\r" * n,
    "frames": lambda n: b"\x0bMSH|\x1c\r" * n,
    "frames that are not ended": lambda n: b"\x0bMSH|" * n,
    "VT that are content": lambda n: cases.VT + b"x\x0b" * n + cases.FS + cases.CR,
    "FS that are content": lambda n: cases.VT + b"x\x1c" * n + cases.FS + cases.CR,
    "noise and VT": lambda n: b"x\x0b\x1c\r" * n,
    "a frame that is too large": lambda n: cases.VT + b"x" * (n * 40) + cases.FS + cases.CR,
    "half beginnings": lambda n: cases.VT + b"\x0bMS" * n + cases.FS + cases.CR,
}
MAPPING: Final[Mapping[str, Callable[[int], bytes]]] = {
    "keys": lambda n: b"".join(b"k%d: v\n" % i for i in range(n)),
    "one key again and again": lambda n: b"k: v\n" * n,
    "entries": lambda n: b"- x\n" * n,
    "brackets": lambda n: b"[" * n + b"]" * n,
    "braces": lambda n: b"{a: " * n + b"}" * n,
    "indentation": lambda n: b"".join(b" " * i + b"a:\n" for i in range(min(n, 900))),
    "anchors": lambda n: b"".join(b"- &a%d x\n" % i for i in range(n)),
    "aliases": lambda n: b"- &a x\n" + b"- *a\n" * n,
    "tags": lambda n: b"- !!x y\n" * n,
    "refused characters": lambda n: b"a: b\tc\n" * n,
    "quotes": lambda n: b"a: '" + b"''" * n + b"'\n",
    "escapes": lambda n: b'a: "' + b"\\t" * n + b'"\n',
    "comments": lambda n: b"# x\n" * n + b"a: b\n",
    "expressions cut by a comment": lambda n: b"- = f(a #b)\n" * n,
}
XHTML: Final[Mapping[str, Callable[[int], str]]] = {
    "less-than": lambda n: "<" * n,
    "tags": lambda n: "<b>" * n,
    "tags of different kinds": lambda n: "<div><ul><li><table><tr><td><a><i>" * (n // 8),
    "tags that are not ended": lambda n: "<a " * n,
    "unknown tags": lambda n: "<x y=z>" * n,
    "comments": lambda n: "<!--" * n,
    "closed comments": lambda n: "<!-- x -->" * n,
    "CDATA": lambda n: "<![CDATA[" * n,
    "references": lambda n: "&#x41;&amp;&nbsp;" * n,
    "references that are none": lambda n: "&a" * n,
    "styles": lambda n: "<style>" * n,
    "style declarations": lambda n: f'<p style="{"a:b;" * n}">x</p>',
    "attributes": lambda n: f"<p {' '.join(f'a{i}=b' for i in range(n))}>x</p>",
    "attributes again and again": lambda n: f"<p {'title=b ' * n}>x</p>",
    "end tags": lambda n: "</p>" * n,
    "formatting in blocks": lambda n: "<p><b><i>" * n,
    "spaces": lambda n: "<p>" + " " * n + "</p>",
    "tables in tables": lambda n: "<table><tr><td>" * n,
}
