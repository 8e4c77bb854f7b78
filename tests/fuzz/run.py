"""
The fuzzer: inputs that nobody thought of, until a law breaks.

    python tests/fuzz/run.py hl7v2                        # a bounded run, the same on every machine and each time
    python tests/fuzz/run.py hl7v2 -max_total_time=600    # led by what each input reaches; the options are libFuzzer's
    python tests/fuzz/run.py hl7v2 crash-0123456789abcdef # once more, with an input that was found

The first guards each change and needs nothing more; the second finds what chance does not, with Atheris (libFuzzer for
Python). See `README.md` beside this file. What breaks a law is written to `crash-…` where the command is given.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import traceback
from hashlib import sha1
from importlib.util import find_spec
from pathlib import Path

#: An input that is longer finds nothing that a shorter one does not, and is slower.
LONGEST = 2048
#: Inputs of a bounded run, besides the seeds: about ten seconds.
RUNS = {
    "hl7v2": 50_000,
    "csv": 100_000,
    "json": 20_000,
    "fhir": 50_000,
    "xml": 100_000,
    "mllp": 20_000,
    "mesh": 100_000,
    "yaml": 10_000,
    "expression": 60_000,
    "flow": 30_000,
    "zip": 200_000,
    "tables": 150_000,
    "document": 150_000,
}


def main(arguments: list[str]) -> int:
    """A bounded run, or once more with what was found; with options of libFuzzer, a run that it leads."""
    if not arguments or arguments[0] not in RUNS:
        sys.stderr.write(f"{__doc__}\nTargets: {', '.join(RUNS)}\n")
        return 2
    name, *options = arguments
    if any(option.startswith("-") for option in options):
        return led(name, options)
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set is another in each process, unless this is said before it starts.
        return subprocess.run(
            [sys.executable, *sys.argv], env=os.environ | {"PYTHONHASHSEED": "0"}, check=False
        ).returncode
    return steady_run(name, [Path(option).read_bytes() for option in options])


def steady_run(name: str, found: list[bytes]) -> int:
    """All the inputs of a bounded run, or those that were found; the first that breaks the law ends it."""
    sys.path.insert(0, str(Path(__file__).parent))
    import seeds
    import steady
    import targets

    number = 0
    for number, data in enumerate(found or steady.inputs(seeds.of(name), RUNS[name], LONGEST), 1):
        try:
            targets.TARGETS[name](data)
        except Exception:  # noqa: BLE001  whatever is raised breaks the law
            traceback.print_exc()
            crash = Path(f"crash-{sha1(data, usedforsecurity=False).hexdigest()}")
            crash.write_bytes(data)
            sys.stderr.write(f"{name}: input {number} breaks the law; written to {crash}:\n{data!r}\n")
            return 1
    sys.stdout.write(f"{name}: {number} inputs keep the law\n")
    return 0


def led(name: str, options: list[str]) -> int:
    """Write the seeds to a folder, and let libFuzzer have it in a process of its own, which it ends as it likes."""
    if not find_spec("atheris"):
        sys.stderr.write("atheris is not installed: pip install -e '.[fuzz]' (not every system has a wheel of it)\n")
        return 3
    sys.path.insert(0, str(Path(__file__).parent))
    import seeds

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds.of(name)):
            Path(corpus, f"seed-{number:04}").write_bytes(seed[:LONGEST])
        inside = [sys.executable, __file__, "--inside", name, f"-max_len={LONGEST}", "-timeout=25"]
        return subprocess.run([*inside, *options, corpus], check=False).returncode


def fuzz(name: str, options: list[str]) -> None:
    import atheris

    sys.path.insert(0, str(Path(__file__).parent))
    with atheris.instrument_imports(include=["mhbridge"]):
        # What a target imports when it is first called is followed, too.
        import seeds
        import targets

        for seed in seeds.of(name)[:3]:
            targets.TARGETS[name](seed)
    atheris.Setup([sys.argv[0], *options], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        fuzz(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(sys.argv[1:]))
