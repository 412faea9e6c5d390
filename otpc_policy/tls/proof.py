"""What a series of answers proves together. Pure.

A refusal counts only between controls: hellos of the same shape that the server accepted, one in an earlier wave and one that was sent
after the refusal came. For a list of suites the second control is the same list with a good suite behind it; for a version, a hello
at the nearest version that is accepted. So a server that begins to refuse, reset, stall or drip for reasons of its own leaves UNKNOWN, never NO.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from otpc_policy.facts import Evidence, KeyType, TlsVersion
from otpc_policy.tls.client_hello import ClientHello, GroupList, HelloStyle
from otpc_policy.tls.offers import ecdsa_among
from otpc_policy.tls.probe import Ending, Outcome, Probe, Purpose
from otpc_policy.tls.reading import PROTOCOL_VERSION, Reaction, Reading, read_answer

# A close without an alert must be seen so often, alternating with controls.
CLOSES = 3
_WEAKNESS = (Evidence.ALERT, Evidence.CLOSED_CONFIRMED)
# Some servers ignore the suites behind the 64th, or the 128th, of a hello (F5 K14758 and others).
LONG_LIST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One probe, what came of it, and what that says alone. wave: counts from 0. offered: its suites, for look-up. shape: all else of its hello."""

    wave: int
    probe: Probe
    outcome: Outcome
    reading: Reading
    offered: frozenset[int] = field(repr=False)
    shape: ClientHello = field(repr=False)

    @property
    def chose(self) -> bool:
        """The server chose something that was offered."""
        return self.reading.reaction is Reaction.CHOSE

    @property
    def refused(self) -> bool:
        """The server refused or closed, which counts only between controls."""
        return self.reading.reaction in (Reaction.REFUSED, Reaction.CLOSED)


