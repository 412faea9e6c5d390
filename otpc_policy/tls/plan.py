"""What to offer next, given what was seen. A plain state machine without IO: it yields waves of hellos and takes their outcomes.

Every suite of every version is asked for until it is chosen, or proven to be refused (see proof), or was asked for often enough (see wave).
"""

from collections.abc import Collection, Iterable, Sequence

from otpc_policy.facts import KeyType, TlsVersion
from otpc_policy.tls.answer import Garbage, PlainHttp
from otpc_policy.tls.offers import ecdsa_among, opening, second_opening
from otpc_policy.tls.probe import Outcome, Probe, Purpose
from otpc_policy.tls.proof import Log
from otpc_policy.tls.wave import Wave

# A server of every suite of every version needs 28; this ends a conversation with one that answers by chance.
_WAVES = 40


class Survey:
    """One series of waves with one server.

    Alternate next_wave and take until a wave is empty. log: everything so far; readable at every moment.
    """

    def __init__(self, server_name: str | None) -> None:
        self._server_name = server_name
        self.log = Log()

    def next_wave(self, obtained: Collection[KeyType] = ()) -> tuple[Probe, ...]:
        """Return the hellos to send now, all at once; none when nothing more can be learned.

        obtained: key types of which a handshake of TLS 1.3 has brought the certificate, so that nobody need ask whether there is one.
        """
        log = self.log
        if log.waves == 0:
            return opening(self._server_name)
        if log.waves >= _WAVES or not _speaks_tls(log):
            return ()
        if not log.versions:
            return (*second_opening(self._server_name), *Wave(log, self._server_name).old_versions()) if log.waves == 1 else ()
        return Wave(log, self._server_name).probes(obtained)

    @property
    def is_patchy(self) -> bool:
        """Of hellos that differ in their last suite alone, the first wave had some accepted and others not.

        Servers with few suites look so, and servers that turn away what comes beside a few other connections: the controls that are sent last
        have those to themselves, and would not show it.
        """
        fates: dict[tuple[TlsVersion, bool], set[bool]] = {}
        for record in self.log.records:
            if record.wave == 0:
                hello = record.probe.hello
                fates.setdefault((hello.version, bool(ecdsa_among(hello.cipher_suites[-1:]))), set()).add(record.chose)
        return any(len(fate) > 1 for fate in fates.values())

    def confirmation(self) -> tuple[Probe, ...]:
        """Return every hello behind the first wave that was refused, lanes left out, to be sent once more with the server to itself.

        What is accepted then contradicts the refusal, and makes the server unsteady.
        """
        refused = (record.probe for record in self.log.records if record.wave and record.refused and record.probe.purpose is not Purpose.LANE)
        return tuple({probe.hello: Probe(hello=probe.hello, purpose=Purpose.CONFIRMATION) for probe in refused}.values())

    def take(self, probes: Sequence[Probe], outcomes: Iterable[Outcome]) -> None:
        """Take down what came of a wave; outcomes in the order of its probes."""
        self.log.add(probes, outcomes)


def _speaks_tls(log: Log) -> bool:
    """Some connection was made, and not all that were answered were answered in another protocol."""
    connected = [record for record in log.records if record.outcome.connected]
    return any(not isinstance(record.outcome.answer, PlainHttp | Garbage) for record in connected)
