"""Answers that may be given again, without asking everything anew.

An answer from the cache is a function of the request, the generation, what is known of the host,
and time: it is the kept judgement of these facts, as long as that holds. Two such answers to one
request differ in nothing else. So an answer stands while

- the generation is the same object: policies, partners, trust, and what question they make of the
  request;
- the resolver has the same resolution at hand, the same object, within its time to live;
- the same engines would measure its addresses, and the store has the same facts under every key
  that serves, by their names; it is asked each time, so facts that are forgotten, replaced or
  evicted end the answer at once;
- CRLs say the same of every judged leaf, by the numbers of the changes;
- the clock is within the span of the judgement, which ends with the facts' lifetime and with the
  first instant at which time alone changes the verdict (a certificate or a CRL that expires, a
  waiver that ends), and the facts are within the max_age of the request;
- the service is not closing.

All of this is asked for each answer, and the check itself would ask no more. Only answers of that
kind can be repeated: those to requests that report a leaf or demand a measurement, those that ask
the caller to come again, and those on stale resolutions or stale facts are left to the check.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from otpc_policy.catalog.context import Catalog
from otpc_policy.check.basis import Basis
from otpc_policy.check.freshness import Freshness
from otpc_policy.check.values import Answer, CheckRequest, Judgement


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """What an answer from the cache rests on. Holds no facts, so the store alone bounds them."""

    generation: Catalog
    freshness: Freshness
    judgement: Judgement
    basis: Basis

    @classmethod
    def of(cls, answer: Answer, request: CheckRequest, generation: Catalog) -> Self | None:
        """Return what an answer to this request rests on; None if it cannot be repeated."""
        basis = answer.basis
        if basis is None or basis.resolution.is_stale:
            return None
        if request.observed_leaf is not None or answer.retry_after is not None:
            return None
        return cls(
            generation=generation,
            freshness=request.freshness,
            judgement=answer.judgement,
            basis=basis,
        )


def still_answers(judgement: Judgement, freshness: Freshness, now: datetime) -> bool:
    """Tell whether a kept judgement holds, and is fresh enough for a caller."""
    if not judgement.judged_at <= now < judgement.expires_at:
        return False
    max_age, observed_at = freshness.max_age, judgement.observed_at
    return max_age is None or observed_at is None or now - observed_at <= max_age
