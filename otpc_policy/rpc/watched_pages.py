"""Pages of watched endpoints, without those that a caller may not see."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from otpc_policy.catalog.access import Permissions
from otpc_policy.catalog.context import Catalog
from otpc_policy.check import (
    NO_RESULT,
    ChangeFeed,
    VerdictChange,
    WatchedEndpoint,
    WatchedEndpoints,
)
from otpc_policy.policy.finding import Decision
from otpc_policy.rpc.authorisation import watched_demand
from otpc_policy.rpc.convert import watched_message
from otpc_policy.turns import turn
from otpc_policy.v1 import policy_pb2 as pb

WATCHED_PAGE: Final = 100
MOST_WATCHED_PAGE: Final = 500
# To ask the roles about one, and to describe it, takes 20 µs.
_AT_ONCE: Final = 100


async def watched_page(
    watched: WatchedEndpoints,
    feed: ChangeFeed | None,
    generation: Catalog,
    permissions: Permissions,
    *,
    partner_id: str,
    after: str,
    size: int,
) -> tuple[Sequence[pb.WatchedEndpoint], str]:
    """Return a page, and the name of its last endpoint if there is more; else "".

    after: the last name of the previous page. feed: of what is published; None where nothing is
    known of it, and what this process has found itself is shown.
    """
    names = watched.names(partner_id)
    page: list[pb.WatchedEndpoint] = []
    last = ""
    for at in range(bisect_right(names, after), len(names), _AT_ONCE):
        async with turn():
            for name in names[at : at + _AT_ONCE]:
                found = watched.endpoint_of(name)
                if found is None or permissions.missing(watched_demand(found[0], generation)):
                    continue
                if len(page) == size:
                    return page, last
                described = watched.describe(name)
                if described is not None:
                    if feed is not None:
                        described = as_published(described, feed.published(name))
                    page.append(watched_message(described))
                    last = name
    return page, ""


def as_published(found: WatchedEndpoint, change: VerdictChange | None) -> WatchedEndpoint:
    """Return what is known of an endpoint with the decision that was published last.

    So nothing is missing between a list and the changes that follow its cursor. Where this process
    has found something else meanwhile, that is published within seconds.
    """
    decision = Decision.INDETERMINATE if change is None else change.decision
    if decision is None or decision is found.decision:
        return found
    if change is None or change.observed_at is None or decision is Decision.INDETERMINATE:
        codes = (NO_RESULT,) if change is None else change.codes
        return replace(found, decision=Decision.INDETERMINATE, codes=codes)
    # Its result has been renewed since by whoever found it, and is not this process's to date.
    return replace(found, decision=decision, codes=change.codes, state=None)
