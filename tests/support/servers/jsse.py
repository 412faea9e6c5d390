"""Java: the TLS of the JDK (JSSE), in its own HTTPS server.

The program is a source file, which `java` compiles and runs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from tests.support.loopback import Listener
from tests.support.requirements import require
from tests.support.servers.offer import TlsOffer
from tests.support.servers.program import program

_SOURCE = Path(__file__).with_name("HttpsPartner.java")
_PASSWORD = "changeit"
# The source is compiled at each start: two seconds on an idle machine, many on a busy machine.
_START_S = 60.0
# Allows what the JDK disables by default, so that the configuration alone decides.
_SECURITY = (
    "jdk.tls.disabledAlgorithms=\njdk.tls.legacyAlgorithms=\njdk.certpath.disabledAlgorithms=\n"
)


@contextmanager
def jsse(
    listener: Listener, offer: TlsOffer, *, suites: Sequence[str], properties: Sequence[str] = ()
) -> Iterator[Listener]:
    """Serve HTTPS.

    suites: by IANA name, TLS 1.3 included. properties: such as "jdk.tls.namedGroups=x25519".
    """

    def written(directory: Path) -> Sequence[str]:
        stores = []
        for number, issued in enumerate(offer.certificates):
            store = directory / f"deployment{number}.p12"
            content = serialize_key_and_certificates(
                b"partner",
                issued.private_key,
                issued.certificate,
                issued.chain[1:],
                BestAvailableEncryption(_PASSWORD.encode()),
            )
            store.write_bytes(content)
            stores.append(str(store))
        security = directory / "java.security"
        security.write_text(_SECURITY)
        versions = ",".join(
            "TLSv1" if version == "1.0" else f"TLSv{version}" for version in offer.versions
        )
        switches = [
            "-Xshare:auto",
            "-XX:TieredStopAtLevel=1",
            "-Xmx128m",
            f"-Djava.security.properties={security}",
            *(f"-D{setting}" for setting in properties),
        ]
        return (
            require("java"),
            *switches,
            str(_SOURCE),
            listener.address,
            str(listener.port),
            _PASSWORD,
            versions,
            ",".join(suites),
            *stores,
        )

    with program(listener, written, start_s=_START_S) as running:
        yield running
