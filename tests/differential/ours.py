"""What the scanner of this project says, through the same door as the service: measure()."""

from collections import defaultdict
from dataclasses import dataclass
from ipaddress import ip_network

from otpc_policy.core.addresses import AddressVetting, VettedAddress
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.facts import AddressFacts, Depth, Support, TlsVersion
from otpc_policy.engine.scanner import SslyzeScanner
from tests.differential.case import Offered
from tests.support.loopback import Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class OurReport:
    """Our facts by claim. versions: the fact about each version."""

    yes: Offered
    no: Offered
    unknown: Offered
    versions: dict[TlsVersion, Support]
    remarks: tuple[str, ...]
    connections: int
    duration_s: float


async def ours(scanner: SslyzeScanner, listener: Listener, server_name: str) -> OurReport:
    """Measure."""
    vetted = AddressVetting([ip_network("127.0.0.0/8")]).vet(listener.address)
    assert isinstance(vetted, VettedAddress)
    return _read(
        await scanner.measure(parse_endpoint(server_name, listener.port), vetted, Depth.STANDARD)
    )


def _read(facts: AddressFacts) -> OurReport:
    sides: dict[Support, dict[TlsVersion, set[int]]] = {
        support: defaultdict(set) for support in Support
    }
    for fact in facts.cipher_suites:
        sides[fact.support][fact.version].add(fact.code_point)
    yes, no, unknown = (
        {version: frozenset(suites) for version, suites in sides[support].items()}
        for support in (Support.YES, Support.NO, Support.UNKNOWN)
    )
    return OurReport(
        yes=yes,
        no=no,
        unknown=unknown,
        versions={version: facts.version(version).support for version in TlsVersion},
        remarks=facts.remarks,
        connections=facts.connections_used,
        duration_s=facts.duration.total_seconds(),
    )
