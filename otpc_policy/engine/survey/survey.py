"""What to offer next, given what was seen. A plain state machine without IO: it yields waves of hellos and takes their outcomes.

Every suite of every version is asked for until it is chosen, or proven to be refused (see proof), or was asked for often enough (see wave).
"""

from collections.abc import Iterable, Sequence

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import ecdsa_among, opening, second_opening
from otpc_policy.engine.survey.planning import WavePlan
from otpc_policy.engine.survey.probe import Outcome, Probe, Purpose
from otpc_policy.tls.answer import Garbage, PlainHttp
from otpc_policy.tls.client_hello import ClientHello

# A server of every suite of every version needs 28; this ends a conversation with one that answers by chance.
_WAVES = 40
_Kind = tuple[TlsVersion, bool]


class Survey:
    """One series of waves with one server.

    Alternate next_wave and take until a wave is empty. journal: everything so far; readable at every moment.
    """

    def __init__(self, server_name: str | None) -> None:
        self._server_name = server_name
        self.journal = Journal()

    def next_wave(self) -> tuple[Probe[ClientHello], ...]:
        """Return the hellos to send now, all at once; none when nothing more can be learned."""
        journal = self.journal
        if journal.waves == 0:
            return opening(self._server_name)
        if journal.waves >= _WAVES or not _speaks_tls(journal):
            return ()
        if not journal.versions:
            return (*second_opening(self._server_name), *WavePlan(journal, self._server_name).old_versions()) if journal.waves == 1 else ()
        return WavePlan(journal, self._server_name).probes()

    def confirmation(self) -> tuple[Probe[ClientHello], ...]:
        """Return hellos behind the first wave that were refused, lanes left out, to be sent once more with the server to itself.

        What is accepted then contradicts the refusal, and makes the server unsteady. The controls that are sent last have the server to themselves,
        too: they would not show that it turns away what comes beside a few other connections. The first wave does. Where such a server may have
        accepted a part of the hellos of one kind, everything is asked again; where it refused all of a kind and accepted others, this kind.
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
            if record.wave and record.refused and record.probe.purpose is not Purpose.LANE and (is_patchy or _kind(record.hello) in refused_kinds)
        )
        return tuple(Probe(hello=hello, purpose=Purpose.CONFIRMATION) for hello in dict.fromkeys(refused))

    def take(self, probes: Sequence[Probe[ClientHello]], outcomes: Iterable[Outcome]) -> None:
        """Take down what came of a wave; outcomes in the order of its probes."""
        self.journal.add(probes, outcomes)


def _kind(hello: ClientHello) -> _Kind:
    """Return what the hellos of the first wave share that differ in their last suite alone."""
    return hello.version, bool(ecdsa_among(hello.cipher_suites[-1:]))


def _speaks_tls(journal: Journal) -> bool:
    """Some connection was made, and not all that were answered were answered in another protocol."""
    connected = [record for record in journal.records if record.outcome.connected]
    return any(not isinstance(record.outcome.answer, PlainHttp | Garbage) for record in connected)
