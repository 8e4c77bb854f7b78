"""
How large a document may be in each of its dimensions. What has more is refused (M802) by the parser, while it reads.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_CHILDREN",
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "MAX_NAME",
    "MAX_NAMESPACES",
    "MAX_TEXT",
    "MAX_VALUE",
]

#: Sections in sections, tables in lists: the deepest public CDA has some thirty levels.
MAX_DEPTH: Final = 128
#: A letter has thousands; each has a number of 20 bits in the field ledger.
MAX_ELEMENTS: Final = 250_000
MAX_CHILDREN: Final = 50_000
MAX_ATTRIBUTES: Final = 100
#: Characters of an attribute, and of a name.
MAX_VALUE: Final = 65_536
MAX_NAME: Final = 256
#: Different declarations of namespaces. ITK documents repeat the same ones at every element.
MAX_NAMESPACES: Final = 100
#: Characters of one text: a PDF of 48 MB in Base64. The receiver's own limit of a body is usually lower.
MAX_TEXT: Final = 64_000_000
