"""What a document of policy tests may say: one table [[case]] for each test.

[[case]]
name = "the card partner is allowed"
facts = "card-partner.facts.json"       # written by: otpc-policy check HOST --save-facts FILE
policy = "acme-payments"                # default: the default policy
at = 2026-03-02T12:00:00Z               # default: the instant of the measurement
anchor_files = ["card-partner-ca.pem"]  # trusted for the server name of these facts;
                                        # also certificate_sha256, spki_sha256
client_auth = "required"                # what was agreed: "required" or "none"
expect.decision = "ALLOW"               # ALLOW, DENY or INDETERMINATE; also evaluated_decision
expect.codes = []                       # all finding codes, whatever their effect;
                                        # or codes_at_least: these and perhaps others

A schema needs the texts of the files that a document names. They come by the validation context:
{"read": function from a name to its text, which raises ConfigurationError}.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo, field_validator

from otpc_policy.catalog.schemas.tables import (
    AgreedClientAuth,
    Instant,
    Many,
    Sha256,
    Table,
    Text,
    ca_certificates,
    one_of,
)
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import ConfigurationError, InvalidRequest, MalformedFacts
from otpc_policy.core.facts import EndpointFacts
from otpc_policy.core.facts_codec import load_facts
from otpc_policy.policy.finding import Decision
from otpc_policy.policy.registry import finding_codes

ReadFile = Callable[[str], str]


def _file(name: object, info: ValidationInfo) -> tuple[str, str]:
    """Return the name of a file and its text."""
    if not isinstance(name, str) or not name.strip():
        raise ValueError("must be text: the name of a file")
    read: ReadFile = info.context["read"]  # type: ignore[index]  # always given, see above
    try:
        return name, read(name)
    except ConfigurationError as error:
        raise ValueError("; ".join(error.problems)) from None


def _facts(value: object, info: ValidationInfo) -> EndpointFacts:
    name, text = _file(value, info)
    try:
        facts = load_facts(text, EndpointFacts)
        endpoint = parse_endpoint(facts.host, facts.port, facts.server_name)
    except (MalformedFacts, InvalidRequest) as error:
        raise ValueError(f"{name}: {error}") from None
    if endpoint.server_name != facts.server_name:
        raise ValueError(f"{name}: server_name {facts.server_name!r} is not in canonical form")
    return facts


def _anchors(value: object, info: ValidationInfo) -> tuple[bytes, ...]:
    name, text = _file(value, info)
    try:
        return ca_certificates(text)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _finding_code(code: str) -> str:
    if code not in finding_codes():
        raise ValueError(f"{code!r} is not a finding code")
    return code


DecisionWord = Annotated[Decision, one_of({decision.value: decision for decision in Decision})]
FindingCodes = Many[Annotated[str, AfterValidator(_finding_code)]]


class ExpectTable(Table):
    """What a policy must make of the facts; None is not compared."""

    decision: DecisionWord
    evaluated_decision: DecisionWord | None = None
    codes: FindingCodes | None = None
    codes_at_least: FindingCodes | None = None

    @field_validator("codes_at_least")
    @classmethod
    def _not_both(
        cls, value: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        if value is not None and info.data.get("codes") is not None:
            raise ValueError("contradicts codes, which lists all of them; leave one of the two out")
        return value


class PolicyTestTable(Table):
    """One test."""

    name: Text
    facts: Annotated[EndpointFacts, PlainValidator(_facts)]
    policy: Text = ""
    at: Instant | None = Field(default=None, validate_default=True)
    anchor_files: Many[Annotated[tuple[bytes, ...], PlainValidator(_anchors)]] = ()
    certificate_sha256: Many[Sha256] = ()
    spki_sha256: Many[Sha256] = ()
    client_auth: AgreedClientAuth | None = None
    expect: ExpectTable

    @field_validator("at")
    @classmethod
    def _or_when_measured(cls, value: datetime | None, info: ValidationInfo) -> datetime | None:
        facts: EndpointFacts | None = info.data.get("facts")
        if value is not None or facts is None:
            return value
        if not facts.addresses:
            raise ValueError("is missing, and these facts hold no instant of a measurement")
        return max(address.observed_at for address in facts.addresses)


def _not_empty(tables: tuple[PolicyTestTable, ...]) -> tuple[PolicyTestTable, ...]:
    if not tables:
        raise ValueError("must be at least one table [[case]]")
    return tables


class PolicyTestDocument(Table):
    """A document."""

    case: Annotated[Many[PolicyTestTable], AfterValidator(_not_empty)]
