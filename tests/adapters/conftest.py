"""Certificate authorities of a test's own; what the tests of doors share lies beside them."""

from __future__ import annotations

import ipaddress
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

sys.path.insert(0, str(Path(__file__).parent))

_PEM = serialization.Encoding.PEM


class Authority:
    """Makes certificates, keys and the TLS contexts that use them."""

    def __init__(self, folder):
        self._folder = folder
        folder.mkdir()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Test authority {folder.name}")])
        certificate = self._certificate(self._name, self._key, authority=True)
        self.path = folder / "authority.pem"
        self.path.write_bytes(certificate.public_bytes(_PEM))

    def _certificate(self, subject, key, *, authority=False):
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if authority:
            usage = x509.KeyUsage(
                digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
            )  # fmt: skip
            builder = builder.add_extension(usage, critical=True)
        else:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def pem(self, name):
        path = self._folder / f"{name}.pem"
        if not path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
            path.write_bytes(self._certificate(subject, key).public_bytes(_PEM))
            written = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            self.key(name).write_bytes(written)
        return path

    def key(self, name):
        return self._folder / f"{name}.key"

    def server(self, *, clients=False):
        """The context that the product makes for a listener."""
        from mhbridge.adapters.tls import server_context
        from mhbridge.config import Tls

        reference = {"certificate": f"file:{self.pem('server')}", "key": f"file:{self.key('server')}"}
        return server_context(Tls(**reference, clients=f"file:{self.path}" if clients else None))

    def client(self, name, *, version=None, ciphers=None):
        """A context of somebody who connects, with the certificate of this name."""
        context = ssl.create_default_context(cafile=str(self.path))
        if name is not None:
            context.load_cert_chain(self.pem(name), self.key(name))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if ciphers is not None:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(ciphers)
        return context


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "ours")


@pytest.fixture
def other_authority(tmp_path):
    return Authority(tmp_path / "theirs")
