"""What a program knows of its own TLS files."""

from datetime import UTC, datetime, timedelta

from otpc_policy.ops.own_certificate import OwnCertificate

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Seen:
    def __init__(self) -> None:
        self.calls: list[object] = []

    def tls_loaded(self, certificate_ends_at: datetime, client_ca_ends_at: datetime | None) -> None:
        self.calls.append((certificate_ends_at, client_ca_ends_at))

    def tls_reloaded(self, successful: bool) -> None:
        self.calls.append(successful)


def test_what_ends_and_what_was_refused_is_a_failure_and_is_handed_on() -> None:
    seen = Seen()
    own = OwnCertificate(lambda: NOW, also=seen)
    assert (own.is_loaded, own.failure) == (False, "")
    own.tls_loaded(NOW + DAY, NOW + DAY)
    assert (own.is_loaded, own.failure) == (True, "")
    own.tls_reloaded(False)
    assert own.failure == "the files on disk cannot be used; those before them are in use"
    own.tls_reloaded(True)
    own.tls_loaded(NOW + DAY, NOW)
    assert own.failure == "a client CA ended at 2026-06-01T00:00:00Z"
    own.tls_loaded(NOW, None)
    assert own.failure == "the certificate ended at 2026-06-01T00:00:00Z"
    assert seen.calls == [(NOW + DAY, NOW + DAY), False, True, (NOW + DAY, NOW), (NOW, None)]
