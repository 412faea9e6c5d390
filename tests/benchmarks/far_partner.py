"""The partners of the benchmarks: nginx behind a relay that adds round trips.

It has an RSA and an ECDSA certificate.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from tests.benchmarks.processes import Running, announced, cpu_s
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import own_address, own_listener
from tests.support.servers import TlsOffer, nginx

# nginx serves finite-field suites only with parameters: group ffdhe2048 of RFC 7919, as written by
# OpenSSL.
_DH_PARAMETERS = """\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""
# For many concurrent connections; less than a fiftieth of the round trip.
_TICK_S = 0.0007
_LAX_VERSIONS, _LAX_CIPHERS = ("1.0", "1.1", "1.2", "1.3"), "ALL:COMPLEMENTOFALL:@SECLEVEL=0"


class Lax(Enum):
    """Every version and suite that nginx can be made to offer.

    By default, and with finite-field Diffie-Hellman, anonymous suites included.
    """

    WITHOUT_FINITE_FIELDS = "nginx with ALL:COMPLEMENTOFALL:@SECLEVEL=0 over TLS 1.0 to 1.3"
    WITH_FINITE_FIELDS = "the same with ssl_dhparam"


@dataclass(frozen=True, slots=True, kw_only=True)
class FarPartner:
    """A server under many names, so that each check of another name is cold.

    hosts: names with their addresses. configuration: for the service, in TOML.
    """

    hosts: dict[str, str]
    relay: Running
    server: "psutil.Process"
    configuration: Sequence[str]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the server."""
        return tuple(self.hosts)

    @property
    def port(self) -> int:
        """The relay's port."""
        return self.relay.port

    def counts(self) -> tuple[int, int]:
        """Return the connections so far, and the most open at once since the last call."""
        connections, most_open, _ = self.relay.ask().split()
        return int(connections), int(most_open)

    def most_to_one_address(self) -> int:
        """Return the most connections that were open at once to one address, so far."""
        return int(self.relay.ask().split()[2])

    def turn(self, *, lax: bool) -> None:
        """Have every new connection answered by a server that offers everything, or as before."""
        self.relay.tell("other" if lax else "target")

    def server_cpu_s(self) -> float:
        """Return the CPU seconds of the server up to now."""
        return cpu_s(self.server)


@contextmanager
def far_partner(
    directory: Path,
    *,
    names: int,
    round_trip_s: float,
    lax: Lax | None = None,
    own_addresses: bool = False,
    names_of_an_address: int = 1,
    may_turn_lax: bool = False,
) -> Iterator[FarPartner]:
    """Serve while the context lasts.

    lax: served in place of a compliant server.
    own_addresses: every name has its own address, or so many names each; the relay listens on all
    of 127.0.0.0/8 and polls in short ticks. may_turn_lax: turn() may be called.
    """
    root = CertificateAuthority.create("Benchmark Root")
    issuer = root.intermediate("Benchmark Intermediate")
    anchor = directory / "anchor.pem"
    anchor.write_bytes(root.pem)
    offer = TlsOffer(
        certificates=(
            issuer.issue(dns=("*.partner.test",), key="rsa2048"),
            issuer.issue(dns=("*.partner.test",), key="ec256"),
        )
    )
    directives = []
    lax_offer = replace(offer, versions=_LAX_VERSIONS, ciphers=_LAX_CIPHERS)
    if lax is not None:
        offer = lax_offer
    if lax is Lax.WITH_FINITE_FIELDS:
        parameters = directory / "dh.pem"
        parameters.write_text(_DH_PARAMETERS)
        directives.append(f"ssl_dhparam {parameters};")
    address = own_address()
    hosts = {
        f"p{number}.partner.test": _address(number // names_of_an_address)
        if own_addresses
        else address
        for number in range(names)
    }
    configuration = [
        'allow_networks = ["127.0.0.0/8"]',
        "minimum_refresh_interval_s = 0",
        "[static_hosts]",
        *(f'"{host}" = "{its_address}"' for host, its_address in hosts.items()),
        "[[trust]]",
        'hosts = ["*.partner.test"]',
        f'anchor_file = "{anchor}"',
    ]
    with ExitStack() as stack:
        near = stack.enter_context(nginx(own_listener(), offer, directives=directives))
        (server,) = (child for child in psutil.Process().children() if child.name() == "nginx")
        other = stack.enter_context(nginx(own_listener(), lax_offer)) if may_turn_lax else ""
        relay = stack.enter_context(
            announced(
                "tests.benchmarks.relay_process",
                "0.0.0.0:0" if own_addresses else f"{address}:0",
                str(near),
                str(round_trip_s),
                str(_TICK_S if own_addresses else 0),
                *([str(other)] if other else []),
            )
        )
        yield FarPartner(hosts=hosts, relay=relay, server=server, configuration=configuration)


def _address(number: int) -> str:
    return f"127.253.{number // 250}.{1 + number % 250}"
