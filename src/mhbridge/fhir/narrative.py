"""
The narrative of a section, generated from the items: the part of a document that people read.

Systems of general practice show the narrative and ignore the coded entries, and the Transfer of Care specifications
make it the legally significant copy. So it alone must be safe to read: every present item is in it under its label, in
order, and one that could not be read says so. It must never hold a style, a script, or markup that this module did not
write or sanitise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from mhbridge.fhir.plaintext import plain
from mhbridge.fhir.wording import Wording
from mhbridge.fhir.xhtml import NAMESPACE, div, flow, paragraph, sanitise
from mhbridge.model import ABSENT, State, Unknown

__all__ = ["Field", "div", "paragraph", "plain", "sanitise", "section"]


@dataclass(frozen=True, slots=True)
class Field:
    """
    An item under a heading, or a field of a record: what the narrative calls it and how its value is said.

    Args:
        name: key in the items or in the record.
        label: its words in the narrative; a field of a record without a label is not shown.
        type: name of its type in the mapping language: a FHIR type, `text`, `nhs_number`, `person`, `organisation`,
            `place`, a declared record, or `any` where it is one of several.
        many: it is a list.
        fields: what a declared record consists of, in order.
    """

    name: str
    label: str
    type: str
    many: bool = False
    fields: tuple[Field, ...] = ()


def section(
    fields: Sequence[Field],
    items: Mapping[str, Any],
    titles: Callable[[str], str],
    local: Callable[[str], bool] | None = None,
    notes: Mapping[str, str] | None = None,
) -> str:
    """
    The narrative of one heading, without its `div`; `""` when none of its items is present.

    Args:
        fields: the items of the heading, in order.
        items: item name → value; an item that is absent or deleted is not shown, one that is unknown says why.
        titles: a code system's human title, for its name or URI.
        local: whether a code system is the sender's own; see `Wording`.
        notes: item name → what is said behind its value, in brackets.

    Returns:
        Well-formed XHTML of the elements that FHIR allows (R4 `txt-1`), without styles.
    """
    words = Wording(titles, local)
    present = [(field, value) for field in fields if (value := items.get(field.name, ABSENT)) is not ABSENT]
    if notes:
        return "".join([_noted(_item(field, value, words), notes.get(field.name, "")) for field, value in present])
    return "".join([_item(field, value, words) for field, value in present])


def _noted(shown: str, note: str) -> str:
    """A value with what is to be said of it: on its line where it has but one, or else below."""
    if not shown or not note:
        return shown
    said = flow(f"({note})")
    return f"{shown[:-4]} {said}</p>" if shown.count("<p>") == 1 and shown.endswith("</p>") else f"{shown}<p>{said}</p>"


def _item(field: Field, value: Any, words: Wording) -> str:
    """One item: a line, a list, a table, or lines under its label."""
    if value is None or isinstance(value, State):
        return _line(field.label, words.say(field.type, value))
    if isinstance(value, list | tuple):
        return _several(field, value, words)
    if field.fields and isinstance(value, dict):
        lines = _lines(field.fields, value, words)
        return f"{_label(field.label)}{lines}" if lines else ""
    if field.type == "xhtml":
        inner = _formatted(value, words)
        return f"{_label(field.label)}{inner}" if inner else ""
    return _line(field.label, words.say(field.type, value))


#: Labels come from the document types, so there are few, and none is a patient's.
_shown = lru_cache(maxsize=4096)(flow)


def _label(label: str) -> str:
    return f"<p><b>{_shown(label)}:</b></p>" if label else ""


def _line(label: str, text: str) -> str:
    """A label and a value: on one line if there is but one, otherwise the text in paragraphs below the label."""
    if not text or text.isspace():
        return ""
    if "\n" in text or "\r" in text:
        return _label(label) + paragraph(text)
    return f"<p><b>{_shown(label)}:</b> {flow(text)}</p>" if label else f"<p>{flow(text)}</p>"


def _several(field: Field, values: Sequence[Any], words: Wording) -> str:
    """A list: as a list or, of records with several parts, as a table. One alone is shown like a single value."""
    if field.fields:
        shown = [value for value in values if not isinstance(value, State) or isinstance(value, Unknown)]
        if len(shown) > 1 and len(field.fields) > 1:
            table = _table(field.fields, shown, words)
            return f"{_label(field.label)}{table}" if table else ""
        if len(shown) == 1:
            return _item(field, shown[0], words)
        said = [_brief(field, value, words) for value in shown]
    elif field.type == "xhtml":
        blocks = [inner for value in values if (inner := _formatted(value, words))]
        return _label(field.label) + "".join(blocks) if blocks else ""
    else:
        said = [words.say(field.type, value) for value in values]
    said = [text for text in said if text and not text.isspace()]
    if len(said) < 2:
        return _line(field.label, said[0]) if said else ""
    return _label(field.label) + _bullets(said)


def _bullets(texts: Sequence[str]) -> str:
    return "<ul>" + "".join([f"<li>{flow(text)}</li>" for text in texts]) + "</ul>"


def _formatted(value: Any, words: Wording) -> str:
    """Text with its own markup, made safe."""
    if not isinstance(value, str):
        text = words.say("text", value)
        return paragraph(text) if text else ""
    safe = sanitise(value)
    # Within the section's own div the namespace is inherited.
    return safe.replace(f' xmlns="{NAMESPACE}"', "", 1)


#: How many columns fit on a page that is printed, and what the last is called when it holds several.
_WIDEST: Final = 6
_FURTHER: Final = "Further"

# --- records -----------------------------------------------------------------------------------------------


def _lines(fields: Sequence[Field], record: Mapping[str, Any], words: Wording) -> str:
    """A record as label and value, one below the other."""
    lines = [
        f"<li><b>{_shown(field.label)}:</b> {cell}</li>"
        for field in fields
        if field.label and (cell := _cell(field, record.get(field.name, ABSENT), words))
    ]
    return "<ul>" + "".join(lines) + "</ul>" if lines else ""


def _table(fields: Sequence[Field], records: Sequence[Any], words: Wording) -> str:
    """Records as a table, with a column for each labelled field that any of them has."""
    labelled = [field for field in fields if field.label]
    rows: list[list[str] | str] = []
    for record in records:
        if isinstance(record, dict):
            cells = [_cell(field, record.get(field.name, ABSENT), words) for field in labelled]
            if any(cells):
                rows.append(cells)
        elif text := words.say("text", record):
            # Kept whole as the text received, or withheld: it has no parts.
            rows.append(flow(text))
    if not rows:
        return ""
    used = [n for n in range(len(labelled)) if any(not isinstance(row, str) and row[n] for row in rows)]
    if not used:
        return "<ul>" + "".join([f"<li>{row}</li>" for row in rows if isinstance(row, str)]) + "</ul>"
    # What does not fit beside the rest stands in one cell, under its labels: nothing is cut off at the edge of a page.
    used, further = (used, []) if len(used) <= _WIDEST else (used[: _WIDEST - 1], used[_WIDEST - 1 :])
    columns = len(used) + bool(further)
    body = []
    for row in rows:
        if isinstance(row, str):
            span = f' colspan="{columns}"' if columns > 1 else ""
            body.append(f"<tr><td{span}>{row}</td></tr>")
            continue
        cells = [row[n] for n in used]
        if further:
            lines = [f"<li><b>{_shown(labelled[n].label)}:</b> {row[n]}</li>" for n in further if row[n]]
            cells.append("<ul>" + "".join(lines) + "</ul>" if lines else "")
        body.append("<tr>" + "".join([f"<td>{cell}</td>" for cell in cells]) + "</tr>")
    head = "".join([f"<th>{_shown(labelled[n].label)}</th>" for n in used])
    head += f"<th>{_FURTHER}</th>" if further else ""
    # Without lines between them a reader's eye slips from one medicine's dose to the next; txt-1 allows `border`.
    return f'<table border="1"><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'


def _cell(field: Field, value: Any, words: Wording) -> str:
    """A field of a record, as what a table cell or a list item may hold."""
    if value is ABSENT:
        return ""
    if isinstance(value, list | tuple):
        said = [text for one in value if (text := _brief(field, one, words))]
        return flow(said[0]) if len(said) == 1 else _bullets(said) if said else ""
    if field.type == "xhtml":
        return _formatted(value, words)
    text = _brief(field, value, words)
    return "" if text.isspace() else flow(text)


def _brief(field: Field, value: Any, words: Wording) -> str:
    """A value within a record, as text: a record in it is its labelled fields in one line."""
    if value is ABSENT:
        return ""
    if field.type == "xhtml" and isinstance(value, str):
        return plain(value)
    if field.fields and isinstance(value, dict):
        parts = []
        for inner in field.fields:
            if not inner.label:
                continue
            found = value.get(inner.name, ABSENT)
            several = found if isinstance(found, list | tuple) else (found,)
            said = ", ".join(text for one in several if (text := _brief(inner, one, words)))
            if said:
                parts.append(f"{inner.label}: {said}")
        return "; ".join(parts)
    return words.say(field.type, value)
