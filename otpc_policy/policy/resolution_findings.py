"""Findings about a host name that does not resolve, in whole, in part, or for now."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from otpc_policy.core.facts import EndpointFacts, ResolutionFailure, ResolutionStatus
from otpc_policy.policy.finding import Effect, Finding
from otpc_policy.policy.registry import finding_codes
from otpc_policy.policy.service_findings import service_finding

_CODE = "TARGET_DNS_FAILED"
_OBSERVED: Mapping[ResolutionFailure, str] = MappingProxyType(
    {
        ResolutionFailure.NONE: "",
        ResolutionFailure.NXDOMAIN: ": the name does not exist (NXDOMAIN)",
        ResolutionFailure.NODATA: ": the name exists and has no A or AAAA record (NODATA)",
        ResolutionFailure.SERVFAIL: ": the name server failed to answer (SERVFAIL)",
        ResolutionFailure.REFUSED: ": the name server refused the question (REFUSED)",
        ResolutionFailure.TIMEOUT: ": no name server answered in time",
        ResolutionFailure.OTHER: ": no usable answer came from a name server",
    }
)


def resolution_findings(facts: EndpointFacts) -> Iterator[Finding]:
    """Yield findings about a resolution that failed, or that was partial or stale.

    A host judged at the addresses of an earlier DNS answer keeps its verdict, with an advisory.
    """
    host, failure = facts.host, facts.resolution_failure
    if facts.resolution is ResolutionStatus.FAILED:
        yield _finding(f"{host} could not be resolved to an address", failure)
    for family in facts.unresolved_families:
        yield _finding(f"could not determine the {family} addresses of {host}", failure)
    if facts.resolution is ResolutionStatus.RESOLVED and facts.resolution_is_stale:
        judged = f"{host} was judged at the addresses of an earlier DNS answer"
        yield replace(_finding(judged, failure), effect=Effect.ADVISORY)


def unmeasured_finding(host: str, failure: ResolutionFailure, address: str) -> Finding:
    """Return why an address of an earlier DNS answer is not measured."""
    text = f"{host} cannot be resolved now, and its facts in the cache are not fresh enough"
    return _finding(text, failure, address)


def _finding(text: str, failure: ResolutionFailure, address: str = "") -> Finding:
    finding = service_finding(_CODE, text + _OBSERVED[failure], address)
    remedy = finding_codes()[_CODE].causes.get(failure.name)
    return finding if remedy is None else replace(finding, remediation=remedy)
