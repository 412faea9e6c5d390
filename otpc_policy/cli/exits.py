"""Exit statuses: the verdict as a number that a shell can branch on. Only 0 permits traffic."""

from enum import IntEnum

from otpc_policy.v1 import policy_pb2 as pb


class ExitStatus(IntEnum):
    """ALLOW 0, DENY 1, a wrong command line, file or setting 2, anything that could not be judged 3."""

    ALLOW = 0
    DENY = 1
    USAGE = 2
    INDETERMINATE = 3


def exit_status(decision: pb.Decision.ValueType) -> ExitStatus:
    """Return the status for a decision; what this program does not know counts as INDETERMINATE."""
    match decision:
        case pb.DECISION_ALLOW:
            return ExitStatus.ALLOW
        case pb.DECISION_DENY:
            return ExitStatus.DENY
        case _:
            return ExitStatus.INDETERMINATE
