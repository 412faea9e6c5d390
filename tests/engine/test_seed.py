"""What a measurement draws: from the system each time, and again from a seed that is given."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from otpc_policy.core.facts import SEED_BYTES, AddressFacts, Depth
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.scanner import SslyzeScanner
from otpc_policy.engine.seed import Draws
from tests.engine.partners import endpoint
from tests.engine.test_deep_scan import vetted
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import Listener, own_listener
from tests.support.relay import relay_to
from tests.support.servers.nginx import nginx
from tests.support.servers.offer import OTPC_CIPHERS, TlsOffer
from tests.support.tcp import counting_server
from tests.tls.sent_hello import read_hello

SEED = bytes(range(SEED_BYTES))
# Of the workers that complete handshakes, and of the question for HTTP, whose library draws.
DRAWN_ELSEWHERE = 3
# Record and message headers, legacy_version and Random.
_TO_RANDOM = 5 + 4 + 2 + 32
Sent = dict[bytes, bytes]


@pytest.fixture(scope="module")
def partner() -> Iterator[Listener]:
    leaf = CertificateAuthority.create().issue(key="rsa2048")
    with nginx(own_listener(), TlsOffer(certificates=(leaf,), ciphers=OTPC_CIPHERS)) as server:
        yield server


async def measure(partner: Listener, seed: bytes | None) -> tuple[AddressFacts, Sent]:
    """Return the facts, and the hellos by their beginning up to Random."""
    scanner = SslyzeScanner(limits=ScanLimits(workers=1), now=lambda: datetime.now(UTC))
    await scanner.start()
    try:
        with counting_server(own_listener(), relay_to(partner)) as counts:
            facts = await scanner.measure(
                endpoint(counts.listener.port),
                vetted(counts.listener.address),
                Depth.STANDARD,
                seed=seed,
            )
    finally:
        await scanner.stop()
    hellos = [one.received for one in counts.transcripts if one.received[:1] == b"\x16"]
    return facts, {hello[:_TO_RANDOM]: hello for hello in hellos}


async def test_a_seed_repeats_a_measurement_but_for_its_keys(partner: Listener) -> None:
    (facts, first), (_, second) = await measure(partner, SEED), await measure(partner, SEED)
    assert facts.seed == SEED.hex()
    again = first.keys() & second.keys()
    assert len(again) >= max(len(first), len(second)) - DRAWN_ELSEWHERE
    assert len(again) > 40
    for drawn in again:
        one, other = read_hello(first[drawn]), read_hello(second[drawn])
        assert one.cipher_suites == other.cipher_suites
        assert one.extension_kinds == other.extension_kinds
        assert (one.groups, one.signature_schemes) == (other.groups, other.signature_schemes)


async def test_without_a_seed_each_measurement_draws_its_own(partner: Listener) -> None:
    (facts, first), (others, second) = await measure(partner, None), await measure(partner, None)
    assert len(bytes.fromhex(facts.seed)) == SEED_BYTES
    assert facts.seed != others.seed
    assert not first.keys() & second.keys()


def test_sources_of_one_seed_differ_and_are_drawn_in_turn() -> None:
    one, other = Draws(SEED), Draws(SEED)
    drawn = [one.source()(64) for _ in range(50)]
    assert drawn == [other.source()(64) for _ in range(50)]
    assert len(set(drawn)) == 50


@pytest.mark.parametrize("counts", [(10_000,), (1, 511, 1, 4_000), (0, 600, 600)])
def test_a_source_gives_the_same_bytes_however_it_is_asked(counts: tuple[int, ...]) -> None:
    source, whole = Draws(SEED).source(), Draws(SEED).source()(sum(counts))
    assert b"".join(map(source, counts)) == whole
