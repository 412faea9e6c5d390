"""The survey of versions and suites: a plain state machine that yields waves and takes outcomes.

Every suite of every version is offered until it is chosen, or proven to be refused (see inference),
or was offered often enough (see planning). Pure, without IO.
"""

from collections.abc import Iterable, Sequence

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import (
    NO_VARIANTS,
    Variants,
    ecdsa_among,
    opening,
    second_opening,
)
from otpc_policy.engine.survey.planning import WavePlan
from otpc_policy.engine.survey.probe import Outcome, Probe, Purpose
from otpc_policy.tls.answer import Garbage, PlainHttp
from otpc_policy.tls.client_hello import ClientHello

# A server that accepts every suite of every version needs 28. This ends a conversation with a
# server that answers at random.
_WAVES = 40
_Kind = tuple[TlsVersion, bool]


class Survey:
    """One series of waves with one server.

    Alternate next_wave and take until a wave is empty.
    journal: everything so far; readable at every moment.
    """

    def __init__(self, server_name: str | None, variants: Variants = NO_VARIANTS) -> None:
        self._server_name, self._variants = server_name, variants
        self.journal = Journal()

    def next_wave(self) -> tuple[Probe[ClientHello], ...]:
        """Return the hellos to send now, all at once; none when nothing more can be learned."""
        journal = self.journal
        if journal.waves == 0:
            return opening(self._server_name, self._variants)
        if journal.waves >= _WAVES or not _speaks_tls(journal):
            return ()
        if not journal.versions:
            if journal.waves > 1:
                return ()
            old_versions = WavePlan(journal, self._server_name, self._variants).old_versions()
            return (*second_opening(self._server_name), *old_versions)
        return WavePlan(journal, self._server_name, self._variants).probes()

    def confirmation(self) -> tuple[Probe[ClientHello], ...]:
        """Return the hellos to send once more, with no other connection open.

        They are refused hellos of the later waves, except lanes. If one is accepted now, that
        contradicts its refusal and makes the server unsteady. Closing controls are sent alone, so
        they cannot show that a server refuses concurrent connections; the first wave can. If it was
        accepted in part for one kind of hello, everything is asked again. If it was refused as a
        whole for some kinds and accepted for others, only the refused kinds are.
        """
        fates: dict[_Kind, set[bool]] = {}
        for record in self.journal.records:
            if record.wave == 0:
                fates.setdefault(_kind(record.hello), set()).add(record.chose)
        is_patchy = any(len(fate) > 1 for fate in fates.values())
        refused_kinds = {kind for kind, fate in fates.items() if True not in fate}
        if not is_patchy and len(refused_kinds) in (0, len(fates)):
            return ()
        refused = (
            record.hello
            for record in self.journal.records
            if record.wave
            and record.refused
            and record.probe.purpose is not Purpose.LANE
            and (is_patchy or _kind(record.hello) in refused_kinds)
        )
        return tuple(
            Probe(hello=hello, purpose=Purpose.CONFIRMATION) for hello in dict.fromkeys(refused)
        )

    def take(self, probes: Sequence[Probe[ClientHello]], outcomes: Iterable[Outcome]) -> None:
        """Record the outcomes of a wave, in the order of its probes."""
        self.journal.add(probes, outcomes)


def _kind(hello: ClientHello) -> _Kind:
    """Return what hellos of the first wave share if they differ only in their last suite."""
    return hello.version, bool(ecdsa_among(hello.cipher_suites[-1:]))


def _speaks_tls(journal: Journal) -> bool:
    """Some connection was made and was not answered in another protocol."""
    connected = [record for record in journal.records if record.outcome.connected]
    return any(not isinstance(record.outcome.answer, PlainHttp | Garbage) for record in connected)
