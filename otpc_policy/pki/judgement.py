"""What judging a chain yields: observations about name, trust, order, keys and revocation.

Values only. Whether an observation denies is the policy's business. UNDECIDED is an answer of its
own: finding the true one would have cost more work than one judgement may (otpc_policy.pki.budget).
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from otpc_policy.core.facts import KeyType


class NameMatch(Enum):
    """How the leaf matches the wanted name (RFC 9525). COMMON_NAME only without any SAN."""

    SUBJECT_ALT_NAME = "SUBJECT_ALT_NAME"
    COMMON_NAME = "COMMON_NAME"
    MISMATCH = "MISMATCH"
    NOT_CHECKED = "NOT_CHECKED"
    UNDECIDED = "UNDECIDED"


class TrustSource(Enum):
    """What the leaf is trusted by."""

    MOZILLA_ROOT = "MOZILLA_ROOT"
    ANCHOR = "ANCHOR"
    PIN = "PIN"
    REQUEST_ANCHOR = "REQUEST_ANCHOR"
    NOTHING = "NOTHING"
    UNDECIDED = "UNDECIDED"


class StapleStatus(Enum):
    """What the stapled OCSP response proves.

    UNVERIFIED: present, but proves nothing (stale, wrong signer, malformed).
    """

    GOOD = "GOOD"
    REVOKED = "REVOKED"
    UNVERIFIED = "UNVERIFIED"
    ABSENT = "ABSENT"
    UNDECIDED = "UNDECIDED"


class CrlStatus(Enum):
    """What the leaf's certificate revocation list (CRL) proves.

    UNVERIFIED: the leaf names a list, and none that proves anything is at hand. ABSENT: it names
    none. NOT_EXAMINED: nobody looked, or may look.
    """

    GOOD = "GOOD"
    REVOKED = "REVOKED"
    UNVERIFIED = "UNVERIFIED"
    ABSENT = "ABSENT"
    NOT_EXAMINED = "NOT_EXAMINED"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateView:
    """One decoded certificate. Its texts are for people (core.shown_text).

    der: as served. key_bits: 0 where the algorithm has no such figure.
    key_type and key_bits describe the subject's key; key_name is for people ("RSA 2048", "EC
    secp256r1"). key_flaw: why the key gives no security whatever its length, for people; "" if it
    does. signature_hash: lower-case name ("sha256"), or "" for signatures without a separate hash
    (Ed25519). is_self_issued: subject equals issuer, by their octets; its own signature then
    carries no trust.
    key_usage: the bits that are set, as RFC 5280 4.2.1.3 names them; purposes: extended key usages,
    dotted. None without the extension, and where the extensions were not read (leaf_unread).
    unread_extensions: names of those that are there and cannot be read; what other fields say of
    them is as if they were absent, and proves nothing.
    """

    der: bytes
    sha256: str
    spki_sha256: str
    subject: str
    issuer: str
    serial_number: str
    not_before: datetime
    not_after: datetime
    subject_alt_names: tuple[str, ...]
    common_names: tuple[str, ...]
    key_type: KeyType
    key_bits: int
    key_name: str
    signature_algorithm: str
    signature_hash: str
    is_self_issued: bool
    must_staple: bool
    key_flaw: str = ""
    key_usage: frozenset[str] | None = None
    purposes: frozenset[str] | None = None
    unread_extensions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class MalformedEntry:
    """A served certificate that cannot be decoded. index: position in the served chain."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainJudgement:
    """Everything observed about one served chain at one instant. Its texts are for people.

    certificates: as served, leaf first; None where the entry is malformed. Of one that cost too
        much to be read whole, without what its extensions say, or None.
    leaf_unread: why the leaf is such a one, for people; "" if it is not.
    path: indexes into certificates of the path that leads from the leaf towards the trust source,
        leaf first. If the leaf is not trusted, the longest path that signatures and names prove; if
        that is UNDECIDED, the leaf alone. It holds served certificates only, never the anchor
        itself unless the server sent it.
    trusted_if_valid: a path to a trust source exists when validity dates are left out of account,
        so that an expired chain under a good root is EXPIRED and not also UNTRUSTED.
    trust_label: for people: the anchor's subject or the entry's note.
    trust_failure: for people: why the leaf is not trusted, or why that is UNDECIDED.
    trust_ends_at: end of the anchor or pin entry.
    path_valid_until: the earliest notAfter on the proven path, inclusive: of the anchor and of
        every certificate below it, served or not. None without such a path.
    issuer_missing: an intermediate that the path needs was not served.
    misordered: it is not proven that each certificate certifies the one before it: other order,
        alien certificates between, or more than are looked at.
    crl_detail: for people: why, and which list says so. staple_changes_at, crl_changes_at: when
        time alone changes what they prove; None if it never does.
    """

    certificates: tuple[CertificateView | None, ...]
    leaf_unread: str = ""
    malformed: tuple[MalformedEntry, ...]
    path: tuple[int, ...]
    name: NameMatch
    trust: TrustSource
    trusted_if_valid: bool
    trust_label: str
    trust_failure: str
    trust_ends_at: datetime | None
    issuer_missing: bool
    misordered: bool
    staple: StapleStatus
    staple_detail: str
    staple_changes_at: datetime | None
    crl: CrlStatus = CrlStatus.NOT_EXAMINED
    crl_detail: str = ""
    crl_changes_at: datetime | None = None
    path_valid_until: datetime | None = None

    @property
    def leaf(self) -> CertificateView | None:
        """The first certificate; None if there is none or it could not be read."""
        return self.certificates[0] if self.certificates else None
