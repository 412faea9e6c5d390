"""lighttpd: the TLS of mbedTLS or of wolfSSL."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from tests.support.loopback import Listener
from tests.support.requirements import require
from tests.support.servers.offer import TlsOffer, openssl_versions
from tests.support.servers.program import program

_CONFIGURATION = """\
server.modules = ("mod_{library}")
server.document-root = "{directory}"
server.bind = "{address}"
server.port = {port}
ssl.engine = "enable"
ssl.pemfile = "{chain}"
ssl.privkey = "{key}"
ssl.openssl.ssl-conf-cmd = (
  "MinProtocol" => "{minimum}", "MaxProtocol" => "{maximum}", "CipherString" => "{ciphers}"
)
"""


@contextmanager
def lighttpd(
    listener: Listener, offer: TlsOffer, library: Literal["mbedtls", "wolfssl"]
) -> Iterator[Listener]:
    """Serve HTTPS with one certificate. The offer's ciphers use the library's own names."""
    (_certificate,) = offer.certificates

    def written(directory: Path) -> Sequence[str]:
        ((chain, key),) = offer.write_certificates(directory)
        versions = openssl_versions(offer)
        configuration = directory / "lighttpd.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                library=library,
                directory=directory,
                address=listener.address,
                port=listener.port,
                chain=chain,
                key=key,
                minimum=versions[0],
                maximum=versions[-1],
                ciphers=offer.ciphers,
            )
        )
        return (require("lighttpd"), "-D", "-f", str(configuration))

    with program(listener, written) as running:
        yield running
