"""What keeps this machine from connecting to anything."""

from typing import Self

from otpc_policy.core.errors import OtpcPolicyError


class CannotDial(OtpcPolicyError):
    """This machine cannot open the connection, whoever is to be reached; says nothing about them.

    No OSError: whoever takes those for the partner's doing must not take this.
    """

    @classmethod
    def because_of(cls, error: OSError) -> Self:
        """Return it with the reason that the kernel gave."""
        return cls(error.strerror or str(error))
