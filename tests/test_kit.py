"""
The kit for people who keep mappings in a repository or package of their own: the pytest plugin, JUnit XML, readable
differences, a paced replay against a gateway, and a package with mappings that is found like the built-in ones.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest

from mhbridge.errors import ConfigurationError
from mhbridge.mapping.library import built_in
from mhbridge.testing.differing import Difference, json_differences, text_differences
from mhbridge.testing.junit import Outcome, junit
from mhbridge.testing.replaying import Case
from mhbridge.testing.sending import _paced, send_cases

PLUGIN = "mhbridge" if entry_points(group="pytest11", name="mhbridge") else "mhbridge.testing.plugin"


@pytest.fixture
def repository(tmp_path) -> Path:
    """A supplier's own repository: mappings, fixtures, and how pytest is to look at them."""
    supplier = tmp_path / "mappings" / "suppliers" / "northshore"
    shutil.copytree(built_in("mappings") / "suppliers" / "example-community", supplier)
    for path in supplier.rglob("*"):
        if path.is_file():
            path.write_text(path.read_text("utf-8").replace("example-community", "northshore"), "utf-8")
    for path in (*supplier.glob("*.yaml"), *supplier.glob("*.md")):
        if path.name not in ("supplier.yaml", "discharges.yaml"):
            path.unlink()
    fixtures = tmp_path / "fixtures" / "northshore" / "discharges"
    fixtures.mkdir(parents=True)
    for name in ("plain.csv", "minimal.csv", "columns-moved-and-added.csv"):
        shutil.copy(built_in("fixtures") / "example-community" / "discharges" / name, fixtures)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\ntestpaths = ["fixtures"]\nmhbridge_fixtures = ["fixtures"]\n'
        'mhbridge_mappings = ["mappings"]\nmhbridge_coverage = "99"\n',
        "utf-8",
    )
    return tmp_path


def python(folder: Path, *arguments: str, path: Path | None = None) -> SimpleNamespace:
    # What this run of pytest was told is not for the other.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    made = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    return SimpleNamespace(code=made.returncode, out=made.stdout, err=made.stderr)


def under_pytest(folder: Path, *arguments: str) -> SimpleNamespace:
    return python(folder, "pytest", "-p", PLUGIN, "-p", "no:cacheprovider", "-v", *arguments)


def test_the_fixtures_of_a_repository_are_tests(repository) -> None:
    first = under_pytest(repository)
    assert first.code == 1
    assert "a golden file; --update writes it" in first.out
    assert under_pytest(repository, "--mhbridge-update").code == 0
    again = under_pytest(repository)
    assert again.code == 0, again.out
    assert "5 passed" in again.out, "three messages, the check of the mappings, the coverage of the feed"


def test_a_changed_mapping_fails_with_path_expected_and_got(repository) -> None:
    under_pytest(repository, "--mhbridge-update", "-k", "plain")
    path = repository / "mappings" / "suppliers" / "northshore" / "discharges.yaml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("city: = [Town]", "city: = [Address 1]"), "utf-8")
    found = under_pytest(repository, "-k", "plain")
    assert found.code == 1
    place = r"plain\.r4\.json \$\.entry\[\d+\]\(Patient\)\.resource\.address\[0\]\.city\n"
    place += r' +expected +"Fictiontown"\n +got +"7 Inv'
    assert re.search(place, found.out), found.out
    assert "Traceback" not in found.out
    path.write_text(text.replace("  household: = [Lives With]\n", ""), "utf-8")
    found = under_pytest(repository, "-k", "coverage")
    assert found.code == 1
    assert "  [Lives With]" in found.out
    path.write_text(text.replace("= [Town]", "= [Tovn]"), "utf-8")
    found = under_pytest(repository, "-k", "check")
    assert found.code == 1
    assert "did you mean 'Town'?" in found.out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"99"', '"99,5"', "mhbridge_coverage: '99,5' is no share"),
        ('"99"', '"200"', "mhbridge_coverage: '200' is no share"),
        ('mappings = ["mappings"]', 'mappings = ["maps"]', "mhbridge_mappings: there is no folder"),
        (
            'mhbridge_fixtures = ["fixtures"]',
            'mhbridge_fixtures = ["fixture"]',
            "fixtures: there is no folder",
        ),
    ],
)
def test_what_the_plugin_cannot_do_is_said_at_once(repository, old, new, said) -> None:
    path = repository / "pyproject.toml"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    found = under_pytest(repository)
    assert found.code == 4
    assert said in found.out + found.err


def test_the_plugin_sleeps_where_nobody_asks_for_it(repository) -> None:
    """The control: without its key it collects nothing, whatever lies there."""
    (repository / "pyproject.toml").write_text("[tool.pytest.ini_options]\n", "utf-8")
    assert under_pytest(repository).code == 5


