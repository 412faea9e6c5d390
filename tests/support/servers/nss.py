"""NSS: its example server, `selfserv`."""

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from tests.support.loopback import Listener, free_port
from tests.support.requirements import require
from tests.support.servers.offer import TlsOffer
from tests.support.servers.program import program

_PASSWORD = "changeit"


@contextmanager
def selfserv(
    listener: Listener, offer: TlsOffer, *, suites: Iterable[int], arguments: Sequence[str] = ()
) -> Iterator[Listener]:
    """Serve HTTPS.

    suites: code points, of TLS 1.2 and older. arguments: further arguments, verbatim. The offer may
    hold versions such as "ssl3".

    selfserv cannot be bound to an address: it listens on all of them while the test runs.
    """
    everywhere = Listener(listener.address, free_port("0.0.0.0"))

    def written(directory: Path) -> Sequence[str]:
        database = f"sql:{directory}"
        subprocess.run(
            [require("certutil"), "-N", "-d", database, "--empty-password"],
            check=True,
            capture_output=True,
        )
        names: list[str] = []
        for number, issued in enumerate(offer.certificates):
            store, name = directory / f"deployment{number}.p12", f"deployment{number}"
            content = serialize_key_and_certificates(
                name.encode(),
                issued.private_key,
                issued.certificate,
                issued.chain[1:],
                BestAvailableEncryption(_PASSWORD.encode()),
            )
            store.write_bytes(content)
            subprocess.run(
                [require("pk12util"), "-i", str(store), "-d", database, "-W", _PASSWORD, "-K", ""],
                check=True,
                capture_output=True,
            )
            names += [
                "-e" if isinstance(issued.private_key, ec.EllipticCurvePrivateKey) else "-n",
                name,
            ]
        first, last = (
            version if version.startswith("ssl") else f"tls{version}"
            for version in (offer.versions[0], offer.versions[-1])
        )
        listed = "".join(f":{suite:04X}" for suite in sorted(suites))
        command = (
            require("selfserv"),
            "-d",
            database,
            "-p",
            str(everywhere.port),
            "-V",
            f"{first}:{last}",
            "-c",
            listed,
            "-H",
            "1",
        )
        return (*command, *names, *arguments)

    with program(everywhere, written) as running:
        yield running
