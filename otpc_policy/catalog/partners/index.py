"""All partners of one load, found by host and port in two look-ups however many there are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from otpc_policy.catalog.entry import EndpointPattern, Partner
from otpc_policy.catalog.partners.document import PartnerDocument
from otpc_policy.core.endpoint import DEFAULT_PORT
from otpc_policy.core.errors import ConfigurationError

# A pattern of a partner: its document, the partner, and its position in the entry.
_Place = tuple[PartnerDocument, Partner, int]
# Host and port; the host of a wildcard is what follows the label.
_Key = tuple[str, int]


class PartnerIndex:
    """Partners by endpoint. documents: what they were read from.

    Raises ConfigurationError with both places if two patterns match one endpoint, or two entries
    have one id.
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
        self._exact = {key: partner for key, (_, partner, _) in exact.items()}
        self._wildcards = {key: partner for key, (_, partner, _) in wildcards.items()}
        self._listing = _by_listed_names(self.partners)

    def __len__(self) -> int:
        return len(self.partners)

    def find(self, host: str, port: int) -> Partner | None:
        """Return the partner of an endpoint. host: canonical. A wildcard matches one label."""
        found = self._exact.get((host, port))
        return found if found is not None else self._wildcards.get((_parent(host), port))

    def listing(self, server_name: str, port: int) -> Sequence[Partner]:
        """Return the partners that list a name in server_names and have an endpoint at the port."""
        return self._listing.get((server_name, port), ())

    def find_by_name(self, server_name: str) -> Partner | None:
        """Return the partner of a name without a port.

        It is the one of the name's port 443, or else the only one that has the name in endpoints or
        server_names. None if several have: their agreements differ, and no port was given.
        """
        found = self.find(server_name, DEFAULT_PORT)
        if found is not None:
            return found
        exact, wildcard = server_name, "*." + _parent(server_name)
        positions = self._by_name.get(exact, _NONE) | self._by_name.get(wildcard, _NONE)
        return self.partners[next(iter(positions))] if len(positions) == 1 else None

    @cached_property
    def _by_name(self) -> Mapping[str, frozenset[int]]:
        """Positions of partners by hosts, wildcards and server names; built on first use."""
        positions: defaultdict[str, set[int]] = defaultdict(set)
        for position, partner in enumerate(self.partners):
            for pattern in partner.endpoints:
                host = "*." + pattern.host if pattern.is_wildcard else pattern.host
                positions[host].add(position)
            for name in partner.server_names:
                positions[name].add(position)
        return {name: frozenset(found) for name, found in positions.items()}


_NONE: frozenset[int] = frozenset()


def _parent(host: str) -> str:
    return host.partition(".")[2]


def _by_listed_names(partners: Iterable[Partner]) -> Mapping[_Key, Sequence[Partner]]:
    """Return partners by the names in server_names, at each port of their endpoints."""
    listing: defaultdict[_Key, list[Partner]] = defaultdict(list)
    for partner in partners:
        ports = {pattern.port for pattern in partner.endpoints} if partner.server_names else ()
        for port in ports:
            for name in partner.server_names:
                listing[name, port].append(partner)
    return dict(listing)


def _enter(
    documents: Iterable[PartnerDocument],
    exact: dict[_Key, _Place],
    wildcards: dict[_Key, _Place],
) -> Iterable[str]:
    """Fill both tables and yield the patterns that are in one twice."""
    for document in documents:
        for partner in document.partners:
            for at, pattern in enumerate(partner.endpoints):
                known = wildcards if pattern.is_wildcard else exact
                place = (document, partner, at)
                other = known.setdefault((pattern.host, pattern.port), place)
                if other is not place:
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
    return (
        f"{_place_of(first)}: {_pattern(first)} overlaps {_pattern(second)} at "
        f"{_place_of(second)}; an endpoint belongs to one pattern of one partner"
    )


def _pattern(place: _Place) -> EndpointPattern:
    _, partner, at = place
    return partner.endpoints[at]


def _place_of(place: _Place) -> str:
    document, partner, at = place
    return document.place_of(partner, "endpoints", at)


def _same_ids(documents: Iterable[PartnerDocument]) -> Iterable[str]:
    known: dict[str, tuple[PartnerDocument, Partner]] = {}
    for document in documents:
        for partner in document.partners:
            first_document, first = known.setdefault(partner.id, (document, partner))
            if first is not partner:
                yield (
                    f"{document.place_of(partner, 'id')}: id: {partner.id!r} is also the id of "
                    f"the entry at {first_document.place_of(first, 'id')}"
                )
