"""Every built-in policy and real servers: as its source configures them they pass, and one step off
they fail, and with the remedy in place they pass again.

The lines for the TLSRef policies are those of its generator (configurator.tlsref.org) for the
versions of the servers; the other sources have no generator, and their lines name the suites of
the published list.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
import pytest_asyncio

from otpc_policy.catalog.policies import load_builtin_policies, parse_policy
from otpc_policy.core.addresses import AddressVetting, VettedAddress
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.facts import Depth, EndpointFacts, ResolutionStatus
from otpc_policy.core.registries.suites import suite_by_name
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.scanner import SslyzeScanner
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.evaluate import evaluate
from otpc_policy.policy.finding import Decision, Effect, Verdict
from otpc_policy.policy.judged_groups import judges_groups
from otpc_policy.policy.model import Policy
from otpc_policy.policy.parameters import Permitted
from otpc_policy.policy.required_suites import required_suites
from tests.end_to_end.written_servers import Pieces, Serve, apache, haproxy, nginx
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.loopback import Listener, own_listener
from tests.support.servers.diffie_hellman import ffdhe3072
from tests.support.signing import now

pytestmark = pytest.mark.long

with_scanner = pytest.mark.asyncio(loop_scope="module")

HOST = "configured.partner.test"
LONG = now() + timedelta(days=365 * 12)
ROOT = CertificateAuthority.create("Configured Root", not_after=LONG)
ISSUER = ROOT.intermediate("Configured Intermediate", not_after=LONG)
TRUST = Trust(mozilla_roots=(ROOT.der,), entries=())
POLICIES = load_builtin_policies()


def leaf(key: str, days: int = 90, **arguments: object) -> Issued:
    """A leaf valid for so many days, of which one is over."""
    start = now() - timedelta(days=1)
    return ISSUER.issue(
        dns=(HOST,),
        key=key,
        not_before=start,
        not_after=start + timedelta(days=days, seconds=-1),
        **arguments,  # type: ignore[arg-type]
    )


ECDSA, RSA, RSA_3072 = leaf("ec256"), leaf("rsa2048"), leaf("rsa3072")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """What a configuration says about TLS.

    versions: by OpenSSL's names. ciphers: of TLS 1.2, by OpenSSL's names. tls13: suites of TLS 1.3;
    empty leaves the server's own. groups: by IANA's names.
    """

    versions: tuple[str, ...] = ("TLSv1.2", "TLSv1.3")
    ciphers: str = ""
    tls13: str = ""
    dhparam: bool = False
    groups: tuple[str, ...] = ("x25519", "secp256r1", "secp384r1")


TLSREF_SIX = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
TLSREF_TLS13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
# Source: One Time Payment Code, Cipher suites.
OTPC_SIX = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES128-SHA256"
)
# Source: SP 800-52 Rev. 2, 3.3.1.1 and 3.3.1.2, as far as the servers have them.
NIST_ECDHE = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-CCM:"
    "ECDHE-ECDSA-AES256-CCM:ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-SHA256:"
    "ECDHE-RSA-AES256-SHA384"
)
NIST_TLS13 = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384"
# Source: TR-02102-2, table 1 without DHE, and 3.4.4.
BSI_ECDHE, BSI_TLS13 = NIST_ECDHE, f"{NIST_TLS13}:TLS_AES_128_CCM_SHA256"
BSI_DHE = f"{BSI_ECDHE}:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384"


_OPENSSL_GROUPS = {"x25519": "X25519", "secp256r1": "prime256v1"}


def _nginx(lines: Lines) -> Pieces:
    text = [
        f"ssl_protocols {' '.join(lines.versions)};",
        f"ssl_ecdh_curve {':'.join(_OPENSSL_GROUPS.get(name, name) for name in lines.groups)};",
        "ssl_prefer_server_ciphers off;",
        "ssl_session_timeout 1d;",
        "ssl_session_cache shared:MozSSL:10m;",
        "ssl_session_tickets off;",
        "ssl_certificate /etc/nginx/tls/fullchain.pem;",
        "ssl_certificate_key /etc/nginx/tls/privkey.pem;",
    ]
    text += [f"ssl_ciphers {lines.ciphers};"] if lines.ciphers else []
    text += [f"ssl_conf_command Ciphersuites {lines.tls13};"] if lines.tls13 else []
    text += ["ssl_dhparam /etc/nginx/tls/dhparam.pem;"] if lines.dhparam else []
    return Pieces(listen="listen 443 ssl http2;", site="\n".join(text), files={})


def _apache(lines: Lines) -> Pieces:
    text = [
        "SSLCertificateFile /etc/apache2/tls/fullchain.pem",
        "SSLCertificateKeyFile /etc/apache2/tls/privkey.pem",
        f"SSLProtocol -all +{' +'.join(lines.versions)}",
        "SSLOpenSSLConfCmd Curves X25519:prime256v1:secp384r1",
        "SSLHonorCipherOrder off",
        "SSLSessionTickets off",
        "SSLOpenSSLConfCmd DHParameters /etc/apache2/tls/dhparam.pem",
    ]
    text += [f"SSLCipherSuite {lines.ciphers}"] if lines.ciphers else []
    text += [f"SSLCipherSuite TLSv1.3 {lines.tls13}"] if lines.tls13 else []
    return Pieces(listen="SSLEngine on", site="\n".join(text), files={})


def _haproxy(lines: Lines) -> Pieces:
    versions = f"ssl-min-ver {lines.versions[0]} ssl-max-ver {lines.versions[-1]}"
    text = [
        "ssl-default-bind-curves X25519:P-256:P-384",
        f"ssl-default-bind-options prefer-client-ciphers {versions} no-tls-tickets",
    ]
    text += [f"ssl-default-bind-ciphers {lines.ciphers}"] if lines.ciphers else []
    text += [f"ssl-default-bind-ciphersuites {lines.tls13}"] if lines.tls13 else []
    return Pieces(
        listen="bind :443 ssl crt /etc/haproxy/tls/server.pem alpn h2,http/1.1",
        everywhere="\n".join(text),
        files={},
    )


SERVERS: Mapping[str, tuple[Serve, object]] = {
    "nginx": (nginx, _nginx),
    "Apache": (apache, _apache),
    "HAProxy": (haproxy, _haproxy),
}


def pieces(server: str, lines: Lines, certificate: Issued) -> Pieces:
    write = SERVERS[server][1]
    assert callable(write)
    written = write(lines)
    assert isinstance(written, Pieces)
    return replace(
        written,
        files={
            "fullchain.pem": certificate.chain_pem,
            "privkey.pem": certificate.key_pem,
            "server.pem": certificate.chain_pem + certificate.key_pem,
            "dhparam.pem": ffdhe3072().read_bytes(),
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step off a configuration, and the code that denies it."""

    code: str
    lines: Lines | None = None
    certificate: Issued | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """What a source configures, and steps off it. advice: codes that advise and do not deny."""

    lines: Lines
    certificate: Issued
    steps: tuple[Step, ...]
    advice: frozenset[str] = frozenset()


