"""Problems in documents of policies and partners, and deadlines that end soon.

Everything that a service would refuse, or will stop applying.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from otpc_policy.app.preflight import preflight
from otpc_policy.app.settings import Settings
from otpc_policy.catalog.files import POLICY_TEST_SUFFIX, decode_text, documents_in
from otpc_policy.catalog.load import CatalogLoader
from otpc_policy.catalog.partners.deadlines import ENDS_SOON, deadlines
from otpc_policy.catalog.partners.document import (
    PartnerDocument,
    is_partner_document,
    read_partner_document,
)
from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.catalog.policies import parse_policy
from otpc_policy.cli.certificates import STDIN
from otpc_policy.cli.configuration import read_settings
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.logs import logs_configured
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.model import Policy, PolicySet
from otpc_policy.policy.rules.application import CLIENT_AUTH_EXPECTED


@dataclass(frozen=True, slots=True)
class LintReport:
    """What was found, each line with its place.

    problems: what cannot be used. endings: what has ended or ends soon. remarks: what is valid and
    has no effect, or less than its author may think. minimum: which policy is the minimum, for
    people; empty if no settings were checked.
    """

    problems: Sequence[str] = ()
    endings: Sequence[str] = ()
    remarks: Sequence[str] = ()
    minimum: str = ""


def lint_configuration(config: str, now: datetime) -> LintReport:
    """Check everything for which a service with this configuration file would refuse to start.

    Engines are started and ended again. Raises ConfigurationError for the settings themselves.
    """
    settings = read_settings(config=config)
    with logs_configured(settings.log_format.value, settings.log_level.value):
        start = preflight(settings, now)
    documents = _lint_catalog(settings, now)
    # The start reads the documents too, and reports their problems among its own.
    return LintReport(
        start.problems,
        (*start.endings, *documents.endings),
        (*start.remarks, *documents.remarks),
    )


def lint_settings(now: datetime) -> LintReport:
    """Check every document that a service with these settings would load, policy tests included.

    Raises ConfigurationError for the settings themselves.
    """
    return _lint_catalog(read_settings(), now)


def _lint_catalog(settings: Settings, now: datetime) -> LintReport:
    try:
        catalog = CatalogLoader(settings).load()
    except ConfigurationError as error:
        return LintReport(error.problems)
    endings = (
        *_partner_endings(catalog.partners, now),
        *_trust_endings(catalog.trust, now),
        *(
            line
            for policy in catalog.policies.ordered()
            for line in _permission_endings(policy, "policies", now)
        ),
    )
    remarks = (
        *_weak_minimum(catalog.policies),
        *_ineffective(catalog.partners, catalog.policies),
    )
    return LintReport((), endings, remarks, _minimum_words(catalog.policies))


def lint_documents(paths: Iterable[str], now: datetime) -> LintReport:
    """Check documents, or folders of them: each by itself, and the partners together.

    Raises OSError for a file that cannot be read.
    """
    problems: list[str] = []
    documents: list[PartnerDocument] = []
    endings: list[str] = []
    for place, content in _contents(paths, problems):
        try:
            text = decode_text(content, place)
            if is_partner_document(text):
                documents.append(read_partner_document(text, place))
            else:
                endings += _permission_endings(parse_policy(text, place), place, now)
        except ConfigurationError as error:
            problems.extend(error.problems)
    try:
        of_partners = _partner_endings(PartnerIndex(documents), now)
        return LintReport(problems, (*endings, *of_partners))
    except ConfigurationError as error:
        return LintReport((*problems, *error.problems))


def _contents(paths: Iterable[str], problems: list[str]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        if path == STDIN:
            yield "stdin", sys.stdin.buffer.read()
        elif Path(path).is_dir():
            try:
                places = documents_in(Path(path), "folder")
            except ConfigurationError as error:
                problems.extend(error.problems)
                continue
            for place in places:
                if not place.endswith(POLICY_TEST_SUFFIX):
                    yield place, Path(place).read_bytes()
        else:
            yield path, Path(path).read_bytes()


def _partner_endings(partners: PartnerIndex, now: datetime) -> Iterator[str]:
    for document in partners.documents:
        for partner in document.partners:
            for deadline in deadlines(partner):
                if deadline.has_ended(now) or deadline.ends_soon(now):
                    place = document.place_of(partner, *deadline.path)
                    yield f"{place}: partner {partner.id}: {deadline.sentence(now)}"


def _permission_endings(policy: Policy, place: str, now: datetime) -> Iterator[str]:
    for end in policy.permissions_end:
        if end - ENDS_SOON <= now:
            verb = "ended" if end <= now else "ends"
            yield f"{place}: policy {policy.name}: what it permits until {end.isoformat()} {verb}"


def _trust_endings(trust: Trust, now: datetime) -> Iterator[str]:
    for number, entry in enumerate(trust.entries):
        if entry.ends_at is not None and entry.ends_at - ENDS_SOON <= now:
            verb = "ended" if entry.ends_at <= now else "ends"
            what = entry.note or "the entry"
            yield f"trust.{number}.ends: {what} {verb} at {entry.ends_at.isoformat()}"


def _minimum_words(policies: PolicySet) -> str:
    minimum = policies.minimum
    return "no minimum policy" if minimum is None else f"minimum policy {minimum.name}"


def _weak_minimum(policies: PolicySet) -> Iterator[str]:
    """Yield what lets callers choose a laxer policy than the default."""
    minimum = policies.minimum
    if minimum is None:
        yield (
            "dangerously_without_minimum_policy: no policy judges but the one that a request names "
            "and the partner's: whoever asks may name a lax or a report-only policy"
        )
    elif not minimum.enforcing:
        yield (
            f"minimum_policy: {minimum.name} is report-only (enforcing = false), so it denies "
            "nothing that a laxer policy in a request allows"
        )


def _ineffective(partners: PartnerIndex, policies: PolicySet) -> Iterator[str]:
    """Yield agreements about client certificates that no policy judges.

    A policy must give the codes an effect; the built-in ones leave that to the operator.
    """
    for document in partners.documents:
        for partner in document.partners:
            judging = [policies.get(name) for name in dict.fromkeys(("", partner.policy))]
            judging += [] if policies.minimum is None else [policies.minimum]
            if partner.client_auth is None or any(map(_judges_client_auth, judging)):
                continue
            names = " and ".join(dict.fromkeys(policy.name for policy in judging))
            yield (
                f"{document.place_of(partner, 'client_auth')}: partner {partner.id}: "
                f"client_auth has no effect under {names}: "
                f"the codes of rule {CLIENT_AUTH_EXPECTED.id} are off there"
            )


def _judges_client_auth(policy: Policy) -> bool:
    return any(rule.is_enabled for rule in policy.rules if rule.id == CLIENT_AUTH_EXPECTED.id)
