"""What a document of partners may say: one entry as the whole document, or many as [[partner]]."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, ValidationInfo, field_validator

from otpc_policy.catalog.entry import EndpointPattern, Partner, Trusted, TrustKind
from otpc_policy.catalog.problems import about_the_table
from otpc_policy.catalog.schemas.tables import (
    AgreedClientAuth,
    Identifier,
    Instant,
    Many,
    ServerName,
    Sha256,
    Table,
    Text,
    ca_certificates,
)
from otpc_policy.core.endpoint import DEFAULT_PORT, canonical_host, is_ip_literal
from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import suite_by_name
from otpc_policy.policy.waivers import Waiver, problem_with_coverage, problem_with_waived_code

_ENDPOINT = re.compile(r"(?P<host>\[[^\]]*\]|[^\[\]:]+)(?::(?P<port>[^:]*))?\Z")
_VERSIONS = frozenset(version.label for version in TlsVersion)


def read_endpoint(value: object) -> EndpointPattern:
    """Read "host", "host:port", "*.name:port" or "[address]:port"; the default port is 443.

    A wildcard is the whole left-most label, stands for exactly one label, and must be followed by
    at least two: nobody is given a top-level domain. Raises ValueError.
    """
    if not isinstance(value, str):
        raise ValueError('must be text, such as "api.partner.example:443"')
    if "://" in value:
        raise ValueError(
            f"{value!r} is a URL; an endpoint is a host and a port, such as "
            '"api.partner.example:443"'
        )
    host, port = _host_and_port(value)
    is_wildcard = host.startswith("*.")
    bare = host[2:] if is_wildcard else host
    if "*" in bare:
        raise ValueError(
            f"{value!r}: a wildcard must be the whole left-most label, as in *.partner.example"
        )
    try:
        name = canonical_host(bare)
    except ValueError as error:
        raise ValueError(f"{value!r}: the host {error}") from None
    if is_wildcard and ("." not in name or (name[-1].isdigit() and is_ip_literal(name))):
        raise ValueError(f"{value!r}: a wildcard must be followed by at least two labels of a name")
    return EndpointPattern(name, port, is_wildcard)


def _host_and_port(text: str) -> tuple[str, int]:
    found = _ENDPOINT.match(text)
    if found is None:
        raise ValueError(
            f'{text!r} is not an endpoint: "host" or "host:port", '
            "an IPv6 address in brackets as in [2001:db8::1]:443"
        )
    host, port = found["host"], found["port"]
    if port is None:
        return host, DEFAULT_PORT
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) <= 65535):
        raise ValueError(f"{text!r}: {port!r} is not a TCP port, 1 to 65535")
    return host, int(port)


def _not_empty(endpoints: tuple[EndpointPattern, ...]) -> tuple[EndpointPattern, ...]:
    # min_length counts valid endpoints only, and so would call a list of one wrong one empty.
    if not endpoints:
        raise ValueError("is empty; an entry applies to the endpoints that it names")
    return endpoints


def _suite_name(text: str) -> str:
    suite = suite_by_name(text)
    if suite is None:
        raise ValueError(f"{text!r} is not the IANA name of a cipher suite")
    if suite.iana_name != text:
        raise ValueError(f"{text!r} is OpenSSL's name; write {suite.iana_name!r}")
    return suite.iana_name


def _version_label(text: str) -> str:
    if text not in _VERSIONS:
        raise ValueError(f"must be one of {', '.join(sorted(_VERSIONS))}; it is {text!r}")
    return text


def _waived_code(code: str) -> str:
    if problem := problem_with_waived_code(code):
        raise ValueError(problem)
    return code


class TrustedTable(Table):
    """One [[trusted]] table: a certificate, a key or an authority."""

    certificate_sha256: Sha256 | None = None
    spki_sha256: Sha256 | None = None
    ca_pem: Annotated[tuple[bytes, ...], PlainValidator(ca_certificates)] | None = Field(
        default=None, validate_default=True
    )
    note: Text
    ends: Instant | None = None

    @field_validator("ca_pem")
    @classmethod
    def _exactly_one(
        cls, value: tuple[bytes, ...] | None, info: ValidationInfo
    ) -> tuple[bytes, ...] | None:
        # A pin that is not in info.data was there and is invalid.
        pins = ("certificate_sha256", "spki_sha256")
        present = [pin for pin in pins if info.data.get(pin, "invalid") is not None]
        present += ["ca_pem"] if value is not None else []
        if len(present) != 1:
            raise about_the_table(
                "needs exactly one of certificate_sha256, spki_sha256, ca_pem; "
                f"it has {' and '.join(present) or 'none'}"
            )
        return value

    def trusted(self) -> Trusted:
        """Return the statement."""
        if self.ca_pem is not None:
            return Trusted(
                kind=TrustKind.CA, anchors=self.ca_pem, note=self.note, ends_at=self.ends
            )
        if self.spki_sha256 is not None:
            return Trusted(
                kind=TrustKind.SPKI, pin=self.spki_sha256, note=self.note, ends_at=self.ends
            )
        return Trusted(
            kind=TrustKind.CERTIFICATE,
            pin=self.certificate_sha256 or "",
            note=self.note,
            ends_at=self.ends,
        )


class WaiverTable(Table):
    """One [[waivers]] table."""

    code: Annotated[str, AfterValidator(_waived_code)]
    suites: Many[Annotated[str, AfterValidator(_suite_name)]] = ()
    versions: Many[Annotated[str, AfterValidator(_version_label)]] = Field(
        default=(), validate_default=True
    )
    reason: Text
    owner: Text
    ends: Instant

    @field_validator("versions")
    @classmethod
    def _as_the_code_demands(
        cls, versions: tuple[str, ...], info: ValidationInfo
    ) -> tuple[str, ...]:
        # Without a valid code and valid suites their own problems are enough.
        if "code" in info.data and "suites" in info.data:
            problem = problem_with_coverage(info.data["code"], info.data["suites"], versions)
            if problem is not None:
                raise about_the_table(problem)
        return versions

    def waiver(self) -> Waiver:
        """Return the waiver."""
        return Waiver(
            code=self.code,
            covers=frozenset((*self.suites, *self.versions)),
            reason=self.reason,
            owner=self.owner,
            ends_at=self.ends,
        )


class PartnerTable(Table):
    """One entry."""

    id: Identifier
    owner: Text
    endpoints: Annotated[
        Many[Annotated[EndpointPattern, PlainValidator(read_endpoint)]],
        AfterValidator(_not_empty),
    ]
    policy: Text = ""
    server_names: Many[ServerName] = ()
    client_auth: AgreedClientAuth | None = None
    trusted: Many[TrustedTable] = ()
    waivers: Many[WaiverTable] = ()

    def partner(self, number: int) -> Partner:
        """Return the partner. number: position of the entry in its document, from 0."""
        return Partner(
            id=self.id,
            owner=self.owner,
            endpoints=self.endpoints,
            policy=self.policy,
            server_names=frozenset(self.server_names),
            client_auth=self.client_auth,
            trusted=tuple([table.trusted() for table in self.trusted]),
            waivers=tuple([table.waiver() for table in self.waivers]),
            number=number,
        )


class PartnersDocument(Table):
    """A document of many entries, each of which is a PartnerTable."""

    partner: Many[Any]
