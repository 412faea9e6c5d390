"""CRLs from end to end: real partners, real HTTP servers, an engine that fetches, and verdicts."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from otpc_policy.v1 import policy_pb2 as pb
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.crls import crl, scope
from tests.support.http_files import HttpFiles, Script, endless, http_files, ok, redirect
from tests.support.loopback import own_listener
from tests.support.servers import TlsOffer, s_server
from tests.support.service_process import ServiceProcess, service_process
from tests.support.signing import now
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("service process")]

ROOT = CertificateAuthority.create("CRL Root")
AUTHORITY = ROOT.intermediate("CRL Authority")
STRANGER = ROOT.intermediate("CRL Authority")
REVOKED, UNKNOWN = "CERTIFICATE_REVOKED", "CERTIFICATE_REVOCATION_UNKNOWN"


@dataclass(frozen=True)
class Case:
    """What a distribution point serves for a leaf, what becomes of it, and how it is counted."""

    serve: Callable[[Issued, str], bytes | Script]
    codes: frozenset[str]
    result: str


def listed(**arguments: object) -> Callable[[Issued, str], bytes]:
    return lambda leaf, _root: ok(crl(AUTHORITY, [leaf], **arguments))  # type: ignore[arg-type]


def unlisted(**arguments: object) -> Callable[[Issued, str], bytes]:
    return lambda _leaf, _root: ok(crl(AUTHORITY, **arguments))  # type: ignore[arg-type]


def always(content: bytes | Script) -> Callable[[Issued, str], bytes | Script]:
    return lambda _leaf, _root: content


GOOD, DENIED, UNPROVEN = frozenset[str](), frozenset({REVOKED}), frozenset({UNKNOWN})
_SAID = {
    GOOD: (pb.REVOCATION_STATUS_NOT_REVOKED, pb.REVOCATION_SOURCE_CRL),
    DENIED: (pb.REVOCATION_STATUS_REVOKED, pb.REVOCATION_SOURCE_CRL),
    UNPROVEN: (pb.REVOCATION_STATUS_UNKNOWN, pb.REVOCATION_SOURCE_UNSPECIFIED),
}
CASES = {
    "good": Case(unlisted(), GOOD, "fetched"),
    "good-pem": Case(unlisted(pem=True), GOOD, "fetched"),
    "revoked": Case(listed(), DENIED, "fetched"),
    "revoked-pem": Case(listed(pem=True), DENIED, "fetched"),
    "stale": Case(unlisted(next_update=now() - timedelta(minutes=1)), UNPROVEN, "fetched"),
    "wrong-signature": Case(listed(signer=STRANGER), UNPROVEN, "unusable"),
    "wrong-issuer": Case(lambda leaf, _root: ok(crl(ROOT, [leaf])), UNPROVEN, "unusable"),
    "other-point": Case(
        unlisted(extensions=[scope("http://elsewhere.test/")]), UNPROVEN, "fetched"
    ),
    "oversized": Case(always(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100_000)), UNPROVEN, "too_large"),
    "dripping": Case(
        always(endless(b"HTTP/1.1 200 OK\r\n\r\n", piece=b"0", pause_s=0.05)), UNPROVEN, "timeout"
    ),
    "redirected-away": Case(
        always(redirect("http://169.254.169.254/latest/")), UNPROVEN, "forbidden"
    ),
    "redirected-to-https": Case(always(redirect("https://127.0.0.1/")), UNPROVEN, "redirected"),
    "missing": Case(always(b"HTTP/1.1 404 Not Found\r\n\r\n"), UNPROVEN, "refused"),
}


def asked(service: ServiceProcess, host: str, port: int) -> pb.CheckEndpointResponse:
    request = pb.CheckEndpointRequest(host=host, port=port)
    answer: pb.CheckEndpointResponse = service.checks.CheckEndpoint(request, timeout=30)
    return answer


def are_counted(service: ServiceProcess, results: list[str]) -> bool:
    """Whether as many fetches have ended with each of these results."""
    return all(
        service.metric(f'otpc_policy_crl_fetches_total{{result="{result}"}}') == count
        for result, count in Counter(results).items()
    )


async def test_what_lists_say_becomes_part_of_answers_and_no_answer_waits(tmp_path: Path) -> None:
    anchor = tmp_path / "anchor.pem"
    anchor.write_bytes(ROOT.pem)
    names = {f"{name}.test": case for name, case in CASES.items()}
    async with AsyncExitStack() as stack:
        partners, sites = {}, dict[str, HttpFiles]()
        for name, case in names.items():
            site = sites[name] = await stack.enter_async_context(http_files())
            leaf = AUTHORITY.issue(dns=(name,), crl_urls=[site.url("/a.crl")])
            site.files["/a.crl"] = case.serve(leaf, site.root)
            offer = TlsOffer(certificates=(leaf,))
            partners[name] = stack.enter_context(s_server(own_listener(), offer))
        hosts = json.dumps({name: at.address for name, at in partners.items()})
        trust = json.dumps([{"hosts": list(names), "anchor_file": str(anchor)}])
        settings = {"FETCH_DEADLINE_S": "2", "MAX_BYTES": "65536", "CONCURRENT_FETCHES": "16"}
        service = stack.enter_context(
            service_process(
                tmp_path,
                OTPC_POLICY_TRUST=trust,
                OTPC_POLICY_STATIC_HOSTS=hosts,
                **{f"OTPC_POLICY_CRL__{key}": value for key, value in settings.items()},
            )
        )

        async def codes(name: str) -> frozenset[str]:
            answer = await asyncio.to_thread(asked, service, name, partners[name].port)
            found = {finding.code for finding in answer.findings}
            (judged,) = answer.judged_certificates
            said = judged.revocation.status, judged.revocation.source
            assert said == _SAID[frozenset(found & {REVOKED, UNKNOWN})]
            assert (answer.decision == pb.DECISION_DENY) is (REVOKED in found)
            return frozenset(found & {REVOKED, UNKNOWN})

        for name, case in names.items():
            assert await codes(name) in (UNPROVEN, case.codes)
        results = [case.result for case in names.values()]
        ended = partial(are_counted, service, results)
        await asyncio.to_thread(wait_until, ended)
        assert {name: await codes(name) for name in names} == {
            name: case.codes for name, case in names.items()
        }
        # Nothing was measured or fetched twice for that.
        assert service.metric('otpc_policy_scans_total{outcome="complete"}') == len(names)
        assert [site.asked("/a.crl") for site in sites.values()] == [1] * len(sites)
        kept = sum(case.result == "fetched" for case in names.values())
        assert service.metric("otpc_policy_crl_lists") == kept
        assert service.metric("otpc_policy_crl_bytes") > 0


async def test_it_can_be_turned_off(tmp_path: Path) -> None:
    anchor = tmp_path / "anchor.pem"
    anchor.write_bytes(ROOT.pem)
    trust = json.dumps([{"hosts": ["partner.test"], "anchor_file": str(anchor)}])
    async with http_files() as site:
        leaf = AUTHORITY.issue(crl_urls=[site.url("/a.crl")])
        site.files["/a.crl"] = ok(crl(AUTHORITY, [leaf]))
        with (
            s_server(own_listener(), TlsOffer(certificates=(leaf,))) as partner,
            service_process(
                tmp_path,
                OTPC_POLICY_TRUST=trust,
                OTPC_POLICY_STATIC_HOSTS=json.dumps({"partner.test": partner.address}),
                OTPC_POLICY_CRL__FETCH="false",
            ) as service,
        ):
            for _ in range(2):
                answer = await asyncio.to_thread(asked, service, "partner.test", partner.port)
                assert answer.decision == pb.DECISION_ALLOW
                assert not {finding.code for finding in answer.findings} & {REVOKED, UNKNOWN}
                await asyncio.sleep(0.5)
        assert site.requests == []
