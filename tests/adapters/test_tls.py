"""TLS contexts: what a listener shows and asks for, whom a client believes, and files that cannot be used."""

from __future__ import annotations

import ssl

import pytest

from mhbridge.adapters.tls import client_context, peer_name, server_context
from mhbridge.config import ClientTls, Tls
from mhbridge.errors import ConfigurationError


def tls(certificate, key, clients=None):
    return Tls(certificate=f"file:{certificate}", key=f"file:{key}", clients=clients and f"file:{clients}")


def test_a_listener_asks_for_a_certificate_only_where_an_authority_is_named(authority):
    files = authority.pem("gateway"), authority.key("gateway")
    assert server_context(tls(*files)).verify_mode is ssl.CERT_NONE
    asking = server_context(tls(*files, authority.path))
    assert asking.verify_mode is ssl.CERT_REQUIRED
    assert len(asking.get_ca_certs()) == 1


@pytest.mark.parametrize("what", ["server", "client"])
def test_nothing_weaker_than_tls_1_2_with_forward_secrecy_and_authenticated_encryption(authority, what):
    server = server_context(tls(authority.pem("gateway"), authority.key("gateway")))
    context = server if what == "server" else client_context(None)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    for cipher in context.get_ciphers():
        assert cipher["aead"], cipher["name"]
        assert cipher["protocol"] == "TLSv1.3" or cipher["name"].startswith("ECDHE-"), cipher["name"]


def test_a_client_always_verifies_and_with_authorities_only_by_them(authority):
    for context in (client_context(None), client_context(ClientTls(authorities=f"file:{authority.path}"))):
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
    assert len(context.get_ca_certs()) == 1


def test_a_client_shows_its_certificate(authority):
    own = {"certificate": f"file:{authority.pem('us')}", "key": f"file:{authority.key('us')}"}
    client_context(ClientTls(**own))


UNUSABLE = ["certificate", "key", "clients"]


@pytest.mark.parametrize("broken", UNUSABLE)
def test_files_of_a_listener_that_cannot_be_used(authority, tmp_path, broken):
    files = {"certificate": authority.pem("gateway"), "key": authority.key("gateway"), "clients": authority.path}
    (tmp_path / "broken").write_text("not PEM")
    files[broken] = tmp_path / "broken"
    with pytest.raises(ConfigurationError) as raised:
        server_context(tls(**files))
    assert [code for code, _ in raised.value.problems] == ["C821"]


def test_a_key_of_another_certificate(authority):
    authority.pem("other")
    with pytest.raises(ConfigurationError):
        server_context(tls(authority.pem("gateway"), authority.key("other")))


def test_files_of_a_destination_that_cannot_be_used(tmp_path):
    (tmp_path / "broken").write_text("not PEM")
    with pytest.raises(ConfigurationError) as raised:
        client_context(ClientTls(authorities=f"file:{tmp_path / 'broken'}"))
    assert [code for code, _ in raised.value.problems] == ["C821"]


NAMES = [
    ({"subject": ((("countryName", "GB"),), (("commonName", "trust-a"),))}, "trust-a"),
    ({"subject": ((("countryName", "GB"),),)}, ""),
    ({}, ""),
    (None, ""),
]


@pytest.mark.parametrize(("certificate", "name"), NAMES)
def test_a_peer_is_called_by_the_common_name_of_its_certificate(certificate, name):
    assert peer_name(certificate) == name
