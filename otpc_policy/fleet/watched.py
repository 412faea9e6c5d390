"""Which endpoints are watched under one generation of the catalog, and what ends in their entries.

Only endpoints that can be named are: a wildcard stands for hosts that nobody has listed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.entry import Partner
from otpc_policy.catalog.partners.deadlines import DeadlineKind, deadlines
from otpc_policy.core.endpoint import Endpoint, parse_endpoint


@dataclass(frozen=True, slots=True)
class Watched:
    """An endpoint, and whose entry names it; None for one of the settings that none names."""

    endpoint: Endpoint
    partner: Partner | None

    @property
    def partner_id(self) -> str:
        """The partner's id, "" for none."""
        return "" if self.partner is None else self.partner.id


class WatchedUnder:
    """What is watched under a generation. ordered: the names; the others are in that order."""

    def __init__(
        self, generation: Catalog, *, with_partners: bool, endpoints: Iterable[Endpoint]
    ) -> None:
        self.generation = generation
        found = {
            str(endpoint): Watched(endpoint, generation.partners.find(endpoint.host, endpoint.port))
            for endpoint in endpoints
        }
        for partner in generation.partners.partners if with_partners else ():
            for pattern in partner.endpoints:
                if not pattern.is_wildcard:
                    endpoint = parse_endpoint(pattern.host, pattern.port)
                    found[str(endpoint)] = Watched(endpoint, partner)
        self.by_name: Mapping[str, Watched] = {name: found[name] for name in sorted(found)}
        self.ordered: Sequence[str] = tuple(self.by_name)
        by_partner: defaultdict[str, list[str]] = defaultdict(list)
        for name, watched in self.by_name.items():
            by_partner[watched.partner_id].append(name)
        self.by_partner: Mapping[str, Sequence[str]] = dict(by_partner)


def next_end(partner: Partner | None, kind: DeadlineKind, now: datetime) -> datetime | None:
    """Return the next end of a kind in a partner's entry; None if nothing of it will end."""
    if partner is None:
        return None
    ends = (each.ends_at for each in deadlines(partner) if each.kind is kind)
    return min((at for at in ends if at > now), default=None)
