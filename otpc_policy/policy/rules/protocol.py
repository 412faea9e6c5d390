"""Rules about the protocol: TLS is served, without old versions and known vulnerabilities."""

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
from otpc_policy.core.remarks import NO_SERVER_NAME
from otpc_policy.policy.finding import Effect, FindingEvidence
from otpc_policy.policy.parameters import Parameter, permitted, version_labels, vulnerabilities
from otpc_policy.policy.rule import Report, Rule, Subject, unknown
from otpc_policy.policy.rules.certificate_text import instant

_PERMITTED_VERSIONS = Parameter("permitted_versions", permitted(version_labels))
_REQUIRED_VERSIONS = Parameter("versions", version_labels)
_VULNERABILITIES = Parameter("vulnerabilities", vulnerabilities)
# Sources: RFC 6520 and CVE-2014-0160, robotattack.org, CVE-2014-0224, RFC 5746, RFC 7457 2.6.
_SIGNS: Mapping[Vulnerability, str] = {
    Vulnerability.HEARTBLEED: "Heartbleed: heartbeat responses leak server memory",
    Vulnerability.ROBOT: "ROBOT: responses to RSA key exchange are a decryption oracle",
    Vulnerability.CCS_INJECTION: "CCS injection: an early ChangeCipherSpec is accepted",
    Vulnerability.INSECURE_RENEGOTIATION: (
        "insecure renegotiation: renegotiation without RFC 5746, or started by the client"
    ),
    Vulnerability.COMPRESSION: "TLS compression is enabled (CRIME)",
}


def judge_tls_served(
    subject: Subject, _parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """TLS is served on the port."""
    for address in subject.addresses:
        if address.tls is TlsService.PLAINTEXT_HTTP:
            yield Report(
                code="TLS_NOT_SERVED",
                message="a TLS ClientHello was answered with plain-text HTTP; TLS required",
                addresses=(address.address,),
                evidence=(FindingEvidence("service", "plain-text HTTP", "TLS"),),
            )
        elif address.tls is not TlsService.SERVED:
            yield unknown("could not determine whether the port speaks TLS", address.address)


def judge_minimum_version(
    subject: Subject, parameters: Mapping[str, object], now: datetime
) -> Iterator[Report]:
    """A permitted version is offered, and all others are proven to be refused.

    A version that is permitted until an instant is advised against before it.
    """
    permitted_versions = _PERMITTED_VERSIONS.of(parameters)
    labels = permitted_versions.at(now)
    required = " or ".join(labels) or "no version"
    for address in subject.addresses:
        for version in TlsVersion:
            support = address.version(version).support
            if version.label in labels:
                end = permitted_versions.until.get(version.label)
                if support is Support.YES and end is not None:
                    yield _ending(address, version, end)
                continue
            if support is Support.NO:
                continue
            if support is Support.YES:
                to_whom = (
                    " to clients that name no server" if _is_nameless(address, version) else ""
                )
                yield Report(
                    code="TLS_VERSION_BELOW_MINIMUM",
                    message=f"{version.label} is offered{to_whom}; only {required} permitted",
                    addresses=(address.address,),
                    evidence=(
                        FindingEvidence("version", version.label, f"{version.label} refused"),
                    ),
                    about=(version.label,),
                )
            else:
                yield unknown(
                    f"could not determine whether {version.label} is offered; a refusal required",
                    address.address,
                )
        yield from _permitted_version_offered(address, labels, required)


def _is_nameless(address: AddressFacts, version: TlsVersion) -> bool:
    """Whether every connection over the version that was seen had named no server.

    Then the default host of the address offers it, which is often another configuration.
    """
    accepted = [step for step in address.trace if step.answer.startswith(f"{version.label}, ")]
    return bool(accepted) and all(step.offered.endswith(NO_SERVER_NAME) for step in accepted)


def _ending(address: AddressFacts, version: TlsVersion, end: datetime) -> Report:
    """Return the report of a version that is permitted for now only."""
    return Report(
        code="TLS_VERSION_BELOW_MINIMUM",
        message=f"{version.label} is offered;"
        f" permitted until {instant(end)}, and no longer from then on",
        addresses=(address.address,),
        evidence=(
            FindingEvidence(
                "version", version.label, f"{version.label} refused from {instant(end)}"
            ),
        ),
        effect=Effect.ADVISORY,
        about=(version.label,),
    )


def _permitted_version_offered(
    address: AddressFacts, labels: tuple[str, ...], required: str
) -> Iterator[Report]:
    supports = {
        address.version(version).support for version in TlsVersion if version.label in labels
    }
    if Support.YES in supports:
        return
    if Support.UNKNOWN in supports:
        yield unknown(f"could not determine whether {required} is offered", address.address)
    else:
        yield Report(
            code="TLS_VERSION_BELOW_MINIMUM",
            message=f"{required} is not offered; one of them required",
            addresses=(address.address,),
            evidence=(FindingEvidence("version", "none permitted", required),),
            # No waiver can list this: what else is offered can be waived, the absence of a
            # permitted version cannot.
            about=("no permitted version",),
        )


def judge_required_version(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """Each of the versions is offered, whatever else is."""
    labels = _REQUIRED_VERSIONS.of(parameters)
    for address in subject.addresses:
        for version in TlsVersion:
            support = address.version(version).support
            if version.label not in labels or support is Support.YES:
                continue
            if support is Support.NO:
                yield Report(
                    code="TLS_VERSION_NOT_OFFERED",
                    message=f"{version.label} is not offered; required",
                    addresses=(address.address,),
                    evidence=(FindingEvidence("version", "not offered", version.label),),
                )
            else:
                yield unknown(
                    f"could not determine whether {version.label} is offered; required",
                    address.address,
                )


def judge_vulnerability(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """None of the vulnerabilities is present. Judged for DEEP measurements only."""
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
                    f"could not determine whether the server has {vulnerability.value};"
                    " absence required",
                    address.address,
                )


TLS_SERVED = Rule(id="tls.served", codes=("TLS_NOT_SERVED",), judge=judge_tls_served)
TLS_MINIMUM_VERSION = Rule(
    id="tls.minimum_version",
    codes=("TLS_VERSION_BELOW_MINIMUM",),
    parameters=(_PERMITTED_VERSIONS,),
    judge=judge_minimum_version,
)
TLS_REQUIRED_VERSION = Rule(
    id="tls.required_version",
    codes=("TLS_VERSION_NOT_OFFERED",),
    parameters=(_REQUIRED_VERSIONS,),
    judge=judge_required_version,
)
TLS_VULNERABILITY = Rule(
    id="tls.vulnerability",
    codes=("TLS_VULNERABLE",),
    parameters=(_VULNERABILITIES,),
    judge=judge_vulnerability,
)
