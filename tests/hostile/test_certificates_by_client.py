"""Servers whose certificate depends on the client: on ALPN, versions, signature schemes.

All clients here name the server and offer the suites of the policy, as the routers do. The
certificate of some of them has expired, or is for another name: that must never be allowed.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.policy.finding import Decision
from tests.hostile.faults import Stacks, expired_leaf
from tests.hostile.surveying import Surveyor, objection
from tests.support.certificates import Issued
from tests.support.hostile.behaviours import finish_at_once
from tests.support.hostile.endpoint import SIX, server_context, serving
from tests.support.hostile.hello import SeenHello
from tests.support.hostile.pieces import cut_short, in_segments, only_first_record
from tests.support.hostile.turns import Claim, where
from tests.support.loopback import Listener, own_listener
from tests.support.ordinary_clients import EXPIRED, GOOD, OTHER_NAME, Handshake, s_client
from tests.support.pss_keys import issue_pss
from tests.support.relay import relay_to
from tests.support.servers.libraries import s_server
from tests.support.servers.nginx import nginx
from tests.support.servers.offer import OTPC_CIPHERS, TlsOffer
from tests.support.signing import now
from tests.support.tcp import Behaviour, counting_server

pytestmark = pytest.mark.asyncio(loop_scope="package")

_TLS12, _TLS13 = TlsVersion.TLS_1_2, TlsVersion.TLS_1_3
_ECDSA_SUITES = frozenset({0xC02B, 0xCCA9, 0xC023})
_RSA_SUITES = SIX - _ECDSA_SUITES
_SEGMENT = 1448
_GAP_S = 0.3


def verified(behaviour: Behaviour, stacks: Stacks, *options: str) -> int | None:
    """Return what OpenSSL says of the certificate that a client with these options is shown."""
    server = own_listener()
    with counting_server(server, behaviour):
        seen = s_client(server, stacks.authority.pem, *options)
    return seen.verified if seen else None


# ---- By ALPN and version: HTTP gateways and balancers route by both.


@pytest.mark.parametrize("version", [_TLS12, _TLS13], ids=["tls12", "tls13"])
@pytest.mark.parametrize("with_alpn", [True, False], ids=["with-alpn", "without-alpn"])
async def test_a_certificate_by_alpn_and_version_is_never_allowed(
    version: TlsVersion,
    with_alpn: bool,
    anchored: Surveyor,
    stacks: Stacks,
) -> None:
    def is_met_by(hello: SeenHello) -> bool:
        return hello.highest is version and bool(hello.protocols) is with_alpn

    server = where(is_met_by, serving(stacks.expired), serving(stacks.good))
    offering = "-tls1_2" if version is _TLS12 else "-tls1_3"
    alpn = ("-alpn", "h2,http/1.1")
    assert verified(server, stacks, offering, *alpn) == (EXPIRED if with_alpn else GOOD)
    assert verified(server, stacks, offering) == (GOOD if with_alpn else EXPIRED)
    assert objection(await anchored.verdict_of(server), "CERTIFICATE_EXPIRED") == ""
    twin = where(is_met_by, serving(stacks.other), serving(stacks.good))
    assert (await anchored.verdict_of(twin)).decision is Decision.ALLOW


# ---- By the versions that are offered together: libraries offer both, scanners one at a time.

_TOGETHER: dict[str, tuple[frozenset[TlsVersion], tuple[str, ...]]] = {
    "tls12-and-tls13": (frozenset({_TLS12, _TLS13}), ()),
    "tls13-alone": (frozenset({_TLS13}), ("-tls1_3",)),
    "tls12-alone": (frozenset({_TLS12}), ("-tls1_2",)),
}


def offers(wanted: frozenset[TlsVersion]) -> Claim:
    """The hello offers these of TLS 1.2 and 1.3, and not the other."""
    return lambda hello: hello.versions & {_TLS12, _TLS13} == wanted


@pytest.mark.parametrize("together", _TOGETHER)
@pytest.mark.parametrize("fault", ["expired", "other-name"])
async def test_a_certificate_by_the_versions_offered_together_is_never_allowed(
    together: str,
    fault: str,
    anchored: Surveyor,
    stacks: Stacks,
) -> None:
    if fault == "expired":
        context, code, shown = stacks.expired, "CERTIFICATE_EXPIRED", EXPIRED
    else:
        issue = stacks.authority.issue
        leaves = issue(key="rsa2048", dns=["other.test"]), issue(dns=["other.test"])
        context = server_context(*leaves, ciphers=OTPC_CIPHERS)
        code, shown = "CERTIFICATE_NAME_MISMATCH", OTHER_NAME
    versions, _ = _TOGETHER[together]
    server = where(offers(versions), serving(context), serving(stacks.good))
    for name, (_, options) in _TOGETHER.items():
        assert verified(server, stacks, *options) == (shown if name == together else GOOD)
    assert objection(await anchored.verdict_of(server), code) == ""


# ---- By signature schemes: two certificates for one kind of suite, each for other clients.


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two kinds of leaf that one nginx holds. schemes: of a client that is shown the kind."""

    issue: Callable[[Stacks, bool], Issued]
    other_issue: Callable[[Stacks, bool], Issued]
    schemes: str
    other_schemes: str


