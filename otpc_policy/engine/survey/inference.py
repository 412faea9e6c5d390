"""What a journal proves. Pure.

A refusal counts only between controls: accepted hellos of the same shape, one in an earlier wave
and one sent after the refusal arrived. For a list of suites the second control is the same list
with a good suite appended; for a version it is a hello at the nearest accepted version. So a
server that begins to refuse, reset, stall or drip for reasons of its own leaves UNKNOWN, never NO.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile

from otpc_policy.core.facts import Evidence, TlsVersion
from otpc_policy.engine.survey.absence import (
    CLOSES,
    Refusal,
    Refused,
    absent,
    absent_by_family,
    absent_with_both,
    seen_often,
)
from otpc_policy.engine.survey.journal import LONG_LIST, Journal
from otpc_policy.engine.survey.offers import ecdsa_among, family_of
from otpc_policy.engine.survey.probe import Ending, Record
from otpc_policy.engine.survey.reading import PROTOCOL_VERSION, Reaction
from otpc_policy.tls.client_hello import PLAIN, ClientHello, GroupList, HelloStyle, HelloVariant

# One refusal may be one of those that an unsteady server gives to any hello.
_TO_BE_DISLIKED = 2


class Inference:
    """What the refusals in one journal prove, at each moment. Results are kept until it grows."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        # The first element of each key is the number of waves that the result rests on.
        self._absences: dict[tuple[int, TlsVersion], Mapping[int, Evidence]] = {}
        self._counted: dict[tuple[int, TlsVersion, GroupList], Refused] = {}
        self._lists: dict[tuple[int, TlsVersion], tuple[Refusal, ...]] = {}

    def absences(self, version: TlsVersion) -> Mapping[int, Evidence]:
        """Return the suites that are proven to be refused at a version, each with its evidence.

        At an accepted version a refusal counts for a family only as absence.absent_by_family says.
        A version of which nothing is accepted is refused as a whole; below TLS 1.3 with both lists
        of groups (see GroupList). Whether the server is steady (see contradictions) is for the
        caller to establish.
        """
        key = (self._journal.waves, version)
        if key not in self._absences:
            self._absences[key] = self._find_absences(version)
        return self._absences[key]

    def _find_absences(self, version: TlsVersion) -> Mapping[int, Evidence]:
        knows_groups = TlsVersion.TLS_1_0 <= version <= TlsVersion.TLS_1_2
        if self._is_accepted(version):
            return absent_by_family(self._refused_lists(version), knows_groups)
        found = self.refusals(version, groups=GroupList.WIDE)
        if not knows_groups or all(map(_is_free_of_groups, self._journal.refused(version))):
            return found
        return absent_with_both(
            self._refused_with(version, GroupList.WIDE),
            self._refused_with(version, GroupList.FINITE_FIELD),
        )

    def _is_accepted(self, version: TlsVersion) -> bool:
        """Suites were chosen at this version one by one, which SSL 2 does not do."""
        return self._journal.has_chosen(version) and version is not TlsVersion.SSL_2_0

    def is_refused(self, hello: ClientHello) -> bool:
        """A list of the same families and groups that contains the hello's suites was refused.

        It was refused by an alert, or closed in enough waves.
        """
        families = frozenset(map(family_of, hello.cipher_suites))
        waves = set()
        for refusal in self._refused_lists(hello.version):
            names_groups = hello.groups is GroupList.FINITE_FIELD
            has_groups = refusal.names_groups in (None, names_groups)
            has_suites = refusal.suites.issuperset(hello.cipher_suites)
            has_families = families == frozenset(map(family_of, refusal.suites))
            if has_groups and has_suites and has_families:
                waves.add(refusal.wave)
                if refusal.alerted:
                    return True
        return len(waves) >= CLOSES

    def refusals(self, version: TlsVersion, *, groups: GroupList) -> Mapping[int, Evidence]:
        """Return the suites proven to be refused with these groups, whatever else was offered."""
        return absent(self._refused_with(version, groups))

    def _refused_with(self, version: TlsVersion, groups: GroupList) -> Refused:
        key = (self._journal.waves, version, groups)
        if key not in self._counted:
            names_groups = groups is GroupList.FINITE_FIELD
            refusals = [
                refusal
                for refusal in self._refused_lists(version)
                if refusal.names_groups in (None, names_groups)
            ]
            alerted = tuple(refusal.suites for refusal in refusals if refusal.alerted)
            closed = seen_often([(refusal.wave, refusal.suites) for refusal in refusals])
            self._counted[key] = Refused(alerted, closed)
        return self._counted[key]

    def _refused_lists(self, version: TlsVersion) -> tuple[Refusal, ...]:
        """Return the refusals that count."""
        key = (self._journal.waves, version)
        if key not in self._lists:
            self._lists[key] = tuple(
                _refusal(record)
                for record in self._journal.refused(version)
                if self._counts(record)
            )
        return self._lists[key]

    def _counts(self, record: Record[ClientHello]) -> bool:
        is_long = record.hello.listed_count > LONG_LIST
        may_be_unread = is_long and self._journal.is_deaf_to_long_lists
        lacks_name = self._lacks_name(record.hello)
        return not lacks_name and not may_be_unread and self._is_bracketed(record)

    def _lacks_name(self, hello: ClientHello) -> bool:
        """The hello has no server name although others of its version have one.

        Its refusal may come from a proxy that routes by name, and proves nothing about the server.
        """
        return hello.server_name is None and any(
            record.hello.version is hello.version and record.hello.server_name is not None
            for record in self._journal.records
        )

    def has_control_before(self, hello: ClientHello) -> bool:
        """A control for the hello was accepted in a wave before the one being planned."""
        return any(self._is_control(good, hello) for good in self._journal.accepted)

    def _is_bracketed(self, record: Record[ClientHello]) -> bool:
        """A control was accepted in a wave before the refusal, and another was sent after it."""
        accepted = self._journal.accepted
        before = any(
            good.wave < record.wave and self._is_control(good, record.hello) for good in accepted
        )
        not_before = takewhile(lambda good: good.wave >= record.wave, reversed(accepted))
        return before and any(self._is_control_after(good, record) for good in not_before)

    def _is_control_after(self, good: Record[ClientHello], record: Record[ClientHello]) -> bool:
        if not good.is_sent_after(record) or not self._is_control(good, record.hello):
            return False
        is_about_suites = self._is_accepted(record.hello.version)
        return (
            not is_about_suites
            or record.offered <= good.offered
            or self._cannot_carry_a_good_suite(record)
        )

    def _cannot_carry_a_good_suite(self, record: Record[ClientHello]) -> bool:
        """All suites are ECDSA, and the server accepts no ECDSA suite that could be appended.

        A server that prefers its ECDSA certificate accepts no other suite in a hello that also
        offers ECDSA suites (see offers.families_at).
        """
        accepted = self._journal.chosen(record.hello.version)
        return ecdsa_among(record.offered) == record.offered and not ecdsa_among(accepted)

    def _is_control(self, good: Record[ClientHello], hello: ClientHello) -> bool:
        """An accepted hello has the shape of another and is no shorter."""
        has_version = good.reading.version is hello.version
        if not has_version and self._journal.has_chosen(hello.version):
            return False
        if hello.version is TlsVersion.SSL_2_0:
            return True
        # With as many suites, every other style is longer than BARE.
        has_shape = hello.style is HelloStyle.BARE or (
            hello.style is good.hello.style and hello.variant is good.hello.variant
        )
        return has_shape and len(good.offered) >= len(hello.cipher_suites)


