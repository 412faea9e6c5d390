"""What is wrong with documents of policies and partners, and what in them ends: everything that a service would refuse or stop heeding."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from otpc_policy.catalog.files import documents_in
from otpc_policy.catalog.load import GenerationLoader
from otpc_policy.catalog.partners.deadlines import ENDS_SOON, deadlines
from otpc_policy.catalog.partners.document import PartnerDocument, is_partner_document, read_partner_document
from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.catalog.policies import parse_policy
from otpc_policy.catalog.policy_test_files import CASES_SUFFIX
from otpc_policy.cli.certificates import STDIN
from otpc_policy.cli.configuration import read_settings
from otpc_policy.errors import ConfigurationError
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.model import Policy, PolicySet
from otpc_policy.policy.rules.application import CLIENT_AUTH_EXPECTED


@dataclass(frozen=True, slots=True)
class LintReport:
    """Each with its place. problems: what cannot be used. endings: what has ended or ends soon. remarks: what can be used and says nothing."""

    problems: Sequence[str] = ()
    endings: Sequence[str] = ()
    remarks: Sequence[str] = ()


def lint_settings(now: datetime) -> LintReport:
    """Check everything that a service with these settings would load, its policy tests included. Raises ConfigurationError for the settings themselves."""
    try:
        generation = GenerationLoader(read_settings()).load()
    except ConfigurationError as error:
        return LintReport(error.problems)
    endings = (*_partner_endings(generation.partners, now), *_trust_endings(generation.trust, now))
    return LintReport((), endings, tuple(_expectations_without_effect(generation.partners, generation.policies)))


def lint_documents(paths: Iterable[str], now: datetime) -> LintReport:
    """Check documents, or folders of them, each by itself and the partners together. Raises OSError for a file that cannot be read."""
    problems: list[str] = []
    documents: list[PartnerDocument] = []
    for place, content in _contents(paths, problems):
        try:
            text = content.decode("utf-8")
            if is_partner_document(text):
                documents.append(read_partner_document(text, place))
            else:
                parse_policy(text, place)
        except UnicodeDecodeError:
            problems.append(f"{place}: is not UTF-8")
        except ConfigurationError as error:
            problems.extend(error.problems)
    try:
        return LintReport(problems, tuple(_partner_endings(PartnerIndex(documents), now)))
    except ConfigurationError as error:
        return LintReport((*problems, *error.problems))


def _contents(paths: Iterable[str], problems: list[str]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        if path == STDIN:
            yield "stdin", sys.stdin.buffer.read()
        elif Path(path).is_dir():
            try:
                files = list(map(Path, documents_in(Path(path), "folder")))
            except ConfigurationError as error:
                problems.extend(error.problems)
                continue
            yield from ((str(file), file.read_bytes()) for file in files if not file.name.endswith(CASES_SUFFIX))
        else:
            yield path, Path(path).read_bytes()


def _partner_endings(partners: PartnerIndex, now: datetime) -> Iterator[str]:
    for document in partners.documents:
        for partner in document.partners:
            for one in deadlines(partner):
                if one.has_ended(now) or one.ends_soon(now):
                    yield f"{document.place_of(partner, *one.path)}: partner {partner.id}: {one.sentence(now)}"


def _trust_endings(trust: Trust, now: datetime) -> Iterator[str]:
    for number, entry in enumerate(trust.entries):
        if entry.ends_at is not None and entry.ends_at - ENDS_SOON <= now:
            yield f"trust.{number}.ends: {entry.note or 'it'} {'ended' if entry.ends_at <= now else 'ends'} at {entry.ends_at.isoformat()}"


def _expectations_without_effect(partners: PartnerIndex, policies: PolicySet) -> Iterator[str]:
    """An agreement about client certificates is judged only where a policy gives its codes an effect; the built-in ones leave that to the operator."""
    for document in partners.documents:
        for partner in document.partners:
            judging = {name: policies.get(name) for name in ("", partner.policy)}
            if partner.client_auth is not None and not any(map(_judges_client_auth, judging.values())):
                names = " and ".join(dict.fromkeys(policy.name for policy in judging.values()))
                yield (
                    f"{document.place_of(partner, 'client_auth')}: partner {partner.id}: client_auth has no effect under {names}: "
                    f"the codes of rule {CLIENT_AUTH_EXPECTED.id} are off there"
                )


def _judges_client_auth(policy: Policy) -> bool:
    return any(rule.is_enabled for rule in policy.rules if rule.id == CLIENT_AUTH_EXPECTED.id)
