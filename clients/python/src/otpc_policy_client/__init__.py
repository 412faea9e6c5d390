"""The client that callers import: it knows the contract and nothing of the service.

    with PolicyCheckClient("policy.internal:443") as client:
        request = check_request("partner.example")
        with client.connect(request, timeout_s=2.0) as connection:
            connection.socket.sendall(...)

connect asks, dials a judged address, and returns a connection that the verdict covers, or raises.
Whoever connects otherwise asks with check, and sends nothing unless permits_traffic. An error of
gRPC (grpc.RpcError) means: no traffic.
"""

from otpc_policy_client.blocking import PolicyCheckClient
from otpc_policy_client.channel import KEEPALIVE_TIME_S
from otpc_policy_client.following import ChangesUnknown, Followed
from otpc_policy_client.for_asyncio import AsyncPolicyCheckClient
from otpc_policy_client.judged import NotAsJudged, TrafficNotPermitted, permits_traffic
from otpc_policy_client.keeping_terms import MakeContext, client_context
from otpc_policy_client.opening import JudgedSocket, JudgedStreams
from otpc_policy_client.requests import check_request, validate_request

__all__ = [
    "KEEPALIVE_TIME_S",
    "AsyncPolicyCheckClient",
    "ChangesUnknown",
    "Followed",
    "JudgedSocket",
    "JudgedStreams",
    "MakeContext",
    "NotAsJudged",
    "PolicyCheckClient",
    "TrafficNotPermitted",
    "check_request",
    "client_context",
    "permits_traffic",
    "validate_request",
]
