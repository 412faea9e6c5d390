"""Why an engine gave no facts. The caller's answer is SCAN_FAILED; Overloaded is told apart."""

from otpc_policy.core.errors import OtpcPolicyError


class EngineLost(OtpcPolicyError):
    """The engine ended, cannot be reached or drains. Another one may be asked the same."""


class EngineFailed(OtpcPolicyError):
    """The engine could not do it, and another one would be no better; or no time is left."""


class EngineHindered(EngineFailed):
    """The engine's machine cannot open connections: what would hinder its successor too."""


class EngineNotStarted(OtpcPolicyError):
    """An engine of our own did not come up. The text says why, for the operator."""


class EngineRefuses(EngineNotStarted):
    """The engine cannot work with its settings on this machine; a second attempt is no use."""
