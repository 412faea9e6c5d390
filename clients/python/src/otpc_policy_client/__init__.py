"""Ask otpc-policy whether a partner's TLS endpoint meets policy, and connect to it as judged.

    with PolicyClient("policy.internal:443") as client:
        verdict = client.check("partner.example", timeout_s=2.0)
        if verdict.permits_traffic:
            ...
        with client.connect("partner.example", timeout_s=2.0) as connection:
            connection.socket.sendall(...)

connect asks, dials a judged address, and returns a connection that the verdict covers, or raises.
Whoever connects otherwise asks with check, and sends nothing unless permits_traffic. Every
exception means: no traffic. AsyncPolicyClient is the same for asyncio.

The messages are in otpc_policy_client.v1.policy_pb2; doubles for your tests in
otpc_policy_client.testing; connections as judged for httpx and aiohttp in for_httpx and
for_aiohttp.
"""

from otpc_policy_client.answer_cache import CacheLimits
from otpc_policy_client.blocking import PolicyClient
from otpc_policy_client.channel import KEEPALIVE_TIME_S
from otpc_policy_client.errors import (
    CallError,
    DeadlineExceeded,
    InvalidRequest,
    NotAsJudged,
    NotPermitted,
    Overloaded,
    PolicyClientError,
    ServiceUnavailable,
    TrafficNotPermitted,
    UnknownPolicy,
    Violation,
)
from otpc_policy_client.following import ChangesUnknown, Followed
from otpc_policy_client.for_asyncio import AsyncPolicyClient
from otpc_policy_client.judged import permits_traffic
from otpc_policy_client.keeping_terms import MakeContext, client_context
from otpc_policy_client.observing import Event, Observer
from otpc_policy_client.opening import JudgedSocket, JudgedStreams
from otpc_policy_client.requests import check_request, validate_request
from otpc_policy_client.verdict import Verdict
from otpc_policy_client.version import __version__

__all__ = [
    "KEEPALIVE_TIME_S",
    "AsyncPolicyClient",
    "CacheLimits",
    "CallError",
    "ChangesUnknown",
    "DeadlineExceeded",
    "Event",
    "Followed",
    "InvalidRequest",
    "JudgedSocket",
    "JudgedStreams",
    "MakeContext",
    "NotAsJudged",
    "NotPermitted",
    "Observer",
    "Overloaded",
    "PolicyClient",
    "PolicyClientError",
    "ServiceUnavailable",
    "TrafficNotPermitted",
    "UnknownPolicy",
    "Verdict",
    "Violation",
    "__version__",
    "check_request",
    "client_context",
    "permits_traffic",
    "validate_request",
]