class Log:
    """Everything that was asked and answered in one survey, in order.

    is_deaf_to_long_lists: a long list with a good suite at its end was not accepted; of no such list is it known that it was read to its end.
    """

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.waves = 0
        self.is_deaf_to_long_lists = False
        self._goods: list[Record] = []
        self._chosen: dict[TlsVersion, dict[int, Record]] = {}
        self._asked: dict[ClientHello, list[Reaction]] = {}
        self._absences: dict[tuple[TlsVersion, KeyType | None], Mapping[int, Evidence]] = {}
        self._refusals: dict[tuple[TlsVersion, KeyType | None, GroupList], Mapping[int, Evidence]] = {}

    def add(self, probes: Sequence[Probe], outcomes: Iterable[Outcome]) -> None:
        """Take down a wave."""
        for probe, outcome in zip(probes, outcomes, strict=True):
            offered = frozenset(probe.hello.cipher_suites)
            reading = _read(probe, outcome, offered)
            shape = replace(probe.hello, cipher_suites=())
            record = Record(wave=self.waves, probe=probe, outcome=outcome, reading=reading, offered=offered, shape=shape)
            self.records.append(record)
            self._asked.setdefault(probe.hello, []).append(reading.reaction)
            # The first wave is left out: what is good was not known then.
            if record.wave and not record.chose and probe.purpose in (Purpose.CONTROL, Purpose.CLOSING_CONTROL) and len(offered) > LONG_LIST:
                self.is_deaf_to_long_lists = True
            if record.chose and reading.version is not None:
                self._goods.append(record)
                of_version = self._chosen.setdefault(reading.version, {})
                for suite in reading.suites:
                    of_version.setdefault(suite, record)
        self.waves += 1
        self._refusals.clear()
        self._absences.clear()

    def chosen(self, version: TlsVersion) -> Mapping[int, Record]:
        """Return the suites that the server chose at a version, each with its first record."""
        return self._chosen.get(version, {})

    @property
    def versions(self) -> frozenset[TlsVersion]:
        """Versions that the server chose."""
        return frozenset(self._chosen)

    def times_asked(self, hello: ClientHello) -> int:
        """Return how often exactly this was offered."""
        return len(self._asked.get(hello, ()))

    def times_unproven(self, hello: ClientHello) -> int:
        """Return how often exactly this was offered and proved nothing."""
        return self._asked.get(hello, []).count(Reaction.UNPROVEN)

    def is_passed_over(self, version: TlsVersion) -> bool:
        """The version was offered, and a lower one was chosen."""
        return any(
            record.chose and record.reading.version is not None and record.reading.version < version <= record.probe.hello.version for record in self.records
        )

    def contradictions(self, *earlier: "Log") -> Iterator[Record]:
        """Yield hellos that were not accepted though they hold a suite that the server accepts in a hello of the same shape and no shorter.

        earlier: surveys of the same server, for what it accepted in them.
        """
        accepted: dict[ClientHello, list[Record]] = {}
        for log in (*earlier, self):
            for record in log._goods:
                accepted.setdefault(record.shape, []).append(record)
        read_to = {shape: max(_last_place_chosen(good) for good in goods) for shape, goods in accepted.items()}
        for record in self.records:
            if not record.chose and any(_contradicts(record, good, read_to[record.shape]) for good in accepted.get(record.shape, ())):
                yield record

    def absences(self, version: TlsVersion, key_type: KeyType | None = None) -> Mapping[int, Evidence]:
        """Return the suites that are proven to be refused at a version, each with what proves it.

        Below TLS 1.3 finite-field suites must be refused with both lists of groups (see GroupList). The hellos that ask for them again ask for
        all of their family, so that one refusal by chance proves nothing of any of these.
        key_type: of hellos with signature schemes of this type alone. Whether the server is steady (see contradictions) is for the caller to see.
        """
        key = (version, key_type)
        if key not in self._absences:
            self._absences[key] = self._find_absences(*key)
        return self._absences[key]

    def _find_absences(self, version: TlsVersion, key_type: KeyType | None) -> Mapping[int, Evidence]:
        if key_type is not None:
            return self.refusals(version, key_type, groups=GroupList.SHARED)
        found = self.refusals(version, groups=GroupList.WIDE)
        if not TlsVersion.TLS_1_0 <= version <= TlsVersion.TLS_1_2:
            return found
        once = ecdsa_among(found)
        again = self.refusals(version, groups=GroupList.FINITE_FIELD)
        return {suite: _weaker(evidence, again.get(suite, evidence)) for suite, evidence in found.items() if suite in once or suite in again}

    def refusals(self, version: TlsVersion, key_type: KeyType | None = None, *, groups: GroupList) -> Mapping[int, Evidence]:
        """Return the suites that are proven to be refused in hellos that name these groups."""
        key = (version, key_type, groups)
        if key not in self._refusals:
            self._refusals[key] = self._find_refusals(*key)
        return self._refusals[key]

    def _find_refusals(self, version: TlsVersion, key_type: KeyType | None, groups: GroupList) -> Mapping[int, Evidence]:
        proven: dict[int, Evidence] = {}
        seen: list[tuple[int, frozenset[int]]] = []
        for record in self.records:
            hello = record.probe.hello
            if not record.refused or hello.version is not version or hello.key_type is not key_type or self._lacks_name(hello):
                continue
            if hello.groups is not groups and not _is_free_of_groups(record):
                continue
            if (self.is_deaf_to_long_lists and len(record.offered) > LONG_LIST) or not self._is_bracketed(record):
                continue
            covered = _covered(record)
            seen.append((record.wave, covered))
            if record.reading.reaction is Reaction.REFUSED:
                proven.update(dict.fromkeys(covered, Evidence.ALERT))
        return {**dict.fromkeys(_seen_often(seen), Evidence.CLOSED_CONFIRMED), **proven}

    def _lacks_name(self, hello: ClientHello) -> bool:
        """The hello names no server, and others of its version do: a routing proxy's refusal of it says nothing of the server."""
        return hello.server_name is None and any(
            record.probe.hello.version is hello.version and record.probe.hello.server_name is not None for record in self.records
        )

    def has_control_before(self, hello: ClientHello) -> bool:
        """A hello of the same shape, and as long, was accepted in an earlier wave than the one to come."""
        return any(self._is_control(good, hello) for good in self._goods)

    def _is_bracketed(self, record: Record) -> bool:
        """An accepted hello of the same shape came before the refusal, and one was sent behind it."""
        hello = record.probe.hello
        before = any(good.wave < record.wave and self._is_control(good, hello) for good in self._goods)
        return before and any(self._controls_behind(good, record) for good in reversed(self._goods))

    def _controls_behind(self, good: Record, record: Record) -> bool:
        is_later = good.wave > record.wave or (good.wave == record.wave and good.probe.is_last and not record.probe.is_last)
        if not is_later or not self._is_control(good, record.probe.hello):
            return False
        hello = record.probe.hello
        if hello.key_type is not None:
            return good.probe.hello.groups is hello.groups
        is_about_suites = hello.version in self._chosen and hello.version is not TlsVersion.SSL_2_0
        return not is_about_suites or record.offered <= good.offered or self._cannot_carry_a_good_suite(record)

    def _cannot_carry_a_good_suite(self, record: Record) -> bool:
        """A server that prefers its ECDSA certificate accepts none of its suites beside others of that family (see offers.families_at)."""
        return ecdsa_among(record.offered) == record.offered and not ecdsa_among(self.chosen(record.probe.hello.version))

    def _is_control(self, good: Record, hello: ClientHello) -> bool:
        """An accepted hello is of the shape of another."""
        if good.reading.version is not hello.version and hello.version in self._chosen:
            return False
        if hello.version is TlsVersion.SSL_2_0:
            return True
        # With as many suites, every other style is longer than BARE.
        has_style = hello.style in (HelloStyle.BARE, good.probe.hello.style)
        return has_style and len(good.offered) >= len(hello.cipher_suites)


