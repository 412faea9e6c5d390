"""Scans of model servers, whose facts tests look at."""

from collections.abc import Sequence

from otpc_policy.core.facts import Evidence, KeyType, Support, TlsVersion
from otpc_policy.engine.facts.deployments import deployment_facts
from otpc_policy.engine.facts.measured import Measured
from otpc_policy.engine.facts.offers import version_facts
from otpc_policy.engine.probes.handshakes import Presented
from otpc_policy.engine.profiles.clients import ClientProfile, ProfileHello
from otpc_policy.engine.survey.client_survey import ClientSurvey
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import PAYMENT_RSA, PAYMENT_SUITES
from otpc_policy.engine.survey.probe import Ending, Outcome, Probe, Purpose
from otpc_policy.tls.answer import Alert, ServerHello
from otpc_policy.tls.client_hello import ClientHello
from otpc_policy.tls.flight import ServerFlight, Signature
from tests.engine.survey.fixed_cast import FIXED_CAST
from tests.engine.survey.model_server import Model, Server, alert
from tests.engine.survey.surveying import NAME, random_refusals, survey
from tests.support.certificates import CertificateAuthority

SSL2, SSL3, TLS10, TLS11, TLS12, TLS13 = TlsVersion
COMPLIANT = Model(suites={TLS13: (0x1302, 0x1303, 0x1301), TLS12: PAYMENT_SUITES})
RSA_ALONE = Model(suites={TLS13: (0x1301,), TLS12: PAYMENT_RSA}, key_types=frozenset({KeyType.RSA}))
AUTHORITY = CertificateAuthority.create()
CHAINS = {
    kind: AUTHORITY.issue(key=key).chain_der
    for kind, key in (
        (KeyType.RSA, "rsa2048"),
        (KeyType.ECDSA, "ec256"),
        (KeyType.EDDSA, "ed25519"),
    )
}
Deployments = set[tuple[KeyType, Support, Evidence]]


def presented(
    version: TlsVersion, suite: int, kind: KeyType, *, staple: bytes | None = None
) -> Presented:
    return Presented(
        version=version,
        cipher_suite=suite,
        chain=CHAINS[kind],
        key_type=kind,
        stapled_ocsp_response=staple,
    )


def measured(*servers: Server, done: Sequence[Presented] = ()) -> Measured:
    return Measured(
        surveys=tuple(survey(one).journal for one in servers) or (Journal(),),
        clients=ClientSurvey(NAME, FIXED_CAST),
        completed=done,
    )


def versions(found: Measured) -> dict[TlsVersion, tuple[Support, Evidence]]:
    return {fact.version: (fact.support, fact.evidence) for fact in version_facts(found)}


def deployments(found: Measured, wanted: TlsVersion = TLS12) -> Deployments:
    facts = deployment_facts(found, version_facts(found))
    return {
        (fact.key_type, fact.support, fact.evidence) for fact in facts if fact.version is wanted
    }


def unsteady() -> Server:
    """One server that refuses by chance; it draws on as it is asked."""
    return random_refusals(COMPLIANT, seed=1, one_in=3, into=alert(40))


OBTAINED = (Support.YES, Evidence.SERVER_HELLO)
REFUSED, UNKNOWN = (Support.NO, Evidence.ALERT), (Support.UNKNOWN, Evidence.NONE)


RSA_CHAIN, ECDSA_CHAIN = CHAINS[KeyType.RSA], CHAINS[KeyType.ECDSA]
SIGNED = Signature(scheme=0x0804, content=b"", signature=b"")
PROVEN = ServerFlight(chain=RSA_CHAIN, signature=SIGNED, is_whole=True)
UNSIGNED = ServerFlight(chain=RSA_CHAIN, is_whole=True)
SILENT = Outcome(ending=Ending.TIMED_OUT, connected=True)
REFUSAL = Outcome(ending=Ending.ANSWERED, connected=True, answer=Alert(2, 40))


def flown(version: TlsVersion, suite: int, flight: ServerFlight | None) -> Outcome:
    """The server chose, and this is what followed; a signature was verified."""
    return Outcome(
        ending=Ending.ANSWERED,
        connected=True,
        answer=ServerHello(version=version, cipher_suite=suite, is_retry_request=False),
        flight=flight,
        key_proven=flight is not None and flight.signature is not None,
    )


def surveyed(*outcomes: tuple[TlsVersion, int, ServerFlight | None]) -> Journal:
    log = Journal()
    for version, suite, flight in outcomes:
        hello = ClientHello(
            version=version,
            lowest=version,
            cipher_suites=(suite,),
            server_name=NAME,
        )
        outcome = flown(version, suite, flight)
        log.add([Probe(hello=hello, purpose=Purpose.CONTROL)], [outcome])
    return log


def clients(
    *asked: tuple[ClientProfile, Outcome],
    purpose: Purpose = Purpose.CLIENT,
) -> ClientSurvey:
    survey_of_clients = ClientSurvey(NAME, FIXED_CAST)
    for profile, outcome in asked:
        hello = ProfileHello(profile=profile, server_name=NAME)
        survey_of_clients.take([Probe(hello=hello, purpose=purpose)], [outcome])
    return survey_of_clients


def seen(
    log: Journal,
    asked: ClientSurvey | None = None,
    *,
    done: Sequence[Presented] = (),
    http: Sequence[tuple[TlsVersion, bytes]] = (),
) -> Measured:
    return Measured(
        surveys=(log,),
        clients=asked or ClientSurvey(NAME, FIXED_CAST),
        completed=done,
        http_leaves=http,
    )


def unknown(found: Measured) -> set[tuple[TlsVersion, KeyType]]:
    facts = deployment_facts(found, version_facts(found))
    return {(one.version, one.key_type) for one in facts if one.support is Support.UNKNOWN}


def chains(found: Measured) -> set[tuple[TlsVersion, tuple[bytes, ...]]]:
    facts = deployment_facts(found, version_facts(found))
    return {(one.version, one.chain) for one in facts if one.support is Support.YES}


KNOWN = surveyed((TLS12, 0xC02F, PROVEN))
# Nothing was refused, so these are unknown whatever else there is.
LEFT_OPEN = unknown(seen(KNOWN))
