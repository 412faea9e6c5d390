"""The client's name before it became a distribution of its own. It goes with the next release.

Nothing in the service imports it: the service runs without the client, and the client without it.
"""

import warnings

try:
    from otpc_policy_client import (
        KEEPALIVE_TIME_S,
        AsyncPolicyCheckClient,
        ChangesUnknown,
        Followed,
        JudgedSocket,
        JudgedStreams,
        MakeContext,
        NotAsJudged,
        PolicyCheckClient,
        TrafficNotPermitted,
        check_request,
        client_context,
        permits_traffic,
        validate_request,
    )
except ModuleNotFoundError as error:
    raise ImportError(
        "otpc_policy.client has moved to a distribution of its own: "
        "pip install otpc-policy-client, and import otpc_policy_client"
    ) from error

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

warnings.warn(
    "otpc_policy.client is now otpc_policy_client (pip install otpc-policy-client); "
    "the old name goes with the next release",
    DeprecationWarning,
    stacklevel=2,
)