def _leaf(key: str) -> Callable[[Stacks, bool], Issued]:
    def issue(stacks: Stacks, expired: bool) -> Issued:
        authority = stacks.authority
        return expired_leaf(authority, key) if expired else authority.issue(key=key)

    return issue


def _pss_leaf(stacks: Stacks, expired: bool) -> Issued:
    model = _leaf("ec256")(stacks, expired).certificate
    began, ends = model.not_valid_before_utc, model.not_valid_after_utc
    return issue_pss(stacks.authority, not_before=began, not_after=ends)


# RSASSA-PSS keys sign by rsa_pss_pss_*, rsaEncryption keys by rsa_pss_rsae_* (RFC 8446 4.2.3).
_PAIRS = {
    "rsassa-pss-and-rsa": Pair(
        issue=_pss_leaf,
        other_issue=_leaf("rsa2048"),
        schemes="ECDSA+SHA256:rsa_pss_pss_sha256",
        other_schemes="ECDSA+SHA256:rsa_pss_rsae_sha256:RSA+SHA256",
    ),
    "ed25519-and-ed448": Pair(
        issue=_leaf("ed25519"),
        other_issue=_leaf("ed448"),
        schemes="ECDSA+SHA256:ed25519",
        other_schemes="ECDSA+SHA256:ed448",
    ),
}


@contextmanager
def two_leaves(
    version: TlsVersion,
    pair: Pair,
    stacks: Stacks,
    *expired: str,
) -> Iterator[Listener]:
    """Run a server that has both leaves for clients whose highest version this is.

    Clients of the other version get the usual certificates. expired: "first", "second".
    """
    leaves = pair.issue(stacks, "first" in expired), pair.other_issue(stacks, "second" in expired)
    front = own_listener()
    with ExitStack() as running:
        both = running.enter_context(nginx(own_listener(), TlsOffer(certificates=leaves)))
        by_version = where(
            lambda hello: hello.highest is version,
            relay_to(both),
            serving(stacks.good),
        )
        running.enter_context(counting_server(front, by_version))
        yield front


def shown(server: Listener, version: TlsVersion, schemes: str, stacks: Stacks) -> Handshake | None:
    offering = "-tls1_2" if version is _TLS12 else "-tls1_3"
    return s_client(server, stacks.authority.pem, offering, "-sigalgs", schemes)


@pytest.mark.parametrize("version", [_TLS12, _TLS13], ids=["tls12", "tls13"])
@pytest.mark.parametrize("expired", ["first", "second"])
@pytest.mark.parametrize("kind", _PAIRS)
async def test_of_two_certificates_by_signature_scheme_the_worse_decides(
    kind: str,
    expired: str,
    version: TlsVersion,
    anchored: Surveyor,
    stacks: Stacks,
) -> None:
    """Stock nginx with two pairs of ssl_certificate: which is shown depends on the schemes."""
    pair = _PAIRS[kind]
    with two_leaves(version, pair, stacks, expired) as server:
        first = shown(server, version, pair.schemes, stacks)
        second = shown(server, version, pair.other_schemes, stacks)
        assert first is not None
        assert second is not None
        assert first.verified == (EXPIRED if expired == "first" else GOOD)
        assert second.verified == (EXPIRED if expired == "second" else GOOD)
        assert objection(await anchored.judge(server), "CERTIFICATE_EXPIRED") == ""


