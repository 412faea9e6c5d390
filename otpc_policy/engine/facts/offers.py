"""Facts on the versions and cipher suites that a server offers. Nothing beyond the evidence."""

from functools import lru_cache

from otpc_policy.core.facts import CipherSuiteFact, Evidence, Support, TlsVersion, VersionFact
from otpc_policy.engine.facts.measured import Measured, weakest
from otpc_policy.engine.survey.journal import Journal
from otpc_policy.engine.survey.offers import suites_at
from otpc_policy.tls.answer import Alert


def version_facts(measured: Measured) -> tuple[VersionFact, ...]:
    """Return one fact for each version."""
    return tuple(
        VersionFact(version, *_version_support(measured, version)) for version in TlsVersion
    )


def _version_support(measured: Measured, version: TlsVersion) -> tuple[Support, Evidence]:
    if version in measured.accepted:
        return Support.YES, Evidence.SERVER_HELLO
    if measured.surveys[-1].is_passed_over(version):
        return Support.NO, Evidence.LOWER_VERSION
    absences = measured.absences(version)
    if all(map(absences.__contains__, suites_at(version))) and not _is_nameless_hello_unanswered(
        measured.surveys[-1], version
    ):
        return Support.NO, weakest(absences.values())
    return Support.UNKNOWN, Evidence.NONE


def _is_nameless_hello_unanswered(log: Journal, version: TlsVersion) -> bool:
    """No hello without a name was refused, nor answered by an alert.

    Clients of SSL 3 send no name, so their hello must have been turned away too, if only for want
    of a name (alert 112).
    """
    nameless = [
        record
        for record in log.records
        if record.probe.hello.version is version is TlsVersion.SSL_3_0
        and record.probe.hello.server_name is None
    ]
    return bool(nameless) and not any(
        record.refused or isinstance(record.outcome.answer, Alert) for record in nameless
    )


def cipher_suite_facts(measured: Measured) -> tuple[CipherSuiteFact, ...]:
    """Return a fact for every suite of every offered version, by version and code point."""
    proven = frozenset(
        (presented.version, presented.cipher_suite) for presented in measured.presented
    )
    return tuple(
        fact
        for version in sorted(measured.accepted)
        for fact in _cipher_suite_facts(
            version,
            measured.accepted[version],
            frozenset(measured.absences(version).items()),
            frozenset(suite for of_version, suite in proven if of_version is version),
        )
    )


# Most servers accept one of a few sets of suites: sharing their facts saves memory and time.
@lru_cache(maxsize=256)
def _cipher_suite_facts(
    version: TlsVersion,
    accepted: frozenset[int],
    absences: frozenset[tuple[int, Evidence]],
    completed: frozenset[int],
) -> tuple[CipherSuiteFact, ...]:
    absent = dict(absences)
    facts = []
    for suite in suites_at(version):
        if suite in accepted:
            support, evidence = Support.YES, Evidence.SERVER_HELLO
        else:
            evidence = absent.get(suite, Evidence.NONE)
            support = Support.UNKNOWN if evidence is Evidence.NONE else Support.NO
        facts.append(
            CipherSuiteFact(
                version=version,
                code_point=suite,
                support=support,
                evidence=evidence,
                handshake_completed=suite in completed,
            )
        )
    return tuple(facts)
