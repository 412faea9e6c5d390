"""Servers that are unusual and honest: what they offer must be known, not given up on."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from otpc_policy.core.facts import Support, TlsVersion
from otpc_policy.core.registries.suites import all_suites
from otpc_policy.policy.finding import Decision
from tests.hostile.claims import Truth
from tests.hostile.servers import Backends
from tests.hostile.surveying import (
    PATIENT,
    Case,
    Surveyed,
    Surveyor,
    assert_no_false_claim,
    running_surveyor,
)
from tests.support.hostile.behaviours import alert, finish, reset, stall
from tests.support.hostile.endpoint import SIX, STRICT, TLS13, Endpoint, server_context
from tests.support.hostile.hello import SeenHello, alert_bytes
from tests.support.hostile.pieces import behind, byte_by_byte, in_tiny_records, late
from tests.support.hostile.turns import Claim, where
from tests.support.servers.offer import OTPC_CIPHERS
from tests.support.tcp import Behaviour

pytestmark = pytest.mark.asyncio(loop_scope="package")

ECDSA = frozenset({0xC02B, 0xCCA9, 0xC023})


def gaps(one: Surveyed, *, except_for: frozenset[TlsVersion] = frozenset()) -> list[str]:
    """Return what is not known as it is."""
    truth = one.case.truth.always
    wanted = {
        version: Support.YES if version in truth else Support.NO
        for version in TlsVersion
        if version not in except_for
    }
    found = [
        f"{version.label} is {one.facts.version(version).support.value}"
        for version, support in wanted.items()
        if one.facts.version(version).support is not support
    ]
    for version in truth:
        unknown = [suite for suite, support in one.suites(version).items() if support == "UNKNOWN"]
        found += [f"{version.label}: {len(unknown)} suites are unknown"] if unknown else []
        yes = {suite for suite, support in one.suites(version).items() if support == "YES"}
        found += [
            f"{version.label}: 0x{suite:04X} is missed" for suite in sorted(truth[version] - yes)
        ]
    return found


def assert_known(surveyed: Mapping[str, Surveyed], **how: frozenset[TlsVersion]) -> None:
    """Everything is known, and the good are allowed."""
    assert_no_false_claim(surveyed)
    unknown = {
        name: (missing, one.facts.remarks)
        for name, one in surveyed.items()
        if (missing := gaps(one, **how))
    }
    assert not unknown, "\n".join(f"{name}: {what}" for name, what in unknown.items())
    if not how:
        for name, one in surveyed.items():
            wanted = Decision.ALLOW if one.case.truth.always == STRICT else Decision.DENY
            assert one.verdict.decision is wanted, (
                name,
                [finding.message for finding in one.verdict.findings],
                one.facts.remarks,
            )


def in_both(backends: Backends, behaviour: str, **change: object) -> list[Case]:
    """Return the strict server and a lax one, changed alike."""
    pair = {"strict": backends.strict, "lax": backends.weak_suite}
    return [
        Case(
            name=f"{behaviour}, {name}",
            behaviour=replace(endpoint, **change),  # type: ignore[arg-type]
            truth=Truth(always=endpoint.truth),
        )
        for name, endpoint in pair.items()
    ]


async def test_plain_servers_are_known(patient: Surveyor, backends: Backends) -> None:
    servers = {"strict": backends.strict, **backends.lax}
    assert_known(
        await patient.survey(
            *(
                Case(name=name, behaviour=one, truth=Truth(always=one.truth))
                for name, one in servers.items()
            )
        )
    )


async def test_how_an_answer_is_cut_into_pieces_does_not_matter(
    patient: Surveyor, backends: Backends
) -> None:
    cases = [
        *in_both(backends, "byte by byte", send=byte_by_byte),
        *in_both(backends, "records of one byte", send=in_tiny_records),
        *in_both(backends, "late", send=late(0.15)),
    ]
    assert_known(await patient.survey(*cases))


async def test_a_warning_before_the_answer_is_passed_over(
    patient: Surveyor, backends: Backends
) -> None:
    """RFC 6066 3: a server may warn of an unrecognised name and go on."""
    cases = [
        *in_both(backends, "one warning", send=behind(alert_bytes(112, level=1))),
        *in_both(backends, "three", send=behind(alert_bytes(112, level=1) * 3)),
    ]
    assert_known(await patient.survey(*cases))


async def test_preferences_hide_nothing(patient: Surveyor, backends: Backends) -> None:
    """The client's order, a group that needs a HelloRetryRequest, and a certificate by suite.

    The first ECDSA suite decides on the certificate, as with HAProxy.
    """
    leaves = backends.authority.issue(key="rsa2048"), backends.authority.issue(key="ec256")
    cases = [
        *in_both(
            backends,
            "client's order",
            context=server_context(
                *leaves, ciphers=f"{OTPC_CIPHERS}:AES256-SHA", client_order=True
            ),
        )[1:],
        *in_both(
            backends,
            "client's order",
            context=server_context(*leaves, ciphers=OTPC_CIPHERS, client_order=True),
        )[:1],
        *in_both(
            backends,
            "P-384",
            context=server_context(*leaves, ciphers=OTPC_CIPHERS, curve="secp384r1"),
        )[:1],
        *in_both(
            backends,
            "P-521",
            context=server_context(*leaves, ciphers=OTPC_CIPHERS, curve="secp521r1"),
        )[:1],
        Case(name="HAProxy", behaviour=picks_ecdsa_first(backends), truth=Truth(always=STRICT)),
    ]
    assert_known(await patient.survey(*cases))


def picks_ecdsa_first(backends: Backends) -> Behaviour:
    tls13: dict[TlsVersion, frozenset[int]] = {TlsVersion.TLS_1_3: TLS13}
    ecdsa = replace(backends.strict, accepts={TlsVersion.TLS_1_2: ECDSA, **tls13})
    rsa = replace(backends.strict, accepts={TlsVersion.TLS_1_2: SIX - ECDSA, **tls13})
    ecdsa_only = replace(
        ecdsa, context=server_context(backends.authority.issue(key="ec256"), ciphers=OTPC_CIPHERS)
    )
    rsa_only = replace(
        rsa, context=server_context(backends.authority.issue(key="rsa2048"), ciphers=OTPC_CIPHERS)
    )
    ecdsa_suites = {suite.code_point for suite in all_suites() if "_ECDSA_" in suite.iana_name}
    by_suites = where(
        lambda hello: bool(ecdsa_suites.intersection(hello.cipher_suites)), ecdsa_only, rsa_only
    )
    return where(lambda hello: hello.highest is TlsVersion.TLS_1_3, backends.strict, by_suites)


@pytest.mark.parametrize("most", [64, 128])
async def test_a_server_that_reads_only_the_first_suites_is_asked_in_short_lists(
    most: int, patient: Surveyor, backends: Backends
) -> None:
    """Suites after the 64th or 128th are as if not offered: absent is only what was read."""
    leaves = backends.authority.issue(key="rsa2048"), backends.authority.issue(key="ec256")
    strict = replace(
        backends.strict, context=server_context(*leaves, ciphers=OTPC_CIPHERS, client_order=True)
    )
    weak = replace(
        backends.weak_suite,
        context=server_context(*leaves, ciphers=f"{OTPC_CIPHERS}:AES256-SHA", client_order=True),
    )
    servers = {
        "strict": strict,
        "lax": weak,
        "old_rc4": backends.old_rc4,
        "insecure": backends.insecure,
    }
    cases = [
        Case(name=name, behaviour=replace(one, reads_first=most), truth=Truth(always=one.truth))
        for name, one in servers.items()
    ]
    assert_known(await patient.survey(*cases))


def longer_than(size: int) -> Claim:
    return lambda hello: hello.size > size


@pytest.mark.parametrize("size", [255, 511])
async def test_a_server_that_dislikes_long_hellos_is_met_with_short_ones(
    size: int, patient: Surveyor, backends: Backends
) -> None:
    """F5 K14758. A long hello that fails says nothing about what is in it."""
    dislikes: dict[str, Behaviour] = {"alert 40": alert(40), "reset": reset}
    cases: list[Case] = []
    for way, dislike in dislikes.items():
        for name, one in {
            "strict": backends.strict,
            "lax": backends.weak_suite,
            "old": backends.old_version,
        }.items():
            cases.append(
                Case(
                    name=f"{way}, {name}",
                    behaviour=where(longer_than(size), dislike, one),
                    truth=Truth(always=one.truth),
                )
            )
    surveyed = await patient.survey(*cases)
    assert_no_false_claim(surveyed)
    assert {
        name: one.versions().get(TlsVersion.TLS_1_2) for name, one in surveyed.items()
    } == dict.fromkeys(surveyed, "YES")


async def test_a_long_hello_that_is_swallowed_costs_time_and_no_truth(
    hurried: Surveyor, backends: Backends
) -> None:
    servers = {"strict": backends.strict, "lax": backends.weak_suite, "old": backends.old_version}
    cases = [
        Case(
            name=f"{size}, {name}",
            behaviour=where(longer_than(size), stall, one),
            truth=Truth(always=one.truth),
        )
        for size in (255, 511)
        for name, one in servers.items()
    ]
    surveyed = await hurried.survey(*cases)
    assert_no_false_claim(surveyed)
    assert {
        name: one.versions().get(TlsVersion.TLS_1_2) for name, one in surveyed.items()
    } == dict.fromkeys(surveyed, "YES")


def has_no_name(hello: SeenHello) -> bool:
    return hello.server_name is None


async def test_a_server_that_wants_a_name_is_asked_with_one(
    patient: Surveyor, backends: Backends
) -> None:
    """A hello of SSL 2 cannot hold a name; a refusal for want of it proves nothing about SSL 2."""
    without: dict[str, Behaviour] = {
        "unrecognized_name": alert(112),
        "handshake_failure": alert(40),
        "close": finish,
    }
    cases = [
        Case(
            name=f"{way}, {name}",
            behaviour=where(has_no_name, otherwise, one),
            truth=Truth(always=one.truth),
        )
        for way, otherwise in without.items()
        for name, one in {"strict": backends.strict, "lax": backends.weak_suite}.items()
    ]
    assert_known(await patient.survey(*cases), except_for=frozenset({TlsVersion.SSL_2_0}))


async def test_an_old_version_for_clients_that_name_no_server_is_denied(
    patient: Surveyor, backends: Backends
) -> None:
    """A shared address's default host: its clients speak TLS 1.0 (ssllabs/ssllabs-scan#690)."""
    behaviour = where(has_no_name, backends.old_rc4, backends.strict)
    case = Case(
        name="another server",
        behaviour=behaviour,
        truth=Truth(always=backends.strict.truth, sometimes=backends.old_rc4.truth),
    )
    (one,) = (await patient.survey(case)).values()
    assert one.wrong == []
    assert one.versions()[TlsVersion.TLS_1_0] == "YES"
    assert one.verdict.decision is Decision.DENY


