"""Which of these suites does a server take? A planner without IO: it yields offers and is sent their outcomes.

Elimination: offer a chunk, take away what is chosen, offer the rest again, until the rest is refused. A refusal
counts only between controls that the server accepts: hellos of the same shape with a suite in them that is known to be
good. So a server that begins to refuse, reset, stall or drip for reasons of its own leaves UNKNOWN, never NO.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

from otpc_policy.facts import Evidence, TlsVersion
from otpc_policy.scan.evidence import Observation, Reaction, observe
from otpc_policy.scan.handshake import HandshakeOffer, HandshakeOutcome

# Some servers ignore suites beyond the 64th of a hello (F5 K14758 and others); controls append one.
CHUNK = 60
# A close without an alert must be seen so often, alternating with controls.
_CLOSES = 3

Plan = Generator[HandshakeOffer, HandshakeOutcome, None]


@dataclass(frozen=True, slots=True)
class KnownGood:
    """A hello shape and a suite that the server accepts in it."""

    offer: HandshakeOffer
    suite: int


@dataclass(slots=True, kw_only=True)
class Question:
    """One chunk of suites at one version, and what is known about them so far; readable at every moment.

    offer: the shape, with the whole chunk. once: stop at the first acceptance (the question is about the key type).
    remaining: offered and not accepted. accepted: outcomes of those accepted, by suite. absence: proves that all of remaining are
    refused; NONE while nothing does. settled: asking again cannot add anything. broken_control: a control failed, so the server
    refuses without regard to what is offered. remarks: for people.
    """

    offer: HandshakeOffer
    once: bool = False
    remaining: list[int] = field(init=False)
    accepted: dict[int, HandshakeOutcome] = field(default_factory=dict)
    version_accepted: bool = False
    absence: Evidence = Evidence.NONE
    settled: bool = False
    broken_control: bool = False
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.remaining = list(self.offer.cipher_suites)

    @property
    def known_good(self) -> KnownGood | None:
        """What this question itself has found to be accepted."""
        return KnownGood(self.offer, next(reversed(self.accepted))) if self.accepted else None

    def ask(self, known_good: Sequence[KnownGood] = ()) -> Plan:
        """Plan the handshakes that settle the question.

        known_good: shapes to control with while this question has none of its own, nearest first. Without any, a refusal
        leaves the question unsettled; ask again when something is known.
        """
        control = self.known_good
        if control is None and known_good:
            control = yield from self._first_that_works(known_good)
            if control is None:
                self.settled = True
                return
        while self.remaining and not self.settled:
            seen = self._note((yield self._probe()))
            if seen.reaction is Reaction.ACCEPTED:
                control = self.known_good or control
            elif seen.reaction in (Reaction.REFUSED, Reaction.CLOSED):
                if control is None:
                    return
                yield from self._confirm(seen, control)
            else:
                self.absence = Evidence.LOWER_VERSION if seen.reaction is Reaction.LOWER_VERSION else Evidence.NONE
                self.settled = True
        self.settled = True

    def _probe(self) -> HandshakeOffer:
        return replace(self.offer, cipher_suites=tuple(self.remaining))

    def _note(self, outcome: HandshakeOutcome) -> Observation:
        """Take down what the outcome of a probe says."""
        seen = observe(self._probe(), outcome)
        if outcome.offered:
            self.remaining = [suite for suite in self.remaining if suite in outcome.offered]
        if seen.reaction is Reaction.NOTHING_OFFERED:
            self.remaining = []
        self._accept(seen, outcome)
        if seen.remark:
            self.remarks.append(seen.remark)
        return seen

    def _accept(self, seen: Observation, outcome: HandshakeOutcome) -> None:
        if seen.reaction is not Reaction.ACCEPTED:
            return
        fresh = [suite for suite in seen.suites if suite in self.remaining]
        self.version_accepted = True
        self.accepted.update(dict.fromkeys(fresh, outcome))
        self.remaining = [suite for suite in self.remaining if suite not in fresh]
        # One ServerHello of SSL 2 lists all that is shared. An acceptance of nothing new would go on for ever.
        self.settled = self.settled or self.once or not fresh or seen.version is TlsVersion.SSL_2_0

    def _first_that_works(self, known_good: Sequence[KnownGood]) -> Generator[HandshakeOffer, HandshakeOutcome, KnownGood | None]:
        for candidate in known_good:
            reaction = yield from self._control(candidate)
            if reaction is Reaction.ACCEPTED:
                return candidate
            if reaction is Reaction.UNPROVEN:
                break  # silence costs a whole deadline, and another shape would meet it too
        self.broken_control = True
        return None

    def _control(self, good: KnownGood) -> Generator[HandshakeOffer, HandshakeOutcome, Reaction]:
        """Offer what remains together with the good suite; return what the server does."""
        suites = tuple(suite for suite in self.remaining if suite != good.suite)
        offer = replace(good.offer, cipher_suites=(*suites, good.suite))
        outcome = yield offer
        seen = observe(offer, outcome)
        if seen.reaction is Reaction.ACCEPTED and seen.version is self.offer.version and offer.key_type is self.offer.key_type:
            fresh = tuple(suite for suite in seen.suites if suite in self.remaining)
            if fresh:
                self._accept(replace(seen, suites=fresh), outcome)
        return seen.reaction

    def _confirm(self, seen: Observation, control: KnownGood) -> Plan:
        """Settle a refusal between controls, unless a control shows that something of it is accepted after all."""
        asked = list(self.remaining)
        refusals = 1
        only_alerts = seen.reaction is Reaction.REFUSED
        while True:
            if (yield from self._control(control)) is not Reaction.ACCEPTED:
                self.broken_control = self.settled = True
                return
            if self.remaining != asked or self.settled:
                return
            if only_alerts or refusals == _CLOSES:
                self.absence = Evidence.ALERT if only_alerts else Evidence.CLOSED_CONFIRMED
                self.settled = True
                return
            again = self._note((yield self._probe()))
            if again.reaction is Reaction.ACCEPTED:
                return
            if again.reaction not in (Reaction.REFUSED, Reaction.CLOSED):
                self.settled = True
                return
            refusals += 1
