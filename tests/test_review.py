"""
What a live gateway loads: mappings that somebody has signed for as they are, and nothing else. A gateway in test mode
needs no signature, and that is the control of every refusal here.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import shipped
from mhbridge import config
from mhbridge.app.mappings import Mappings
from mhbridge.cli import main
from mhbridge.errors import ConfigurationError
from mhbridge.mapping.catalogue import load
from mhbridge.mapping.library import built_in
from mhbridge.mapping.reviews import Review, line, read_reviews

FEED = "example-community/discharges"
ALL = tuple(f"example-community/{name}" for name in ("discharges", "referrals", "care-plans", "social-care-notices"))
WHO = "I. Nvented, integration lead"


@pytest.fixture
def ours(tmp_path, monkeypatch) -> Path:
    """A folder of mappings of one's own, with a supplier in it."""
    root = tmp_path / "mappings"
    source = built_in("mappings") / "suppliers" / "example-community"
    shutil.copytree(source, root / "suppliers" / "example-community")
    shutil.copytree(built_in("fixtures") / "example-community", tmp_path / "fixtures" / "example-community")
    monkeypatch.chdir(tmp_path)
    return root


def gateway(folder: Path, mode: str) -> Mappings:
    path = folder / "mhbridge.toml"
    path.write_text(
        f'[gateway]\nname = "a"\nstore = "sqlite:var/a.db"\nmappings = ["{folder / "mappings"}"]\nmode = "{mode}"\n'
        f'[[receiver]]\nsupplier = "example-community"\nkind = "folder"\npath = "{folder}/in"\npattern = "*.csv"\n'
        f'[[destination]]\nname = "out"\nkind = "folder"\npath = "{folder}/out"\n'
        '[[route]]\ndocuments = ["community-discharge", "community-referral"]\nto = ["out"]\n',
        "utf-8",
    )
    return Mappings(config.load(path))


def codes(folder: Path, mode: str = "live") -> list[str]:
    try:
        gateway(folder, mode)
    except ConfigurationError as error:
        return [code for code, _ in error.problems]
    return []


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    return int(end.value.code or 0)


def test_a_live_gateway_loads_only_what_is_reviewed(ours) -> None:
    assert codes(ours.parent) == ["C851"] * len(ALL)
    assert codes(ours.parent, "test") == []
    assert run("review", *ALL, "--who", WHO, "--mappings", "mappings") == 0
    assert codes(ours.parent) == []


@pytest.mark.parametrize(
    "file",
    [
        "suppliers/example-community/discharges.yaml",
        "suppliers/example-community/codes/tables/sex.csv",
        "documents/community-discharge/r4.yaml",
        "parts/patient/items.yaml",
        "codes/systems.csv",
    ],
)
def test_whatever_changes_wants_a_new_review(ours, file) -> None:
    assert run("review", *ALL, "--who", WHO, "--mappings", "mappings") == 0
    target = ours / file
    target.parent.mkdir(parents=True, exist_ok=True)
    text = (built_in("mappings") / file).read_text("utf-8")
    target.write_text(text, "utf-8")
    assert codes(ours.parent) == [], "the same text elsewhere is the same"
    target.write_text(text + ("# another word\n" if file.endswith(".yaml") else "\n"), "utf-8")
    assert "C851" in codes(ours.parent)


def test_who_signed_for_an_earlier_version_is_said(ours) -> None:
    run("review", *ALL, "--who", WHO, "--mappings", "mappings")
    path = ours / "suppliers" / "example-community" / "discharges.yaml"
    path.write_text(path.read_text("utf-8") + "# another word\n", "utf-8")
    with pytest.raises(ConfigurationError) as error:
        gateway(ours.parent, "live")
    [(code, text)] = error.value.problems
    assert code == "C851"
    assert WHO in text


def test_a_draft_is_neither_reviewed_nor_loaded(ours, capsys) -> None:
    path = ours / "suppliers" / "example-community" / "discharges.yaml"
    path.write_text(path.read_text("utf-8").replace("\nsource:", "\ndraft: true\nsource:", 1), "utf-8")
    assert sorted(codes(ours.parent)) == ["C851"] * (len(ALL) - 1) + ["C852"]
    assert codes(ours.parent, "test") == []
    assert run("review", FEED, "--who", WHO, "--mappings", "mappings") == 2
    assert "C853" in capsys.readouterr().err


def test_what_does_not_give_its_golden_files_is_not_reviewed(ours, capsys) -> None:
    golden = next((ours.parent / "fixtures" / FEED).glob("*.r4.json"))
    golden.write_bytes(golden.read_bytes().replace(b"final", b"amended", 1))
    assert run("review", FEED, "--who", WHO, "--mappings", "mappings") == 2
    assert golden.name.split(".")[0] in capsys.readouterr().err
    assert not (ours / "suppliers" / "example-community" / "reviews.csv").exists()


@pytest.mark.usefixtures("ours")
def test_the_list_says_how_each_stands(capsys) -> None:
    assert run("review", FEED, "--mappings", "mappings") == 1
    assert "not reviewed" in capsys.readouterr().out
    run("review", FEED, "--who", WHO, "--says", 'agreed, "as is"', "--mappings", "mappings")
    assert run("review", FEED, "--json", "--mappings", "mappings") == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["state"], row["who"]) == ("reviewed", WHO)
    catalogue = load([Path("mappings")])
    found = catalogue.review(catalogue.mapping(FEED))
    assert found is not None
    assert found.says == 'agreed, "as is"'


def test_the_shipped_mappings_are_signed_by_nobody() -> None:
    """They are examples: no real person has answered for them."""
    catalogue = shipped.catalogue()
    assert all(catalogue.review(catalogue.mapping(name)) is None for name in catalogue.names())


@pytest.mark.parametrize(
    ("text", "reviews", "lines"),
    [
        ("mapping,hash,who,when,says\na/b,1,X,2026,\n", 1, []),
        ("mapping,hash,who,when,says\na/b,1,,2026,\n", 0, [2]),
        ("mapping,hash,who,when,says\na/b,1,X\n\nc/d,2,Y,2026,z\n", 1, [2]),
        ("mapping,who\na/b,1,X,2026,\n", 1, [1]),
        ("", 0, []),
    ],
)
def test_a_line_that_is_not_whole_is_no_review(text, reviews, lines) -> None:
    found, wrong = read_reviews("reviews.csv", text)
    assert (len(found), [(one.code, one.span.line) for one in wrong]) == (reviews, [("E562", n) for n in lines])


def test_what_is_written_is_read_again() -> None:
    review = Review("a/b", "00ff", 'O\'Nobody, "Q"', "2026-01-05T09:00:00+00:00", "two\nlines")
    assert read_reviews("x", "mapping,hash,who,when,says\n" + line(review))[0] == (review,)


def test_a_reload_without_a_review_changes_nothing(ours) -> None:
    run("review", *ALL, "--who", WHO, "--mappings", "mappings")
    mappings = gateway(ours.parent, "live")
    path = ours / "suppliers" / "example-community" / "discharges.yaml"
    path.write_text(path.read_text("utf-8") + "# another word\n", "utf-8")
    before = mappings.shown()
    with pytest.raises(ConfigurationError):
        mappings.load()
    assert mappings.shown() == before
