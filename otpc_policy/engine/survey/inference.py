"""What a series of answers proves together. Pure.

A refusal counts only between controls: hellos of the same shape that the server accepted, one in an earlier wave and one that was sent
after the refusal came. For a list of suites the second control is the same list with a good suite behind it; for a version, a hello
at the nearest version that is accepted. So a server that begins to refuse, reset, stall or drip for reasons of its own leaves UNKNOWN, never NO.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from otpc_policy.core.facts import Evidence, TlsVersion
from otpc_policy.engine.survey.absence import CLOSES, Refusal, Refused, absent, absent_by_family, absent_with_both, seen_often
from otpc_policy.engine.survey.offers import ecdsa_among, family_of
from otpc_policy.engine.survey.probe import Ending, Outcome, Probe, Purpose, Record, read_record
from otpc_policy.engine.survey.reading import PROTOCOL_VERSION, Reaction
from otpc_policy.tls.client_hello import ClientHello, GroupList, HelloStyle

# Some servers ignore the suites behind the 64th, or the 128th, of a hello (F5 K14758 and others).
LONG_LIST = 64


class Log:
    """Everything that was asked and answered in one survey, in order.

    accepted: the records that chose.
    is_deaf_to_long_lists: a long list with a good suite at its end was not accepted; of no such list is it known that it was read to its end.
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
        self._asked: dict[ClientHello, list[Reaction]] = {}
        self._absences: dict[TlsVersion, Mapping[int, Evidence]] = {}
        self._refusals: dict[tuple[TlsVersion, GroupList], Refused] = {}
        self._lists: dict[TlsVersion, tuple[Refusal, ...]] = {}

    def add(self, probes: Sequence[Probe[ClientHello]], outcomes: Iterable[Outcome]) -> None:
        """Take down a wave."""
        for probe, outcome in zip(probes, outcomes, strict=True):
            self._add(read_record(self.waves, probe, outcome))
        self.waves += 1
        self._refusals.clear()
        self._absences.clear()
        self._lists.clear()

    def _add(self, record: Record[ClientHello]) -> None:
        hello, reading = record.hello, record.reading
        self.records.append(record)
        self._asked.setdefault(hello, []).append(reading.reaction)
        if record.refused:
            self._refused.setdefault(hello.version, []).append(record)
        if record.chose and reading.version is not None:
            self.accepted.append(record)
            if reading.version is not hello.version:
                self._passed_over.update(version for version in TlsVersion if reading.version < version <= hello.version)
            of_version = self._chosen.setdefault(reading.version, {})
            for suite in reading.suites:
                of_version.setdefault(suite, record)
        elif record.wave and len(record.offered) > LONG_LIST:
            # The first wave is left out: what is good was not known then.
            if record.probe.purpose in (Purpose.CONTROL, Purpose.CLOSING_CONTROL):
                self.is_deaf_to_long_lists = True
            if reading.reaction is Reaction.UNPROVEN:
                self.unproven_long_lists.add(hello.version)

    def chosen(self, version: TlsVersion) -> Mapping[int, Record[ClientHello]]:
        """Return the suites that the server chose at a version, each with its first record."""
        return self._chosen.get(version, {})

    def refused(self, version: TlsVersion) -> Sequence[Record[ClientHello]]:
        """Return the hellos with this as their highest version that were refused, or closed."""
        return self._refused.get(version, ())

    @property
    def versions(self) -> frozenset[TlsVersion]:
        """Versions that the server chose."""
        return frozenset(self._chosen)

    def reactions(self, hello: ClientHello) -> Sequence[Reaction]:
        """Return what came of it whenever exactly this was offered."""
        return self._asked.get(hello, ())

    def is_passed_over(self, version: TlsVersion) -> bool:
        """The version was offered, and a lower one was chosen."""
        return version in self._passed_over

    def contradictions(self, *earlier: "Log") -> Iterator[Record[ClientHello]]:
        """Yield hellos that were not accepted though they hold a suite that the server accepts in a hello of the same shape and no shorter.

        earlier: surveys of the same server, for what it accepted in them.
        """
        accepted: dict[tuple[object, ...], list[Record[ClientHello]]] = {}
        for log in (*earlier, self):
            for good in log.accepted:
                accepted.setdefault(good.hello.shape, []).append(good)
        for record in self.records:
            if not record.chose and _is_contradicted(record, accepted.get(record.hello.shape, ())):
                yield record

    def absences(self, version: TlsVersion) -> Mapping[int, Evidence]:
        """Return the suites that are proven to be refused at a version, each with what proves it.

        Over a version that is accepted a refusal counts for a family only as absence.absent_by_family says. A version of which nothing is accepted is
        refused as a whole; below TLS 1.3 with both lists of groups (see GroupList). Whether the server is steady (see contradictions) is for the caller.
        """
        if version not in self._absences:
            self._absences[version] = self._find_absences(version)
        return self._absences[version]

    def _find_absences(self, version: TlsVersion) -> Mapping[int, Evidence]:
        knows_groups = TlsVersion.TLS_1_0 <= version <= TlsVersion.TLS_1_2
        if version in self._chosen and version is not TlsVersion.SSL_2_0:
            return absent_by_family(self._refused_lists(version), knows_groups)
        found = self.refusals(version, groups=GroupList.WIDE)
        if not knows_groups or all(map(_is_free_of_groups, self.refused(version))):
            return found
        return absent_with_both(self._counted(version, GroupList.WIDE), self._counted(version, GroupList.FINITE_FIELD))

    def is_refused(self, hello: ClientHello) -> bool:
        """A list of the same families with all suites of the hello was refused with its groups, by an alert or often enough."""
        families = frozenset(map(family_of, hello.cipher_suites))
        waves = set()
        for refusal in self._refused_lists(hello.version):
            has_groups = refusal.names_groups in (None, hello.groups is GroupList.FINITE_FIELD)
            if has_groups and refusal.suites.issuperset(hello.cipher_suites) and families == frozenset(map(family_of, refusal.suites)):
                waves.add(refusal.wave)
                if refusal.alerted:
                    return True
        return len(waves) >= CLOSES

    def refusals(self, version: TlsVersion, *, groups: GroupList) -> Mapping[int, Evidence]:
        """Return the suites that are proven to be refused in hellos that name these groups, whatever stood beside them."""
        return absent(self._counted(version, groups))

    def _counted(self, version: TlsVersion, groups: GroupList) -> Refused:
        key = (version, groups)
        if key not in self._refusals:
            names_groups = groups is GroupList.FINITE_FIELD
            lists = [one for one in self._refused_lists(version) if one.names_groups in (None, names_groups)]
            alerted = tuple(one.suites for one in lists if one.alerted)
            self._refusals[key] = Refused(alerted, seen_often([(one.wave, one.suites) for one in lists]))
        return self._refusals[key]

    def _refused_lists(self, version: TlsVersion) -> tuple[Refusal, ...]:
        """Return the refusals that count."""
        if version not in self._lists:
            self._lists[version] = tuple(
                Refusal(
                    wave=record.wave,
                    suites=_covered(record),
                    alerted=record.reading.reaction is Reaction.REFUSED,
                    names_groups=None if _is_free_of_groups(record) else record.hello.groups is GroupList.FINITE_FIELD,
                )
                for record in self.refused(version)
                if not self._lacks_name(record.hello) and not (self.is_deaf_to_long_lists and len(record.offered) > LONG_LIST) and self._is_bracketed(record)
            )
        return self._lists[version]

    def _lacks_name(self, hello: ClientHello) -> bool:
        """The hello names no server, and others of its version do: a routing proxy's refusal of it says nothing of the server."""
        return hello.server_name is None and any(record.hello.version is hello.version and record.hello.server_name is not None for record in self.records)

    def has_control_before(self, hello: ClientHello) -> bool:
        """A hello of the same shape, and as long, was accepted in an earlier wave than the one to come."""
        return any(self._is_control(good, hello) for good in self.accepted)

    def _is_bracketed(self, record: Record[ClientHello]) -> bool:
        """An accepted hello of the same shape came before the refusal, and one was sent behind it."""
        hello = record.hello
        before = any(good.wave < record.wave and self._is_control(good, hello) for good in self.accepted)
        not_before = takewhile(lambda good: good.wave >= record.wave, reversed(self.accepted))
        return before and any(self._controls_behind(good, record) for good in not_before)

    def _controls_behind(self, good: Record[ClientHello], record: Record[ClientHello]) -> bool:
        is_later = good.wave > record.wave or (good.wave == record.wave and good.probe.is_last and not record.probe.is_last)
        if not is_later or not self._is_control(good, record.hello):
            return False
        hello = record.hello
        is_about_suites = hello.version in self._chosen and hello.version is not TlsVersion.SSL_2_0
        return not is_about_suites or record.offered <= good.offered or self._cannot_carry_a_good_suite(record)

    def _cannot_carry_a_good_suite(self, record: Record[ClientHello]) -> bool:
        """A server that prefers its ECDSA certificate accepts none of its suites beside others of that family (see offers.families_at)."""
        return ecdsa_among(record.offered) == record.offered and not ecdsa_among(self.chosen(record.hello.version))

    def _is_control(self, good: Record[ClientHello], hello: ClientHello) -> bool:
        """An accepted hello is of the shape of another."""
        if good.reading.version is not hello.version and hello.version in self._chosen:
            return False
        if hello.version is TlsVersion.SSL_2_0:
            return True
        # With as many suites, every other style is longer than BARE.
        has_style = hello.style in (HelloStyle.BARE, good.hello.style)
        return has_style and len(good.offered) >= len(hello.cipher_suites)


