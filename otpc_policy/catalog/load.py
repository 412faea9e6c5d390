"""From the operator's files to one catalog: all of them can be used together, or none is."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from otpc_policy.catalog.context import Catalog
from otpc_policy.catalog.files import read_text
from otpc_policy.catalog.partners.folder import PartnerFolder, unknown_policies
from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.catalog.policies import load_policies, policy_places
from otpc_policy.catalog.policy_tests import (
    policy_test_places,
    read_policy_tests,
    require_policy_tests,
)
from otpc_policy.catalog.roles import RolesFile, access_of, load_roles
from otpc_policy.catalog.signatures import SIGNATURE_SUFFIX, document_reader
from otpc_policy.catalog.sources import CatalogSources
from otpc_policy.catalog.trust import load_trust
from otpc_policy.catalog.watch import Stamp, stamp_of
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.pki.trust import Trust
from otpc_policy.policy.model import PolicySet

T = TypeVar("T")

# Files are swapped in a moment; a writer that is still busy after three reads has not finished.
_READS = 3


class CatalogLoader:
    """Reads everything that judges. load may run on a thread, one call at a time.

    stamp: of the files as the last load found them, whether or not it succeeded.
    Raises ConfigurationError if the key for signatures of documents cannot be used.
    """

    def __init__(self, sources: CatalogSources) -> None:
        self._sources = sources
        self._read = document_reader(sources.catalog_signing_key, read_text)
        self._partners = PartnerFolder(sources.partners_dir, self._read)
        self.stamp: Stamp = ()

    def load(self) -> Catalog:
        """Return a new catalog whose policy tests have passed.

        Raises ConfigurationError with every problem, or with every policy test that fails.
        """
        for _ in range(_READS):
            self.stamp = self.stamp_now()
            try:
                catalog = self._tested()
            except ConfigurationError:
                # Half of the old and half of the new may look wrong; blame only what stays put.
                if self.stamp_now() == self.stamp:
                    raise
                continue
            if self.stamp_now() == self.stamp:
                return catalog
        raise ConfigurationError(["files kept changing while they were read; none of them is used"])

    def load_untested(self) -> Catalog:
        """Return a new catalog whose policy tests have not been run.

        Raises ConfigurationError with every problem.
        """
        sources = self._sources
        problems: list[str] = []
        policies = _or_problems(lambda: load_policies(sources, self._read), problems)
        trust = _or_problems(lambda: load_trust(sources.trust), problems)
        partners = _or_problems(self._partners.read, problems)
        roles = _or_problems(lambda: load_roles(sources), problems)
        if policies is not None and partners is not None:
            problems.extend(unknown_policies(partners, policies))
            if roles is not None:
                ids = [partner.id for partner in partners.partners]
                problems.extend(roles.unknown_names(policies.policies, ids))
        if policies is None or trust is None or partners is None or problems:
            raise ConfigurationError(problems)
        return Catalog(
            policies=policies,
            partners=partners,
            trust=trust,
            access=access_of(roles, sources),
            revision=_revision(policies, partners, trust, roles),
        )

    def stamp_now(self) -> Stamp:
        """Return what changes when a file does that a load reads: some microseconds a file."""
        sources = self._sources
        paths = list(sources.policy_files)
        if sources.catalog_signing_key is not None:
            # Those in folders are watched with their folder.
            paths += [file.with_name(file.name + SIGNATURE_SUFFIX) for file in paths]
        # Policy tests and the files that they name stand in the folders of the policies.
        paths += dict.fromkeys(path.parent for path in sources.policy_files)
        for path in (sources.policies_dir, sources.partners_dir, sources.roles_file):
            paths += [] if path is None else [path]
        for entry in sources.trust:
            files = (entry.anchor_file, entry.certificate_file)
            paths += [file for file in files if file is not None]
        return stamp_of(paths)

    def _tested(self) -> Catalog:
        catalog = self.load_untested()
        places = policy_test_places(policy_places(self._sources))
        require_policy_tests(read_policy_tests(places), catalog)
        return catalog


def _or_problems(read: Callable[[], T], problems: list[str]) -> T | None:
    try:
        return read()
    except ConfigurationError as error:
        problems.extend(error.problems)
        return None


def _revision(
    policies: PolicySet, partners: PartnerIndex, trust: Trust, roles: RolesFile | None
) -> str:
    digest = hashlib.sha256()
    for part in (*_policy_parts(policies), *_trust_parts(trust)):
        digest.update(json.dumps(part, ensure_ascii=False).encode() + b"\n")
    for text in sorted(document.text for document in partners.documents):
        digest.update(b"%d:" % len(text))
        digest.update(text.encode())
    if roles is not None:
        digest.update(b"roles:%d:" % len(roles.text))
        digest.update(roles.text.encode())
    return digest.hexdigest()


def _policy_parts(policies: PolicySet) -> Iterator[Sequence[str]]:
    yield ("default", policies.default_name)
    minimum = policies.minimum
    yield ("minimum",) if minimum is None else ("minimum", minimum.name)
    for policy in policies.ordered():
        yield (policy.name, policy.revision)


def _trust_parts(trust: Trust) -> Iterator[Sequence[object]]:
    yield [hashlib.sha256(root).hexdigest() for root in trust.mozilla_roots]
    for entry in trust.entries:
        anchors = [hashlib.sha256(anchor).hexdigest() for anchor in entry.anchors]
        pins = [sorted(entry.certificate_pins), sorted(entry.spki_pins)]
        ends = entry.ends_at.isoformat() if entry.ends_at else None
        yield [sorted(entry.hosts), anchors, pins, entry.note, ends]
