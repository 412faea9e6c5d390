"""What facts may state about a server whose truth is known.

Facts are compared with the server's own transcripts, so it does not matter how the scanner works.
What no scan can see is kept apart from what this scan was shown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from otpc_policy.core.facts import AddressFacts, Evidence, Support, TlsService, TlsVersion
from tests.support.hostile.endpoint import SIX, Accepted
from tests.support.hostile.hello import (
    Choice,
    SeenAlert,
    SeenHello,
    read_alert,
    read_choice,
    read_client_hello,
)
from tests.support.tcp import Transcript

# DESIGN, "Evidence": handshake_failure, illegal_parameter, protocol_version, insufficient_security.
REFUSING_ALERTS = frozenset({40, 47, 70, 71})
# https://www.iana.org/assignments/tls-parameters, TLS Alerts, reserved ones included.
KNOWN_ALERTS = (
    0,
    10,
    20,
    21,
    22,
    30,
    40,
    41,
    42,
    43,
    44,
    45,
    46,
    47,
    48,
    49,
    50,
    51,
    52,
    60,
    70,
    71,
    80,
    86,
    90,
    100,
    109,
    110,
    111,
    112,
    113,
    114,
    115,
    116,
    120,
    121,
)
_INTERNAL_ERROR = 80
_FATAL = 2
_CLOSES = 3
_STATIC_RSA = frozenset({0x002F, 0x0035})


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a server accepts, by version.

    always: of every hello, unless the server refuses everything. sometimes: as always, for what
    may be claimed. unseen: on connections that a scan may never make, or by chance; only what a
    scan was shown binds it. completes: a handshake can finish, and the server's signature is right.
    """

    always: Accepted = field(default_factory=dict)
    sometimes: Accepted = field(default_factory=dict)
    unseen: Accepted = field(default_factory=dict)
    completes: bool = True

    def accepts(self, version: TlsVersion, suite: int | None = None) -> bool:
        """Return whether a NO would be a lie."""
        accepted = self.always.get(version, frozenset()) | self.sometimes.get(version, frozenset())
        return bool(accepted) if suite is None else suite in accepted

    def hides(self, version: TlsVersion, suite: int | None = None) -> bool:
        """Return whether a NO would be wrong, though it may be that nobody could know."""
        accepted = self.unseen.get(version, frozenset())
        return bool(accepted) if suite is None else suite in accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One connection, read.

    hello: None if the server ended it unread. refusal: the first alert. closed: without an answer
    in TLS. key_proven: the server's signature was sent.
    at: when the answer left. concurrent: connections that were open when it came, itself included.
    """

    hello: SeenHello | None
    choice: Choice | None
    refusal: SeenAlert | None
    closed: bool
    key_proven: bool
    at: float
    concurrent: int

    @property
    def proves(self) -> tuple[TlsVersion, int] | None:
        """Version and suite that the server chose of what was offered."""
        if (
            self.hello is None
            or self.choice is None
            or self.choice.cipher_suite not in self.hello.offered
        ):
            return None
        return next(
            (
                (one, self.choice.cipher_suite)
                for one in self.hello.versions
                if one == self.choice.version
            ),
            None,
        )

    def asks_for(self, version: TlsVersion, suite: int | None) -> bool:
        """This is the hello's highest version and it offers the suite; an unread hello may."""
        if self.hello is None:
            return True
        return self.hello.highest is version and (suite is None or suite in self.hello.offered)


def exchanges(transcripts: Sequence[Transcript]) -> list[Exchange]:
    """Return the connections that brought a whole hello, or were ended before anything was read.

    What was chosen when the client had left was not shown to anybody: on a busy machine answers
    come so late.
    """
    read = []
    for one in transcripts:
        hello = read_client_hello(one.received)
        if hello is not None or (one.closed_silently and not one.received):
            choice = None if one.is_too_late else read_choice(one.sent)
            alert = read_alert(one.sent)
            # With static RSA the server proves itself last of all (RFC 5246 F.1.1.2).
            is_signed = choice is not None and choice.cipher_suite not in _STATIC_RSA
            read.append(
                Exchange(
                    hello=hello,
                    choice=choice,
                    refusal=alert,
                    closed=one.closed_silently or _is_taken_for_http(one, hello),
                    key_proven=one.handshake_completed or (one.flight_sent and is_signed),
                    at=one.answered_at or float("inf"),
                    concurrent=one.concurrent,
                )
            )
    return read


