"""
What several mappings of a supplier share: it means what it would mean in each of them, its line is the shared file's,
and what is wrong with it is said. `sharing/`, laid over the small library, says the same as the small library alone.
"""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from side_by_side import NOW, compare
from test_checker import HERE, rendered, table
from test_generated_code import Broken, last_own_frame, pointed_at, raises
from test_twins import SMALL, messages

from mhbridge.formats import Message
from mhbridge.mapping import leaves
from mhbridge.mapping.catalogue import Catalogue, SupplierMapping, load
from mhbridge.mapping.ledger import Taken, detailed
from mhbridge.mapping.library import Library
from mhbridge.model import LeafState

WHO, FINDINGS = "suppliers/acme/shared/who.yaml", "suppliers/acme/shared/findings.yaml"
MESSAGE = (
    b"MSH|^~\\&|PAS|ACME|GW|GW|20250314103000||ADT^A08|C1|P|2.4|||||||UNICODE UTF-8\rEVN|A08|20250101\r"
    b"PID|||1^^^ACME||ASH^ROWAN|||1\rPV1|||||||||||||||||||V1^^^ACME\rNTE|||words\rDG1|||I10|x|2024|A||||||||||G1^ELM"
)
CASES = table(HERE / "broken" / "sharing.txt")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return laid(tmp_path_factory.mktemp("shared"))


def laid(folder: Path) -> Path:
    shutil.copytree(HERE / "small", folder / "small")
    shutil.copytree(HERE / "sharing", folder / "small", dirs_exist_ok=True)
    return folder / "small"


@cache
def mapping(root: Path) -> SupplierMapping:
    return Catalogue(Library([root])).mapping("acme/note")


def states(message: Message, taken: Taken) -> list[tuple[str, LeafState]]:
    """Where each leaf stands, and its state."""
    return [(leaf.path, leaf.state) for leaf in detailed(message, [taken])]


@pytest.mark.parametrize(("title", "file", "old", "new", "expected"), CASES, ids=[case[0] for case in CASES])
def test_broken_sharing(tmp_path, monkeypatch, title, file, old, new, expected) -> None:
    path = laid(tmp_path) / file
    monkeypatch.chdir(tmp_path)
    text = path.read_text("utf-8") if path.exists() else ""
    assert old in text, f"{title}: the files that are laid over the small library have changed"
    path.write_text(text.replace(old, new, 1) if text else f"{new}\n", "utf-8")
    assert rendered(Path("small")) == expected


def test_what_is_laid_over_the_small_library_is_clean(root) -> None:
    """The control: unbroken, it has nothing to report."""
    assert rendered(root) == ""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages)
def test_what_is_shared_says_what_it_would_say_in_the_mapping(root, message: str) -> None:
    own, shared = mapping(SMALL), mapping(root)
    (first,), (second,) = (
        [one for one, _ in of.format.messages(message.encode(), [of.source])] for of in (own, shared)
    )
    (a, taken), (b, also) = own.read_traced(first, NOW), shared.read_traced(second, NOW)
    assert dict(a.items) == dict(b.items)
    assert {(issue.code, issue.path, issue.item) for issue in a.issues} == {
        (issue.code, issue.path, issue.item) for issue in b.issues
    }
    assert states(first, taken) == states(second, also)
    assert compare(root, "acme/note", message.encode()) == 1


@pytest.mark.parametrize("want", ["NTE-3 | lines", "DG1-4 | lines"])
def test_a_traceback_ends_in_the_shared_file(tmp_path, monkeypatch, want) -> None:
    real = leaves.calling
    monkeypatch.setattr(
        leaves, "calling", lambda function, *a, **k: raises if function.name == "lines" else real(function, *a, **k)
    )
    path = laid(tmp_path) / FINDINGS
    text = path.read_text("utf-8").replace("= DG1-4\n", "= DG1-4 | lines\n")
    path.write_text(text if "DG1" not in want else text.replace("NTE-3 | lines", "NTE-3"), "utf-8")
    made = mapping(tmp_path / "small")
    (message,) = (one for one, _ in made.format.messages(MESSAGE, [made.source]))
    with pytest.raises(Broken) as caught:
        made.bind(made.format.cursor(message), made.run(message.facts, NOW))
    frame = last_own_frame(caught.value)
    assert frame.filename.endswith(FINDINGS)
    assert pointed_at(frame) == want


def test_lineage_names_the_line_of_the_shared_file(root) -> None:
    """One line of origin for each value, and it is where the value is bound."""
    lines = [line for line in mapping(root).lineage() if line.item == "gender" and line.as_ == "value"]
    number = (root / WHO).read_text("utf-8").splitlines().index("  gender:       = PID-8 | code(sex)") + 1
    assert {(line.path, line.place.rpartition(":")[0]) for line in lines} == {("PID-8", f"{root / WHO}:{number}")}


def test_a_change_of_what_is_shared_is_a_change_of_each_mapping_that_shares_it(tmp_path) -> None:
    """Else what was reviewed would not be what runs."""
    root = laid(tmp_path)

    def hashes() -> dict[str, str]:
        catalogue = load([root], only=True)
        return {name: catalogue.mapping(name).hash for name in ("acme/note", "acme/jot")}

    def changed(file: str) -> set[str]:
        before = hashes()
        path = root / file
        path.write_text(path.read_text("utf-8") + "# a word\n", "utf-8")
        return {name for name, now in hashes().items() if now != before[name]}

    assert changed(WHO) == {"acme/note", "acme/jot"}
    assert changed(FINDINGS) == {"acme/note"}
    assert changed("suppliers/acme/jot.yaml") == {"acme/jot"}
