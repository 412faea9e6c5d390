"""Certificates in a file, in PEM or DER, as the bytes that its owner has.

A chain, an anchor or a pin may come from the command line, from the settings or from a partner's
entry; all of them read files here, so that one file means the same everywhere.
"""

import shlex

from otpc_policy.pki.file_kinds import (
    CERTIFICATE_REQUIRED,
    kind_next_to_pem,
    kind_of_file,
    kind_of_wrapping,
    without_trailing_space,
)
from otpc_policy.pki.pem import has_pem_mark, read_pem_bundle


def read_certificate_file(content: bytes, path: str = "FILE") -> tuple[bytes, ...]:
    """Return the certificates of a file in DER, in their order, at least one.

    Whether they can be decoded is for others to say: a bad certificate is judged like any other.
    path: how commands in messages call the file.
    Raises ValueError, whose text continues after the name of the file: there is no certificate in
    it, or something else is, and how to convert that.
    """
    try:
        return _read(content)
    except ValueError as error:
        raise ValueError(str(error).replace("FILE", shlex.quote(path))) from None


def _read(content: bytes) -> tuple[bytes, ...]:
    if not content.strip():
        raise ValueError(f"is empty; {CERTIFICATE_REQUIRED}")
    if kind_of_wrapping(content) is None and has_pem_mark(content):
        # Passed over, it may be the leaf, and its issuer or another leaf would be judged.
        if (kind := kind_next_to_pem(content)) is not None:
            raise ValueError(f"has {kind}")
        chain = read_pem_bundle(content.decode("utf-8", "replace"))
        if not all(chain):
            raise ValueError(f"holds an empty block; {CERTIFICATE_REQUIRED}")
        return chain
    if (kind := kind_of_file(content)) is not None:
        raise ValueError(f"is {kind}")
    return (without_trailing_space(content),)
