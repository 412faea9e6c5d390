"""Rules about the served chain: order, keys, signatures, revocation."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from otpc_policy.core.facts import KeyType
from otpc_policy.pki.judgement import CertificateView, CrlStatus, StapleStatus
from otpc_policy.policy.finding import FindingEvidence
from otpc_policy.policy.parameters import Parameter, key_types, one_of, positive_integer, some_of
from otpc_policy.policy.rule import PresentedChain, Report, Rule, Subject, unknown
from otpc_policy.policy.rules.certificate_text import (
    beyond_leaf,
    describe,
    on_path,
    undecided,
    unread_extension,
    unreadable,
    unseen,
)

_RSA_MINIMUM_BITS = Parameter("rsa_minimum_bits", positive_integer)
_EC_MINIMUM_BITS = Parameter("ec_minimum_bits", positive_integer)
_REFUSED_KEY_TYPES = Parameter("refused_key_types", key_types)
# An authority may have keys of another type than the server.
_LEAF_KEY_TYPES = Parameter(
    "leaf_key_types", key_types, default=tuple(key_type.value for key_type in KeyType)
)
_WEAK_HASHES = Parameter("weak_hashes", some_of("md2", "md4", "md5", "sha1", "sha224"))
_OPTIONAL, _REQUIRED = "optional", "required"
_PROOF = Parameter("proof", one_of(_OPTIONAL, _REQUIRED))
# otpc_policy.pki uses this name for an unknown hash, and "" for a signature without one.
_UNKNOWN_HASH = "unknown"


def judge_chain_served(
    subject: Subject, _parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """The chain is complete, in order, and every certificate in it can be decoded."""
    yield from unseen(subject)
    for presented in subject.chains:
        judgement = presented.judgement
        for entry in judgement.malformed:
            yield presented.report(
                "CERTIFICATE_MALFORMED",
                f"certificate {entry.index} of the chain cannot be decoded: {entry.reason};"
                " an X.509 certificate in DER required",
                index=entry.index,
                evidence=(
                    FindingEvidence("certificate", entry.reason, "X.509 certificate in DER"),
                ),
            )
        if judgement.issuer_missing:
            yield presented.report(
                "CERTIFICATE_CHAIN_INCOMPLETE",
                "an intermediate certificate of the path was not served;"
                " leaf and all intermediates required",
                evidence=(
                    FindingEvidence(
                        "chain",
                        f"{len(judgement.certificates)} certificates",
                        "leaf and all intermediates",
                    ),
                ),
            )
        if judgement.misordered:
            yield presented.report(
                "CERTIFICATE_CHAIN_MISORDERED",
                "the served certificates are out of order, or unrelated ones are among them;"
                " leaf first, then each issuer, required",
                evidence=(
                    FindingEvidence(
                        "chain", "other order", "leaf first, then each issuer (RFC 5246 7.4.2)"
                    ),
                ),
            )


def judge_key(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """Keys on the path are strong, and so is every signature on which the path rests."""
    yield from unseen(subject)
    for presented in subject.chains:
        if presented.judgement.leaf is None:
            yield unreadable(presented, "the strength of the key")
        yield from beyond_leaf(presented, "the strength of the keys and signatures")
        path = list(on_path(presented.judgement))
        for position, (index, view) in enumerate(path):
            yield from _judge_key(presented, index, view, parameters)
            # A self-issued end of the path is trusted for its key; its signature proves nothing.
            if position < len(path) - 1 or not view.is_self_issued:
                yield from _judge_signature(presented, index, view, parameters)
        if leaf := presented.judgement.leaf:
            yield from _judge_leaf_key(presented, leaf, parameters)


def _judge_key(
    presented: PresentedChain, index: int, view: CertificateView, parameters: Mapping[str, object]
) -> Iterator[Report]:
    if view.key_flaw:
        yield presented.report(
            "CERTIFICATE_KEY_WEAK",
            f"the key of the {describe(index, view)} is unusable: {view.key_flaw}",
            index=index,
            evidence=(FindingEvidence("public_key", view.key_name, view.key_flaw),),
        )
    minima = {
        KeyType.RSA: _RSA_MINIMUM_BITS.of(parameters),
        KeyType.ECDSA: _EC_MINIMUM_BITS.of(parameters),
    }
    minimum = minima.get(view.key_type, 0)
    if view.key_type.value in _REFUSED_KEY_TYPES.of(parameters):
        required = f"{view.key_type.value} is not accepted"
    elif view.key_type is KeyType.OTHER:
        yield unknown(
            f"could not determine the strength of the key of the {describe(index, view)}:"
            " unknown key type",
            *presented.addresses,
            cause="ALGORITHM_UNKNOWN",
        )
        return
    elif view.key_bits < minimum:
        required = f"{minimum} bits required"
    else:
        return
    observed = f"{view.key_bits} bits" if view.key_bits else view.key_name
    yield presented.report(
        "CERTIFICATE_KEY_WEAK",
        f"the {view.key_type.value} key of the {describe(index, view)} has {observed}; {required}",
        index=index,
        evidence=(FindingEvidence("public_key", view.key_name, required),),
    )


def _judge_leaf_key(
    presented: PresentedChain, leaf: CertificateView, parameters: Mapping[str, object]
) -> Iterator[Report]:
    accepted = _LEAF_KEY_TYPES.of(parameters)
    refused = _REFUSED_KEY_TYPES.of(parameters)
    if leaf.key_type.value not in accepted and leaf.key_type.value not in refused:
        required = f"a key of type {' or '.join(accepted)} required"
        if leaf.key_type is KeyType.OTHER:
            # It may be of an accepted type, on a curve that is not known here, or unreadable.
            yield unknown(
                f"could not determine the type of the key of the {describe(0, leaf)}; {required}",
                *presented.addresses,
                cause="ALGORITHM_UNKNOWN",
            )
            return
        yield presented.report(
            "CERTIFICATE_KEY_WEAK",
            f"the key of the {describe(0, leaf)} is of type {leaf.key_type.value}; {required}",
            index=0,
            evidence=(FindingEvidence("public_key", leaf.key_name, required),),
        )


def _judge_signature(
    presented: PresentedChain, index: int, view: CertificateView, parameters: Mapping[str, object]
) -> Iterator[Report]:
    if view.signature_hash == _UNKNOWN_HASH:
        message = (
            f"could not determine the strength of the signature on the {describe(index, view)}"
        )
        algorithm = f"unknown algorithm {view.signature_algorithm}"
        yield unknown(f"{message}: {algorithm}", *presented.addresses, cause="ALGORITHM_UNKNOWN")
    elif view.signature_hash in _WEAK_HASHES.of(parameters):
        yield presented.report(
            "CERTIFICATE_SIGNATURE_WEAK",
            f"the signature on the {describe(index, view)} uses {view.signature_hash.upper()}"
            f" ({view.signature_algorithm}); SHA-256 or better required",
            index=index,
            evidence=(
                FindingEvidence(
                    "signature_algorithm", view.signature_algorithm, "SHA-256 or better"
                ),
            ),
        )


def judge_revocation(
    subject: Subject, parameters: Mapping[str, object], _now: datetime
) -> Iterator[Report]:
    """Neither the stapled OCSP response nor the CRL says revoked, as far as they can be had.

    One of them must prove that the leaf is not revoked if the parameter says so; without that,
    status that could not be determined is a finding of its own, where the leaf names a CRL. A
    must-staple leaf needs a good staple in any case. A chain that does not come from a handshake
    cannot have one.
    """
    yield from unseen(subject)
    for presented in subject.chains:
        judgement = presented.judgement
        leaf = judgement.leaf
        if revoked := tuple(_revoked(presented)):
            yield from revoked
        elif judgement.staple is StapleStatus.UNDECIDED:
            yield undecided(
                presented, "what the stapled OCSP response proves", judgement.staple_detail
            )
        elif leaf is None or judgement.leaf_unread:
            yield unreadable(presented, "whether a stapled OCSP response is required")
        elif (
            "tlsFeature" in leaf.unread_extensions
            and presented.staple_observed
            and judgement.staple is not StapleStatus.GOOD
        ):
            what = "whether a stapled OCSP response is required"
            yield unread_extension(presented, what, "tlsFeature")
        elif (
            leaf.must_staple
            and presented.staple_observed
            and judgement.staple is not StapleStatus.GOOD
        ):
            yield presented.report(
                "CERTIFICATE_STAPLE_MISSING",
                "the leaf certificate requires a stapled OCSP response (must-staple), and no valid"
                f" one was sent: {judgement.staple_detail}",
                index=0,
                evidence=(
                    FindingEvidence("stapled_ocsp_response", judgement.staple_detail, "good"),
                ),
            )
        else:
            yield from _unproven(presented, _PROOF.of(parameters))


def _revoked(presented: PresentedChain) -> Iterator[Report]:
    """Report each source that says so."""
    judgement = presented.judgement
    if judgement.staple is StapleStatus.REVOKED:
        yield presented.report(
            "CERTIFICATE_REVOKED",
            "the stapled OCSP response reports the leaf certificate as revoked:"
            f" {judgement.staple_detail}",
            index=0,
            evidence=(FindingEvidence("stapled_ocsp_response", judgement.staple_detail, "good"),),
        )
    if judgement.crl is CrlStatus.REVOKED:
        yield presented.report(
            "CERTIFICATE_REVOKED",
            "the certificate revocation list of its issuer reports the leaf certificate as"
            f" revoked: {judgement.crl_detail}",
            index=0,
            evidence=(
                FindingEvidence("certificate_revocation_list", judgement.crl_detail, "not listed"),
            ),
        )


def _unproven(presented: PresentedChain, proof: str) -> Iterator[Report]:
    judgement = presented.judgement
    if judgement.staple is StapleStatus.GOOD or judgement.crl is CrlStatus.GOOD:
        return
    staple = (
        judgement.staple_detail
        if presented.staple_observed
        else "a chain in hand comes without a stapled OCSP response"
    )
    message = (
        "could not determine whether the leaf certificate is revoked:"
        f" {judgement.crl_detail or 'CRLs are not looked at here'}; {staple}"
    )
    if proof == _REQUIRED:
        yield unknown(message, *presented.addresses)
    elif judgement.crl is CrlStatus.UNVERIFIED:
        yield presented.report(
            "CERTIFICATE_REVOCATION_UNKNOWN",
            message,
            index=0,
            evidence=(
                FindingEvidence("certificate_revocation_list", judgement.crl_detail, "not listed"),
                FindingEvidence("stapled_ocsp_response", staple, "good"),
            ),
        )


CERTIFICATE_CHAIN = Rule(
    id="certificate.chain",
    codes=("CERTIFICATE_MALFORMED", "CERTIFICATE_CHAIN_INCOMPLETE", "CERTIFICATE_CHAIN_MISORDERED"),
    judge=judge_chain_served,
)
CERTIFICATE_KEY = Rule(
    id="certificate.key",
    codes=("CERTIFICATE_KEY_WEAK", "CERTIFICATE_SIGNATURE_WEAK"),
    parameters=(
        _RSA_MINIMUM_BITS,
        _EC_MINIMUM_BITS,
        _REFUSED_KEY_TYPES,
        _LEAF_KEY_TYPES,
        _WEAK_HASHES,
    ),
    judge=judge_key,
)
CERTIFICATE_REVOCATION = Rule(
    id="certificate.revocation",
    codes=(
        "CERTIFICATE_REVOKED",
        "CERTIFICATE_STAPLE_MISSING",
        "CERTIFICATE_REVOCATION_UNKNOWN",
    ),
    parameters=(_PROOF,),
    judge=judge_revocation,
)
