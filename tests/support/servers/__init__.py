"""Real TLS servers on loopback.

Each is a context manager that takes a Listener and an offer and runs as long as the context.
"""

from tests.support.servers.apache import apache
from tests.support.servers.caddy import caddy
from tests.support.servers.grpc_tls import grpc_server
from tests.support.servers.legacy import LegacyOffer, legacy_server
from tests.support.servers.libraries import gnutls_serv, s_server
from tests.support.servers.nginx import nginx, plain_nginx
from tests.support.servers.offer import OTPC_CIPHERS, TlsOffer
from tests.support.servers.proxies import haproxy, stunnel
from tests.support.servers.threaded import (
    answer_http,
    echo,
    http_server,
    say_nothing,
    threaded_server,
    tls_server,
)

__all__ = [
    "OTPC_CIPHERS",
    "LegacyOffer",
    "TlsOffer",
    "answer_http",
    "apache",
    "caddy",
    "echo",
    "gnutls_serv",
    "grpc_server",
    "haproxy",
    "http_server",
    "legacy_server",
    "nginx",
    "plain_nginx",
    "s_server",
    "say_nothing",
    "stunnel",
    "threaded_server",
    "tls_server",
]
