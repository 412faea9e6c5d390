"""What is asked of the process that carries out one DEEP scan, and what it reports. Values, and their JSON; never pickle.

The process has read bytes of a hostile server, so a report is built from known fields and known words only.
"""

import dataclasses
import json
from dataclasses import asdict, dataclass
from typing import Any

from otpc_policy.core.addresses import VettedAddress, vet_again
from otpc_policy.core.facts import ClientAuth, DeepCommand, Support, TlsVersion
from otpc_policy.scan.server_flight import ServerFlight
from otpc_policy.tls.probe import Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepTask:
    """One DEEP scan of one address.

    server_name: None sends no SNI. cipher_suites: names that OpenSSL uses, proven to be accepted, by version.
    connections: open at the same time. deadline_s: of the whole scan. connection_deadline_s, connection_bytes: of one connection.
    """

    address: VettedAddress
    port: int
    server_name: str | None
    commands: tuple[DeepCommand, ...]
    cipher_suites: tuple[tuple[TlsVersion, tuple[str, ...]], ...]
    client_auth: ClientAuth
    connections: int
    deadline_s: float
    connection_deadline_s: float
    connection_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One connection. ending: ANSWERED if we closed it. completed: both Finished messages passed. offers_compression: our hello did."""

    connected: bool
    ending: Ending
    completed: bool
    offers_compression: bool
    flight: ServerFlight


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One job of a command. name: suite, curve or test. claim: what sslyze concludes, UNKNOWN where it raised. said: in sslyze's words."""

    name: str
    claim: Support
    said: tuple[str, ...] = ()
    traces: tuple[Trace, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A command that ended. command: None for a control, a handshake that is known to be good, which is the only part then.

    completed: sslyze made a result. claim: that result, where it is one word. said: the result in sslyze's words.
    """

    command: DeepCommand | None
    completed: bool
    claim: Support
    said: str = ""
    parts: tuple[Part, ...] = ()

    @property
    def traces(self) -> tuple[Trace, ...]:
        """Every connection, in no particular order over parts."""
        return tuple(trace for part in self.parts for trace in part.traces)


def encode_task(task: DeepTask) -> bytes:
    """Return the one request of a DEEP scan."""
    fields = {field.name: getattr(task, field.name) for field in dataclasses.fields(task)}
    fields |= {"address": task.address.text, "opened": task.address.opened}
    return json.dumps(fields, default=lambda enum: enum.value).encode()


def decode_task(message: bytes) -> DeepTask:
    """Return the request, whose address is vetted once more. Raises ValueError."""
    fields: dict[str, Any] = json.loads(message)
    fields["address"] = vet_again(fields["address"], fields.pop("opened"))
    fields["commands"] = tuple(map(DeepCommand, fields["commands"]))
    fields["cipher_suites"] = tuple((TlsVersion(version), tuple(names)) for version, names in fields["cipher_suites"])
    fields["client_auth"] = ClientAuth(fields["client_auth"])
    return DeepTask(**fields)


def encode_report(report: Report) -> bytes:
    """Return one report."""
    return json.dumps(asdict(report), default=lambda enum: enum.value).encode()


def decode_report(message: bytes) -> Report:
    """Return one report. Raises ValueError, KeyError or TypeError where it is none."""
    fields: dict[str, Any] = json.loads(message)
    return Report(
        command=None if fields["command"] is None else DeepCommand(fields["command"]),
        completed=fields["completed"] is True,
        claim=Support(fields["claim"]),
        said=str(fields["said"]),
        parts=tuple(map(_part, fields["parts"])),
    )


def _part(fields: dict[str, Any]) -> Part:
    return Part(name=str(fields["name"]), claim=Support(fields["claim"]), said=tuple(map(str, fields["said"])), traces=tuple(map(_trace, fields["traces"])))


def _trace(fields: dict[str, Any]) -> Trace:
    flight = fields["flight"]
    return Trace(
        connected=fields["connected"] is True,
        ending=Ending(fields["ending"]),
        completed=fields["completed"] is True,
        offers_compression=fields["offers_compression"] is True,
        flight=ServerFlight(
            hello=flight["hello"] is True,
            compression=Support(flight["compression"]),
            secure_renegotiation=Support(flight["secure_renegotiation"]),
            hello_done=flight["hello_done"] is True,
            refusal=None if flight["refusal"] is None else int(flight["refusal"]),
            alerts=tuple(map(int, flight["alerts"])),
        ),
    )
