"""What the reports of a DEEP scan prove. Pure.

sslyze fails open: it reports "not vulnerable" for a server that resets, stalls or closes. So its NO
counts only if the command was completed, the connections show that the server went along with the
handshake and then refused what was tried, and the controls before the first and after the last
command succeeded. Everything else is UNKNOWN.
"""

from collections.abc import Mapping, Sequence

from otpc_policy.core.facts import (
    AddressFacts,
    CurveFact,
    DeepCommand,
    DeepFacts,
    Support,
    TlsVersion,
    Vulnerability,
    VulnerabilityFact,
)
from otpc_policy.core.registries.suites import suite_by_code_point, suite_by_name
from otpc_policy.engine.facts.deep_comparison import SuiteClaim
from otpc_policy.engine.survey.absence import CLOSES
from otpc_policy.engine.survey.probe import Ending
from otpc_policy.engine.survey.reading import REFUSING_ALERTS
from otpc_policy.engine.workers.deep_messages import Part, Report, Trace

YES, NO, UNKNOWN = Support.YES, Support.NO, Support.UNKNOWN
_COMMANDS: Mapping[Vulnerability, DeepCommand] = {
    Vulnerability.HEARTBLEED: DeepCommand.HEARTBLEED,
    Vulnerability.ROBOT: DeepCommand.ROBOT,
    Vulnerability.CCS_INJECTION: DeepCommand.OPENSSL_CCS_INJECTION,
    Vulnerability.INSECURE_RENEGOTIATION: DeepCommand.SESSION_RENEGOTIATION,
    Vulnerability.COMPRESSION: DeepCommand.TLS_COMPRESSION,
}
# RFC 7507 4: the only alert that distinguishes a fallback from a version that is not offered.
_INAPPROPRIATE_FALLBACK = 86
_VALID_ROBOT_ANSWERS = 5


