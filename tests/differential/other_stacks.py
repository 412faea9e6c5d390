"""More TLS libraries."""

from collections.abc import Iterator

from tests.differential.case import Case
from tests.support.certificates import CertificateAuthority


def other_stacks(authority: CertificateAuthority) -> Iterator[Case]:
    """Yield all of them."""
    yield from ()
