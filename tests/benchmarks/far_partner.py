"""The partner of the benchmarks: a compliant nginx with an RSA and an ECDSA certificate, behind a relay that adds round trips."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.certificates import CertificateAuthority
from tests.support.loopback import own_listener
from tests.support.relay import relay
from tests.support.servers import TlsOffer, nginx
from tests.support.tcp import Counts


@dataclass(frozen=True, slots=True)
class FarPartner:
    """One server under many names, so that each check of another name is a cold one. configuration: for the service, in TOML."""

    names: tuple[str, ...]
    counts: Counts
    configuration: Sequence[str]

    @property
    def port(self) -> int:
        """The relay's port."""
        return self.counts.listener.port


@contextmanager
def far_partner(directory: Path, *, names: int, round_trip_s: float) -> Iterator[FarPartner]:
    """Serve while the context lasts."""
    root = CertificateAuthority.create("Benchmark Root")
    issuer = root.intermediate("Benchmark Intermediate")
    anchor = directory / "anchor.pem"
    anchor.write_bytes(root.pem)
    offer = TlsOffer(certificates=(issuer.issue(dns=("*.partner.test",), key="rsa2048"), issuer.issue(dns=("*.partner.test",), key="ec256")))
    hosts = tuple(f"p{number}.partner.test" for number in range(names))
    with nginx(own_listener(), offer) as near, relay(own_listener(), near, round_trip_s=round_trip_s) as counts:
        address = counts.listener.address
        configuration = [
            'allow_networks = ["127.0.0.0/8"]',
            "minimum_refresh_interval_s = 0",
            "[static_hosts]",
            *(f'"{host}" = "{address}"' for host in hosts),
            "[[trust]]",
            'hosts = ["*.partner.test"]',
            f'anchor_file = "{anchor}"',
        ]
        yield FarPartner(hosts, counts, configuration)
