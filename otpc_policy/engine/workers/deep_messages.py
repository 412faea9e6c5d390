"""What is asked of the process that carries out one DEEP scan, and what it reports.

Values, and their JSON; never pickle. The process has read bytes of a hostile server, so its
reports are read strictly, or they are lies: lengths before anything is allocated, types, known
words, counts, sizes, and the target that was asked about. The JSON parser limits nesting.
"""

import dataclasses
import json
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, Final

from pydantic_core import SchemaValidator, ValidationError

from otpc_policy.core.addresses import VettedAddress, vet_again
from otpc_policy.core.facts import ClientAuth, DeepCommand, Support, TlsVersion
from otpc_policy.core.facts_form import schema_of
from otpc_policy.engine.client_certificates import ClientCredentials
from otpc_policy.engine.egress.proxy import EgressProxy
from otpc_policy.engine.survey.probe import Ending
from otpc_policy.engine.workers.handshake import Target
from otpc_policy.engine.workers.worker_lied import WorkerLied
from otpc_policy.tls.clear_flight import ClearFlight

# A command has at most 100 jobs (the suites of TLS 1.2), and a job at most twenty connections.
_MAX_PARTS: Final = 512
_MAX_TRACES: Final = 4096
_MAX_TEXTS: Final = 32
_MAX_TEXT_CHARACTERS: Final = 500
# That there were some is all that counts.
_MAX_ALERTS: Final = 8
LONGEST_REPORT: Final = 2 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepTask:
    """One DEEP scan of one address.

    server_name: None sends no SNI. cipher_suites: names that OpenSSL uses, proven to be accepted,
    by version. connections: open at the same time. deadline_s: of the whole scan.
    connection_deadline_s, connection_bytes: of one connection. credentials: presented on every one
    whose server asks for a client certificate. proxy: that all connections go through.
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
    credentials: ClientCredentials | None = None
    proxy: EgressProxy | None = None

    @property
    def target(self) -> Target:
        """What every report must name."""
        return Target(address=self.address.text, port=self.port, server_name=self.server_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One connection. ending: ANSWERED if we closed it. completed: both Finished messages passed.

    offers_compression: our hello did.
    """

    connected: bool
    ending: Ending
    completed: bool
    offers_compression: bool
    flight: ClearFlight


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One job of a command. name: suite, curve or test. said: in sslyze's words.

    claim: what sslyze concludes, UNKNOWN if it raised.
    """

    name: str
    claim: Support
    said: tuple[str, ...] = ()
    traces: tuple[Trace, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A command that ended.

    command: None for a control, a handshake that is known to be good, which is the only part then.
    completed: sslyze made a result. claim: that result, if it is one word. said: the result in
    sslyze's words.
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
    if task.credentials is not None:
        fields["credentials"] = asdict(task.credentials)
    if task.proxy is not None:
        fields["proxy"] = asdict(task.proxy)
    return json.dumps(fields, default=lambda enum: enum.value).encode()


def decode_task(message: bytes) -> DeepTask:
    """Return the request, whose address is vetted once more. Raises ValueError."""
    fields: dict[str, Any] = json.loads(message)
    fields["address"] = vet_again(fields["address"], fields.pop("opened"))
    fields["commands"] = tuple(map(DeepCommand, fields["commands"]))
    fields["cipher_suites"] = tuple(
        (TlsVersion(version), tuple(names)) for version, names in fields["cipher_suites"]
    )
    fields["client_auth"] = ClientAuth(fields["client_auth"])
    if fields["credentials"] is not None:
        fields["credentials"] = ClientCredentials(**fields["credentials"])
    if fields["proxy"] is not None:
        fields["proxy"] = EgressProxy(**fields["proxy"])
    return DeepTask(**fields)


def encode_report(report: Report, target: Target) -> bytes:
    """Return one report; texts and alerts are cut to what may be sent."""
    parts = tuple(map(_fitting, report.parts))
    fields = {
        "target": asdict(target),
        "report": asdict(replace(report, said=_cut(report.said), parts=parts)),
    }
    return json.dumps(fields, default=lambda enum: enum.value).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Message:
    target: Target
    report: Report


def decode_report(message: bytes, target: Target) -> Report:
    """Return one report. message: within LONGEST_REPORT. Raises WorkerLied."""
    try:
        said: _Message = _validator().validate_json(message)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise WorkerLied(f"report: {first['type']}") from None
    if said.target != target:
        raise WorkerLied("target: not the one that was asked about")
    report = said.report
    texts = [report.said, *(text for part in report.parts for text in (part.name, *part.said))]
    codes = [
        code
        for trace in report.traces
        for code in (*trace.flight.alerts, trace.flight.refusal or 0)
    ]
    faults = {
        "parts": len(report.parts) > _MAX_PARTS,
        "traces": len(report.traces) > _MAX_TRACES,
        "said": any(len(part.said) > _MAX_TEXTS for part in report.parts),
        "text": max(map(len, texts)) > _MAX_TEXT_CHARACTERS,
        "alerts": any(len(trace.flight.alerts) > _MAX_ALERTS for trace in report.traces),
        "alert": not all(0 <= code <= 255 for code in codes),
    }
    for field, is_wrong in faults.items():
        if is_wrong:
            raise WorkerLied(f"report: {field}: impossible")
    return report


@cache
def _validator() -> SchemaValidator:
    return SchemaValidator(schema_of(_Message))


def _fitting(part: Part) -> Part:
    return replace(
        part,
        said=tuple(map(_cut, part.said[:_MAX_TEXTS])),
        traces=tuple(map(_shortened, part.traces)),
    )


def _shortened(trace: Trace) -> Trace:
    alerts = trace.flight.alerts[:_MAX_ALERTS]
    return replace(trace, flight=replace(trace.flight, alerts=alerts))


def _cut(text: str) -> str:
    return text[:_MAX_TEXT_CHARACTERS]