def _is_taken_for_http(one: Transcript, hello: SeenHello | None) -> bool:
    """An old hello was answered in plain HTTP, which refuses it."""
    is_old = hello is not None and hello.highest <= TlsVersion.TLS_1_1
    return is_old and one.sent.startswith(b"HTTP/")


def false_claims(facts: AddressFacts, truth: Truth, seen: Sequence[Exchange]) -> list[str]:
    """Return every claim that must not be made, for people."""
    shown = {one.proves for one in seen if one.proves}
    unsteady = is_unsteady(seen)
    wrong: list[str] = []
    for version, suite, support, evidence in _claims(facts):
        what = version.label if suite is None else f"{version.label} 0x{suite:04X}"
        is_shown = (
            (version, suite) in shown
            if suite is not None
            else any(one[0] is version for one in shown)
        )
        if (support is Support.UNKNOWN) is not (evidence is Evidence.NONE):
            wrong.append(f"{what} is {support.value} by evidence {evidence.value}")
        if support is Support.YES and not is_shown:
            wrong.append(f"{what} is YES: the server never chose it")
        if support is Support.NO and is_shown:
            wrong.append(f"{what} is NO by {evidence.value}: the server chose it in this scan")
        elif support is Support.NO and truth.accepts(version, suite):
            wrong.append(f"{what} is NO by {evidence.value}: the server accepts it")
        elif (
            support is Support.NO
            and truth.hides(version, suite)
            and unsteady
            and evidence is not Evidence.LOWER_VERSION
        ):
            wrong.append(
                f"{what} is NO by {evidence.value}: the server accepts it at times, "
                "and was seen to refuse what it accepts"
            )
        elif support is Support.NO and not _is_backed(evidence, version, suite, seen):
            wrong.append(
                f"{what} is NO by {evidence.value}: nothing that the server did is such evidence"
            )
    return [*wrong, *_omissions(facts, truth), *_unproven_keys(facts, truth, seen)]


def _claims(facts: AddressFacts) -> Iterator[tuple[TlsVersion, int | None, Support, Evidence]]:
    for version in facts.versions:
        yield version.version, None, version.support, version.evidence
    for suite in facts.cipher_suites:
        yield suite.version, suite.code_point, suite.support, suite.evidence


def is_unsteady(seen: Sequence[Exchange]) -> bool:
    """The server refused a hello, but chose one of its suites from a similar hello.

    The other hello had the same shape and was no shorter. A server may be unable to serve so many
    connections concurrently, so a refusal counts only if no more were open than at the choice. A
    server may read only the first suites, so the suite must be no further back than some suite that
    was chosen.
    """
    shapes: dict[object, tuple[list[Exchange], list[Exchange]]] = {}
    for one in seen:
        if one.hello is not None:
            refused, chosen = shapes.setdefault(
                (one.hello.versions, one.hello.extensions, one.hello.preferences), ([], [])
            )
            if one.proves:
                chosen.append(one)
            elif one.refusal is not None or one.closed:
                refused.append(one)
    return any(
        _contradicts(refusal, choice, chosen)
        for refused, chosen in shapes.values()
        for refusal in refused
        for choice in chosen
    )


