"""
One Java virtual machine for all of these tests: HL7's reference validator with the definitions of UK Core.

It needs `java` (a JDK), `mvn` and the definitions, which lie beside the corpus: `$TEST_CORPUS/../data/ukcore`. Where
one is missing the tests say so and are skipped. Maven gets HAPI FHIR (145 MB) from its own repository into its own
cache at the first run, and needs no network later. Nothing is written into the checkout: Java compiles the one source
file in memory.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

# The table of broken resources is that of our own validator.
sys.path.insert(0, str(Path(__file__).parents[1] / "fhir"))

JAVA: Final = Path(__file__).with_name("java")
#: No run lasts longer, so that a test never hangs: 400 resources take half a minute.
LONGEST: Final = 600


@dataclass
class Oracle:
    """The process, where it writes its complaints, and what it was asked."""

    process: subprocess.Popen[str]
    complaints: Path
    started: float = field(default_factory=time.monotonic)
    asked: int = 0
    seconds: float = 0.0

    def __call__(self, text: str) -> dict[str, Any]:
        """`issues`: list of severity, location, id and message; `json`: the same resource, when the text was XML."""
        self.process.stdin.write(json.dumps({"text": text}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            said = self.complaints.read_text("utf-8", "replace")[-2000:]
            pytest.fail(f"the Java process ended, or was ended after {LONGEST} s: {said}")
        self.asked += 1
        self.seconds = time.monotonic() - self.started
        return json.loads(answer)


STARTED: Final[list[Oracle]] = []


def definitions() -> Path:
    corpus = os.environ.get("TEST_CORPUS")
    found = Path(corpus).parent / "data" / "ukcore" if corpus else None
    if found is None or not found.is_dir():
        pytest.skip("TEST_CORPUS has no ../data/ukcore with the definitions of UK Core")
    return found


def classpath(folder: Path) -> str:
    """HAPI FHIR and all that it needs, as Maven resolves it."""
    for program in ("java", "javac", "mvn"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on PATH")
    written = folder / "classpath"
    goal = ["dependency:build-classpath", f"-Dmdep.outputFile={written}"]
    command = ["mvn", "-B", "-q", "-f", JAVA / "pom.xml", *goal]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"Maven does not get HAPI FHIR within {LONGEST} s")
    if ran.returncode:
        said = re.search(r"\[ERROR\] (.*)", ran.stdout)
        pytest.skip(f"Maven does not get HAPI FHIR: {said[1] if said else ran.returncode}")
    return written.read_text("utf-8")


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    ukcore = definitions()
    folder = tmp_path_factory.mktemp("oracle")
    # A run of half a minute ends before the second compiler has paid for itself.
    command = [
        "java",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-cp",
        classpath(folder),
        JAVA / "Oracle.java",
        ukcore,
    ]
    complaints = folder / "stderr"
    with complaints.open("wb") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8"
        )
    guard = threading.Timer(LONGEST, process.kill)
    guard.start()
    STARTED.append(Oracle(process, complaints))
    try:
        yield STARTED[-1]
    finally:
        guard.cancel()
        process.communicate()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    version = re.search("<hapi>(.*)</hapi>", (JAVA / "pom.xml").read_text("utf-8"))
    for oracle in STARTED:
        terminalreporter.write_line(
            f"HAPI FHIR {version[1]}: {oracle.asked} resources judged in {oracle.seconds:.0f} s"
        )
