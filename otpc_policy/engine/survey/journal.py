"""The record of one survey: what was asked and what was answered, in order. Pure.

The journal indexes its records and draws no conclusion from a refusal: what the answers prove
together is for `inference`, what to ask next for `planning`.
"""

from collections.abc import Iterable, Mapping, Sequence

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.survey.probe import Outcome, Probe, Purpose, Record, read_record
from otpc_policy.engine.survey.reading import Reaction
from otpc_policy.tls.client_hello import ClientHello

# Some servers ignore the cipher suites after the 64th, or the 128th (F5 K14758 and others).
LONG_LIST = 64


class Journal:
    """Everything that was asked and answered in one survey, in order.

    records: all of them; accepted: those in which the server chose a suite.
    waves: how many were added.
    is_deaf_to_long_lists: a long list that ended with a good suite was not accepted, so the server
    may not have read any such list to its end.
    unproven_long_lists: versions at which the answer to a long list proved nothing.
    """

    def __init__(self) -> None:
        self.records: list[Record[ClientHello]] = []
        self.accepted: list[Record[ClientHello]] = []
        self.waves = 0
        self.is_deaf_to_long_lists = False
        self.unproven_long_lists: set[TlsVersion] = set()
        self._refused: dict[TlsVersion, list[Record[ClientHello]]] = {}
        self._passed_over: set[TlsVersion] = set()
        self._chosen: dict[TlsVersion, dict[int, Record[ClientHello]]] = {}
        self._reactions: dict[ClientHello, list[Reaction]] = {}

    def add(self, probes: Sequence[Probe[ClientHello]], outcomes: Iterable[Outcome]) -> None:
        """Record a wave; outcomes in the order of its probes."""
        for probe, outcome in zip(probes, outcomes, strict=True):
            self._add(read_record(self.waves, probe, outcome))
        self.waves += 1

    def _add(self, record: Record[ClientHello]) -> None:
        hello, reading = record.hello, record.reading
        self.records.append(record)
        self._reactions.setdefault(hello, []).append(reading.reaction)
        if record.refused:
            self._refused.setdefault(hello.version, []).append(record)
        if record.chose and reading.version is not None:
            self._add_choice(record, reading.version)
        elif record.wave and record.hello.listed_count > LONG_LIST:
            # The first wave does not count: which suites are good was not known then.
            if record.probe.purpose in (Purpose.CONTROL, Purpose.CLOSING_CONTROL):
                self.is_deaf_to_long_lists = True
            if reading.reaction is Reaction.UNPROVEN:
                self.unproven_long_lists.add(hello.version)

    def _add_choice(self, record: Record[ClientHello], chosen: TlsVersion) -> None:
        self.accepted.append(record)
        if chosen is not record.hello.version:
            higher = (version for version in TlsVersion if chosen < version <= record.hello.version)
            self._passed_over.update(higher)
        first_records = self._chosen.setdefault(chosen, {})
        for suite in record.reading.suites:
            first_records.setdefault(suite, record)

    def chosen(self, version: TlsVersion) -> Mapping[int, Record[ClientHello]]:
        """Return the suites that the server chose at a version, each with its first record."""
        return self._chosen.get(version, {})

    def refused(self, version: TlsVersion) -> Sequence[Record[ClientHello]]:
        """Return the refused or closed hellos whose highest version is this one."""
        return self._refused.get(version, ())

    @property
    def versions(self) -> frozenset[TlsVersion]:
        """Versions that the server chose."""
        return frozenset(self._chosen)

    def has_chosen(self, version: TlsVersion) -> bool:
        """The server chose this version."""
        return version in self._chosen

    def reactions(self, hello: ClientHello) -> Sequence[Reaction]:
        """Return how the server reacted each time exactly this hello was sent."""
        return self._reactions.get(hello, ())

    def is_passed_over(self, version: TlsVersion) -> bool:
        """The version was offered, and a lower one was chosen."""
        return version in self._passed_over
