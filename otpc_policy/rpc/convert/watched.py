"""Watched endpoints as callers see them."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from otpc_policy.check import WatchedEndpoint
from otpc_policy.rpc.convert.times import to_timestamp
from otpc_policy.rpc.convert.vocabulary import DECISIONS
from otpc_policy.v1 import policy_pb2 as pb


def watched_message(watched: WatchedEndpoint) -> pb.WatchedEndpoint:
    """Return what is known of a watched endpoint."""
    state = watched.state
    return pb.WatchedEndpoint(
        host=watched.endpoint.host,
        port=watched.endpoint.port,
        partner_id=watched.partner_id,
        decision=DECISIONS[watched.decision],
        finding_codes=watched.codes,
        observation_time=_at(None if state is None else state.observed_at),
        expire_time=_at(None if state is None else state.expires_at),
        next_check_time=_at(watched.next_check_at),
        certificate_end_time=_at(None if state is None else state.certificate_ends_at),
        waiver_end_time=_at(watched.waiver_ends_at),
        pin_end_time=_at(watched.pin_ends_at),
        perspective=watched.perspective,
    )


def _at(at: datetime | None) -> Timestamp | None:
    return None if at is None else to_timestamp(at)
