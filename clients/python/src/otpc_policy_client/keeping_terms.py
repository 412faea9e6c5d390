"""TLS as an answer demands it: what a client offers, and what it accepts after the handshake."""

import hashlib
import ssl
from collections.abc import Callable, Mapping

from otpc_policy_client.clock import elapsed_s
from otpc_policy_client.errors import NotAsJudged, TrafficNotPermitted
from otpc_policy_client.judged import JudgedEndpoint, permits_traffic
from otpc_policy_client.v1 import policy_pb2 as pb

MakeContext = Callable[[], ssl.SSLContext]
"""Returns a new context for one connection, which is then restricted to what was judged."""

_VERSIONS: Mapping[int, ssl.TLSVersion] = {
    pb.TLS_VERSION_TLS_1_2: ssl.TLSVersion.TLSv1_2,
    pb.TLS_VERSION_TLS_1_3: ssl.TLSVersion.TLSv1_3,
}
# As SSLSocket.version returns them.
_VERSION_NAMES: Mapping[str, int] = {
    "TLSv1.2": pb.TLS_VERSION_TLS_1_2,
    "TLSv1.3": pb.TLS_VERSION_TLS_1_3,
}
# OpenSSL's ids of suites have a byte for the protocol above the code point.
_CODE_POINT = 0xFFFF


def client_context() -> ssl.SSLContext:
    """Return a context that leaves the judging of the certificate to the service.

    The chain is not verified again here: the leaf has to be one that was judged for this name, bit
    by bit, and the handshake proves that the server has its key. No verification admits fewer
    certificates, and one by this machine's roots would refuse what a partner's pin or private CA
    permits. To verify in addition, or to present a client certificate, give connect a function
    that returns another context.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def restrict(context: ssl.SSLContext, judged: JudgedEndpoint) -> None:
    """Let the context offer nothing that the answer does not permit.

    What the context itself excludes stays excluded. Raises TrafficNotPermitted if nothing is left.
    """
    versions = [version for number, version in _VERSIONS.items() if number in judged.versions]
    if judged.cipher_suites:
        permitted = [
            suite
            for suite in context.get_ciphers()
            if suite["id"] & _CODE_POINT in judged.cipher_suites
        ]
        before_tls13 = [suite["name"] for suite in permitted if suite["protocol"] != "TLSv1.3"]
        if before_tls13:
            context.set_ciphers(":".join(before_tls13))
        elif ssl.TLSVersion.TLSv1_2 in versions:
            versions.remove(ssl.TLSVersion.TLSv1_2)
    if not versions:
        reason = "this client's TLS library has none of the permitted versions and cipher suites"
        raise TrafficNotPermitted(reason, judged.answer)
    context.minimum_version = max(context.minimum_version, min(versions))
    if context.maximum_version in (ssl.TLSVersion.MAXIMUM_SUPPORTED, ssl.TLSVersion.TLSv1_3):
        context.maximum_version = max(versions)
    # In a renegotiation, the server could present another certificate after this one was compared.
    context.options |= ssl.OP_NO_RENEGOTIATION


def stands(judged: JudgedEndpoint) -> bool:
    """Whether the answer permits connections now: it may have expired since."""
    return elapsed_s() < judged.good_until_s and permits_traffic(
        judged.answer, dangerously_permit_report_only=judged.permits_report_only
    )


def accept(
    connection: ssl.SSLSocket | ssl.SSLObject, judged: JudgedEndpoint, address: str
) -> bytes:
    """Return the SHA-256 of the leaf of a connection that is as judged.

    The handshake must be complete. Raises NotAsJudged, and TrafficNotPermitted if the answer has
    expired meanwhile; then the connection must be closed.
    """
    der = connection.getpeercert(binary_form=True)
    if not der:
        raise NotAsJudged("the server presented no certificate", address=address)
    leaf_sha256 = hashlib.sha256(der).digest()
    if leaf_sha256 not in judged.leaves:
        raise NotAsJudged(
            f"the leaf with SHA-256 {leaf_sha256.hex()} is none of those that were judged",
            address=address,
            observed_leaf_sha256=leaf_sha256,
        )
    version = connection.version() or "no version"
    if _VERSION_NAMES.get(version) not in judged.versions:
        raise NotAsJudged(f"{version} is not a permitted version", address=address)
    name = (connection.cipher() or ("no cipher suite", "", 0))[0]
    if judged.cipher_suites and _code_point(connection.context, name) not in judged.cipher_suites:
        raise NotAsJudged(f"{name} is not a permitted cipher suite", address=address)
    if not stands(judged):
        raise TrafficNotPermitted("the answer expired during the handshake", judged.answer)
    return leaf_sha256


def _code_point(context: ssl.SSLContext, name: str) -> int | None:
    for suite in context.get_ciphers():
        if suite["name"] == name:
            return suite["id"] & _CODE_POINT
    return None
