"""Who calls: the identities in the certificate that the caller presented, by kind of name.

gRPC gives every subjectAltName in one list, whatever its kind (x509_subject_alternative_name), so
that a URI or an e-mail address passes for a DNS name. The certificate itself keeps kinds apart. It
was verified in the handshake, so what is read here is what a configured authority signed.
"""

from functools import lru_cache
from typing import Final

import structlog
from cryptography import x509

from otpc_policy.core.caller import Caller, Identity, IdentityKind
from otpc_policy.core.identities import claims_spiffe, identity_of
from otpc_policy.pki.lenient_decoding import DECODING_ERRORS
from otpc_policy.rpc.interceptors.calls import Context

log = structlog.get_logger("otpc_policy.rpc")

# The leaf in PEM. A name in a certificate is found by the certificate alone: connections are
# numbered anew, and behind one address there may be several callers.
_CERTIFICATE: Final = "x509_pem_cert"
# Certificates of callers, at about a kilobyte.
_KEPT_CERTIFICATES: Final = 1024
# Connections whose callers are kept ready.
_KEPT_CALLERS: Final = 1024


@lru_cache(maxsize=_KEPT_CALLERS)
def caller_at(peer: str, identities: tuple[Identity, ...] = ()) -> Caller:
    """Return the caller with these identities at the other end of a connection."""
    return Caller(identities=identities, peer=peer)


def connected_caller(context: Context) -> Caller:
    """Return who makes a call, where nobody is asked for a certificate."""
    return caller_at(context.peer())


def caller_of(context: Context) -> Caller:
    """Return who makes a call."""
    certificate, *_ = context.auth_context().get(_CERTIFICATE, (b"",))
    identities = identities_in(certificate) if certificate else ()
    return caller_at(context.peer(), identities)


@lru_cache(maxsize=_KEPT_CERTIFICATES)
def identities_in(certificate: bytes) -> tuple[Identity, ...]:
    """Return the SPIFFE id, the URIs and the DNS names of a certificate in PEM, in this order.

    Names that are not valid for their kind identify nobody, nor does a certificate that cannot be
    read. The common name does not count: an issuer need not verify it (RFC 9525).

    A SPIFFE id counts only where it is the one URI: "An X.509 SVID MUST contain exactly one URI
    SAN", and validators reject others (X509-SVID, sections 2 and 5.2).
    """
    try:
        extensions = x509.load_pem_x509_certificate(certificate).extensions
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        dns_names = names.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        return ()
    except DECODING_ERRORS as error:
        log.warning("caller_certificate_unreadable", error=type(error).__name__)
        return ()
    is_one = len(uris) == 1
    candidates = [
        *(identity_of(IdentityKind.SPIFFE, uri) for uri in uris if is_one and claims_spiffe(uri)),
        *(identity_of(IdentityKind.URI, uri) for uri in uris),
        *(identity_of(IdentityKind.DNS, name) for name in dns_names),
    ]
    return tuple(dict.fromkeys(found for found in candidates if found is not None))
