"""All partners of one load, found by host and port in two look-ups however many there are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from otpc_policy.catalog.partners.document import PartnerDocument
from otpc_policy.catalog.partners.entry import EndpointPattern, Partner
from otpc_policy.endpoint import DEFAULT_PORT
from otpc_policy.errors import ConfigurationError

_Place = tuple[PartnerDocument, Partner, int]
_Key = tuple[str, int]


class PartnerIndex:
    """Partners by endpoint. documents: what they were read from.

    Raises ConfigurationError if two patterns mean the same endpoint or two entries have one id, with both places.
    """

    def __init__(self, documents: Sequence[PartnerDocument] = ()) -> None:
        exact: dict[_Key, _Place] = {}
        wildcards: dict[_Key, _Place] = {}
        problems = [
            *_same_ids(documents),
            *_enter(documents, exact, wildcards),
            *_under_wildcards(exact, wildcards),
        ]
        if problems:
            raise ConfigurationError(problems)
        self.documents = tuple(documents)
        self.partners: Sequence[Partner] = tuple(
            partner for document in documents for partner in document.partners
        )
        self._exact: Mapping[_Key, Partner] = {
            key: partner for key, (_, partner, _) in exact.items()
        }
        self._wildcards: Mapping[_Key, Partner] = {
            key: partner for key, (_, partner, _) in wildcards.items()
        }

    def __len__(self) -> int:
        return len(self.partners)

    def find(self, host: str, port: int) -> Partner | None:
        """Return the partner whose endpoint this is. host: canonical. A wildcard stands for exactly one label."""
        found = self._exact.get((host, port))
        return found if found is not None else self._wildcards.get((_parent(host), port))

    def find_by_name(self, server_name: str) -> Partner | None:
        """Return the partner that a name alone leads to: the one of its port 443, else the only one that names it in endpoints or server_names.

        None where several do: their agreements differ, and nobody said which port is meant.
        """
        found = self.find(server_name, DEFAULT_PORT)
        if found is not None:
            return found
        ids = self._by_name.get(server_name, frozenset()) | self._by_name.get(
            "*." + _parent(server_name), frozenset()
        )
        return self.partners[next(iter(ids))] if len(ids) == 1 else None

    @cached_property
    def _by_name(self) -> Mapping[str, frozenset[int]]:
        """Positions of partners by the hosts, wildcards and server names that they list. Few ask, so it is made for the first who does."""
        positions: defaultdict[str, set[int]] = defaultdict(set)
        for position, partner in enumerate(self.partners):
            for pattern in partner.endpoints:
                positions["*." + pattern.host if pattern.is_wildcard else pattern.host].add(
                    position
                )
            for name in partner.server_names:
                positions[name].add(position)
        return {name: frozenset(found) for name, found in positions.items()}


def _parent(host: str) -> str:
    return host.partition(".")[2]


def _enter(
    documents: Iterable[PartnerDocument], exact: dict[_Key, _Place], wildcards: dict[_Key, _Place]
) -> Iterable[str]:
    for document in documents:
        for partner in document.partners:
            for at, pattern in enumerate(partner.endpoints):
                known = wildcards if pattern.is_wildcard else exact
                place = (document, partner, at)
                if (other := known.setdefault((pattern.host, pattern.port), place)) is not place:
                    yield _overlap(place, other)


def _under_wildcards(
    exact: Mapping[_Key, _Place], wildcards: Mapping[_Key, _Place]
) -> Iterable[str]:
    if not wildcards:
        return
    for (host, port), place in exact.items():
        if (other := wildcards.get((_parent(host), port))) is not None:
            yield _overlap(place, other)


def _overlap(first: _Place, second: _Place) -> str:
    return f"{_named(first)}: {_pattern(first)} overlaps {_pattern(second)} at {_named(second)}; an endpoint belongs to one pattern of one partner"


def _pattern(place: _Place) -> EndpointPattern:
    _, partner, at = place
    return partner.endpoints[at]


def _named(place: _Place) -> str:
    document, partner, at = place
    return document.place_of(partner, "endpoints", at)


def _same_ids(documents: Iterable[PartnerDocument]) -> Iterable[str]:
    known: dict[str, tuple[PartnerDocument, Partner]] = {}
    for document in documents:
        for partner in document.partners:
            entry = (document, partner)
            first, of = known.setdefault(partner.id, entry)
            if of is not partner:
                yield f"{document.place_of(partner, 'id')}: id: {partner.id!r} is also the id of the entry at {first.place_of(of, 'id')}"
