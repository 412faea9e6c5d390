"""Envoy: the TLS of BoringSSL."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.loopback import Listener
from tests.support.requirements import require
from tests.support.servers.offer import BODY, TlsOffer
from tests.support.servers.program import program

_HTTP = (
    "type.googleapis.com/envoy.extensions.filters.network."
    "http_connection_manager.v3.HttpConnectionManager"
)
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
# Reads the hello, so that filter chains can be chosen by it.
TLS_INSPECTOR: Mapping[str, object] = {
    "name": "envoy.filters.listener.tls_inspector",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3"
        ".TlsInspector"
    },
}


@contextmanager
def envoy(
    listener: Listener, offer: TlsOffer, *, groups: Sequence[str] = (), only_name: str = ""
) -> Iterator[Listener]:
    """Serve HTTPS with h2 and HTTP/1.1.

    groups: BoringSSL's names; empty for its defaults. only_name: if set, a connection is closed
    whose hello does not name this server.
    """

    def written(directory: Path) -> Sequence[str]:
        parameters: dict[str, object] = {
            "tls_minimum_protocol_version": f"TLSv{offer.versions[0].replace('.', '_')}",
            "tls_maximum_protocol_version": f"TLSv{offer.versions[-1].replace('.', '_')}",
            "cipher_suites": offer.ciphers.split(":"),
        }
        if groups:
            parameters["ecdh_curves"] = list(groups)
        certificates = [
            {"certificate_chain": {"filename": str(chain)}, "private_key": {"filename": str(key)}}
            for chain, key in offer.write_certificates(directory)
        ]
        context: dict[str, object] = {
            "tls_params": parameters,
            "tls_certificates": certificates,
            "alpn_protocols": ["h2", "http/1.1"],
        }
        client_ca = offer.write_client_ca(directory)
        tls: dict[str, object] = {"@type": _TLS, "common_tls_context": context}
        if client_ca is not None:
            context["validation_context"] = {"trusted_ca": {"filename": str(client_ca)}}
            tls["require_client_certificate"] = True
        answer = {
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": {"inline_string": BODY}},
        }
        manager = {
            "@type": _HTTP,
            "stat_prefix": "partner",
            "route_config": {
                "virtual_hosts": [{"name": "partner", "domains": ["*"], "routes": [answer]}]
            },
            "http_filters": [
                {"name": "envoy.filters.http.router", "typed_config": {"@type": _ROUTER}}
            ],
        }
        chain_of_filters: dict[str, object] = {
            "filters": [{"name": "http", "typed_config": manager}],
            "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
        }
        place = {"socket_address": {"address": listener.address, "port_value": listener.port}}
        listening: dict[str, object] = {"address": place, "filter_chains": [chain_of_filters]}
        if only_name:
            chain_of_filters["filter_chain_match"] = {"server_names": [only_name]}
            listening["listener_filters"] = [TLS_INSPECTOR]
        path = directory / "envoy.json"
        path.write_text(json.dumps({"static_resources": {"listeners": [listening]}}))
        return (
            require("envoy"),
            "--config-path",
            str(path),
            "--disable-hot-restart",
            "--concurrency",
            "1",
            "--log-level",
            "warning",
        )

    with program(listener, written) as running:
        yield running
