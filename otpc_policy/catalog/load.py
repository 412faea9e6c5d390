"""From the files that the settings name to one generation of policies, partners and trust: all of it can be used together, or none of it is."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.partners.folder import PartnerFolder, unknown_policies
from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.catalog.policy_files import policies_from, policy_paths
from otpc_policy.catalog.policy_test_files import case_files_beside, require_policy_tests
from otpc_policy.catalog.policy_test_judge import judge_under
from otpc_policy.catalog.sources import CatalogSources
from otpc_policy.catalog.trust import trust_from
from otpc_policy.catalog.watch import Stamp, stamp_of
from otpc_policy.errors import ConfigurationError
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.model import PolicySet

T = TypeVar("T")

# Files are swapped in a moment; who still writes after three reads has not finished.
_READS = 3


class GenerationLoader:
    """Reads everything that judges. load may run on a thread, one at a time."""

    def __init__(self, settings: CatalogSources) -> None:
        self._settings = settings
        self._partners = PartnerFolder(settings.partners_dir)
        self.stamp: Stamp = ()
        """Of the files as they were when the last load began, whether or not it succeeded."""

    def load(self) -> Catalog:
        """Return a new generation. Raises ConfigurationError with every problem, or with every policy test that does not pass."""
        for _ in range(_READS):
            self.stamp = self.stamp_now()
            try:
                generation = self._read()
            except ConfigurationError:
                # Half of the old and half of the new may look wrong; only what stays as it is deserves blame.
                if self.stamp_now() == self.stamp:
                    raise
                continue
            if self.stamp_now() == self.stamp:
                return generation
        raise ConfigurationError(
            ["files changed again and again while they were read; nothing of them is used"]
        )

    def stamp_now(self) -> Stamp:
        """Return what changes when any file does that a load reads: some microseconds for each."""
        settings = self._settings
        documents = policy_paths(settings)
        # Tests stand beside the documents; a folder that is watched whole needs no list of its own.
        paths = [*documents, *dict.fromkeys(path.parent for path in settings.policy_files)]
        paths += [
            path for path in (settings.policies_dir, settings.partners_dir) if path is not None
        ]
        paths += [
            path
            for entry in settings.trust
            for path in (entry.anchor_file, entry.certificate_file)
            if path is not None
        ]
        return stamp_of(paths)

    def _read(self) -> Catalog:
        generation = read_generation(self._settings, self._partners)
        # The last step, since it needs what is to be used: the operator's own tests of the policies.
        require_policy_tests(
            generation.policies,
            judge_under(generation),
            case_files_beside(policy_paths(self._settings)),
        )
        return generation


def read_generation(settings: CatalogSources, reader: PartnerFolder) -> Catalog:
    """Return everything that judges as the files say it, its policy tests not yet run. Raises ConfigurationError with every problem."""
    problems: list[str] = []
    policies = _or_problems(lambda: policies_from(settings), problems)
    trust = _or_problems(lambda: trust_from(settings), problems)
    partners = _or_problems(reader.read, problems)
    if policies is not None and partners is not None:
        problems.extend(unknown_policies(partners, policies))
    if policies is None or trust is None or partners is None or problems:
        raise ConfigurationError(problems)
    return Catalog(
        policies=policies,
        partners=partners,
        trust=trust,
        revision=_revision(policies, partners, trust),
    )


def _or_problems(read: Callable[[], T], problems: list[str]) -> T | None:
    try:
        return read()
    except ConfigurationError as error:
        problems.extend(error.problems)
        return None


def _revision(policies: PolicySet, partners: PartnerIndex, trust: Trust) -> str:
    digest = hashlib.sha256()
    for part in (*_policy_parts(policies), *_trust_parts(trust)):
        digest.update(json.dumps(part, ensure_ascii=False).encode() + b"\n")
    for text in sorted(document.text for document in partners.documents):
        digest.update(b"%d:" % len(text))
        digest.update(text.encode())
    return digest.hexdigest()


def _policy_parts(policies: PolicySet) -> Iterator[Sequence[str]]:
    yield ("default", policies.default_name)
    for policy in policies.ordered():
        yield (policy.name, policy.revision)


def _trust_parts(trust: Trust) -> Iterator[Sequence[object]]:
    yield [hashlib.sha256(root).hexdigest() for root in trust.mozilla_roots]
    for entry in trust.entries:
        anchors = [hashlib.sha256(anchor).hexdigest() for anchor in entry.anchors]
        pins = [sorted(entry.certificate_pins), sorted(entry.spki_pins)]
        yield [
            sorted(entry.hosts),
            anchors,
            pins,
            entry.note,
            entry.ends_at.isoformat() if entry.ends_at else None,
        ]
