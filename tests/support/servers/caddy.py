"""Caddy: the TLS of Go, which lacks the two suites of the policy with CBC and SHA-256."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.loopback import Listener
from tests.support.requirements import require
from tests.support.servers.offer import BODY, TlsOffer
from tests.support.servers.program import program

OTPC_SUITES = (
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)


@contextmanager
def caddy(
    listener: Listener,
    offer: TlsOffer,
    *,
    suites: Sequence[str] = OTPC_SUITES,
    groups: Sequence[str] = (),
) -> Iterator[Listener]:
    """Serve HTTPS with h2 and HTTP/1.1.

    suites: by IANA name, in place of the offer's ciphers. groups: by Caddy's names; empty for its
    defaults.
    """

    def written(directory: Path) -> Sequence[str]:
        files = [
            {"certificate": str(chain), "key": str(key)}
            for chain, key in offer.write_certificates(directory)
        ]
        policy: dict[str, object] = {
            "cipher_suites": list(suites),
            "protocol_min": f"tls{offer.versions[0]}",
            "protocol_max": f"tls{offer.versions[-1]}",
        }
        if groups:
            policy["curves"] = list(groups)
        client_ca = offer.write_client_ca(directory)
        if client_ca is not None:
            policy["client_authentication"] = {
                "ca": {"provider": "file", "pem_files": [str(client_ca)]},
                "mode": "require_and_verify",
            }
        server = {
            "listen": [str(listener)],
            "routes": [{"handle": [{"handler": "static_response", "body": BODY}]}],
            "tls_connection_policies": [policy],
            "automatic_https": {"disable": True},
            # h3 would open a UDP port too.
            "protocols": ["h1", "h2"],
        }
        configuration = {
            "admin": {"disabled": True, "config": {"persist": False}},
            "apps": {
                "http": {"servers": {"partner": server}},
                "tls": {"certificates": {"load_files": files}},
            },
        }
        path = directory / "caddy.json"
        path.write_text(json.dumps(configuration))
        return (require("caddy"), "run", "--config", str(path))

    with program(listener, written) as running:
        yield running
