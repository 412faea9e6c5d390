"""Changes of verdicts as callers see them."""

from collections.abc import Iterable

from otpc_policy.check import VerdictChange
from otpc_policy.rpc.convert.times import to_timestamp
from otpc_policy.rpc.convert.vocabulary import DECISIONS
from otpc_policy.v1 import policy_pb2 as pb


def changes_message(changes: Iterable[VerdictChange], cursor: str) -> pb.WatchVerdictsResponse:
    """Return a message of the stream."""
    return pb.WatchVerdictsResponse(
        changes=pb.VerdictChanges(changes=map(_change_message, changes)), cursor=cursor
    )


def checkpoint_message(cursor: str) -> pb.WatchVerdictsResponse:
    """Return a message that says that nothing has changed."""
    return pb.WatchVerdictsResponse(checkpoint=pb.Checkpoint(), cursor=cursor)


def _change_message(change: VerdictChange) -> pb.VerdictChange:
    observed_at, expires_at = change.observed_at, change.expires_at
    decision, previous = change.decision, change.previous
    return pb.VerdictChange(
        host=change.endpoint.host,
        port=change.endpoint.port,
        partner_id=change.partner_id,
        decision=pb.DECISION_UNSPECIFIED if decision is None else DECISIONS[decision],
        previous_decision=pb.DECISION_UNSPECIFIED if previous is None else DECISIONS[previous],
        removed=decision is None,
        finding_codes=change.codes,
        observation_time=None if observed_at is None else to_timestamp(observed_at),
        expire_time=None if expires_at is None else to_timestamp(expires_at),
        change_time=to_timestamp(change.changed_at),
        configuration_revision=change.revision,
    )
