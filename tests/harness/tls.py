"""Certificates made on the spot: an authority of the test's own, and what servers and clients need of it.

made = tls.authority(tmp_path)
context = made.server()                                 # for localhost, 127.0.0.1 and ::1
monkeypatch.setenv("SSL_CERT_FILE", str(made.roots))    # so that the product trusts it
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = ("localhost", "127.0.0.1", "::1")
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """Vouches for certificates. `roots` is the file that SSL_CERT_FILE names to trust it."""

    folder: Path
    roots: Path
    _certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey

    def certificate(self, *names: str, expired: bool = False) -> Path:
        """A PEM file with the certificate and the key of a server of these names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        until = now - DAY if expired else now + DAY
        made = (
            _begun(names[0], self._certificate.subject, key, since=now - 3 * DAY, until=until)
            .add_extension(x509.SubjectAlternativeName([_named(name) for name in names]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return _written(self.folder / f"{uuid4().hex}.pem", made, key)

    def server(self, *names: str, expired: bool = False) -> ssl.SSLContext:
        """What a server of these names needs; without any: localhost, 127.0.0.1 and ::1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate(*(names or HERE), expired=expired))
        return context

    def client(self) -> ssl.SSLContext:
        """What a client that trusts this authority needs."""
        return ssl.create_default_context(cafile=self.roots)


def authority(folder: Path) -> Authority:
    """An authority nobody else knows; its files lie in `folder`. Make two for a certificate that is not trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    called = f"an authority of tests {uuid4().hex}"
    now = datetime.datetime.now(datetime.UTC)
    made = (
        _begun(called, _name(called), key, since=now - 3 * DAY, until=now + 3 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(folder, _written(folder / f"{uuid4().hex}-roots.pem", made), made, key)


def _begun(
    subject: str,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    since: datetime.datetime,
    until: datetime.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _written(path: Path, made: x509.Certificate, key: ec.EllipticCurvePrivateKey | None = None) -> Path:
    text = made.public_bytes(serialization.Encoding.PEM)
    if key is not None:
        plain = serialization.PrivateFormat.PKCS8
        text += key.private_bytes(serialization.Encoding.PEM, plain, serialization.NoEncryption())
    path.write_bytes(text)
    return path
