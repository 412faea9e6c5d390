"""cryptography's decoders: what they raise for bytes that they cannot read, and their warnings."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography import x509
from cryptography.exceptions import InternalError, UnsupportedAlgorithm

# What cryptography raises for bytes that it cannot read. KeyError: a name whose string type it does
# not know. InternalError: an error of OpenSSL that it did not expect. From there on plain
# Exceptions.
DECODING_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    InternalError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
# Re-entrant: whoever decodes a staple decodes certificates within.
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def decoding_leniently() -> Iterator[None]:
    """Silence cryptography's warnings about oddities.

    Serial numbers that are not positive, NULL parameters, lengths of names. They are for
    programmers, and partners' certificates are full of them; without this, `python -W error` would
    reject such certificates. Warning filters belong to the process, so one thread at a time: a
    reload decodes on a thread of its own.
    """
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
