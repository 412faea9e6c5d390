"""The rows of the table: servers that show a fault to some hellos only, and when a row holds.

A row is a property of hellos, a polarity and a fault: a server that is compliant, except to the
hellos that have the property (or have it not). Five faults: TLS 1.0 from an old stack, suites
without encryption over TLS 1.2, expired certificates, only an expired ECDSA certificate in addition
to a good RSA certificate, and certificates for another name. The server reads the hello, whatever
its format and number of records, and answers with one of two real OpenSSL stacks.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from otpc_policy.policy.finding import Decision
from tests.hostile.claims import Truth
from tests.hostile.faults import FAULTS, Fault, Stacks
from tests.hostile.properties import PROPERTIES, Property
from tests.hostile.surveying import Case, Surveyed, Surveyor, objection
from tests.hostile.wider_properties import WIDER_PROPERTIES
from tests.support.hostile.endpoint import serving
from tests.support.hostile.hello import SeenHello
from tests.support.hostile.made_hello import MadeHello
from tests.support.hostile.turns import where
from tests.support.tcp import Behaviour

POLICY = "otpc-2024-12"
ALL_PROPERTIES: tuple[Property, ...] = (*PROPERTIES, *WIDER_PROPERTIES)
TABLE = Path(__file__).with_name("table.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A server that shows the fault to hellos with the property, or to hellos without it."""

    property: Property
    with_property: bool
    fault: Fault

    def __str__(self) -> str:
        if self.property.is_conjunction:
            return f"{self.property.name}-{self.fault.name}"
        polarity = "with" if self.with_property else "without"
        return f"{self.property.name}-{polarity}-{self.fault.name}"

    def is_met_by(self, hello: SeenHello) -> bool:
        """The hello reaches the stack that has the fault."""
        return self.fault.concerns(hello) and self.property.is_had_by(hello) is self.with_property

    def server(self, stacks: Stacks) -> Behaviour:
        """Return the server."""
        return where(self.is_met_by, serving(self.fault.stack(stacks)), serving(stacks.good))

    def hello(self, *, met: bool) -> MadeHello:
        """Return a hello that asks for the fault, from a client that meets it, or does not."""
        has_it = met is self.with_property
        return (self.property.given if has_it else self.property.taken)(self.fault.hello)


def rows_of(properties: Iterable[Property]) -> tuple[Row, ...]:
    """Return the rows of properties: both polarities, every fault."""
    return tuple(
        Row(property=one, with_property=with_property, fault=fault)
        for one, with_property, fault in product(properties, (True, False), FAULTS)
    )


ROWS: tuple[Row, ...] = rows_of(ALL_PROPERTIES)

_NAMELESS = "Clients of this partner name the server (RFC 6066 3): none is shown the certificate."
_NO_GROUPS = "OpenSSL serves the six suites and TLS 1.3 only to clients that send supported_groups."
_TLS13_ONLY = "Only clients of TLS 1.3 send its suites or key shares, and they are given TLS 1.3."
_NEVER_SO_LONG = (
    "A ClientHello exceeds one TCP segment by the key share of a hybrid group, new in TLS 1.3;"
    " no client offers TLS 1.0 or NULL suites alone in so long a hello."
)
# Rows that need not hold, each with a reason that test_discriminator_clients.py shows to be true.
EXPLAINED: Mapping[str, str] = {
    "server-name-without-expired": _NAMELESS,
    "server-name-without-expired-ecdsa": _NAMELESS,
    "server-name-without-other-name": _NAMELESS,
    "no-groups-with-expired": _NO_GROUPS,
    "no-groups-with-expired-ecdsa": _NO_GROUPS,
    "no-groups-with-other-name": _NO_GROUPS,
    "key-share-before-groups-with-tls10": _TLS13_ONLY,
    "key-share-before-groups-with-null": _TLS13_ONLY,
    "begins-with-tls13-with-tls10": _TLS13_ONLY,
    "begins-with-tls13-with-null": _TLS13_ONLY,
    "tls12-before-tls13-with-tls10": _TLS13_ONLY,
    "tls12-before-tls13-with-null": _TLS13_ONLY,
    "over-1460-bytes-with-tls10": _NEVER_SO_LONG,
    "over-1460-bytes-with-null": _NEVER_SO_LONG,
}


def _listed(state: str) -> frozenset[str]:
    """Return the names of rows in a state, from table.toml: those that hold sometimes or never."""
    tables = tomllib.loads(TABLE.read_text(encoding="utf-8"))[state]
    return frozenset(
        f"{name}-{fault}"
        for how_often in ("sometimes", "never")
        for fault, names in tables[how_often].items()
        for name in names
    )


# Rows that did not always hold when the table was last written: some recorded client is shown the
# fault, or none is. They are printed and not asserted; a survey that meets them takes them out.
NOT_YET: frozenset[str] = _listed("not_yet")
NO_CLIENT: frozenset[str] = _listed("no_client")


def twin_name(row: Row) -> str:
    """Return the name of the row's twin; the rows of a property share it."""
    return f"{row.property.name}-twin"


def _twin(row: Row, stacks: Stacks) -> Behaviour:
    """Return a server that tells the same hellos apart, and is compliant to all of them."""
    return where(row.property.is_had_by, serving(stacks.other), serving(stacks.good))


async def survey_rows(
    surveyor: Surveyor,
    stacks: Stacks,
    rows: Sequence[Row],
) -> Mapping[str, Surveyed]:
    """Measure the servers of these rows, and their twins; the results by name."""
    servers = {
        twin_name(row): _twin(row, stacks) for row in rows if not row.property.is_conjunction
    }
    servers |= {str(row): row.server(stacks) for row in rows}
    cases = [Case(name=name, behaviour=one, truth=Truth()) for name, one in servers.items()]
    return await surveyor.survey(*cases)


def failure(row: Row, surveyed: Surveyed) -> str:
    """Return what is wrong with the verdict about the row's server, and what the check met.

    Empty if the row holds.
    """
    wrong = objection(surveyed.verdict, row.fault.code)
    if surveyed.verdict.decision is not Decision.ALLOW:
        return wrong
    met = [one for one in surveyed.seen if one.hello is not None and row.is_met_by(one.hello)]
    shown = sum(map(row.fault.is_shown, met))
    reached = f"of {len(surveyed.seen)} hellos {len(met)} reached the faulty stack"
    return f"{wrong}; {reached}, and {shown} of them were shown the fault"


def twin_failure(row: Row, surveyed: Surveyed) -> str:
    """Return what is wrong with the verdict about the row's twin; empty if nothing is."""
    verdict = surveyed.verdict
    if verdict.decision is Decision.ALLOW:
        return ""
    reasons = "; ".join(finding.message for finding in verdict.findings)
    return f"the twin without the fault is {verdict.decision.value}: {reasons}"


def rows_by_property(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Yield the rows of each property: as many servers as are measured at a time."""
    by_property: dict[str, list[Row]] = {}
    for row in rows:
        by_property.setdefault(row.property.name, []).append(row)
    yield from by_property.values()
