"""Whether this program's own TLS files are good, as RotatingCredentials last saw them."""

from collections.abc import Callable
from datetime import datetime

from otpc_policy.ops.credentials import CredentialsObserver


class OwnCertificate:
    """Observes the files, and hands on what it learns. Called on threads of gRPC.

    also: observes them as well. now: the wall clock.
    """

    def __init__(
        self, now: Callable[[], datetime], also: CredentialsObserver | None = None
    ) -> None:
        self._now, self._also = now, also
        self._ends_at: datetime | None = None
        self._client_ca_ends_at: datetime | None = None
        self._was_refused = False

    @property
    def is_loaded(self) -> bool:
        """There is a certificate: the listener speaks TLS."""
        return self._ends_at is not None

    @property
    def failure(self) -> str:
        """What is wrong with the files, for people; "" if nothing is."""
        now = self._now()
        if self._ends_at is not None and self._ends_at <= now:
            return f"the certificate ended at {self._ends_at:%Y-%m-%dT%H:%M:%SZ}"
        if self._client_ca_ends_at is not None and self._client_ca_ends_at <= now:
            return f"a client CA ended at {self._client_ca_ends_at:%Y-%m-%dT%H:%M:%SZ}"
        if self._was_refused:
            return "the files on disk cannot be used; those before them are in use"
        return ""

    def tls_loaded(self, certificate_ends_at: datetime, client_ca_ends_at: datetime | None) -> None:
        """See CredentialsObserver."""
        self._ends_at, self._client_ca_ends_at = certificate_ends_at, client_ca_ends_at
        if self._also is not None:
            self._also.tls_loaded(certificate_ends_at, client_ca_ends_at)

    def tls_reloaded(self, successful: bool) -> None:
        """See CredentialsObserver."""
        self._was_refused = not successful
        if self._also is not None:
            self._also.tls_reloaded(successful)
