"""When certificates end: read from the files, read again when a file has changed, and never a failure."""

from datetime import UTC, datetime, timedelta

from mhbridge.adapters.certificates import Certificates
from mhbridge.app.listening import certificates_of
from mhbridge.config import parse


def test_each_certificate_is_told_with_its_end(authority, tmp_path):
    ends = Certificates({"http": authority.pem("server"), "http clients": authority.path})
    found = ends()
    assert set(found) == {"http", "http clients"}
    assert all(timedelta(hours=23) < at - datetime.now(UTC) < timedelta(hours=25) for at in found.values())
    chain = tmp_path / "chain.pem"
    chain.write_bytes(authority.pem("server").read_bytes() + authority.path.read_bytes())
    assert Certificates({"chain": chain})()["chain"] == min(found.values())


def test_a_file_that_has_changed_is_read_again_and_one_that_is_gone_is_left_out(authority, tmp_path):
    path = tmp_path / "server.pem"
    path.write_bytes(b"no certificate")
    ends = Certificates({"http": path})
    assert ends() == {}
    path.write_bytes(authority.pem("server").read_bytes())
    assert list(ends()) == ["http"]
    path.unlink()
    assert ends() == {}


def test_every_certificate_of_a_configuration_is_watched(authority, tmp_path):
    pem, key, ca = authority.pem("server"), authority.key("server"), authority.path
    tls = f'{{certificate = "file:{pem}", key = "file:{key}", clients = "file:{ca}"}}'
    config = parse(
        f"""
        [http]
        listen = "127.0.0.1:0"
        tls = {tls}
        [[receiver]]
        supplier = "example-acute"
        kind = "mllp"
        listen = "127.0.0.1:0"
        tls = {tls}
        [[receiver]]
        supplier = "example-community"
        kind = "folder"
        path = "in"
        [[destination]]
        name = "gp"
        kind = "fhir"
        url = "https://gp.example"
        tls = {{authorities = "file:{ca}", certificate = "file:{pem}", key = "file:{key}"}}
        [[destination]]
        name = "out"
        kind = "folder"
        path = "out"
        """,
        base=tmp_path,
        environ={},
    )
    assert certificates_of(config) == {
        "http": pem, "http clients": ca, "receiver example-acute/mllp": pem, "receiver example-acute/mllp clients": ca,
        "destination gp": pem, "destination gp authorities": ca,
    }  # fmt: skip
