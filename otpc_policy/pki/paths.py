"""Paths from a leaf to an anchor, proven at one instant.

Names are judged elsewhere: a path is verified for a name of the leaf itself. What is proven of a
path holds at every instant at which all its certificates are valid, so it is proven once. The order
is that of cost: dates, signatures (search), constraints, and cryptography's verifier last.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import PublicKeyAlgorithmOID
from cryptography.x509.verification import Subject, VerificationError

from otpc_policy.core.facts import KeyType
from otpc_policy.pki.anchors import SERVER_AUTH, AnchorSet
from otpc_policy.pki.budget import TooComplexError, Work, WorkBudget
from otpc_policy.pki.certificate import DECODING_ERRORS, DecodedCertificate
from otpc_policy.pki.constraints import ConstraintChecks, too_many_comparisons
from otpc_policy.pki.roots import RootLimit
from otpc_policy.pki.search import Candidate, candidate_paths
from otpc_policy.pki.signatures import SignatureChecks

_WEAK_HASHES = frozenset({"md5", "sha1", "unknown"})
# CA/B Forum Baseline Requirements 6.1.5, which cryptography's verifier demands of authorities too.
_MIN_RSA_BITS = 2048
_MIN_EC_BITS = 256
_PUBLIC_CURVES = frozenset({"EC secp256r1", "EC secp384r1", "EC secp521r1"})
# The grammar of the verifier: RFC 1034 3.5 with RFC 1123 2.1. An underscore, for one, is refused.
_MAX_NAME_LENGTH = 253
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\Z")
# What cryptography's verifier costs on any path.
_VERIFIER_UNITS = 100
# A name is tried for whether it is a host name by a look at each letter.
_TRIED_BYTES_PER_UNIT = 64


@dataclass(frozen=True, slots=True)
class ProvenPath:
    """certificates: leaf first, without the anchor. anchor: what issued the last of them."""

    certificates: tuple[DecodedCertificate, ...]
    anchor: DecodedCertificate


@dataclass(slots=True, eq=False, kw_only=True)
class PathProver:
    """Proves paths of one leaf, each of them once.

    intermediates: what may stand between leaf and anchor, each once. too_complex: for people, what
    was passed over because it would have cost too much. While that is empty, a path that is not
    found does not exist; from then on it may.
    """

    leaf: DecodedCertificate
    intermediates: Sequence[DecodedCertificate]
    checks: SignatureChecks
    constraints: ConstraintChecks
    too_complex: list[str] = field(default_factory=list)
    _names: list[Subject | None] = field(default_factory=list)
    _is_proven: dict[tuple[bool, tuple[str, ...]], bool] = field(default_factory=dict)

    def find(
        self, anchors: AnchorSet, *, limits: Mapping[str, RootLimit], at: datetime
    ) -> ProvenPath | None:
        """Return a path from the leaf to one of the anchors that is valid at the instant, or None.

        limits: how far which anchors are trusted, by SHA-256.
        A leaf without SAN has none: see find_direct_issue. A leaf that is itself an anchor has
        none: it would be a pin by another name. A leaf whose keyUsage leaves digitalSignature out
        has none: it cannot sign a handshake, and every suite with forward secrecy wants that (RFC
        5246 7.4.2, RFC 8446 4.4.2.2). cryptography does not ask. Source: RFC 5280 6, the web PKI's
        profile by cryptography.x509.verification.
        """
        leaf = self.leaf
        if anchors.are_public and not has_public_kind_of_key(leaf):
            return None
        if not leaf.may_sign_handshakes or anchors.holds(leaf):
            return None
        try:
            name = self._name_of_leaf()
            if name is None:
                return None
            for candidate in candidate_paths(leaf, self.intermediates, anchors, self.checks, at):
                if candidate.is_valid_at(at) and self._holds(candidate, anchors, limits, name, at):
                    return ProvenPath(candidate.certificates, candidate.anchor)
        except TooComplexError as error:
            self.too_complex.append(str(error))
        return None

    def find_direct_issue(self, anchors: AnchorSet, at: datetime) -> ProvenPath | None:
        """Return the path of a leaf with only a common name that an anchor issued itself, or None.

        The verifier needs a SAN, so the rest of RFC 5280 6 is checked here; with the path this
        short, little of it is left.
        """
        leaf = self.leaf
        if leaf.has_subject_alt_name or leaf.is_ca or leaf.has_unknown_critical:
            return None
        if leaf.view.signature_hash in _WEAK_HASHES or not leaf.may_sign_handshakes:
            return None
        if leaf.purposes is not None and SERVER_AUTH not in leaf.purposes:
            return None
        for anchor in anchors.by_subject.get(leaf.view.issuer, ()):
            is_another = anchor.view.sha256 != leaf.view.sha256
            is_valid = leaf.is_valid_at(at) and anchor.is_valid_at(at)
            if is_another and is_valid and _is_fit_to_issue(anchor) and self._issued_leaf(anchor):
                return ProvenPath((leaf,), anchor)
        return None

    def _issued_leaf(self, anchor: DecodedCertificate) -> bool:
        """The anchor's key signed the leaf and its constraints permit it."""
        path = (self.leaf, anchor)
        try:
            is_signed = self.checks.has_issued_by_strong_hash(anchor, self.leaf)
            return is_signed and self.constraints.permit(path)
        except TooComplexError as error:
            self.too_complex.append(str(error))
            return False

    def _holds(
        self,
        candidate: Candidate,
        anchors: AnchorSet,
        limits: Mapping[str, RootLimit],
        name: Subject,
        at: datetime,
    ) -> bool:
        """The path holds, at this instant as at any other at which all of it is valid."""
        path = (*candidate.certificates, candidate.anchor)
        key = (anchors.are_public, tuple(certificate.view.sha256 for certificate in path))
        if key in self._is_proven:
            return self._is_proven[key]
        limit = limits.get(candidate.anchor.view.sha256)
        try:
            is_proven = (
                (limit is None or not limit.refusal(self.leaf, self.constraints))
                and self.constraints.permit(path)
                and self._verifies(path, anchors, name, at)
            )
        except TooComplexError as error:
            # Another path may be as good and cost less.
            self.too_complex.append(str(error))
            return False
        self._is_proven[key] = is_proven
        return is_proven

    def _verifies(
        self, path: Sequence[DecodedCertificate], anchors: AnchorSet, name: Subject, at: datetime
    ) -> bool:
        """cryptography accepts this path, whole. path: leaf first, the anchor last."""
        self._budget.spend(self._verifier_units(path), Work.VERIFIER, too_many_comparisons(path))
        leaf, *intermediates, anchor = [decoded.certificate for decoded in path]
        try:
            verifier = anchors.verifier(path[-1], name, at)
            return verifier.verify(leaf, intermediates) == [leaf, *intermediates, anchor]
        except (VerificationError, *DECODING_ERRORS):
            return False

    def _verifier_units(self, path: Sequence[DecodedCertificate]) -> int:
        """Return what it costs to read every certificate and verify every signature once more.

        To read without making objects takes a third of the time.
        """
        reading = sum(certificate.cost.whole for certificate in path) // 3
        signers = zip(path[1:], path, strict=False)
        signing = sum(self.checks.units_of(parent, child) for parent, child in signers)
        return _VERIFIER_UNITS + reading + signing + self.constraints.verifier_units(path)

    def _name_of_leaf(self) -> Subject | None:
        """Return a name that the leaf has, in the form the verifier takes, or None; found once."""
        if not self._names:
            self._names.append(self._find_name())
        return self._names[0]

    def _find_name(self) -> Subject | None:
        leaf = self.leaf
        if leaf.dns_names and (name := _host_name(leaf.dns_names[0])) is not None:
            return name
        units = len(leaf.dns_names) + len(leaf.view.der) // _TRIED_BYTES_PER_UNIT
        self._budget.spend(units, Work.SEARCH, "too many of its names are no host names")
        names = (name for text in leaf.dns_names if (name := _host_name(text)) is not None)
        address = x509.IPAddress(leaf.ip_addresses[0]) if leaf.ip_addresses else None
        return next(names, address)

    @property
    def _budget(self) -> WorkBudget:
        return self.checks.budget


