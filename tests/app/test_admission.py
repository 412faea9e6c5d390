"""A service that is open to more callers than one expects says so at its start."""

from typing import Any

import pytest

from otpc_policy.app.admission import admission_warnings
from otpc_policy.app.settings import Settings

TLS: dict[str, Any] = {"tls_certificate_file": "c", "tls_key_file": "k"}
MUTUAL: dict[str, Any] = {**TLS, "tls_client_ca_file": "a"}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, ""),
        (TLS, ""),
        (MUTUAL, "tls_client_ca_file without roles_file"),
        ({**MUTUAL, "listen": "0.0.0.0:1"}, "tls_client_ca_file without roles_file"),
        ({**MUTUAL, "listen": "0.0.0.0:1", "roles_file": "r.toml"}, ""),
        (
            {**TLS, "listen": "0.0.0.0:1", "dangerously_admit_anyone_over_tls": True},
            "dangerously_admit_anyone_over_tls",
        ),
        (
            {"listen": "0.0.0.0:1", "dangerously_listen_without_tls": True},
            "dangerously_listen_without_tls",
        ),
    ],
    ids=str,
)
def test_what_is_open_is_said(given: dict[str, Any], says: str) -> None:
    warnings = list(admission_warnings(Settings(**given)))
    assert len(warnings) == bool(says)
    assert all(warning.startswith(says) for warning in warnings)