def _contradicts(refusal: Exchange, choice: Exchange, chosen: Sequence[Exchange]) -> bool:
    hello, good = refusal.hello, choice.hello
    if (
        hello is None
        or good is None
        or choice.proves is None
        or choice.proves[1] not in hello.offered
    ):
        return False
    place = hello.cipher_suites.index(choice.proves[1])
    return (
        len(hello.cipher_suites) <= len(good.cipher_suites)
        and refusal.concurrent <= choice.concurrent
        and any(
            place <= one.hello.cipher_suites.index(one.proves[1])
            for one in chosen
            if one.hello is not None and one.proves
        )
    )


def _is_backed(
    evidence: Evidence, version: TlsVersion, suite: int | None, seen: Sequence[Exchange]
) -> bool:
    """Return whether the server did what the design demands for this evidence.

    Controls only have to exist; their shape is not compared.
    """
    if evidence is Evidence.LOWER_VERSION:
        return any(
            one.hello is not None
            and one.proves
            and version in one.hello.versions
            and one.proves[0] < version
            for one in seen
        )
    good = [one.at for one in seen if one.proves]
    alerts, closes = [], []
    for one in seen:
        if one.asks_for(version, suite) and good and min(good) < one.at:
            if one.refusal is not None and _refuses(one.refusal, version):
                alerts.append(one.at)
            elif one.closed or one.refusal == SeenAlert(_FATAL, _INTERNAL_ERROR):
                closes.append(one.at)
    if evidence is Evidence.ALERT:
        return any(at < max(good) for at in alerts)
    return (
        evidence is Evidence.CLOSED_CONFIRMED
        and sum(at < max(good) for at in (*alerts, *closes)) >= _CLOSES
    )


def _refuses(alert: SeenAlert, version: TlsVersion) -> bool:
    """Return whether an alert is a refusal.

    SSL 2 has no alerts: a server that sends one after its hello has not understood that hello.
    """
    return alert.level == _FATAL and (
        alert.description in REFUSING_ALERTS
        or (version is TlsVersion.SSL_2_0 and alert.description != _INTERNAL_ERROR)
    )


def _omissions(facts: AddressFacts, truth: Truth) -> Iterator[str]:
    """A suite that is left out would be judged as if it were absent."""
    listed = {(fact.version, fact.code_point) for fact in facts.cipher_suites}
    for table in (truth.always, truth.sometimes):
        for version, suites in table.items():
            if facts.version(version).support is Support.YES:
                yield from (
                    f"{version.label} 0x{suite:04X} is left out"
                    for suite in suites
                    if (version, suite) not in listed
                )
    if facts.tls is TlsService.SERVED and {fact.version for fact in facts.versions} != set(
        TlsVersion
    ):
        yield "a version is left out"


def _unproven_keys(facts: AddressFacts, truth: Truth, seen: Sequence[Exchange]) -> Iterator[str]:
    completed = {one.proves for one in seen if truth.completes and one.key_proven and one.proves}
    for suite in facts.cipher_suites:
        if suite.handshake_completed and (suite.version, suite.code_point) not in completed:
            name = f"{suite.version.label} 0x{suite.code_point:04X}"
            yield f"{name} is said to have completed a handshake"
    for deployment in facts.deployments:
        if deployment.support is Support.YES and not any(
            one[0] is deployment.version for one in completed
        ):
            version = deployment.version.label
            yield f"a chain is presented for {version}, where no handshake completed"


def may_be_allowed(truth: Truth, seen: Sequence[Exchange]) -> bool:
    """Return whether ALLOW under the strict policy would be right.

    Only the six suites over TLS 1.2, nothing older, and handshakes that complete.
    """
    accepted = {
        (version, suite)
        for table in (truth.always, truth.sometimes)
        for version, suites in table.items()
        for suite in suites
    }
    accepted |= {one.proves for one in seen if one.proves}
    if is_unsteady(seen):
        accepted |= {
            (version, suite) for version, suites in truth.unseen.items() for suite in suites
        }
    old = {version for version, _ in accepted if version < TlsVersion.TLS_1_2}
    over_tls12 = {suite for version, suite in accepted if version is TlsVersion.TLS_1_2}
    return truth.completes and not old and bool(over_tls12) and over_tls12 <= SIX