def _is_contradicted(record: Record[ClientHello], accepted: Sequence[Record[ClientHello]]) -> bool:
    """A hello was not accepted though it holds what was chosen from another of its shape, which is no shorter. accepted: all of this shape."""
    suspects = [good for good in accepted if not record.offered.isdisjoint(good.reading.suites) and len(record.offered) <= len(good.offered)]
    if not suspects or record.outcome.ending is Ending.NOT_RUN:
        return False
    # Some servers never look behind the 64th suite: how far were hellos of this shape read?
    read_to = max(LONG_LIST, 1 + max(map(_last_place_chosen, accepted)))
    return any(_contradicts(record, good, read_to) for good in suspects)


def _contradicts(record: Record[ClientHello], good: Record[ClientHello], read_to: int) -> bool:
    suites = record.hello.cipher_suites[:read_to]
    both = {suite for suite in good.reading.suites if suite in suites}
    if not both:
        return False
    # A server that prefers its ECDSA certificate may fail beside suites of that family (see offers.families_at).
    return bool(ecdsa_among(both)) or not ecdsa_among(record.offered) or bool(ecdsa_among(good.offered))


def _last_place_chosen(good: Record[ClientHello]) -> int:
    return max(map(good.hello.cipher_suites.index, good.reading.suites), default=0)


def _is_free_of_groups(record: Record[ClientHello]) -> bool:
    """The refusal cannot be about the groups: it is about the version, or the hello names none."""
    return record.reading.alert == PROTOCOL_VERSION or record.hello.style is HelloStyle.BARE


def _covered(record: Record[ClientHello]) -> frozenset[int]:
    """Return what a refusal is about.

    Beside ECDSA suites it says nothing of the others, unless it is about the version, or the hello names no signature schemes (see offers.families_at).
    """
    if record.reading.alert == PROTOCOL_VERSION or record.hello.version < TlsVersion.TLS_1_2:
        return record.offered
    return ecdsa_among(record.offered) or record.offered
