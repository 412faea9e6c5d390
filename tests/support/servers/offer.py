"""What a TLS server offers, described alike for all kinds of servers."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import Issued

# The six suites of the policy, as OpenSSL spells them.
OTPC_CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
    ":ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256"
)
BODY = "accepted\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOffer:
    """Certificates, versions and suites of a server.

    certificates: one for each key type. versions: "1.0" to "1.3", without a gap. ciphers: of TLS
    1.2 and older, by OpenSSL name. staple: an OCSP response in DER. client_ca: PEM; if set, the
    handshake demands a client certificate under it.
    """

    certificates: tuple[Issued, ...]
    versions: tuple[str, ...] = ("1.2", "1.3")
    ciphers: str = OTPC_CIPHERS
    staple: bytes | None = None
    client_ca: bytes | None = None

    def write_certificates(self, directory: Path) -> list[tuple[Path, Path]]:
        """Write every chain and key as PEM; return their paths."""
        return [
            issued.write(directory, f"deployment{number}")
            for number, issued in enumerate(self.certificates)
        ]

    def write_client_ca(self, directory: Path) -> Path | None:
        """Write the CA of client certificates, if one is wanted."""
        return (
            None
            if self.client_ca is None
            else _written(directory / "client-ca.pem", self.client_ca)
        )

    def write_staple(self, directory: Path) -> Path | None:
        """Write the OCSP response, if there is one."""
        return None if self.staple is None else _written(directory / "staple.der", self.staple)


def issuers(chain: Path) -> Path | None:
    """Return a file with what follows the leaf in a chain file, or None if nothing does."""
    end = "-----END CERTIFICATE-----\n"
    above = chain.read_text().split(end, 1)[1]
    return _written(chain.with_suffix(".issuers.pem"), above.encode()) if end in above else None


def openssl_versions(offer: TlsOffer) -> list[str]:
    """Return the versions as nginx and Apache write them, such as "TLSv1" and "TLSv1.2"."""
    return ["TLSv1" if version == "1.0" else f"TLSv{version}" for version in offer.versions]


def openssl_configuration(directory: Path) -> dict[str, str]:
    """Return environment variables that let OpenSSL offer everything it is configured for.

    Distributions raise the security level, so that old versions, small keys and SHA-1 cannot be
    served at all; tests need weak servers.
    """
    text = textwrap.dedent("""\
        openssl_conf = all
        [all]
        ssl_conf = ssl
        [ssl]
        system_default = everything
        [everything]
        CipherString = DEFAULT:@SECLEVEL=0
        """)
    return {"OPENSSL_CONF": str(_written(directory / "openssl.cnf", text.encode()))}


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