def test_an_installed_package_of_mappings_is_found_like_the_built_in_ones(repository, tmp_path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    package = site / "northshore_mappings"
    shutil.copytree(repository / "mappings", package)
    shutil.copytree(repository / "fixtures", package / "fixtures")
    (package / "__init__.py").write_text("", "utf-8")
    metadata = site / "northshore_mappings-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: northshore-mappings\nVersion: 1.0\n", "utf-8")
    (metadata / "entry_points.txt").write_text("[mhbridge.mappings]\nnorthshore = northshore_mappings\n", "utf-8")
    elsewhere.mkdir()
    message = package / "fixtures" / "northshore" / "discharges" / "plain.csv"
    assert python(elsewhere, "mhbridge", "check", path=site).code == 0
    made = python(elsewhere, "mhbridge", "translate", str(message), "--mapping", "northshore/discharges", path=site)
    assert made.code == 0, made.err
    assert '"resourceType":"Bundle"' in made.out
    assert python(elsewhere, "mhbridge", "coverage", "northshore/discharges", path=site).code == 0
    without = python(elsewhere, "mhbridge", "translate", str(message), "--mapping", "northshore/discharges")
    assert without.code == 2, "the control: without the package there is no such mapping"


# -- differences ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"a": 1}, {"a": 2}, [("$.a", "1", "2")]),
        ({"a": 1}, {}, [("$.a", "1", "nothing")]),
        ({"a": [1, 2, 3]}, {"a": [2, 3]}, [("$.a[0]", "1", "nothing")]),
        ({"a": [1, 3]}, {"a": [1, 2, 3]}, [("$.a[1]", "nothing", "2")]),
        ({"a": [{"b": 1}, {"b": 2}]}, {"a": [{"b": 1}, {"b": 3}]}, [("$.a[1].b", "2", "3")]),
        ({"a": True}, {"a": 1}, [("$.a", "true", "1")]),
        (
            {"entry": [{"fullUrl": "x", "resource": {"resourceType": "Patient", "gender": "male"}}]},
            {"entry": [{"fullUrl": "y"}, {"fullUrl": "x", "resource": {"resourceType": "Patient", "gender": "other"}}]},
            [
                ("$.entry[0]", "nothing", '{"fullUrl":"y"}'),
                ("$.entry[0](Patient).resource.gender", '"male"', '"other"'),
            ],
        ),
        ({"a": "same"}, {"a": "same"}, []),
    ],
)
def test_json_differs_at_a_place(old, new, found) -> None:
    assert list(json_differences("x.json", old, new)) == [Difference("x.json", *one) for one in found]


def test_an_acknowledgement_differs_by_segments() -> None:
    found = list(text_differences("a.ack.hl7", b"MSH|x\rMSA|AA|1\r", b"MSH|x\rMSA|AE|1\rERR|1\r"))
    assert [(one.path, one.expected, one.got) for one in found] == [
        ("line 2", '"MSA|AA|1"', '"MSA|AE|1"'),
        ("line 3", "nothing", '"ERR|1"'),
    ]


def test_junit_counts_and_escapes() -> None:
    text = junit(
        [Outcome("a/b", "x.hl7"), Outcome("a/b", 'y"<.hl7', failures=("no & \x0b", "more")), Outcome("c/d", "z")]
    )
    assert '<testsuite name="a/b" tests="2" failures="1" errors="0">' in text
    assert '<testsuite name="c/d" tests="1" failures="0" errors="0">' in text
    assert 'name="y&quot;&lt;.hl7"' in text
    assert 'message="no &amp; \ufffd"' in text


# -- pace -----------------------------------------------------------------------------------------------------


async def test_no_more_are_sent_at_a_time_than_was_asked() -> None:
    import asyncio

    now = most = 0

    async def send(_: Case) -> tuple[str, bool]:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return "AA", True

    cases = [Case("a", "b", Path(f"{number}.hl7")) for number in range(20)]
    sent, _ = await _paced(cases, [send] * 4, None)
    assert [one.case for one in sent] == cases
    assert most == 4


async def test_a_rate_is_kept_from_the_start() -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    at: list[float] = []

    async def send(_: Case) -> tuple[str, bool]:
        at.append(loop.time())
        return "AA", True

    began = loop.time()
    await _paced([Case("a", "b", Path("x"))] * 5, [send] * 2, 100.0)
    assert all(when - began >= number / 100 - 0.001 for number, when in enumerate(at)), "never before its time"


@pytest.mark.parametrize("address", ["192.0.2.1:2575", "gateway.example:2575"])
def test_over_mllp_only_this_machine_is_believed(address) -> None:
    case = next(iter((built_in("fixtures") / "example-acute" / "adt").glob("*discharge.hl7")))
    with pytest.raises(ConfigurationError) as error:
        send_cases([Case("example-acute", "adt", case)], address)
    assert error.value.code == "C830"


@pytest.mark.parametrize("address", ["localhost", "127.0.0.1:", "127.0.0.1:mllp", ":2575"])
def test_an_address_that_is_none_is_said(address) -> None:
    case = next(iter((built_in("fixtures") / "example-acute" / "adt").glob("*discharge.hl7")))
    with pytest.raises(ConfigurationError) as error:
        send_cases([Case("example-acute", "adt", case)], address, status_at=None)
    assert error.value.code == "C830"