def _host_name(pattern: str) -> x509.DNSName | None:
    """Return a host name that the pattern covers, or None; a label stands in for a wildcard."""
    name = "label." + pattern[2:] if pattern.startswith("*.") else pattern
    is_host_name = len(name) <= _MAX_NAME_LENGTH and _DNS_NAME.match(name) is not None
    return x509.DNSName(name) if is_host_name else None


def has_public_kind_of_key(leaf: DecodedCertificate) -> bool:
    """The key is of a kind that public authorities may certify for servers.

    cryptography asks that of authorities only. Its length is judged elsewhere.
    Source: Baseline Requirements 6.1.1.3, 6.1.5, 7.1.3.1.1 (RSA: not for PSS alone).
    """
    if leaf.view.key_type is KeyType.RSA:
        return leaf.certificate.public_key_algorithm_oid == PublicKeyAlgorithmOID.RSAES_PKCS1_v1_5
    return leaf.view.key_name in _PUBLIC_CURVES


def _is_fit_to_issue(anchor: DecodedCertificate) -> bool:
    is_weak = 0 < anchor.view.key_bits < _minimum_bits(anchor)
    is_for_servers = anchor.purposes is None or SERVER_AUTH in anchor.purposes
    return is_for_servers and not anchor.has_unknown_critical and not is_weak


def _minimum_bits(anchor: DecodedCertificate) -> int:
    return _MIN_RSA_BITS if anchor.view.key_name.startswith(("RSA", "DSA")) else _MIN_EC_BITS
