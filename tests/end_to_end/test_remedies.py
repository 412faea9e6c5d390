"""The remedies for nginx, Apache, HAProxy and Envoy work.

A real server fails, and no longer fails with exactly the lines of the remedy in place.
"""

import asyncio
import re
import shlex
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from otpc_policy.catalog.policies import parse_policy
from otpc_policy.core.addresses import AddressVetting, VettedAddress
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.facts import ClientAuth, Depth, EndpointFacts, ResolutionStatus
from otpc_policy.engine.limits import ScanLimits
from otpc_policy.engine.scanner import SslyzeScanner
from otpc_policy.pki.trust import Trust, TrustEntry
from otpc_policy.policy.evaluate import evaluate
from otpc_policy.policy.judged_groups import judges_groups
from otpc_policy.policy.model import Policy
from otpc_policy.policy.registry import finding_codes
from tests.end_to_end.written_servers import Pieces, Serve, apache, envoy, haproxy, nginx
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import Listener, own_listener
from tests.support.requirements import require
from tests.support.servers.diffie_hellman import ffdhe2048
from tests.support.signing import now

with_scanner = pytest.mark.asyncio(loop_scope="module")

HOST = "remedied.partner.test"
ROOT = CertificateAuthority.create("Remedy Root")
ISSUER = ROOT.intermediate("Remedy Intermediate")
LEAF = ISSUER.issue(dns=(HOST,), key="rsa2048")
STAPLED = ISSUER.issue(dns=(HOST,), key="rsa2048", must_staple=True)
EXPIRED = ISSUER.issue(
    dns=(HOST,),
    key="rsa2048",
    not_before=now() - timedelta(days=90),
    not_after=now() - timedelta(days=1),
)
TRUST = Trust(mozilla_roots=(), entries=(TrustEntry(hosts=(HOST,), anchors=(ROOT.der,)),))
POLICY = parse_policy(
    'name = "agreed"\nextends = "otpc-2024-12"\n[rules.client_auth.expected.effects]\n'
    'CLIENT_AUTH_UNEXPECTED = "deny"\nCLIENT_AUTH_MISSING = "deny"\n',
    "agreed",
)
ANCHOR = "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"


def files(chain: bytes, key: bytes, staple: bytes | None = None) -> dict[str, bytes]:
    """The files that remedies name."""
    ocsp = {} if staple is None else {"staple.der": staple, "server.pem.ocsp": staple}
    return {
        "fullchain.pem": chain,
        "privkey.pem": key,
        "server.pem": chain + key,
        "chain.pem": ISSUER.pem + ROOT.pem,
        "client-ca.pem": ROOT.pem,
        **ocsp,
    }


GOOD = files(LEAF.chain_pem, LEAF.key_pem)
OLD = files(EXPIRED.chain_pem, EXPIRED.key_pem)
LEAF_ALONE = files(LEAF.chain_pem.removesuffix(ISSUER.pem), LEAF.key_pem)
MUST_STAPLE = files(STAPLED.chain_pem, STAPLED.key_pem)
WITH_STAPLE = files(STAPLED.chain_pem, STAPLED.key_pem, ISSUER.ocsp_response(STAPLED.certificate))

# In no remedy: old versions, and unlisted suites. AES256-SHA serves the old versions.
WEAK_VERSIONS = {
    "nginx": "ssl_protocols TLSv1 TLSv1.1 TLSv1.2;",
    "Apache": "SSLProtocol -all +TLSv1 +TLSv1.1 +TLSv1.2",
    "HAProxy": "ssl-default-bind-options ssl-min-ver TLSv1.0",
    "Envoy": "tls_params:\n  tls_minimum_protocol_version: TLSv1_0",
}
WEAK_SUITES = {
    "nginx": "ssl_ciphers ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA:@SECLEVEL=0;",
    "Apache": "SSLCipherSuite ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA:@SECLEVEL=0",
    "HAProxy": "ssl-default-bind-ciphers ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA:@SECLEVEL=0",
    "Envoy": "  cipher_suites: [ECDHE-RSA-AES256-GCM-SHA384, AES256-SHA]",
}
SERVERS: Mapping[str, Serve] = {
    "nginx": nginx,
    "Apache": apache,
    "HAProxy": haproxy,
    "Envoy": envoy,
}


def remedy(server: str, code: str) -> str:
    """The lines that a finding of this code shows for a server."""
    return finding_codes()[code].remedies[server]