OLD = ("TLSv1.1", "TLSv1.2", "TLSv1.3")
INTERMEDIATE = Lines(ciphers=TLSREF_SIX, tls13=TLSREF_TLS13)
MODERN = Lines(versions=("TLSv1.3",), tls13=TLSREF_TLS13)
NIST = Lines(ciphers=NIST_ECDHE, tls13=NIST_TLS13)
BSI = Lines(ciphers=BSI_ECDHE, tls13=BSI_TLS13)
OTPC = Lines(ciphers=OTPC_SIX)


def old_versions(lines: Lines) -> Step:
    """TLS 1.1 in addition; OpenSSL 3 has it at security level 0, and for suites with SHA-1 only."""
    weak = replace(lines, versions=OLD, ciphers=f"{lines.ciphers}:ECDHE-RSA-AES128-SHA:@SECLEVEL=0")
    return Step(code="TLS_VERSION_BELOW_MINIMUM", lines=weak, certificate=RSA_3072)


CASES: Mapping[str, Configured] = {
    "otpc-2024-12": Configured(lines=OTPC, certificate=RSA, steps=(old_versions(OTPC),)),
    "otpc-2024-12-strict": Configured(
        lines=OTPC,
        certificate=ECDSA,
        steps=(
            Step(
                code="CIPHER_SUITE_NOT_LISTED",
                lines=replace(OTPC, ciphers=f"{OTPC_SIX}:ECDHE-ECDSA-AES256-GCM-SHA384"),
            ),
        ),
    ),
    "mozilla-intermediate": Configured(
        lines=INTERMEDIATE,
        certificate=RSA,
        steps=(
            old_versions(INTERMEDIATE),
            Step(
                code="CIPHER_SUITE_NOT_LISTED",
                lines=replace(INTERMEDIATE, ciphers=f"{TLSREF_SIX}:ECDHE-RSA-AES128-SHA256"),
            ),
            Step(code="CERTIFICATE_LIFETIME_TOO_LONG", certificate=leaf("ec256", days=367)),
        ),
    ),
    "mozilla-modern": Configured(
        lines=MODERN,
        certificate=ECDSA,
        steps=(
            Step(code="TLS_VERSION_BELOW_MINIMUM", lines=INTERMEDIATE),
            Step(code="CERTIFICATE_KEY_WEAK", certificate=RSA),
            Step(code="CERTIFICATE_LIFETIME_TOO_LONG", certificate=leaf("ec256", days=91)),
        ),
    ),
    "nist-800-52r2": Configured(
        lines=NIST,
        certificate=RSA,
        steps=(
            Step(code="CIPHER_SUITE_NOT_LISTED", lines=replace(NIST, tls13=TLSREF_TLS13)),
            Step(code="TLS_VERSION_NOT_OFFERED", lines=replace(NIST, versions=("TLSv1.2",))),
            Step(
                code="CERTIFICATE_NOT_FOR_SERVERS",
                certificate=leaf("ec256", extended_key_usage=()),
            ),
        ),
    ),
    "bsi-tr-02102-2": Configured(
        lines=BSI,
        certificate=RSA_3072,
        # TLS 1.2 is permitted until the end of 2031.
        advice=frozenset({"TLS_VERSION_BELOW_MINIMUM"}),
        steps=(
            Step(
                code="CIPHER_SUITE_NOT_LISTED",
                lines=replace(BSI, ciphers=f"{BSI_ECDHE}:ECDHE-RSA-CHACHA20-POLY1305"),
            ),
            Step(code="CERTIFICATE_KEY_WEAK", certificate=RSA),
        ),
    ),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scanner() -> AsyncIterator[SslyzeScanner]:
    # Several servers at once on a busy machine need patience; none of them is hostile.
    scanner = SslyzeScanner(
        limits=ScanLimits(connection_deadline_s=15.0, scan_deadline_s=60.0), now=now
    )
    await scanner.start()
    yield scanner
    await scanner.stop()


async def measured(
    scanner: SslyzeScanner, at: Listener, policy: Policy, depth: Depth = Depth.STANDARD
) -> EndpointFacts:
    """The facts that a service measures for the policy."""
    vetted = AddressVetting([ip_network("127.0.0.0/8")]).vet(at.address)
    assert isinstance(vetted, VettedAddress)
    address = await scanner.measure(
        parse_endpoint(HOST, at.port),
        vetted,
        depth,
        required_suites=[frozenset(suites) for suites in required_suites([policy])],
        asks_groups=judges_groups([policy]),
    )
    return EndpointFacts(
        host=HOST,
        port=at.port,
        server_name=HOST,
        depth=depth,
        resolution=ResolutionStatus.RESOLVED,
        addresses=(address,),
    )


async def verdicts(
    scanner: SslyzeScanner,
    server: str,
    policy: Policy,
    *configurations: tuple[Lines, Issued],
    depth: Depth = Depth.STANDARD,
) -> list[Verdict]:
    """The verdicts on servers with these configurations, in their order."""
    serve = SERVERS[server][0]
    with ExitStack() as running:
        listeners = [
            running.enter_context(serve(own_listener(), pieces(server, lines, certificate)))
            for lines, certificate in configurations
        ]
        facts = await asyncio.gather(*(measured(scanner, at, policy, depth) for at in listeners))
    return [evaluate(one, policy, trust=TRUST, now=now()) for one in facts]


def by_effect(verdict: Verdict, effect: Effect) -> set[str]:
    return {finding.code for finding in verdict.findings if finding.effect is effect}


def mended(verdict: Verdict, code: str, lines: Lines) -> Lines:
    """The configuration with what the remedy of a finding says in place.

    Its hints name what this policy lists; without them its lines are right as they stand.
    """
    (remedy,) = {
        finding.remediation
        for finding in verdict.findings
        if finding.code == code and finding.effect is Effect.DENY
    }
    if code in ("TLS_VERSION_BELOW_MINIMUM", "TLS_VERSION_NOT_OFFERED", "CIPHER_SUITE_NOT_LISTED"):
        (own,) = set(re.findall(r"ssl_protocols (.*);", remedy))
        versions = tuple(own.split())
        if hint := re.search(r"permit these instead, and no others: (.*)\n", remedy):
            versions = tuple(f"TLSv{label[4:]}" for label in hint[1].split(", "))
        lines = replace(lines, versions=versions)
    if code == "CIPHER_SUITE_NOT_LISTED":
        ciphers = re.search(r"in OpenSSL's names: (.*)\n", remedy)
        tls13 = re.search(r"lists suites of TLS 1\.3, too: (.*?)\. Write them", remedy)
        own_ciphers = re.search(r"ssl_ciphers (.*);", remedy)
        assert own_ciphers
        lines = replace(
            lines,
            ciphers=(ciphers or own_ciphers)[1],
            tls13=tls13[1] if tls13 else lines.tls13,
        )
    return lines


def test_every_built_in_policy_has_a_case() -> None:
    assert set(CASES) == set(POLICIES.policies)


@with_scanner
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("name", CASES)
async def test_as_the_source_configures_it_passes_and_one_step_off_fails_until_mended(
    scanner: SslyzeScanner, name: str, server: str
) -> None:
    policy, case = POLICIES.get(name), CASES[name]
    ways = [
        (case.lines, case.certificate),
        *((step.lines or case.lines, step.certificate or case.certificate) for step in case.steps),
    ]
    passing, *off = await verdicts(scanner, server, policy, *ways)
    assert passing.decision is Decision.ALLOW, passing.findings
    assert by_effect(passing, Effect.ADVISORY) <= {*case.advice, "CERTIFICATE_EXPIRES_SOON"}
    repaired = []
    for step, verdict in zip(case.steps, off, strict=True):
        assert verdict.decision is Decision.DENY, f"{step.code}: {verdict.findings}"
        denied = by_effect(verdict, Effect.DENY)
        assert step.code in denied
        lines = step.lines or case.lines
        for code in denied:
            lines = mended(verdict, code, lines)
        # What a remedy for a certificate demands is another certificate.
        of_certificate = step.certificate is not None and step.lines is None
        repaired.append((lines, case.certificate if of_certificate else ways[0][1]))
    for step, verdict in zip(
        case.steps, await verdicts(scanner, server, policy, *repaired), strict=True
    ):
        assert verdict.decision is Decision.ALLOW, f"{step.code}: {verdict.findings}"


@with_scanner
async def test_what_is_permitted_until_an_instant_is_advised_against_before_and_denied_after(
    scanner: SslyzeScanner,
) -> None:
    policy = POLICIES.get("bsi-tr-02102-2")
    lines = replace(BSI, ciphers=BSI_DHE, dhparam=True)
    lasting = leaf("rsa3072", days=365 * 11)
    with nginx(own_listener(), pieces("nginx", lines, lasting)) as at:
        facts = await measured(scanner, at, policy)
    end_of_dhe, end_of_tls12 = datetime(2030, 1, 1, tzinfo=UTC), datetime(2032, 1, 1, tzinfo=UTC)
    second = timedelta(seconds=1)
    before, dhe_ended, tls12_ended = (
        evaluate(facts, policy, trust=TRUST, now=at)
        for at in (end_of_dhe - second, end_of_dhe, end_of_tls12)
    )
    assert (before.decision, before.changes_at) == (Decision.ALLOW, end_of_dhe)
    assert by_effect(before, Effect.ADVISORY) == {
        "CIPHER_SUITE_NOT_LISTED",
        "TLS_VERSION_BELOW_MINIMUM",
    }
    assert by_effect(dhe_ended, Effect.DENY) == {"CIPHER_SUITE_NOT_LISTED"}
    assert dhe_ended.changes_at == end_of_tls12
    assert "TLS_VERSION_BELOW_MINIMUM" in by_effect(tls12_ended, Effect.DENY)


LISTED, NONE = "GROUP_NOT_LISTED", "GROUP_NONE_REQUIRED"


@with_scanner
@pytest.mark.parametrize(
    ("name", "groups", "code"),
    [
        ("mozilla-intermediate", ("x25519", "secp521r1"), LISTED),
        ("mozilla-modern", ("x25519", "secp521r1"), LISTED),
        ("nist-800-52r2", ("x25519",), NONE),
        ("bsi-tr-02102-2", ("x25519",), NONE),
    ],
)
async def test_groups_are_judged_at_depth_deep(
    scanner: SslyzeScanner, name: str, groups: tuple[str, ...], code: str
) -> None:
    policy, case = POLICIES.get(name), CASES[name]
    passing, off = await verdicts(
        scanner,
        "nginx",
        policy,
        (case.lines, case.certificate),
        (replace(case.lines, groups=groups), case.certificate),
        depth=Depth.DEEP,
    )
    assert passing.decision is Decision.ALLOW, passing.findings
    # X25519, which the lines of the source for others have, is not in the lists of NIST and BSI.
    assert (LISTED in by_effect(passing, Effect.ADVISORY)) == (code == NONE)
    assert by_effect(off, Effect.DENY) == {code}


@with_scanner
async def test_with_its_groups_judged_as_documented_the_bsi_policy_needs_other_groups(
    scanner: SslyzeScanner,
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
    (text,) = re.findall(r'```toml\n(name = "bsi-with-groups".*?)```', page, flags=re.DOTALL)
    policy = parse_policy(text, "docs/policies.md")
    lines = replace(BSI, ciphers=BSI_DHE, dhparam=True)
    (off,) = await verdicts(scanner, "nginx", policy, (lines, RSA_3072))
    assert by_effect(off, Effect.DENY) == {"GROUP_NOT_LISTED"}
    (remedy,) = {
        finding.remediation
        for finding in off.findings
        if finding.code == "GROUP_NOT_LISTED" and finding.effect is Effect.DENY
    }
    named = re.search(r"as far as the server has them: (.*)\n", remedy)
    assert named
    has = ("secp256r1", "secp384r1", "secp521r1")
    mended_lines = replace(
        lines, groups=tuple(name for name in named[1].split(", ") if name in has)
    )
    (mended_,) = await verdicts(scanner, "nginx", policy, (mended_lines, RSA_3072))
    assert mended_.decision is Decision.ALLOW, mended_.findings
    # Key exchange that is not hybrid is permitted until the end of 2031.
    assert "GROUP_NOT_LISTED" in by_effect(mended_, Effect.ADVISORY)


def test_the_lines_name_suites_of_the_published_lists_only() -> None:
    for name, ciphers in (("nist-800-52r2", NIST_ECDHE), ("bsi-tr-02102-2", BSI_DHE)):
        rule = next(rule for rule in POLICIES.get(name).rules if rule.id == "cipher.outside_set")
        listed = rule.parameters["suites"]
        assert isinstance(listed, Permitted)
        named = {suite.iana_name for one in ciphers.split(":") if (suite := suite_by_name(one))}
        assert named <= set(listed.names)
