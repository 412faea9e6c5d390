"""Clients for tests that want the same ones each time, and know what each of them sends."""

from typing import Final

from otpc_policy.engine.survey.cast import Cast
from tests.engine.profiles.known_clients import (
    BROWSER,
    INSECURE_SUITES,
    JAVA_17_WITH_RSA,
    NULL_SUITES,
    OLD_CLIENTS,
    OPENSSL_3,
    OPENSSL_102_WITH_RSA,
    SMALL,
)

FIXED_CAST: Final = Cast(
    certificates=(OPENSSL_3, BROWSER, SMALL, JAVA_17_WITH_RSA, OPENSSL_102_WITH_RSA),
    old=OLD_CLIENTS,
    insecure=(INSECURE_SUITES, NULL_SUITES),
)
