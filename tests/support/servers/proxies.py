"""Servers that end TLS in front of others: HAProxy, stunnel."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.loopback import Listener, own_listener
from tests.support.requirements import require
from tests.support.servers.offer import TlsOffer, openssl_versions
from tests.support.servers.program import program
from tests.support.servers.threaded import http_server

_HAPROXY = """\
global
    maxconn 200
defaults
    mode http
    timeout client 5s
    timeout connect 5s
    timeout server 5s
frontend partner
    bind {listener} ssl {options}
    http-request return status 200 content-type text/plain string accepted
"""
_ROUTER = """\
global
    maxconn 1000
defaults
    mode tcp
    timeout client 5s
    timeout connect 5s
    timeout server 5s
"""
# HAProxy reads a version from a hello in SSL 2 format, but not a message of type 1.
_ROUTE = """\
frontend front{number}
    bind {route.listener}
    tcp-request inspect-delay 1s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    tcp-request content accept if {{ req.ssl_ver gt 0 }}
    use_backend then{number} if {{ {route.condition} }}
    default_backend else{number}
backend then{number}
    server one {route.then}
backend else{number}
    server one {route.otherwise}
"""
_STUNNEL = """\
foreground = yes
pid =
debug = warning
[partner]
accept = {listener}
connect = {backend}
cert = {chain}
key = {key}
securityLevel = 0
ciphers = {ciphers}
sslVersionMin = {minimum}
sslVersionMax = {maximum}
"""


@contextmanager
def haproxy(listener: Listener, offer: TlsOffer, *bind_options: str) -> Iterator[Listener]:
    """Serve HTTPS with h2. bind_options: further options of bind, such as strict-sni."""

    def written(directory: Path) -> Sequence[str]:
        options = []
        for chain, key in offer.write_certificates(directory):
            both = chain.with_suffix(".both.pem")
            both.write_bytes(chain.read_bytes() + key.read_bytes())
            if offer.staple is not None:
                both.with_name(f"{both.name}.ocsp").write_bytes(offer.staple)
            options.append(f"crt {both}")
        options += [
            f"ciphers {offer.ciphers}",
            f"ssl-min-ver TLSv{offer.versions[0]}",
            f"ssl-max-ver TLSv{offer.versions[-1]}",
            "alpn h2,http/1.1",
            *bind_options,
        ]
        client_ca = offer.write_client_ca(directory)
        options += [f"ca-file {client_ca} verify required"] if client_ca else []
        configuration = directory / "haproxy.cfg"
        configuration.write_text(_HAPROXY.format(listener=listener, options=" ".join(options)))
        return (require("haproxy"), "-db", "-f", str(configuration))

    with program(listener, written) as running:
        yield running


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a router passes a connection on, TLS untouched.

    condition: about the first flight, in the router's words; in HAProxy's "req.len gt 360".
    """

    listener: Listener
    condition: str
    then: Listener
    otherwise: Listener


@contextmanager
def routing_haproxy(routes: Sequence[Route]) -> Iterator[None]:
    """Run one HAProxy that listens for every route."""

    def written(directory: Path) -> Sequence[str]:
        configuration = directory / "haproxy.cfg"
        fronts = (_ROUTE.format(number=number, route=route) for number, route in enumerate(routes))
        configuration.write_text(_ROUTER + "".join(fronts))
        return (require("haproxy"), "-db", "-f", str(configuration))

    # HAProxy binds every port before it accepts on any of them.
    with program(routes[-1].listener, written):
        yield


@contextmanager
def pooling_haproxy(
    listener: Listener, ends: Sequence[Listener], *, balance: str = "roundrobin"
) -> Iterator[Listener]:
    """Pass connections on to each of several servers, TLS untouched. balance: how one is chosen."""

    def written(directory: Path) -> Sequence[str]:
        lines = [f"listen pool\n    bind {listener}\n    balance {balance}\n"]
        lines += [f"    server server{number} {end}\n" for number, end in enumerate(ends)]
        configuration = directory / "haproxy.cfg"
        configuration.write_text(_ROUTER + "".join(lines))
        return (require("haproxy"), "-db", "-f", str(configuration))

    with program(listener, written) as running:
        yield running


@contextmanager
def stunnel(listener: Listener, offer: TlsOffer) -> Iterator[Listener]:
    """Serve HTTPS in front of a plain HTTP server. It holds one certificate."""
    (_certificate,) = offer.certificates

    def written(directory: Path) -> Sequence[str]:
        ((chain, key),) = offer.write_certificates(directory)
        configuration = directory / "stunnel.conf"
        configuration.write_text(
            _STUNNEL.format(
                listener=listener,
                backend=backend,
                chain=chain,
                key=key,
                ciphers=offer.ciphers,
                minimum=openssl_versions(offer)[0],
                maximum=openssl_versions(offer)[-1],
            )
        )
        return (require("stunnel4"), str(configuration))

    with http_server(own_listener()) as backend, program(listener, written) as running:
        yield running