def _seen_often(seen: Sequence[tuple[int, frozenset[int]]]) -> list[int]:
    """Return the suites that were turned away in enough waves. seen: waves, and the suites that each turned away."""
    if len({wave for wave, _ in seen}) < CLOSES:
        return []
    waves_of: dict[int, set[int]] = {}
    for wave, suites in seen:
        for suite in suites:
            waves_of.setdefault(suite, set()).add(wave)
    return [suite for suite, waves in waves_of.items() if len(waves) >= CLOSES]


def _weaker(one: Evidence, other: Evidence) -> Evidence:
    return one if one is other else max(one, other, key=_WEAKNESS.index)


def _contradicts(record: Record, good: Record, read_to: int) -> bool:
    """Of two hellos of one shape, the first was not accepted though it holds what was chosen from the second, which is no shorter.

    read_to: the last place from which the server chose in hellos of this shape; some never look behind the 64th.
    """
    if record.outcome.ending is Ending.NOT_RUN or len(record.offered) > len(good.offered):
        return False
    suites = record.probe.hello.cipher_suites
    both = {suite for suite in record.offered.intersection(good.reading.suites) if suites.index(suite) < max(LONG_LIST, read_to + 1)}
    if not both:
        return False
    # A server that prefers its ECDSA certificate may fail beside suites of that family (see offers.families_at).
    return bool(ecdsa_among(both)) or not ecdsa_among(record.offered) or bool(ecdsa_among(good.offered))


def _last_place_chosen(good: Record) -> int:
    return max(map(good.probe.hello.cipher_suites.index, good.reading.suites), default=0)


def _is_free_of_groups(record: Record) -> bool:
    """The refusal cannot be about the groups: it is about the version, or the hello names none."""
    return record.reading.alert == PROTOCOL_VERSION or record.probe.hello.style is HelloStyle.BARE


def _covered(record: Record) -> frozenset[int]:
    """Return what a refusal is about.

    Beside ECDSA suites it says nothing of the others, unless it is about the version, or the hello names no signature schemes (see offers.families_at).
    """
    if record.reading.alert == PROTOCOL_VERSION or record.probe.hello.version < TlsVersion.TLS_1_2:
        return record.offered
    return ecdsa_among(record.offered) or record.offered


def _read(probe: Probe, outcome: Outcome, offered: frozenset[int]) -> Reading:
    closed = outcome.connected and outcome.ending in (Ending.CLOSED, Ending.RESET)
    return read_answer(
        outcome.answer, highest=probe.hello.version, offered=offered, key_type=probe.hello.key_type, closed=closed, otherwise=_otherwise(outcome)
    )


def _otherwise(outcome: Outcome) -> str:
    if outcome.ending is Ending.NOT_RUN:
        return "there was no time to wait for an answer"
    return f"the server did not answer ({outcome.ending.value})" if outcome.connected else f"no TCP connection ({outcome.ending.value})"
