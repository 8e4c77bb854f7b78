"""
XML through a running gateway: over HTTP as `application/xml` and by a watched folder, to a FHIR server; what must not
be read is refused to its sender.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import aiohttp

from mhbridge.mapping.library import built_in
from mhbridge.testing import ReceivingServer

FIXTURES = built_in("fixtures") / "example-itk" / "discharge-cda"
CONFIGURATION = """\
[gateway]
name = "test"
store = "sqlite:store/mhbridge.db"
mode = "test"

[http]
listen = "127.0.0.1:{http}"

[[receiver]]
supplier = "example-itk"
kind = "http"

[[receiver]]
supplier = "example-itk"
kind = "folder"
path = "{folder}"
pattern = "*.xml"

[[destination]]
name = "community"
kind = "fhir"
url = "{fhir}"

[[route]]
documents = ["mental-health-inpatient-discharge"]
to = ["community"]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def post(session: aiohttp.ClientSession, url: str, name: str, kind: str) -> tuple[int, str]:
    """Status, and the code of the first issue of the answer."""
    body = (FIXTURES / name).read_bytes()
    async with session.post(url, data=body, headers={"Content-Type": kind}) as answer:
        told = json.loads(await answer.read())
        return answer.status, told["issue"][0]["details"]["coding"][0]["code"]


async def test_xml_is_taken_over_http_and_from_a_folder(tmp_path: Path) -> None:
    port, inbox = free_port(), tmp_path / "in"
    inbox.mkdir()
    async with ReceivingServer(validates=True) as server:
        text = CONFIGURATION.format(http=port, fhir=server.url, folder=inbox)
        (tmp_path / "mhbridge.toml").write_text(text, "utf-8")
        command = [sys.executable, "-m", "mhbridge", "serve", "--config", str(tmp_path / "mhbridge.toml")]
        with (tmp_path / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *command, stderr=log, env={**os.environ, "PYTHONWARNINGS": "error"}
            )
        try:
            async with aiohttp.ClientSession() as session:
                url = f"http://127.0.0.1:{port}/feeds/example-itk/http/messages"
                async with asyncio.timeout(30):
                    while True:
                        try:
                            first = await post(session, url, "two-payloads-in-soap.xml", "application/xml")
                            break
                        except aiohttp.ClientConnectorError:
                            assert process.returncode is None
                            await asyncio.sleep(0.05)
                assert first[0] == 202
                assert (await post(session, url, "two-payloads-in-soap.xml", "text/xml"))[0] == 200, "a repeat"
                assert (await post(session, url, "document-type.xml", "application/xml")) == (400, "M801")
                assert (await post(session, url, "encoding-misdeclared.xml", "application/xml"))[0] == 202
            (inbox / "utf-16.part").write_bytes((FIXTURES / "utf-16.xml").read_bytes())
            (inbox / "utf-16.part").rename(inbox / "utf-16.xml")
            await server.until(lambda: len(server.holdings.all("Bundle")) == 3, 30)
            said = json.dumps(server.holdings.all("Bundle"), ensure_ascii=False)
            assert all(words in said for words in ("Number not traced yet.", "The second of two.", "sent as UTF-16."))
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 40)
        log = (tmp_path / "log").read_text("utf-8")
        assert "Traceback" not in log
        assert "Titelson" not in log
        assert "not traced yet" not in log
