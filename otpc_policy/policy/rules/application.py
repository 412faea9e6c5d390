"""Rules about the application: HTTP is served, and client certificates are used as agreed."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from otpc_policy.core.facts import ClientAuth, HttpService
from otpc_policy.policy.finding import FindingEvidence
from otpc_policy.policy.rule import Report, Rule, Subject, unknown

# What the server demands of clients: more than expected is UNEXPECTED, less is MISSING.
_DEMAND: Mapping[ClientAuth, int] = {
    ClientAuth.NONE: 0,
    ClientAuth.REQUESTED: 1,
    ClientAuth.REQUIRED: 2,
}
_DESCRIBED: Mapping[ClientAuth, str] = {
    ClientAuth.NONE: "no client certificate is requested",
    ClientAuth.REQUESTED: "a client certificate is requested",
    ClientAuth.REQUIRED: "a client certificate is required",
}


def judge_https_served(
    subject: Subject, _parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """HTTP is served over TLS, unless a client certificate is required first."""
    for address in subject.addresses:
        if address.http is HttpService.NOT_SERVED:
            yield Report(
                code="HTTPS_NOT_SERVED",
                message="the server does not speak HTTP over TLS; HTTP/1.x or h2 required",
                addresses=(address.address,),
                evidence=(FindingEvidence("http", "bytes that are not HTTP", "HTTP/1.x or h2"),),
            )
        elif address.http is HttpService.NOT_OBSERVABLE:
            yield Report(
                code="HTTP_NOT_OBSERVABLE",
                message="HTTP not observable: the server requires a client certificate first",
                addresses=(address.address,),
                evidence=(
                    FindingEvidence(
                        "http", "not observable without a client certificate", "HTTP/1.x or h2"
                    ),
                ),
            )
        elif address.http is not HttpService.SERVED:
            yield unknown("could not determine whether HTTP is served over TLS", address.address)


def judge_client_auth(
    subject: Subject, _parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """Client certificates are requested as agreed. Not judged if nothing was agreed."""
    expected = subject.expected_client_auth
    if expected is None or expected not in _DEMAND:
        return
    for address in subject.addresses:
        observed = address.client_auth
        if observed not in _DEMAND:
            message = "could not determine whether a client certificate is requested"
            yield unknown(f"{message}; agreed: {_DESCRIBED[expected]}", address.address)
        elif observed is not expected:
            is_more = _DEMAND[observed] > _DEMAND[expected]
            yield Report(
                code="CLIENT_AUTH_UNEXPECTED" if is_more else "CLIENT_AUTH_MISSING",
                message=f"{_DESCRIBED[observed]}; agreed: {_DESCRIBED[expected]}",
                addresses=(address.address,),
                evidence=(FindingEvidence("client_auth", observed.value, expected.value),),
            )


HTTPS_SERVED = Rule(
    id="https.served", codes=("HTTPS_NOT_SERVED", "HTTP_NOT_OBSERVABLE"), judge=judge_https_served
)
CLIENT_AUTH_EXPECTED = Rule(
    id="client_auth.expected",
    codes=("CLIENT_AUTH_UNEXPECTED", "CLIENT_AUTH_MISSING"),
    judge=judge_client_auth,
)
