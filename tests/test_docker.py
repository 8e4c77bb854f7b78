"""The container files, as far as they can be judged without a container: they agree, and they give nothing away."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from mhbridge.config import FhirDestination, HttpReceiver, MllpReceiver, parse
from mhbridge.errors import ConfigurationError

DOCKER = Path(__file__).parent.parent / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
TOML = (DOCKER / "mhbridge.toml").read_text("utf-8")


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) of the Dockerfile, continued lines joined, comments dropped."""
    lines = [line for line in (DOCKER / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    return found[max(n for n, (name, _) in enumerate(found) if name == "FROM") :]


def ports(service: dict[str, Any]) -> dict[int, str]:
    """Container port → where on the host."""
    return {int(port.rsplit(":", 1)[1]): port.rsplit(":", 1)[0] for port in service["ports"]}


# --- the image ---------------------------------------------------------------------------------------------


def test_the_image_does_not_run_as_root_and_knows_nothing() -> None:
    stage = last_stage()
    names = [name for name, _ in stage]
    assert ("USER", "10001:10001") in stage
    assert not {"RUN", "COPY", "ADD"} & set(names[names.index("USER") :]), "nothing is built after the user is set"
    assert dict(stage)["VOLUME"] == '["/var/lib/mhbridge"]'
    assert [rest for name, rest in stage if name == "COPY"] == ["--from=install /opt/mhbridge /opt/mhbridge"]
    everything = " ".join(rest for _, rest in instructions())
    assert not re.search(r"(?i)password|secret|token|api_?key|https?://", everything)


def test_every_stage_is_a_slim_python_with_a_version() -> None:
    froms = [rest for name, rest in instructions() if name == "FROM"]
    assert [rest.split(" AS ")[0] for rest in froms] == ["python:${PYTHON}"] * 3
    assert ("ARG", "PYTHON=3.11-slim") in instructions()


def test_what_is_copied_is_there_and_is_sent_to_the_builder() -> None:
    allowed = {
        line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    }
    copied = {
        source
        for name, rest in instructions()
        if name == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert copied == allowed
    assert all((DOCKER.parent / source).exists() for source in copied)


def test_the_health_check_is_a_program_that_asks_for_readiness() -> None:
    check = dict(last_stage())["HEALTHCHECK"].partition("CMD ")[2]
    python, option, code = json.loads(check)
    assert (python, option) == ("python", "-c")
    compile(code, "healthcheck", "exec")
    assert "/health/ready" in code
    assert "8000" in code


# --- the composition -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_can_do_as_little_as_possible(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc", "userns_mode"} & service.keys()
    assert {"mem_limit", "pids_limit"} <= service.keys()
    assert "docker.sock" not in str(service)
    assert re.search(r":[^:]+$", service["image"])
    assert not service["image"].endswith(":latest")


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert "ports" not in SERVICES["mhbridge"], "a service that shares another's network publishes none of its own"


def test_what_the_composition_names_it_has() -> None:
    gateway = SERVICES["mhbridge"]
    assert gateway["network_mode"] == f"service:{gateway['depends_on'][0]}"
    assert {name for service in SERVICES.values() for name in service.get("secrets", ())} == COMPOSE["secrets"].keys()
    for volume in [volume for service in SERVICES.values() for volume in service.get("volumes", ())]:
        source = volume.split(":")[0]
        assert (DOCKER / source).exists() if source[0] == "." else source in COMPOSE["volumes"]
    made = re.findall(r"for name in ([a-z_ ]+); do", (DOCKER / "README.md").read_text("utf-8"))
    assert set(made[0].split()) == COMPOSE["secrets"].keys()
    assert f"store:{json.loads(dict(last_stage())['VOLUME'])[0]}" in gateway["volumes"]
    assert (DOCKER / gateway["build"]["context"] / gateway["build"]["dockerfile"]).is_file()


# --- the configuration ----------------------------------------------------------------------------------------


def configuration(folder: Path, text: str = TOML) -> Any:
    for name in COMPOSE["secrets"]:
        (folder / name).write_text(f"synthetic {name}\n", "utf-8")
    return parse(text.replace("file:/run/secrets/", f"file:{folder}/"), environ={})


def test_the_configuration_fits_the_composition(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    published = ports(SERVICES["fhir"])
    mllp, http = config.receivers
    assert isinstance(mllp, MllpReceiver)
    assert isinstance(http, HttpReceiver)
    assert {mllp.listen.port, config.http.listen.port} <= published.keys()
    (destination,) = config.destinations
    assert isinstance(destination, FhirDestination)
    assert destination.url == "http://127.0.0.1:8080/fhir"
    assert 8080 in published
    assert config.gateway.mode == "test"
    volume = json.loads(dict(last_stage())["VOLUME"])[0]
    assert config.gateway.store.startswith(f"sqlite:{volume}/")


def test_the_configuration_holds_no_secret(tmp_path: Path) -> None:
    tables = tomllib.loads(TOML)
    tokens = [section["token"] for key in ("access", "receiver") for section in tables[key] if "token" in section]
    assert sorted(tokens) == sorted(f"file:/run/secrets/{name}" for name in SERVICES["mhbridge"]["secrets"])
    assert configuration(tmp_path)


def test_without_the_reason_it_would_not_listen(tmp_path: Path) -> None:
    bare = "\n".join(line for line in TOML.splitlines() if not line.startswith("allow_plaintext"))
    with pytest.raises(ConfigurationError) as refusal:
        configuration(tmp_path, bare)
    assert {code for code, _ in refusal.value.problems} == {"C809"}


def test_what_is_routed_is_in_the_pack() -> None:
    tables = tomllib.loads(TOML)
    for route in tables["route"]:
        for document in route["documents"]:
            assert (DOCKER.parent / "mappings" / "documents" / document / "items.yaml").is_file()
    for receiver in tables["receiver"]:
        assert (DOCKER.parent / "mappings" / "suppliers" / receiver["supplier"] / "supplier.yaml").is_file()