def contradictions(journal: Journal, *earlier: Journal) -> Iterator[Record[ClientHello]]:
    """Yield the hellos that were not accepted although an equivalent one was.

    Such a hello contains a suite that the server accepts in a hello of the same shape that is no
    shorter; or of a shape that differs only in its variant. A variant that was refused whenever it
    was sent, at least twice, is disliked, which is no contradiction. A server with any
    contradiction is unsteady: none of its refusals counts.
    earlier: journals of the same server, for what it accepted in them.
    """
    accepted: dict[tuple[object, ...], list[Record[ClientHello]]] = {}
    for survey in (*earlier, journal):
        for good in survey.accepted:
            accepted.setdefault(good.hello.shape[:-1], []).append(good)
    disliked = _disliked_variants((*earlier, journal))
    for record in journal.records:
        is_disliked = record.hello.variant in disliked
        of_shape = () if is_disliked else accepted.get(record.hello.shape[:-1], ())
        if not record.chose and _is_contradicted(record, of_shape):
            yield record


def _disliked_variants(journals: Iterable[Journal]) -> set[HelloVariant]:
    full = [
        record
        for journal in journals
        for record in journal.records
        if record.hello.style is HelloStyle.FULL
    ]
    refused = Counter(record.hello.variant for record in full if not record.chose)
    liked = {record.hello.variant for record in full if record.chose}
    often = {variant for variant, times in refused.items() if times >= _TO_BE_DISLIKED}
    return often - liked - {PLAIN}


def _is_contradicted(record: Record[ClientHello], accepted: Sequence[Record[ClientHello]]) -> bool:
    """An accepted hello contradicts the record. accepted: all of this shape."""
    suspects = [
        good
        for good in accepted
        if not record.offered.isdisjoint(good.reading.suites)
        and len(record.offered) <= len(good.offered)
    ]
    if not suspects or record.outcome.ending is Ending.NOT_RUN:
        return False
    # Some servers never read past the 64th suite: how far were hellos of this shape read?
    read_to = max(LONG_LIST, 1 + max(map(_last_place_chosen, accepted)))
    return any(_contradicts(record, good, read_to) for good in suspects)


def _contradicts(record: Record[ClientHello], good: Record[ClientHello], read_to: int) -> bool:
    suites = record.hello.listed_suites[:read_to]
    both = {suite for suite in good.reading.suites if suite in suites}
    if not both:
        return False
    # A server that prefers its ECDSA certificate may refuse its other suites in a hello that also
    # offers ECDSA suites (see offers.families_at).
    mixes_ecdsa = bool(ecdsa_among(record.offered))
    return bool(ecdsa_among(both)) or not mixes_ecdsa or bool(ecdsa_among(good.offered))


def _last_place_chosen(good: Record[ClientHello]) -> int:
    return max(map(good.hello.listed_suites.index, good.reading.suites), default=0)


def _refusal(record: Record[ClientHello]) -> Refusal:
    names_groups = record.hello.groups is GroupList.FINITE_FIELD
    return Refusal(
        wave=record.wave,
        suites=_covered(record),
        alerted=record.reading.reaction is Reaction.REFUSED,
        names_groups=None if _is_free_of_groups(record) else names_groups,
    )


def _is_free_of_groups(record: Record[ClientHello]) -> bool:
    """The refusal is not about groups: it is about the version, or the hello has no groups."""
    return record.reading.alert == PROTOCOL_VERSION or record.hello.style is HelloStyle.BARE


def _covered(record: Record[ClientHello]) -> frozenset[int]:
    """Return the suites that a refusal is about.

    In a hello with ECDSA suites it is about these alone, unless it is about the version, or the
    hello has no signature schemes (see offers.families_at).
    """
    if record.reading.alert == PROTOCOL_VERSION or record.hello.version < TlsVersion.TLS_1_2:
        return record.offered
    return ecdsa_among(record.offered) or record.offered
