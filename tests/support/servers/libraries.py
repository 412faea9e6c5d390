"""The example servers of TLS libraries: `openssl s_server`, `gnutls-serv`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.loopback import Listener, free_port
from tests.support.requirements import require
from tests.support.servers.offer import TlsOffer, issuers
from tests.support.servers.program import program

# The equivalent of OTPC_CIPHERS for GnuTLS.
OTPC_PRIORITY = (
    "NONE:+VERS-TLS1.3:+VERS-TLS1.2:+ECDHE-ECDSA:+ECDHE-RSA:+AES-128-GCM:+CHACHA20-POLY1305"
    ":+AES-128-CBC:+AEAD:+SHA256:+SIGN-ALL:+GROUP-ALL:+COMP-NULL"
)


@contextmanager
def s_server(listener: Listener, offer: TlsOffer, *arguments: str) -> Iterator[Listener]:
    """Serve one connection after another with `openssl s_server -www`.

    arguments: further arguments, verbatim.
    """

    def written(directory: Path) -> Sequence[str]:
        command = [
            require("openssl"),
            "s_server",
            "-accept",
            str(listener),
            "-www",
            "-quiet",
            "-cipher",
            f"{offer.ciphers}:@SECLEVEL=0",
        ]
        for prefix, (chain, key) in zip(
            ("", "d"), offer.write_certificates(directory), strict=False
        ):
            command += [f"-{prefix}cert", str(chain), f"-{prefix}key", str(key)]
            above = issuers(chain)
            command += [f"-{prefix}cert_chain", str(above)] if above else []
        if not offer.certificates:
            command.append("-nocert")
        for option, version in (
            ("-min_protocol", offer.versions[0]),
            ("-max_protocol", offer.versions[-1]),
        ):
            command += [option, "TLSv1" if version == "1.0" else f"TLSv{version}"]
        staple, client_ca = offer.write_staple(directory), offer.write_client_ca(directory)
        command += ["-status_file", str(staple)] if staple else []
        command += (
            ["-Verify", "1", "-verify_return_error", "-CAfile", str(client_ca)] if client_ca else []
        )
        return [*command, *arguments]

    with program(listener, written) as running:
        yield running


@contextmanager
def gnutls_serv(
    listener: Listener, offer: TlsOffer, *arguments: str, priority: str = OTPC_PRIORITY
) -> Iterator[Listener]:
    """Serve HTTPS. The priority string replaces the versions and ciphers of the offer.

    arguments: further arguments, verbatim.

    gnutls-serv cannot be bound to an address: it listens on every address while the test runs.
    """
    # The port must be free on every address; the listener's own port is free on its address only.
    everywhere = Listener(listener.address, free_port("0.0.0.0"))

    def written(directory: Path) -> Sequence[str]:
        command = [
            require("gnutls-serv"),
            "--http",
            "--quiet",
            "--port",
            str(everywhere.port),
            "--priority",
            priority,
            *arguments,
        ]
        for chain, key in offer.write_certificates(directory):
            command += ["--x509certfile", str(chain), "--x509keyfile", str(key)]
        client_ca = offer.write_client_ca(directory)
        return (
            [*command, "--require-client-cert", "--x509cafile", str(client_ca)]
            if client_ca
            else [*command, "--disable-client-cert"]
        )

    with program(everywhere, written) as running:
        yield running
