"""Every case through one running service: its trust is made of all cases, and each operator's entry
speaks for one case's host.
"""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.protobuf.timestamp_pb2 import Timestamp

from otpc_policy.app.clock import SystemClock
from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.pki.roots import limits_by_root
from otpc_policy.pki.trust import Trust, TrustEntry
from otpc_policy.rpc.health import Health
from otpc_policy.rpc.interceptors.guard import CallInterceptor
from otpc_policy.rpc.policy_check import PolicyCheckServicer
from otpc_policy.rpc.registration import POLICY_CHECK_SERVICE, add_services
from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc
from tests.chains.case import ChainCase
from tests.rpc.serving import FakeCounters, serving
from tests.support.audit_lines import trail_into


def trust_of(cases: Sequence[ChainCase]) -> Trust:
    """Return the trust in which every case finds its roots, anchors and pins."""
    roots = dict.fromkeys(made.der for case in cases for made in case.roots)
    limits = limits_by_root([limit for case in cases for limit in case.limits])
    return Trust(
        mozilla_roots=tuple(roots),
        root_limits=limits,
        entries=tuple(
            entry_of(case) for case in cases if case.anchors or case.pins or case.spki_pins
        ),
    )


def entry_of(case: ChainCase) -> TrustEntry:
    """Return the operator's entry of a case."""
    return TrustEntry(
        hosts=(case.server_name,),
        anchors=tuple(made.der for made in case.anchors),
        certificate_pins=frozenset(hashlib.sha256(made.der).hexdigest() for made in case.pins),
        spki_pins=frozenset(_spki_sha256(made.certificate) for made in case.spki_pins),
    )


@asynccontextmanager
async def judging(trust: Trust) -> AsyncIterator[Any]:
    """A stub of a service with this trust, which takes anchors from requests."""
    generation = Catalog(policies=load_builtin_policies(), trust=trust)
    servicer = PolicyCheckServicer(
        checks=_NoChecks(),
        generation=lambda: generation,
        clock=SystemClock(),
        counters=FakeCounters(),
        decisions=trail_into(lambda _line: None),
        allow_request_anchors=True,
    )
    health = Health(POLICY_CHECK_SERVICE)
    async with serving(
        lambda server: add_services(
            server, policy_check=servicer, health=health, with_reflection=False
        ),
        CallInterceptor(FakeCounters()),
    ) as channel:
        yield policy_pb2_grpc.PolicyCheckServiceStub(channel)  # type: ignore[no-untyped-call]


async def validate(stub: Any, case: ChainCase) -> pb.ValidateCertificateResponse:
    """Return what the service says of a case."""
    at = Timestamp()
    at.FromDatetime(case.at)
    request = pb.ValidateCertificateRequest(
        der_chain=pb.DerChain(certificates=case.chain),
        server_name=case.server_name,
        validation_time=at,
        trust_anchors=[made.der for made in case.request_anchors],
    )
    response = await stub.ValidateCertificate(request)
    assert isinstance(response, pb.ValidateCertificateResponse)
    return response


class _NoChecks:
    async def check(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("ValidateCertificate measures nothing")

    still_stands = check


def _spki_sha256(certificate: x509.Certificate) -> str:
    return hashlib.sha256(
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()
