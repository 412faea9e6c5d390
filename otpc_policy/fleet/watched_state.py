"""What is kept of an answer about a watched endpoint."""

from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Final

from otpc_policy.check import MOST_CODES, Answer, WatchedState
from otpc_policy.core.errors import MalformedCertificate
from otpc_policy.pki.budget import TooComplexError, WorkBudget
from otpc_policy.pki.certificate import skeleton_or_none
from otpc_policy.recently_used import RecentlyUsed

# Leaves whose end is at hand.
_MOST_LEAVES: Final = 20_000


class StateReader:
    """Makes states of answers. Certificates are read once: what is watched seldom changes."""

    def __init__(self) -> None:
        self._ends = RecentlyUsed[bytes, datetime | None](max_entries=_MOST_LEAVES)

    def state_of(self, answer: Answer) -> WatchedState:
        """Return what is kept of an answer."""
        judgement = answer.judgement
        codes = dict.fromkeys(finding.code for finding in judgement.verdict.findings)
        leaves = {
            deployment.chain[0]
            for facts in answer.addresses
            for deployment in facts.deployments
            if deployment.chain
        }
        return WatchedState(
            decision=judgement.verdict.decision,
            codes=tuple(codes)[:MOST_CODES],
            observed_at=judgement.observed_at,
            expires_at=judgement.expires_at,
            certificate_ends_at=self._first_end(leaves),
        )

    def _first_end(self, leaves: Iterable[bytes]) -> datetime | None:
        ends = [self._end(leaf) for leaf in leaves]
        return min((end for end in ends if end is not None), default=None)

    def _end(self, leaf: bytes) -> datetime | None:
        name = sha256(leaf).digest()
        if name in self._ends:
            return self._ends.get(name)
        end = _not_after(leaf)
        self._ends.put(name, end)
        return end


def _not_after(leaf: bytes) -> datetime | None:
    """Return notAfter; None where the certificate cannot be read, or costs too much to."""
    try:
        skeleton = skeleton_or_none(leaf, WorkBudget())
    except (MalformedCertificate, TooComplexError):
        return None
    return None if skeleton is None else skeleton.view.not_after
