"""ValidateCertificate judges any bytes sent as a certificate, or reports the request as invalid."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cryptography_vectors
import pytest

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.core.errors import InvalidRequest
from otpc_policy.pki.roots import mozilla_roots
from otpc_policy.pki.trust import Trust
from otpc_policy.rpc.convert.requests import MAX_CHAIN_BYTES
from otpc_policy.rpc.policy_check import PolicyCheckServicer
from otpc_policy.v1 import policy_pb2 as pb
from tests.rpc.serving import FakeCounters
from tests.support.audit_lines import trail_into

FOLDER = Path(cryptography_vectors.__file__).parent / "x509"
FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
# Of a call that is never over.
NO_CONTEXT: Any = SimpleNamespace(add_done_callback=lambda _callback: None)


class _Clock:
    def now(self) -> datetime:
        return datetime(2025, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture(scope="module")
def servicer() -> PolicyCheckServicer:
    checks: Any = None
    return PolicyCheckServicer(
        checks=checks,
        generation=lambda: Catalog(
            policies=load_builtin_policies(), trust=Trust(mozilla_roots=mozilla_roots())
        ),
        clock=_Clock(),
        counters=FakeCounters(),
        decisions=trail_into(lambda _lines: None),
    )


async def outcome(servicer: PolicyCheckServicer, **chain: Any) -> str:
    """Return the decision, or the field that is invalid."""
    request = pb.ValidateCertificateRequest(server_name="example.com", view=pb.VIEW_FULL, **chain)
    try:
        answer = await servicer.validate_certificate(request.SerializeToString(), NO_CONTEXT)
    except InvalidRequest as refused:
        return ",".join(violation.field for violation in refused.violations)
    return pb.Decision.Name(pb.ValidateCertificateResponse.FromString(answer).decision)


def test_the_folder_is_there() -> None:
    assert len(FILES) > 1500


@pytest.mark.filterwarnings("default")  # cryptography warns of what it tolerates
@pytest.mark.parametrize("start", range(0, len(FILES), 250))
async def test_every_file_of_the_vectors_as_der_and_as_pem(
    servicer: PolicyCheckServicer, start: int
) -> None:
    for path in FILES[start : start + 250]:
        content = path.read_bytes()
        as_der = await outcome(servicer, der_chain=pb.DerChain(certificates=[content]))
        assert as_der == (
            "DECISION_DENY" if len(content) <= MAX_CHAIN_BYTES else "der_chain.certificates"
        ), path.name
        try:
            text = content.decode()
        except UnicodeDecodeError:
            continue
        assert await outcome(servicer, pem_bundle=text) in ("DECISION_DENY", "pem_bundle"), (
            path.name
        )
