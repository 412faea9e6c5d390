"""Which groups a server of TLS 1.3 exchanges keys over. Pure, without IO.

Theory of operation
===================

A hello of TLS 1.3 that offers groups and sends no key share cannot be answered with a ServerHello.
A server that accepts one of the groups asks for a share of it with a HelloRetryRequest; a server
that accepts none refuses the hello (RFC 8446 4.1.1, 4.2.8). So no key is ever generated, and groups
can be asked about that nothing here can compute, ML-KEM among them.

Presence is a HelloRetryRequest for a group that was offered, or a proven flight that used one. The
server names one group a connection, so a server that accepts many costs that many connections. The
first hello offers everything that is not known yet. Most servers accept some of it; then its answer
finds a group, and is the first control. Otherwise the next one offers a group that is known to be
accepted, too. Then each kind of group (curves, finite fields, hybrids) is offered alone, because
servers mostly accept several groups of a kind or none. Where a group is found in such a list, the
others of its kind are asked about one by one, all at once, so that a server with many groups costs
few round trips.

Absence needs the proof that absence of suites needs, twice: a refusing alert between two accepted
hellos of the same shape, of which the later one offers the same list and a good group; or three
closes that alternate with such hellos. The second alert answers all groups together that were
refused once, so it costs two connections, and a server that sends alerts at random has to do so at
the right moment twice. Later controls are sent last in each wave. A control that the server answers
with a group of a list that it had refused, or refuses itself, contradicts the refusals: then none
of them counts, and everything that is not accepted is unknown. What answers nothing is asked once
more.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from otpc_policy.core.facts import Evidence, TlsVersion
from otpc_policy.core.registries.groups import (
    CLIENT_CURVES,
    CLIENT_FINITE_FIELDS,
    CLIENT_GROUPS,
    CLIENT_HYBRIDS,
    group_name,
)
from otpc_policy.engine.profiles.clients import ClientProfile, ProfileHello
from otpc_policy.engine.survey.absence import CLOSES
from otpc_policy.engine.survey.probe import Outcome, Probe, Purpose, Record, read_record
from otpc_policy.engine.survey.reading import Reaction
from otpc_policy.tls.answer import Alert, ServerHello

_KINDS = (CLIENT_HYBRIDS, CLIENT_CURVES, CLIENT_FINITE_FIELDS)
# The suites that clients of TLS 1.3 offer, in the order of OpenSSL.
_USUAL_SUITES = (0x1302, 0x1303, 0x1301)
# A close counts when it was seen three times, and one attempt may be lost.
_ATTEMPTS = 4
# An alert counts when it was seen twice, and one may lack its later control.
_ALERTS, _REFUSALS = 2, 3
# An answer that proves nothing is met twice.
_SILENCES = 2
# A server that accepts all groups takes 13 in three waves, one that closes instead of refusing 20
# in six. These end a conversation with one that answers at random; a wave may exceed them.
_WAVES, _CONNECTIONS = 12, 40
_FATAL = 2
# RFC 8446 6: JSSE refuses a hello without a group that it accepts with it.
_UNEXPECTED_MESSAGE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """One hello without a key share, and what its answer proves alone.

    chosen: the group that the server asked for; None unless it was offered.
    remark: for people, how the server broke the protocol.
    """

    record: Record[ProfileHello]
    chosen: int | None
    reaction: Reaction
    remark: str = ""

    @property
    def groups(self) -> tuple[int, ...]:
        """What was offered."""
        return self.record.hello.profile.groups

    @property
    def wave(self) -> int:
        """The wave it was sent in."""
        return self.record.wave

    @property
    def is_question(self) -> bool:
        """It is no control."""
        return self.record.probe.purpose is Purpose.GROUP

    @property
    def is_refused(self) -> bool:
        """The server refused or closed; that counts only between controls."""
        return self.reaction in (Reaction.REFUSED, Reaction.CLOSED)


class GroupSurvey:
    """One series of waves about groups. Alternate next_wave and take until a wave is empty.

    server_name: as of the other surveys. client: in whose shape groups are asked about; of TLS 1.3,
    and best one that the server accepts. suites: of TLS 1.3 that the server accepts; not empty.
    known: groups that the server is known to use. records: in the order in which they were sent.
    """

    def __init__(
        self,
        server_name: str | None,
        *,
        client: ClientProfile,
        suites: Collection[int],
        known: Iterable[int],
    ) -> None:
        self._server_name, self._client = server_name, client
        self._suites = tuple(suite for suite in _USUAL_SUITES if suite in suites) or tuple(
            sorted(suites)
        )
        self._known = tuple(sorted(known))
        self._wave = 0
        # Of the records so far; None until they are asked for.
        self._absences: Mapping[int, Evidence] | None = None
        self.records: list[GroupRecord] = []

    def next_wave(self) -> tuple[Probe[ProfileHello], ...]:
        """Return the hellos to send now, all at once; none when nothing more can be learned."""
        open_groups = self._open()
        is_long = self._wave >= _WAVES or len(self.records) >= _CONNECTIONS
        if not open_groups or is_long or not self.is_steady:
            return ()
        good = self._good()
        if not self._chosen():
            return self._first_control(tuple(open_groups), good)
        lists = [groups for groups in self._lists(open_groups) if self._may_tell_more(groups)]
        if not lists:
            return ()
        asked = [group for groups in lists for group in groups]
        control = _with_last([group for group in CLIENT_GROUPS if group in asked], good)
        return (
            *(self._probe(groups, Purpose.GROUP) for groups in lists),
            self._probe(control, Purpose.CLOSING_CONTROL, is_last=True),
        )

    def take(self, probes: Sequence[Probe[ProfileHello]], outcomes: Iterable[Outcome]) -> None:
        """Record the outcomes of a wave, in the order of its probes."""
        for probe, outcome in zip(probes, outcomes, strict=True):
            self.records.append(_read(read_record(self._wave, probe, outcome)))
        self._wave += 1
        self._absences = None

    @property
    def accepted(self) -> frozenset[int]:
        """Groups that the server asked for, or is known to use."""
        return frozenset((*self._known, *self._chosen()))

    @property
    def is_steady(self) -> bool:
        """The server refused no list with a group that it asked for without a share."""
        chosen = set(self._chosen())
        return not any(
            record.is_refused and not chosen.isdisjoint(record.groups) for record in self.records
        )

    def absences(self) -> Mapping[int, Evidence]:
        """Return the groups that are proven not to be accepted, each with its evidence."""
        if self._absences is None:
            self._absences = self._find_absences() if self.is_steady else {}
        return self._absences

    def _find_absences(self) -> dict[int, Evidence]:
        waves: dict[int, set[int]] = {}
        alerted: dict[int, set[int]] = {}
        for record in self.records:
            if record.is_refused and self._is_bracketed(record):
                for group in record.groups:
                    waves.setdefault(group, set()).add(record.wave)
                    if record.reaction is Reaction.REFUSED:
                        alerted.setdefault(group, set()).add(record.wave)
        closed = (group for group, seen in waves.items() if len(seen) >= CLOSES)
        found = dict.fromkeys(closed, Evidence.CLOSED_CONFIRMED)
        # An alert is stronger.
        refused = (group for group, seen in alerted.items() if len(seen) >= _ALERTS)
        found.update(dict.fromkeys(refused, Evidence.ALERT))
        return {group: evidence for group, evidence in found.items() if group not in self.accepted}

    def _first_control(
        self, open_groups: tuple[int, ...], good: int | None
    ) -> tuple[Probe[ProfileHello], ...]:
        """Return a hello that the server should accept; none if it accepted none of several."""
        for groups, attempts in ((open_groups, 1), (_with_last(open_groups, good), _SILENCES)):
            if len(self._sent(groups)) < attempts:
                return (self._probe(groups, Purpose.GROUP),)
        return ()

    def _open(self) -> list[int]:
        known = {*self.accepted, *self.absences()}
        return [group for group in CLIENT_GROUPS if group not in known]

    def _good(self) -> int | None:
        """Return a group for controls: one that was asked for without a share, if there is one."""
        return next(iter((*self._chosen(), *self._known)), None)

    def _chosen(self) -> list[int]:
        return [record.chosen for record in self.records if record.chosen is not None]

    def _lists(self, open_groups: Sequence[int]) -> Iterator[tuple[int, ...]]:
        """Yield lists of groups that are open.

        What was refused is offered all together. Of the rest each kind is a list, and stands one by
        one where a list of the kind was accepted.
        """
        refused = [record for record in self.records if record.is_refused]
        again = tuple(
            group for group in open_groups if any(group in record.groups for record in refused)
        )
        if again:
            yield again
        for kind in _KINDS:
            left = tuple(group for group in kind if group in open_groups and group not in again)
            is_mixed = any(
                record.chosen is not None and record.is_question and set(record.groups) <= set(kind)
                for record in self.records
            )
            if is_mixed:
                yield from ((group,) for group in left)
            elif left:
                yield left

    def _sent(self, groups: tuple[int, ...]) -> list[GroupRecord]:
        return [record for record in self.records if record.groups == groups]

    def _may_tell_more(self, groups: tuple[int, ...]) -> bool:
        sent = self._sent(groups)
        refused = sum(record.reaction is Reaction.REFUSED for record in sent)
        silent = sum(not record.is_refused for record in sent)
        return len(sent) < _ATTEMPTS and refused < _REFUSALS and silent < _SILENCES

    def _is_bracketed(self, refused: GroupRecord) -> bool:
        """A hello was accepted in an earlier wave, and one with the list was sent afterwards."""
        good = [record for record in self.records if record.chosen is not None]
        return any(record.wave < refused.wave for record in good) and any(
            record.record.is_sent_after(refused.record) and set(record.groups) > set(refused.groups)
            for record in good
        )

    def _probe(
        self, groups: tuple[int, ...], purpose: Purpose, *, is_last: bool = False
    ) -> Probe[ProfileHello]:
        hello = ProfileHello(
            profile=_profile(self._client, self._suites, groups), server_name=self._server_name
        )
        return Probe(hello=hello, purpose=purpose, is_last=is_last)


def _with_last(groups: Sequence[int], last: int | None) -> tuple[int, ...]:
    return (*groups, *((last,) if last is not None and last not in groups else ()))


# Asked for in every wave.
@lru_cache(maxsize=256)
def _profile(
    client: ClientProfile, suites: tuple[int, ...], groups: tuple[int, ...]
) -> ClientProfile:
    """Return the client at TLS 1.3 alone, with these groups and no key share."""
    return replace(
        client,
        name=f"no key share for {', '.join(map(group_name, groups))}",
        lowest=TlsVersion.TLS_1_3,
        listed_suites=suites,
        groups=groups,
        share_groups=(),
    )


def _read(record: Record[ProfileHello]) -> GroupRecord:
    """Interpret an answer to a hello without a key share."""
    answer, groups = record.outcome.answer, record.hello.profile.groups
    if record.chose and isinstance(answer, ServerHello):
        if not answer.is_retry_request or answer.selected_group is None:
            return _violation(record, "the server chose no group although none had a key share")
        if answer.selected_group not in groups:
            name = group_name(answer.selected_group)
            return _violation(record, f"the server chose group {name}, which was not offered")
        return GroupRecord(record=record, chosen=answer.selected_group, reaction=Reaction.CHOSE)
    is_jsse_refusal = answer == Alert(_FATAL, _UNEXPECTED_MESSAGE)
    reaction = Reaction.REFUSED if is_jsse_refusal else record.reading.reaction
    remark = record.reading.remark if record.reading.is_violation else ""
    return GroupRecord(record=record, chosen=None, reaction=reaction, remark=remark)


def _violation(record: Record[ProfileHello], what: str) -> GroupRecord:
    return GroupRecord(
        record=record,
        chosen=None,
        reaction=Reaction.UNPROVEN,
        remark=f"protocol violation: {what}",
    )
