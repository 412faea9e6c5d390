"""Chains with a bit or a byte changed, cut, doubled or swapped: each is judged soon, whatever it
holds, none is trusted, and a neighbour's verdict stays what it was.
"""

import random
import time
from collections.abc import Sequence
from functools import cache

import pytest
from cryptography import x509

from otpc_policy.pki.certificate import decode_certificate
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import ChainJudgement, NameMatch, TrustSource
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.chains.cases import all_cases
from tests.support.forging import AT, ROOT, Made, authority, leaf, name_constraints
from tests.support.signing import der_element

pytestmark = pytest.mark.long

HOST = "partner.test"
MIDDLE = authority("Middle", by=ROOT, plus=[(name_constraints([HOST]), True)])
SERVER = leaf(MIDDLE, dns=[HOST, f"*.{HOST}"], ips=["192.0.2.1"])
CHAIN = (SERVER.der, MIDDLE.der)
TRUST = Trust(mozilla_roots=(ROOT.der,))
# Nobody should wait for a judgement longer (DESIGN); a busy machine measures its neighbours too.
_MOST_S, _NOISE_S = 0.05, 0.2


def judged(chain: Sequence[bytes], trust: Trust = TRUST) -> ChainJudgement:
    return judge_chain(chain, server_name=HOST, stapled_ocsp_response=None, trust=trust, at=AT)


def mutated(der: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(der))
    match dice.randrange(6):
        case 0:
            return der[:at] + bytes([der[at] ^ 1 << dice.randrange(8)]) + der[at + 1 :]
        case 1:
            return der[:at] + bytes([dice.randrange(256)]) + der[at + 1 :]
        case 2:
            return der[:at] + der[at + dice.randrange(1, 9) :]
        case 3:
            return der[:at] + der[at : at + dice.randrange(1, 40)] + der[at:]
        case 4:
            return der[:at] + dice.randbytes(dice.randrange(1, 9)) + der[at:]
        case _:
            other = dice.randrange(len(der))
            low, high = sorted((at, other))
            return der[:low] + der[high : high + 4] + der[low + 4 : high] + der[low:]


@cache
def corpus() -> tuple[tuple[bytes, ...], ...]:
    return (
        CHAIN,
        *(tuple(case.chain) for case in all_cases() if sum(map(len, case.chain)) < 9_000),
    )


@pytest.mark.parametrize("seed", range(4))
def test_no_mutation_holds_the_loop_or_raises_or_is_trusted(seed: int) -> None:
    dice, slow = random.Random(seed), []
    for number in range(1_200):
        chain = list(dice.choice(corpus()))
        at = dice.randrange(len(chain))
        if not chain[at]:
            continue
        chain[at] = mutated(chain[at], dice)
        began = time.process_time()
        judgement = judged(chain)
        seconds = time.process_time() - began
        if seconds > _MOST_S:
            slow.append((number, seconds))
        if judgement.trust is not TrustSource.NOTHING and at == 0:
            # A signed byte was not changed, or the change was none.
            assert chain[0] == SERVER.der or judgement.trust is TrustSource.UNDECIDED
    assert [one for one in slow if one[1] > _NOISE_S] == []
    assert len(slow) < 5


def test_every_single_bit_of_a_signed_certificate_matters() -> None:
    """No certificate differs from the signed one and is trusted."""
    for index, der in enumerate(CHAIN):
        for position in range(len(der)):
            chain = list(CHAIN)
            chain[index] = der[:position] + bytes([der[position] ^ 1]) + der[position + 1 :]
            assert judged(chain).trust is not TrustSource.MOZILLA_ROOT, (index, position)


def test_a_mutated_neighbour_changes_no_verdict() -> None:
    """Whatever else is served, a path that is there is found."""
    dice = random.Random(7)
    for _ in range(300):
        others = [mutated(dice.choice((SERVER.der, MIDDLE.der, ROOT.der)), dice) for _ in range(4)]
        dice.shuffle(others)
        judgement = judged([SERVER.der, *others, MIDDLE.der])
        assert judgement.trust is TrustSource.MOZILLA_ROOT


