"""Rules about the protocol: TLS is spoken, old versions are not, known vulnerabilities are absent."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from otpc_policy.core.facts import (
    AddressFacts,
    Depth,
    Support,
    TlsService,
    TlsVersion,
    Vulnerability,
)
from otpc_policy.policy.finding import FindingEvidence
from otpc_policy.policy.parameters import Parameter, version_labels, vulnerabilities
from otpc_policy.policy.rule import Report, Rule, Subject, unknown

_PERMITTED_VERSIONS = Parameter("permitted_versions", version_labels)
_VULNERABILITIES = Parameter("vulnerabilities", vulnerabilities)
# What the sign of each vulnerability is, for people. Sources: RFC 6520 and CVE-2014-0160, robotattack.org, CVE-2014-0224, RFC 5746, RFC 7457 2.6.
_SIGNS: Mapping[Vulnerability, str] = {
    Vulnerability.HEARTBLEED: "Heartbleed: heartbeat answers return memory of the server",
    Vulnerability.ROBOT: "ROBOT: the answers to RSA key exchange are an oracle for decryption",
    Vulnerability.CCS_INJECTION: "CCS injection: ChangeCipherSpec is accepted before keys are agreed",
    Vulnerability.INSECURE_RENEGOTIATION: "insecure renegotiation: renegotiation without RFC 5746, or started by the client",
    Vulnerability.COMPRESSION: "TLS compression is enabled (CRIME)",
}


def judge_tls_served(
    subject: Subject, _parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """The port speaks TLS."""
    for address in subject.addresses:
        if address.tls is TlsService.PLAINTEXT_HTTP:
            yield Report(
                code="TLS_NOT_SERVED",
                message="a TLS ClientHello was answered with plain-text HTTP; TLS required",
                addresses=(address.address,),
                evidence=(FindingEvidence("service", "plain-text HTTP", "TLS"),),
            )
        elif address.tls is not TlsService.SERVED:
            yield unknown(
                "whether the port speaks TLS is not known: no answer proves it", address.address
            )


def judge_minimum_version(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """One of the permitted versions is offered, and all others are proven to be refused."""
    labels = _PERMITTED_VERSIONS.of(parameters)
    required = " or ".join(labels)
    for address in subject.addresses:
        for version in TlsVersion:
            support = address.version(version).support
            if version.label in labels or support is Support.NO:
                continue
            if support is Support.YES:
                yield Report(
                    code="TLS_VERSION_BELOW_MINIMUM",
                    message=f"{version.label} is offered; only {required} permitted",
                    addresses=(address.address,),
                    evidence=(
                        FindingEvidence("version", version.label, f"{version.label} refused"),
                    ),
                    about=(version.label,),
                )
            else:
                yield unknown(
                    f"whether {version.label} is offered is not known; proof that it is refused required",
                    address.address,
                )
        yield from _permitted_version_offered(address, labels, required)


def _permitted_version_offered(
    address: AddressFacts, labels: tuple[str, ...], required: str
) -> Iterator[Report]:
    supports = {
        address.version(version).support for version in TlsVersion if version.label in labels
    }
    if Support.YES in supports:
        return
    if Support.UNKNOWN in supports:
        yield unknown(f"whether {required} is offered is not known", address.address)
    else:
        yield Report(
            code="TLS_VERSION_BELOW_MINIMUM",
            message=f"{required} is not offered; one of them required",
            addresses=(address.address,),
            evidence=(FindingEvidence("version", "none permitted", required),),
            # What no waiver lists: that nothing is permitted cannot be waived, only what is offered beside it.
            about=("no permitted version",),
        )


def judge_vulnerability(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """None of the vulnerabilities is present. Only a DEEP measurement can tell; others are not judged."""
    if subject.depth is not Depth.DEEP:
        return
    for address in subject.addresses:
        present = {fact.vulnerability: fact.present for fact in address.vulnerabilities}
        for vulnerability in map(Vulnerability, _VULNERABILITIES.of(parameters)):
            support = present.get(vulnerability, Support.UNKNOWN)
            if support is Support.YES:
                yield Report(
                    code="TLS_VULNERABLE",
                    message=f"{_SIGNS[vulnerability]}; absence required",
                    addresses=(address.address,),
                    evidence=(FindingEvidence("vulnerability", vulnerability.value, "absent"),),
                )
            elif support is not Support.NO:
                yield unknown(
                    f"whether the server has {vulnerability.value} is not known; proof of absence required",
                    address.address,
                )


TLS_SERVED = Rule(id="tls.served", codes=("TLS_NOT_SERVED",), judge=judge_tls_served)
TLS_MINIMUM_VERSION = Rule(
    id="tls.minimum_version",
    codes=("TLS_VERSION_BELOW_MINIMUM",),
    parameters=(_PERMITTED_VERSIONS,),
    judge=judge_minimum_version,
)
TLS_VULNERABILITY = Rule(
    id="tls.vulnerability",
    codes=("TLS_VULNERABLE",),
    parameters=(_VULNERABILITIES,),
    judge=judge_vulnerability,
)
