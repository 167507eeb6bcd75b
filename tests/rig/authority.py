"""A certificate authority of a test's own, and what servers show that it vouches for."""

from __future__ import annotations

import datetime
import ssl
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_SIGNS = {"key_cert_sign": True, "crl_sign": True}
_USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


class Authority:
    """``trusted``: a file for ``SSL_CERT_FILE``. ``by_the_book``: with all that RFC 5280 asks of a certificate;
    without, like those of many a company's own authority, which names no key."""

    def __init__(self, folder: Path, *, by_the_book: bool = True) -> None:
        self._folder = folder
        self._by_the_book = by_the_book
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("Authority of a test")
        certificate = self._signed(self._name, self._key.public_key(), None)
        self.trusted = folder / "authority.pem"
        self.trusted.write_bytes(certificate.public_bytes(Encoding.PEM))

    def server(self, address: str = "127.0.0.1") -> ssl.SSLContext:
        """Of a server at an IP address."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(_named("Server of a test"), key.public_key(), address)
        file = self._folder / f"{address}.pem"
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        file.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePublicKey, address: str | None
    ) -> x509.Certificate:
        """``address``: of a server; ``None``: the authority's own."""
        now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
        builder = (
            x509.CertificateBuilder(self._name, name, key, x509.random_serial_number(), now - day, now + day)
            .add_extension(x509.BasicConstraints(address is None, None), critical=True)
        )  # fmt: skip
        if address is not None:
            names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
            builder = builder.add_extension(names, critical=False)
        if self._by_the_book:
            uses = {"digital_signature": True} if address is not None else _SIGNS
            usage = x509.KeyUsage(**{use: uses.get(use, False) for use in _USES})
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = (
                builder.add_extension(usage, critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
                .add_extension(issuer, critical=False)
            )
        return builder.sign(self._key, SHA256())


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
