"""https.served and client_auth.expected: pass, fail, unknown."""

import pytest

from otpc_policy.core.facts import ClientAuth, HttpService
from otpc_policy.policy.finding import Decision, Effect
from tests.policy.judging import UNKNOWN, codes, finding, judge, only
from tests.support.facts import make_facts

_MORE, _LESS = "CLIENT_AUTH_UNEXPECTED", "CLIENT_AUTH_MISSING"


@pytest.mark.parametrize(
    ("http", "decision", "expected"),
    [
        (HttpService.SERVED, Decision.ALLOW, []),
        (HttpService.NOT_SERVED, Decision.DENY, ["HTTPS_NOT_SERVED"]),
        (HttpService.NOT_OBSERVABLE, Decision.ALLOW, ["HTTP_NOT_OBSERVABLE"]),
        (HttpService.UNKNOWN, Decision.INDETERMINATE, [UNKNOWN]),
    ],
)
def test_http_must_be_served_over_tls(
    http: HttpService, decision: Decision, expected: list[str]
) -> None:
    verdict = judge(make_facts(http=http, client_auth=ClientAuth.REQUIRED))
    assert (verdict.decision, codes(verdict)) == (decision, expected)


def test_a_server_that_requires_a_client_certificate_is_allowed_with_an_advisory() -> None:
    assert (
        finding(judge(make_facts(http=HttpService.NOT_OBSERVABLE)), "HTTP_NOT_OBSERVABLE").effect
        is Effect.ADVISORY
    )


@pytest.mark.parametrize(
    ("expected_auth", "observed", "expected"),
    [
        (None, ClientAuth.REQUIRED, []),
        (None, ClientAuth.UNKNOWN, []),
        (ClientAuth.UNKNOWN, ClientAuth.REQUIRED, []),
        (ClientAuth.NONE, ClientAuth.NONE, []),
        (ClientAuth.NONE, ClientAuth.REQUESTED, [_MORE]),
        (ClientAuth.NONE, ClientAuth.REQUIRED, [_MORE]),
        (ClientAuth.REQUESTED, ClientAuth.NONE, [_LESS]),
        (ClientAuth.REQUESTED, ClientAuth.REQUIRED, [_MORE]),
        (ClientAuth.REQUIRED, ClientAuth.REQUIRED, []),
        (ClientAuth.REQUIRED, ClientAuth.REQUESTED, [_LESS]),
        (ClientAuth.REQUIRED, ClientAuth.NONE, [_LESS]),
        (ClientAuth.REQUIRED, ClientAuth.UNKNOWN, [UNKNOWN]),
    ],
)
def test_client_certificates_are_requested_as_agreed(
    expected_auth: ClientAuth | None, observed: ClientAuth, expected: list[str]
) -> None:
    verdict = judge(
        make_facts(client_auth=observed),
        only("client_auth.expected"),
        expected_client_auth=expected_auth,
    )
    assert codes(verdict) == expected


def test_client_authentication_is_off_in_the_default_policy() -> None:
    assert (
        codes(
            judge(
                make_facts(client_auth=ClientAuth.UNKNOWN), expected_client_auth=ClientAuth.REQUIRED
            )
        )
        == []
    )