class DeepEvidence:
    """The reports of one scan, and the STANDARD facts about the same server.

    commands: those that were requested.
    """

    def __init__(
        self, standard: AddressFacts, commands: Sequence[DeepCommand], reports: Sequence[Report]
    ) -> None:
        self._standard, self._commands = standard, frozenset(commands)
        self._reports = {report.command: report for report in reports if report.command is not None}
        controls = [
            report.completed for report in (*reports[:1], *reports[-1:]) if report.command is None
        ]
        self.steady = len(reports) > 1 and controls == [True, True]
        self.connections_used = sum(
            trace.connected for report in reports for trace in report.traces
        )

    def vulnerabilities(self) -> tuple[VulnerabilityFact, ...]:
        """Return what is known about each."""
        return tuple(
            VulnerabilityFact(vulnerability, self._vulnerability(vulnerability))
            for vulnerability in Vulnerability
        )

    def deep_facts(self) -> DeepFacts:
        """Return the rest; contradictions, duration and remarks are for others to add."""
        return DeepFacts(
            early_data=self._early_data(),
            fallback_scsv=self._fallback_scsv(),
            extended_master_secret=self._handshake_claim(DeepCommand.TLS_EXTENDED_MASTER_SECRET),
            secure_renegotiation=self._secure_renegotiation(),
            client_renegotiation=self._client_renegotiation(),
            curves=self._curves(),
            connections_used=self.connections_used,
        )

    def suite_claims(self) -> tuple[SuiteClaim, ...]:
        """Return every cipher suite about which sslyze proves something."""
        claims = []
        for version in TlsVersion:
            report = self._reports.get(DeepCommand[f"{version.name}_CIPHER_SUITES"])
            for part in report.parts if report is not None else ():
                suite = suite_by_name(part.name)
                support = self._suite_support(version, part)
                if (
                    suite is not None
                    and suite.is_ssl2 == (version is TlsVersion.SSL_2_0)
                    and support is not UNKNOWN
                ):
                    completed = any(trace.completed for trace in part.traces)
                    claims.append(
                        SuiteClaim(
                            version=version,
                            code_point=suite.code_point,
                            support=support,
                            handshake_completed=completed,
                        )
                    )
        return tuple(claims)

    def _suite_support(self, version: TlsVersion, part: Part) -> Support:
        if part.claim is YES:
            answered = any(
                trace.flight.hello or (version is TlsVersion.SSL_2_0 and trace.completed)
                for trace in part.traces
            )
            return YES if answered else UNKNOWN
        refused = part.claim is NO and part.said[:1] and part.said[0].startswith("TLS alert: ")
        return NO if self.steady and refused and _all_refused(part.traces) else UNKNOWN

    def _vulnerability(self, vulnerability: Vulnerability) -> Support:
        command = _COMMANDS[vulnerability]
        if command in self._commands and self._only_tls13():
            # RFC 8446 has no heartbeats in their old form, and no RSA key exchange, renegotiation
            # or compression.
            return NO
        report = self._reports.get(command)
        if report is None:
            return UNKNOWN
        if vulnerability is Vulnerability.COMPRESSION:
            return self._compression(report)
        if not report.completed:
            return UNKNOWN
        match vulnerability:
            case Vulnerability.HEARTBLEED | Vulnerability.CCS_INJECTION:
                return self._provoked(report)
            case Vulnerability.ROBOT:
                return self._robot(report)
        secure, client = self._secure_renegotiation(), self._client_renegotiation()
        return (
            YES
            if secure is NO or client is YES
            else NO
            if (secure, client) == (YES, NO)
            else UNKNOWN
        )

    def _only_tls13(self) -> bool:
        support = {version: self._standard.version(version).support for version in TlsVersion}
        return support.pop(TlsVersion.TLS_1_3) is YES and set(support.values()) == {NO}

    def _provoked(self, report: Report) -> Support:
        """The server was provoked in mid-handshake: it is safe if it refuses to continue."""
        if YES in (report.claim, *(part.claim for part in report.parts)):
            return YES
        (part,) = report.parts
        refused = (
            bool(part.traces)
            and part.traces[-1].flight.hello_done
            and bool(part.traces[-1].flight.alerts)
        )
        return (
            NO
            if self.steady and part.claim is NO and (refused or _closes_confirmed(part.traces))
            else UNKNOWN
        )

    def _robot(self, report: Report) -> Support:
        if report.said == "NOT_VULNERABLE_RSA_NOT_SUPPORTED":
            static_rsa = self._static_rsa()
            return (
                NO
                if self.steady
                and static_rsa is not YES
                and (static_rsa is NO or _all_refused(report.traces))
                else UNKNOWN
            )
        answers = [part.said for part in report.parts]
        if not all(len(said) == _VALID_ROBOT_ANSWERS and all(said) for said in answers):
            return UNKNOWN  # in some attempt the handshake did not even come to the question
        if report.said in ("VULNERABLE_WEAK_ORACLE", "VULNERABLE_STRONG_ORACLE"):
            return YES
        silent = any(
            trace.ending in (Ending.TIMED_OUT, Ending.BYTE_LIMIT, Ending.TUNNEL_CLOSED)
            for trace in report.traces
        )
        return (
            NO
            if self.steady and report.said == "NOT_VULNERABLE_NO_ORACLE" and not silent
            else UNKNOWN
        )

    def _static_rsa(self) -> Support:
        """Return whether the STANDARD measurement found a suite with RSA key exchange."""
        found = {
            UNKNOWN if self._standard.version(version).support is UNKNOWN else NO
            for version in TlsVersion
            if version <= TlsVersion.TLS_1_2
        }
        for fact in self._standard.cipher_suites:
            suite = suite_by_code_point(fact.code_point)
            if suite is not None and suite.iana_name.startswith("TLS_RSA_"):
                found.add(fact.support)
        return YES if YES in found else UNKNOWN if UNKNOWN in found else NO

    def _compression(self, report: Report) -> Support:
        # A ServerHello proves what it chose, whether or not the handshake came to its end.
        chosen = {trace.flight.compression for trace in report.traces}
        if report.claim is YES or YES in chosen:
            return YES
        asked = all(trace.offers_compression for trace in report.traces)
        return (
            NO
            if self.steady and report.completed and report.claim is NO and chosen == {NO} and asked
            else UNKNOWN
        )

    def _secure_renegotiation(self) -> Support:
        part = self._part(DeepCommand.SESSION_RENEGOTIATION, "secure")
        seen = (
            {trace.flight.secure_renegotiation for trace in part.traces if trace.completed}
            if part is not None
            else set()
        )
        return part.claim if part is not None and seen == {part.claim} else UNKNOWN

    def _client_renegotiation(self) -> Support:
        part = self._part(DeepCommand.SESSION_RENEGOTIATION, "client")
        if part is None or not part.traces or not part.traces[0].completed:
            return UNKNOWN
        if part.claim is YES:
            return YES
        refused = (
            part.said[:1] == ("0",)
            and part.said[-1].startswith("OpenSSLError: ")
            and part.traces[-1].ending not in (Ending.TIMED_OUT, Ending.TUNNEL_CLOSED)
        )
        never_accepted = part.said[:1] == ("0",) and _closes_confirmed(part.traces)
        return NO if self.steady and part.claim is NO and (refused or never_accepted) else UNKNOWN

    def _early_data(self) -> Support:
        report = self._reports.get(DeepCommand.TLS_1_3_EARLY_DATA)
        if report is None or not report.completed:
            return UNKNOWN
        if report.claim is YES:
            return YES
        if self._standard.version(TlsVersion.TLS_1_3).support is NO:
            return NO
        undisturbed = (
            len(report.traces) > 1
            and report.traces[0].completed
            and all(trace.ending is Ending.ANSWERED for trace in report.traces)
        )
        return NO if self.steady and undisturbed else UNKNOWN

    def _fallback_scsv(self) -> Support:
        report = self._reports.get(DeepCommand.TLS_FALLBACK_SCSV)
        if report is None or not report.completed or len(report.traces) != 1:
            return UNKNOWN
        (trace,) = report.traces
        if report.claim is YES and trace.flight.refusal == _INAPPROPRIATE_FALLBACK:
            return YES
        return NO if report.claim is NO and trace.completed else UNKNOWN

    def _handshake_claim(self, command: DeepCommand) -> Support:
        """Return a claim that a completed handshake proves, whichever it is."""
        report = self._reports.get(command)
        proven = (
            report is not None
            and report.completed
            and bool(report.traces)
            and all(trace.completed for trace in report.traces)
        )
        return report.claim if report is not None and proven else UNKNOWN

    def _curves(self) -> tuple[CurveFact, ...]:
        report = self._reports.get(DeepCommand.ELLIPTIC_CURVES)
        # Without key exchange over curves there is one part, which only has a number.
        asked = (
            [part for part in report.parts if not part.name.isdigit()] if report is not None else []
        )
        return tuple(CurveFact(part.name, self._curve(part)) for part in asked)

    def _curve(self, part: Part) -> Support:
        if part.claim is YES and any(trace.flight.hello for trace in part.traces):
            return YES
        return NO if self.steady and part.claim is NO and _all_refused(part.traces) else UNKNOWN

    def _part(self, command: DeepCommand, name: str) -> Part | None:
        report = self._reports.get(command)
        return (
            next((part for part in report.parts if part.name == name), None)
            if report is not None and report.completed
            else None
        )


def _all_refused(traces: Sequence[Trace]) -> bool:
    """Every connection, and there is one, ended with an alert that refuses what was offered."""
    return bool(traces) and all(trace.flight.refusal in REFUSING_ALERTS for trace in traces)


def _closes_confirmed(traces: Sequence[Trace]) -> bool:
    """Closed or reset after a whole flight, CLOSES times, alternating with successful controls."""
    tried, controls = traces[::2], traces[1::2]
    closed = all(
        trace.flight.hello_done and trace.ending in (Ending.CLOSED, Ending.RESET) for trace in tried
    )
    return len(tried) == CLOSES and closed and all(trace.flight.hello_done for trace in controls)