@pytest.mark.parametrize("version", [_TLS12, _TLS13], ids=["tls12", "tls13"])
@pytest.mark.parametrize("kind", _PAIRS)
async def test_two_good_certificates_by_signature_scheme_are_allowed(
    kind: str,
    version: TlsVersion,
    anchored: Surveyor,
    stacks: Stacks,
) -> None:
    with two_leaves(version, _PAIRS[kind], stacks) as server:
        verdict = await anchored.judge(server)
    assert verdict.decision is Decision.ALLOW, [one.message for one in verdict.findings]


@pytest.mark.parametrize("version", [_TLS12, _TLS13], ids=["tls12", "tls13"])
@pytest.mark.parametrize("kind", ["ed25519", "rsassa-pss"])
async def test_a_staple_is_seen_with_whatever_kind_of_leaf_it_comes(
    kind: str,
    version: TlsVersion,
    anchored: Surveyor,
    stacks: Stacks,
) -> None:
    """Stock OpenSSL staples for clients that ask for it, and prefers another leaf for most."""
    authority = stacks.authority
    rare = authority.issue(key="ed25519") if kind == "ed25519" else _pss_leaf(stacks, False)
    usual = authority.issue(key="rsa2048")
    decisions = []
    for status in ("revoked", "good"):
        staple = authority.ocsp_response(rare.certificate, status=status)
        offer = TlsOffer(certificates=(usual, rare), staple=staple)
        front = own_listener()
        with s_server(own_listener(), offer) as both:
            by_version = where(
                lambda hello: hello.highest is version,
                relay_to(both),
                serving(stacks.good),
            )
            with counting_server(front, by_version):
                verdict = await anchored.judge(front)
        decisions.append(verdict.decision)
        assert objection(verdict, "CERTIFICATE_REVOKED") == "" or status == "good"
    assert decisions == [Decision.DENY, Decision.ALLOW]


# ---- Flights that arrive in pieces, or do not arrive.


def long_chain(stacks: Stacks, *, expired: bool) -> Behaviour:
    """Return a server whose flight needs several segments, cut where Ethernet would cut it."""
    first = stacks.authority.intermediate("First", key="rsa2048")
    second = first.intermediate("Second", key="rsa2048")
    dates = (now().replace(year=2020), now().replace(year=2021)) if expired else (None, None)
    leaf = second.issue(key="rsa2048", not_before=dates[0], not_after=dates[1])
    context = server_context(leaf, ciphers=OTPC_CIPHERS)
    return serving(context, in_segments(_SEGMENT, _GAP_S))


@pytest.mark.parametrize("version", [_TLS12, _TLS13], ids=["tls12", "tls13"])
async def test_a_certificate_that_comes_in_the_second_segment_is_judged(
    version: TlsVersion,
    anchored: Surveyor,
    stacks: Stacks,
) -> None:
    """A gateway forwards 1,448 bytes, and the rest later; one version has an expired leaf."""

    def is_met_by(hello: SeenHello) -> bool:
        return hello.highest is version

    good, bad = long_chain(stacks, expired=False), long_chain(stacks, expired=True)
    server = where(is_met_by, bad, good)
    assert verified(server, stacks, "-tls1_2") == (EXPIRED if version is _TLS12 else GOOD)
    assert verified(server, stacks, "-tls1_3") == (EXPIRED if version is _TLS13 else GOOD)
    assert objection(await anchored.verdict_of(server), "CERTIFICATE_EXPIRED") == ""
    assert (await anchored.verdict_of(good)).decision is Decision.ALLOW


@pytest.mark.parametrize(
    ("suites", "cipher"),
    [
        (_ECDSA_SUITES, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (_RSA_SUITES, "ECDHE-RSA-AES128-GCM-SHA256"),
    ],
    ids=["ecdsa", "rsa"],
)
async def test_a_certificate_that_never_comes_is_not_taken_for_absent(
    suites: frozenset[int],
    cipher: str,
    anchored: Surveyor,
    stacks: Stacks,
) -> None:
    """For one kind of suite the server chooses, says so in its ServerHello, and closes."""

    def is_met_by(hello: SeenHello) -> bool:
        common = hello.offered & SIX
        return hello.highest is _TLS12 and bool(common) and common <= suites

    closing = cut_short(serving(stacks.good, only_first_record), finish_at_once)
    server = where(is_met_by, closing, serving(stacks.good))
    assert verified(server, stacks, "-tls1_2", "-cipher", cipher) is None
    assert verified(server, stacks, "-tls1_2") == GOOD
    assert (await anchored.verdict_of(server)).decision is not Decision.ALLOW
