"""Proto to values and back. Pure: nothing here waits, logs or does IO."""

from otpc_policy.rpc.convert.changes import changes_message, checkpoint_message
from otpc_policy.rpc.convert.policies import policy_message
from otpc_policy.rpc.convert.requests import (
    ParsedCheck,
    ParsedValidation,
    parse_batch_request,
    parse_check_request,
    parse_page_size,
    parse_validate_request,
    read_check_request,
    undecodable,
)
from otpc_policy.rpc.convert.responses import (
    OwnPart,
    check_response,
    shared_part,
    validate_response,
)
from otpc_policy.rpc.convert.watched import watched_message

__all__ = [
    "OwnPart",
    "ParsedCheck",
    "ParsedValidation",
    "changes_message",
    "check_response",
    "checkpoint_message",
    "parse_batch_request",
    "parse_check_request",
    "parse_page_size",
    "parse_validate_request",
    "policy_message",
    "read_check_request",
    "shared_part",
    "undecodable",
    "validate_response",
    "watched_message",
]