def test_a_mutated_anchor_of_an_entry_changes_nothing_for_another_entry() -> None:
    dice = random.Random(8)
    good = TrustEntry(hosts=(HOST,), anchors=(ROOT.der,), note="good")
    for _ in range(100):
        bad = TrustEntry(hosts=(HOST,), anchors=(mutated(ROOT.der, dice),), note="bad")
        judgement = judged(CHAIN, Trust(mozilla_roots=(), entries=(bad, good)))
        assert judgement.trust is TrustSource.ANCHOR


@pytest.mark.parametrize("version", [0, 2, 3, 4, 127, -1, -128, 256])
def test_a_version_out_of_range_is_not_trusted_and_nothing_worse(version: int) -> None:
    """Versions are written as one less than they are called."""

    def edit(elements: list[bytes]) -> None:
        octets = version.to_bytes(2 if version > 127 else 1, "big", signed=True)
        elements[0] = b"\xa0" + bytes([2 + len(octets)]) + b"\x02" + bytes([len(octets)]) + octets

    odd: Made = leaf(ROOT, edit=edit)
    judgement = judged([odd.der])
    assert (judgement.trust is TrustSource.MOZILLA_ROOT) is (version == 2)
    assert (judgement.name is NameMatch.UNDECIDED) is (version != 2)
    assert judgement.malformed == ()


def test_numbers_of_any_length_are_judged_soon() -> None:
    """Python writes no decimal number of more than 4,300 digits: none is to be written."""
    long = b"\x7f" + b"\xff" * 9_000

    def version(elements: list[bytes]) -> None:
        elements[0] = der_element(0xA0, der_element(0x02, long))

    def serial(elements: list[bytes]) -> None:
        elements[1] = der_element(0x02, long)

    def exponent(elements: list[bytes]) -> None:
        modulus, even = b"\x00\xc1" + b"\xff" * 2_047, b"\x40" + bytes(2_040)
        numbers = der_element(0x30, der_element(0x02, modulus) + der_element(0x02, even))
        algorithm = bytes.fromhex("300d06092a864886f70d0101010500")
        bits = der_element(0x03, b"\x00" + numbers)
        elements[6] = der_element(0x30, algorithm + bits)

    for edit in (version, serial, exponent):
        odd = leaf(ROOT, edit=edit)
        for chain in ([odd.der], [SERVER.der, odd.der, MIDDLE.der]):
            began = time.process_time()
            judged(chain)
            assert time.process_time() - began < _NOISE_S
        assert len(decode_certificate(odd.der).view.key_flaw) < 100
    constraints = der_element(0x30, b"\x01\x01\xff" + der_element(0x02, long))
    wide = authority(
        "Wide",
        by=ROOT,
        plus=[(x509.UnrecognizedExtension(x509.BasicConstraints.oid, constraints), True)],
    )
    assert judged([leaf(wide).der, wide.der]).trust is TrustSource.MOZILLA_ROOT


def test_serial_numbers_of_any_kind_are_numbers() -> None:
    for octets in (b"\x00", b"\xff", b"\x80", b"\x7f" * 21, b"\x80" + bytes(20)):

        def edit(elements: list[bytes], octets: bytes = octets) -> None:
            elements[1] = b"\x02" + bytes([len(octets)]) + octets

        odd = leaf(ROOT, edit=edit)
        assert judged([odd.der]).trust is TrustSource.MOZILLA_ROOT
        number = int.from_bytes(octets, "big", signed=True)
        assert decode_certificate(odd.der).view.serial_number == f"{number:x}"


def test_dates_of_any_year_are_judged() -> None:
    """A year that no calendar has is malformed."""
    for not_after, is_malformed in ((b"99991231235959Z", False), (b"00000101000000Z", True)):

        def edit(elements: list[bytes], not_after: bytes = not_after) -> None:
            start = b"\x17\x0d200101000000Z"
            end = b"\x18" + bytes([len(not_after)]) + not_after
            elements[4] = b"\x30" + bytes([len(start + end)]) + start + end

        assert bool(judged([leaf(ROOT, edit=edit).der]).malformed) is is_malformed
