"""Malformed messages and certificates get the designed status or finding.

Never UNKNOWN, never INTERNAL.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning

from otpc_policy.policy.registry import finding_codes
from otpc_policy.v1 import policy_pb2 as pb
from tests.end_to_end.case import decision_of
from tests.end_to_end.running import Service

Outcome = pb.ValidateCertificateResponse | grpc.StatusCode
METHODS = [
    "CheckEndpoint",
    "BatchCheckEndpoints",
    "ValidateCertificate",
    "GetPolicy",
    "ListPolicies",
    "ListWatched",
]
VECTORS = sorted(
    path for path in Path(str(files("cryptography_vectors") / "x509")).rglob("*") if path.is_file()
)
# The contract: 256 KiB in total.
MOST_BYTES = 256 * 1024
# A request without a name must get one of these findings.
NOT_NAMED = {"CERTIFICATE_NAME_NOT_CHECKED", "CERTIFICATE_MALFORMED"}
# Concurrent calls, so that a few thousand of them take seconds.
_AT_ONCE = 50


@pytest.mark.parametrize(
    "content",
    [b"\xff\xff\xff", b"\x0a\x05abc", b"\xa2\x06\x05abc", bytes(range(256))],
    ids=["no tag", "cut short", "unknown and cut short", "noise"],
)
@pytest.mark.parametrize("method", METHODS)
def test_bytes_that_are_no_message_are_an_invalid_argument(
    method: str, content: bytes, service: Service
) -> None:
    check_refused(method, content, service)


def check_refused(method: str, content: bytes, service: Service) -> None:
    """Assert that the bytes are the caller's mistake."""
    channel: Any = service.channel  # the stubs' types demand arguments that gRPC does not
    call = channel.unary_unary(f"/otpc_policy.v1.PolicyCheckService/{method}")
    with pytest.raises(grpc.RpcError) as caught:
        call(content, timeout=10)
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("method", ["CheckEndpoint", "GetPolicy"])
def test_text_that_is_no_utf_8_is_an_invalid_argument(method: str, service: Service) -> None:
    check_refused(method, b"\x0a\x02\xff\xfe", service)


def outcomes(
    service: Service, requests: Sequence[pb.ValidateCertificateRequest]
) -> Iterator[Outcome]:
    """Return the response or the status of each."""
    for start in range(0, len(requests), _AT_ONCE):
        for call in [
            service.stub.ValidateCertificate.future(request, timeout=30)
            for request in requests[start : start + _AT_ONCE]
        ]:
            error = call.exception()
            yield call.result() if error is None else error.code()


def test_every_vector_as_der_is_judged(service: Service) -> None:
    contents = [path.read_bytes() for path in VECTORS]
    assert len(contents) > 1500
    requests = [
        pb.ValidateCertificateRequest(
            der_chain=pb.DerChain(certificates=[content]), server_name="partner.test"
        )
        for content in contents
    ]
    wrong = [
        f"{path.name}: {outcome}"
        for path, content, outcome in zip(
            VECTORS, contents, outcomes(service, requests), strict=True
        )
        if not _is_designed_for_der(content, outcome)
    ]
    assert not wrong, "\n".join(wrong)


def _is_designed_for_der(content: bytes, outcome: Outcome) -> bool:
    if isinstance(outcome, grpc.StatusCode):
        return outcome is grpc.StatusCode.INVALID_ARGUMENT and not 0 < len(content) <= MOST_BYTES
    found = codes_of(outcome)
    # No vector is issued for this name under a root of Mozilla.
    return (
        found <= set(finding_codes())
        and decision_of(outcome) == "DENY"
        and ("CERTIFICATE_MALFORMED" in found or _is_der_certificate(content))
    )


def test_every_vector_as_pem_is_judged(service: Service) -> None:
    texts = [
        (path, text)
        for path in VECTORS
        if "-----BEGIN" in (text := path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert len(texts) > 150
    requests = [pb.ValidateCertificateRequest(pem_bundle=text) for _path, text in texts]
    wrong = [
        f"{path.name}: {outcome}"
        for (path, text), outcome in zip(texts, outcomes(service, requests), strict=True)
        if not _is_designed_for_pem(text, outcome)
    ]
    assert not wrong, "\n".join(wrong)


def _is_designed_for_pem(text: str, outcome: Outcome) -> bool:
    holds_certificates = (
        re.search("-----BEGIN (X509 )?CERTIFICATE-----", text) is not None
        and "PRIVATE KEY" not in text
    )
    if isinstance(outcome, grpc.StatusCode):
        return outcome is grpc.StatusCode.INVALID_ARGUMENT and not holds_certificates
    found = codes_of(outcome)
    # Without a name nothing is allowed.
    return (
        holds_certificates
        and found <= set(finding_codes())
        and decision_of(outcome) != "ALLOW"
        and bool(NOT_NAMED & found)
    )


def codes_of(response: pb.ValidateCertificateResponse) -> set[str]:
    return {finding.code for finding in response.findings}


# Of certificates with a key that cryptography does not load: for it they are none.
_NAME_OF_UNKNOWN_KEYS = b"DSA Parameters Inherited CA"


def _is_der_certificate(content: bytes) -> bool:
    with warnings.catch_warnings():
        # cryptography warns of serial numbers that are not positive.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            x509.load_der_x509_certificate(content)
        except ValueError:
            return _NAME_OF_UNKNOWN_KEYS in content
    return True