def placed(
    server: str, *lines: str, certificate: str, auth: str, content: Mapping[str, bytes]
) -> Pieces:
    """A server with these lines for versions and suites.

    certificate, auth: codes whose remedies configure the certificate files and client
    certificates.
    """
    tls = "\n".join(lines)
    whose, whom, on = (
        remedy(server, certificate),
        remedy(server, auth),
        remedy(server, "TLS_NOT_SERVED"),
    )
    if server == "HAProxy":
        # A single line configures the certificate and the clients.
        return Pieces(
            listen=whom
            if auth == "CLIENT_AUTH_MISSING" or certificate == "CERTIFICATE_CHAIN_INCOMPLETE"
            else whose,
            everywhere=tls,
            files=content,
        )
    if server == "Envoy":
        return Pieces(
            listen=on.partition("      tls_certificates:")[0].rstrip(),
            site="\n".join((whose, tls, _within(whom, "its common_tls_context"))),
            everywhere=_within(whom, "DownstreamTlsContext"),
            files=content,
        )
    key = (
        remedy(server, "CERTIFICATE_KEY_WEAK")
        if certificate == "CERTIFICATE_CHAIN_INCOMPLETE"
        else ""
    )
    return Pieces(listen=on, site="\n".join((whose, key, tls, whom)), files=content)


def _within(text: str, place: str) -> str:
    """The lines that a comment puts into a place."""
    kept, here = [], False
    for line in text.splitlines():
        here = line.startswith(f"# in {place}") if line.startswith("#") else here
        kept += [line] if here else []
    return "\n".join(kept)


@dataclass(frozen=True)
class Run:
    """A server, the agreement about client certificates, and the findings expected or allowed."""

    pieces: Pieces
    agreed: ClientAuth
    must: frozenset[str]
    may_not: frozenset[str]


