"""The one exception for what an engine must not say."""

from otpc_policy.core.errors import OtpcPolicyError


class EngineLied(OtpcPolicyError):
    """A message of an engine breaks the contract: nothing of it is used, nor of its engine.

    The text names the field and what is wrong with it; it is for the log and holds nothing of
    what the engine wrote.
    """
