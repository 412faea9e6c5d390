"""Exit statuses: the verdict as a number that a shell can branch on. Only 0 permits traffic."""

from collections.abc import Sequence
from enum import IntEnum

from otpc_policy.core.errors import OtpcPolicyError


class ExitStatus(IntEnum):
    """0 ALLOW, 1 DENY, 2 wrong command line, file or setting, 3 INDETERMINATE or not judged."""

    ALLOW = 0
    DENY = 1
    USAGE = 2
    INDETERMINATE = 3


class CommandFailed(OtpcPolicyError):
    """A command has no result. lines: for stderr."""

    def __init__(self, lines: Sequence[str], status: ExitStatus) -> None:
        self.lines = tuple(lines)
        self.status = status
        super().__init__("\n".join(self.lines))


def exit_status(decision: int) -> ExitStatus:
    """Return the status for a value of the contract's Decision; an unknown one is INDETERMINATE."""
    from otpc_policy.v1 import policy_pb2 as pb  # noqa: PLC0415  # slow; --help needs none of it

    statuses: dict[int, ExitStatus] = {
        pb.DECISION_ALLOW: ExitStatus.ALLOW,
        pb.DECISION_DENY: ExitStatus.DENY,
    }
    return statuses.get(decision, ExitStatus.INDETERMINATE)


def worst_status(statuses: Sequence[ExitStatus]) -> ExitStatus:
    """Return the status of several verdicts together: DENY, else INDETERMINATE, else ALLOW.

    None at all is INDETERMINATE: nothing was judged.
    """
    if not statuses:
        return ExitStatus.INDETERMINATE
    return min(statuses, key=(ExitStatus.DENY, ExitStatus.INDETERMINATE, ExitStatus.ALLOW).index)