def runs_of(server: str) -> dict[str, Run]:
    versions, suites = (
        remedy(server, "TLS_VERSION_BELOW_MINIMUM"),
        remedy(server, "CIPHER_SUITE_NOT_LISTED"),
    )
    # Envoy's lines against vulnerabilities set the versions too.
    floor = [remedy(server, "TLS_VULNERABLE"), *([] if server == "Envoy" else [versions])]
    weak = {
        "TLS_VERSION_BELOW_MINIMUM",
        "CIPHER_SUITE_NONE_REQUIRED",
        "CIPHER_SUITE_NOT_LISTED",
        "CERTIFICATE_EXPIRED",
        "CLIENT_AUTH_UNEXPECTED",
    }
    half = {
        "CIPHER_SUITE_NONE_REQUIRED",
        "CIPHER_SUITE_NOT_LISTED",
        "CERTIFICATE_CHAIN_INCOMPLETE",
        "CLIENT_AUTH_MISSING",
    }
    everything = frozenset(finding_codes()) - {ANCHOR}
    return {
        "plain": Run(
            Pieces(files=GOOD),
            ClientAuth.NONE,
            frozenset({"TLS_NOT_SERVED"}),
            everything - {"TLS_NOT_SERVED"},
        ),
        "weak": Run(
            placed(
                server,
                WEAK_VERSIONS[server],
                WEAK_SUITES[server],
                certificate="CERTIFICATE_EXPIRED",
                auth="CLIENT_AUTH_MISSING",
                content=OLD,
            ),
            ClientAuth.NONE,
            frozenset(weak),
            frozenset({"TLS_NOT_SERVED"}),
        ),
        "half mended": Run(
            placed(
                server,
                versions,
                WEAK_SUITES[server],
                certificate="CERTIFICATE_CHAIN_INCOMPLETE",
                auth="CLIENT_AUTH_UNEXPECTED",
                content=LEAF_ALONE,
            ),
            ClientAuth.REQUIRED,
            frozenset(half),
            frozenset(weak - half),
        ),
        "mended, with client certificates": Run(
            placed(
                server,
                *floor,
                certificate="CERTIFICATE_CHAIN_INCOMPLETE",
                auth="CLIENT_AUTH_MISSING",
                content=GOOD,
            ),
            # nginx demands the certificate in HTTP only, as its remedy states.
            ClientAuth.REQUESTED if server == "nginx" else ClientAuth.REQUIRED,
            frozenset({ANCHOR}),
            everything - {"HTTP_NOT_OBSERVABLE"},
        ),
        "mended": Run(
            placed(
                server,
                suites,
                certificate="CERTIFICATE_EXPIRED",
                auth="CLIENT_AUTH_UNEXPECTED",
                content=GOOD,
            ),
            ClientAuth.NONE,
            frozenset({ANCHOR}),
            everything,
        ),
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scanner() -> AsyncIterator[SslyzeScanner]:
    # Ten servers at once on a busy machine need patience; none of them is hostile.
    scanner = SslyzeScanner(
        limits=ScanLimits(connection_deadline_s=15.0, scan_deadline_s=60.0), now=now
    )
    await scanner.start()
    yield scanner
    await scanner.stop()


async def codes(
    scanner: SslyzeScanner, at: Listener, agreed: ClientAuth, policy: Policy = POLICY
) -> set[str]:
    """What the policy finds at a server."""
    vetted = AddressVetting([ip_network("127.0.0.0/8")]).vet(at.address)
    assert isinstance(vetted, VettedAddress)
    endpoint = parse_endpoint(HOST, at.port)
    facts = EndpointFacts(
        host=HOST,
        port=at.port,
        server_name=HOST,
        depth=Depth.STANDARD,
        resolution=ResolutionStatus.RESOLVED,
        addresses=(
            await scanner.measure(
                endpoint, vetted, Depth.STANDARD, asks_groups=judges_groups([policy])
            ),
        ),
    )
    return {
        finding.code
        for finding in evaluate(
            facts, policy, trust=TRUST, now=now(), expected_client_auth=agreed
        ).findings
    }


@with_scanner
@pytest.mark.parametrize("server", SERVERS)
async def test_with_the_lines_of_a_remedy_in_place_its_finding_is_gone(
    scanner: SslyzeScanner, server: str
) -> None:
    runs = runs_of(server)
    with ExitStack() as running:
        listeners = [
            running.enter_context(SERVERS[server](own_listener(), run.pieces))
            for run in runs.values()
        ]
        found = await asyncio.gather(
            *(
                codes(scanner, at, run.agreed)
                for at, run in zip(listeners, runs.values(), strict=True)
            )
        )
    for (name, run), seen in zip(runs.items(), found, strict=True):
        assert run.must <= seen, f"{name}: {sorted(run.must - seen)} not found, but {sorted(seen)}"
        assert not run.may_not & seen, f"{name}: {sorted(run.may_not & seen)} still there"


EXCHANGES = parse_policy(
    'name = "exchanges"\nextends = "otpc-2024-12"\n'
    "[rules.group.outside_set]\n"
    'effects.GROUP_NOT_LISTED = "deny"\n'
    'parameters.groups = ["x25519", "secp256r1", "secp384r1"]\n'
    "[rules.group.required]\n"
    'effects.GROUP_NONE_REQUIRED = "deny"\n'
    'parameters.groups = ["secp384r1"]\n'
    "[rules.key_exchange.minimum.effects]\n"
    'KEY_EXCHANGE_WEAK = "deny"\n',
    "exchanges",
)
# In no remedy: a curve that the policy does not list, and not the one that it requires.
OTHER_GROUPS = {
    "nginx": "ssl_ecdh_curve X448:prime256v1;",
    "Apache": "SSLOpenSSLConfCmd Curves X448:prime256v1",
    "HAProxy": "ssl-default-bind-curves X448:P-256",
    "Envoy": "tls_params:\n  ecdh_curves: [X25519MLKEM768, P-256]",
}


@with_scanner
@pytest.mark.parametrize("server", SERVERS)
async def test_with_the_lines_for_groups_in_place_their_findings_are_gone(
    scanner: SslyzeScanner, server: str
) -> None:
    lines = (
        OTHER_GROUPS[server],
        remedy(server, "GROUP_NOT_LISTED"),
        remedy(server, "KEY_EXCHANGE_WEAK"),
    )
    pieces = [
        placed(
            server,
            # Envoy's versions would stand under the same key, and are what it has by default.
            *(() if server == "Envoy" else (remedy(server, "TLS_VERSION_BELOW_MINIMUM"),)),
            line,
            certificate="CERTIFICATE_EXPIRED",
            auth="CLIENT_AUTH_UNEXPECTED",
            content={**GOOD, "dhparam.pem": ffdhe2048().read_bytes()},
        )
        for line in lines
    ]
    with ExitStack() as running:
        others, *mended = [
            await codes(
                scanner,
                running.enter_context(SERVERS[server](own_listener(), one)),
                ClientAuth.NONE,
                EXCHANGES,
            )
            for one in pieces
        ]
    assert {"GROUP_NOT_LISTED", "GROUP_NONE_REQUIRED"} <= others
    for found in mended:
        assert not {"GROUP_NOT_LISTED", "GROUP_NONE_REQUIRED", "KEY_EXCHANGE_WEAK"} & found
        assert "MEASUREMENT_INCOMPLETE" not in found


@with_scanner
@pytest.mark.parametrize("server", ["HAProxy", "Envoy"])
async def test_a_staple_in_the_file_that_the_remedy_names_is_served(
    scanner: SslyzeScanner, server: str
) -> None:
    suites = remedy(server, "CIPHER_SUITE_NOT_LISTED")
    staple = "CERTIFICATE_EXPIRED" if server == "HAProxy" else "CERTIFICATE_STAPLE_MISSING"
    with ExitStack() as running:
        stapling = placed(
            server, suites, certificate=staple, auth="CLIENT_AUTH_UNEXPECTED", content=WITH_STAPLE
        )
        with_staple = running.enter_context(SERVERS[server](own_listener(), stapling))
        assert await codes(scanner, with_staple, ClientAuth.NONE) == {ANCHOR}
        if (
            server == "HAProxy"
        ):  # Envoy itself refuses to start with such a certificate and without the response
            silent = placed(
                server,
                suites,
                certificate="CERTIFICATE_EXPIRED",
                auth="CLIENT_AUTH_UNEXPECTED",
                content=MUST_STAPLE,
            )
            without = running.enter_context(SERVERS[server](own_listener(), silent))
            assert await codes(scanner, without, ClientAuth.NONE) == {
                ANCHOR,
                "CERTIFICATE_STAPLE_MISSING",
            }


@pytest.mark.parametrize("server", ["nginx", "Apache"])
def test_the_lines_for_stapling_are_understood(server: str) -> None:
    """Stapling needs a responder; here the server need only start with these lines."""
    lines = remedy(server, "CERTIFICATE_STAPLE_MISSING")
    pieces = placed(
        server,
        "" if server == "Apache" else lines,
        certificate="CERTIFICATE_EXPIRED",
        auth="CLIENT_AUTH_UNEXPECTED",
        content=GOOD,
    )
    everywhere = Pieces(
        listen=pieces.listen,
        site=pieces.site,
        everywhere=lines if server == "Apache" else "",
        files=pieces.files,
    )
    with SERVERS[server](own_listener(), everywhere):
        pass


@pytest.mark.parametrize(
    ("code", "extension"),
    [
        (
            "CERTIFICATE_NOT_FOR_SERVERS",
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        ),
        (
            "CERTIFICATE_KEY_USAGE_UNFIT",
            x509.KeyUsage(
                digital_signature=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
        ),
    ],
)
def test_the_option_for_a_usage_asks_for_it(
    code: str, extension: x509.ExtensionType, tmp_path: Path
) -> None:
    (option,) = re.findall(r"openssl req (-addext \"[^\"]+\")", finding_codes()[code].remediation)
    command = (
        f"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -out r -subj / {option}"
    )
    subprocess.run(
        [require("openssl"), *shlex.split(command)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=30,
    )
    request = x509.load_pem_x509_csr((tmp_path / "r").read_bytes())
    assert request.extensions.get_extension_for_class(type(extension)).value == extension


@pytest.mark.parametrize("server", SERVERS)
def test_the_command_for_a_new_key_makes_a_strong_one(server: str, tmp_path: Path) -> None:
    (line,) = (
        line
        for line in remedy(server, "CERTIFICATE_KEY_WEAK").splitlines()
        if line.startswith("# openssl ")
    )
    _program, *arguments = shlex.split(line.removeprefix("# ").replace("HOST", HOST))
    subprocess.run(
        [require("openssl"), *arguments], cwd=tmp_path, check=True, capture_output=True, timeout=30
    )
    request = x509.load_pem_x509_csr((tmp_path / "request.csr").read_bytes())
    key = request.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert (key.curve.name, request.is_signature_valid) == ("secp256r1", True)
    assert request.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value.get_values_for_type(x509.DNSName) == [HOST]
    assert (tmp_path / "privkey.pem").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