def accepts_everything(backends: Backends) -> Endpoint:
    """Return a server of all suites that OpenSSL has a name for."""
    tls12 = frozenset(
        suite.code_point
        for suite in all_suites()
        if not suite.is_ssl2 and not suite.is_tls13 and suite.openssl_name
    )
    # Suites with a pre-shared key alone cannot complete with us, and their names end differently;
    # those with SHA-256 came with TLS 1.2.
    older = frozenset(suite for suite in tls12 if suite < 0x003B and not 0x002C <= suite <= 0x002E)
    return replace(
        backends.strict,
        scripted={
            TlsVersion.TLS_1_2: tls12,
            **dict.fromkeys((TlsVersion.TLS_1_1, TlsVersion.TLS_1_0), older),
        },
    )


async def test_a_lax_server_is_listed_completely(patient: Surveyor, backends: Backends) -> None:
    everything = accepts_everything(backends)
    case = Case(name="everything", behaviour=everything, truth=Truth(always=everything.truth))
    assert_known(await patient.survey(case))


async def test_a_server_that_accepts_too_much_to_be_listed_is_denied_for_what_was_seen(
    backends: Backends,
) -> None:
    everything = accepts_everything(backends)
    case = Case(name="everything", behaviour=everything, truth=Truth(always=everything.truth))
    limits = replace(PATIENT, connections_per_scan=200)
    async with running_surveyor(limits, backends.trust) as surveyor:
        surveyed = await surveyor.survey(case)
    assert_no_false_claim(surveyed)
    one = surveyed["everything"]
    assert one.facts.connections_used == 200
    assert one.verdict.decision is Decision.DENY
    assert one.versions()[TlsVersion.TLS_1_0] == "YES"
