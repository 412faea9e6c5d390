"""Who plays in the demo: each partner, what is wrong with it, and the answer that it must get."""

import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

from otpc_policy.cli.demo.certificates import Credentials, DemoAuthority, self_signed
from otpc_policy.cli.demo.partners import (
    ConnectionLimit,
    PartnerServer,
    compliant_context,
    legacy_context,
)

DOMAIN = "partner.test"
# A standard measurement opens more connections than this; a payment client opens one and keeps it.
_LIMIT_CONNECTIONS = 8
_LIMIT_WINDOW_S = 60.0


class TrustedBy(Enum):
    """How the operator configured trust in the certificate of a partner."""

    ANCHOR = "ANCHOR"
    PIN = "PIN"
    NOTHING = "NOTHING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A partner before it runs. decision: the one it must get. code: must be among the reasons."""

    name: str
    story: str
    trusted_by: TrustedBy
    decision: str
    code: str

    @property
    def host(self) -> str:
        """The name that callers use."""
        return f"{self.name}.{DOMAIN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """A partner that runs. pin: SHA-256 of its certificate if it is pinned, else empty."""

    part: Part
    address: str
    port: int
    pin: str


PARTS = (
    Part(
        name="compliant",
        story="TLS 1.2 with the six suites, TLS 1.3, RSA and ECDSA",
        trusted_by=TrustedBy.ANCHOR,
        decision="ALLOW",
        code="CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR",
    ),
    Part(
        name="weak",
        story="TLS 1.0 and 1.1 still on, AES-256 suites only",
        trusted_by=TrustedBy.ANCHOR,
        decision="DENY",
        code="CIPHER_SUITE_NONE_REQUIRED",
    ),
    Part(
        name="self-signed-trusted",
        story="self-signed, and pinned by the operator",
        trusted_by=TrustedBy.PIN,
        decision="ALLOW",
        code="CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR",
    ),
    Part(
        name="self-signed-untrusted",
        story="self-signed, and not configured as trusted",
        trusted_by=TrustedBy.NOTHING,
        decision="DENY",
        code="CERTIFICATE_UNTRUSTED",
    ),
    Part(
        name="expired",
        story="its certificate ended a week ago",
        trusted_by=TrustedBy.ANCHOR,
        decision="DENY",
        code="CERTIFICATE_EXPIRED",
    ),
    Part(
        name="wrong-name",
        story="a good certificate for another host",
        trusted_by=TrustedBy.ANCHOR,
        decision="DENY",
        code="CERTIFICATE_NAME_MISMATCH",
    ),
    Part(
        name="plain-http",
        story="HTTP without TLS",
        trusted_by=TrustedBy.NOTHING,
        decision="DENY",
        code="TLS_NOT_SERVED",
    ),
    Part(
        name="rate-limited",
        story=f"resets everything after {_LIMIT_CONNECTIONS} connections",
        trusted_by=TrustedBy.ANCHOR,
        decision="INDETERMINATE",
        code="MEASUREMENT_INCOMPLETE",
    ),
)


@contextmanager
def running_cast(
    authority: DemoAuthority, directory: Path, now: datetime
) -> Iterator[tuple[Partner, ...]]:
    """Run every partner on its own address, from 127.0.0.11 on. directory: private, for keys."""
    with ExitStack() as stack:
        partners = []
        for index, part in enumerate(PARTS):
            address = f"127.0.0.{11 + index}"
            credentials = _credentials(part, authority, now)
            limit = (
                ConnectionLimit(_LIMIT_CONNECTIONS, _LIMIT_WINDOW_S, time.monotonic)
                if part.name == "rate-limited"
                else None
            )
            server = stack.enter_context(
                PartnerServer(address, context=_context(part, credentials, directory), limit=limit)
            )
            pin = credentials[0].sha256 if part.trusted_by is TrustedBy.PIN else ""
            partners.append(Partner(part=part, address=address, port=server.port, pin=pin))
        yield tuple(partners)


def _credentials(part: Part, authority: DemoAuthority, now: datetime) -> Sequence[Credentials]:
    match part.name:
        case "self-signed-trusted" | "self-signed-untrusted":
            return [self_signed(part.host, now)]
        case "expired":
            return [authority.issue(part.host, ended=timedelta(days=7))]
        case "wrong-name":
            return [authority.issue(f"another.{DOMAIN}")]
        case "plain-http":
            return []
        case _:
            return [authority.issue(part.host, rsa_key=True), authority.issue(part.host)]


def _context(
    part: Part, credentials: Sequence[Credentials], directory: Path
) -> ssl.SSLContext | None:
    if not credentials:
        return None
    return (
        legacy_context(credentials, directory)
        if part.name == "weak"
        else compliant_context(credentials, directory)
    )
