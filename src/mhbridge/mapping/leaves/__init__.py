"""
What generated code calls.

    values      reading and converting what stands at a path
    calls       calling a function of the language
    together    putting values into lists, records and objects
    remembered  what comes again in messages about others

The compiler hands these in by name and the interpreter calls them too, so that the twins differ in how they walk and
never in what they do. A leaf must never raise for anything that a message holds.
"""

from mhbridge.mapping.leaves.calls import Memory, calling, coded, has_code, marks_of, position
from mhbridge.mapping.leaves.remembered import Assembled, begun, kept_again
from mhbridge.mapping.leaves.together import (
    as_list,
    better,
    data_absent,
    fill,
    gathered,
    present_alone,
    settled,
    settling,
    splice,
    whole_as_text,
    whole_settling,
)
from mhbridge.mapping.leaves.values import (
    Reader,
    Taker,
    asked,
    by_row,
    every,
    first,
    one_number,
    plain_every,
    plain_first,
    presence,
    texts,
)

__all__ = [
    "Assembled",
    "Memory",
    "Reader",
    "Taker",
    "as_list",
    "asked",
    "begun",
    "better",
    "by_row",
    "calling",
    "coded",
    "data_absent",
    "every",
    "fill",
    "first",
    "gathered",
    "has_code",
    "kept_again",
    "marks_of",
    "one_number",
    "plain_every",
    "plain_first",
    "position",
    "presence",
    "present_alone",
    "settled",
    "settling",
    "splice",
    "texts",
    "whole_as_text",
    "whole_settling",
]
