"""What follows from a worker that violates the protocol."""

from otpc_policy.core.errors import OtpcPolicyError


class WorkerLied(OtpcPolicyError):
    """A worker sent something that an honest one never sends. It must be killed.

    The measurement that it took part in fails: a worker that lies once may have lied before. The
    text says what was wrong and quotes nothing that the worker sent.
    """
