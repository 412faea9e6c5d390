"""Doubles of the service for the tests of whoever uses this client.

    rules = Rules()
    rules.set("partner.example", allow(addresses=["127.0.0.1"], leaves=[sha256_of_your_leaf]))
    client = FakePolicyClient(rules)

A fake is the real client without a channel: deadlines, the cache, connections as judged and errors
are those of production. serve does the same behind a real gRPC server on loopback. What no rule
names is INDETERMINATE: a test that forgot a rule sends nothing.
"""

from otpc_policy_client.testing.answers import (
    NO_RULE,
    allow,
    deny,
    fail,
    in_progress,
    indeterminate,
)
from otpc_policy_client.testing.fakes import AsyncFakePolicyClient, FakePolicyClient
from otpc_policy_client.testing.rules import Rules
from otpc_policy_client.testing.server import PolicyServer, serve

__all__ = [
    "NO_RULE",
    "AsyncFakePolicyClient",
    "FakePolicyClient",
    "PolicyServer",
    "Rules",
    "allow",
    "deny",
    "fail",
    "in_progress",
    "indeterminate",
    "serve",
]
