"""Mozilla's roots, as certifi packs them. The one place of this package that reads a file."""

from functools import cache

import certifi

from otpc_policy.pki.pem import read_pem_bundle


@cache
def mozilla_roots() -> tuple[bytes, ...]:
    """Return the roots of the Mozilla CA program in DER, always the same object.

    Source: https://wiki.mozilla.org/CA, trusted for TLS servers. Roots with a distrust date are in until certifi takes them out.
    """
    return read_pem_bundle(certifi.contents())
