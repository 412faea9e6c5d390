"""All rules, in order of evaluation. A rule exists by standing here; nothing registers itself."""

from otpc_policy.policy.rule import Rule
from otpc_policy.policy.rules.application import CLIENT_AUTH_EXPECTED, HTTPS_SERVED
from otpc_policy.policy.rules.chain import (
    CERTIFICATE_CHAIN,
    CERTIFICATE_KEY,
    CERTIFICATE_REVOCATION,
)
from otpc_policy.policy.rules.ciphers import CIPHER_INSECURE, CIPHER_OUTSIDE_SET, CIPHER_REQUIRED
from otpc_policy.policy.rules.handshake import HANDSHAKE_EXTENSION
from otpc_policy.policy.rules.identity import CERTIFICATE_NAME, CERTIFICATE_TRUST
from otpc_policy.policy.rules.key_exchange import (
    GROUP_OUTSIDE_SET,
    GROUP_REQUIRED,
    KEY_EXCHANGE_MINIMUM,
)
from otpc_policy.policy.rules.lifetime import CERTIFICATE_LIFETIME
from otpc_policy.policy.rules.protocol import (
    TLS_MINIMUM_VERSION,
    TLS_REQUIRED_VERSION,
    TLS_SERVED,
    TLS_VULNERABILITY,
)
from otpc_policy.policy.rules.usage import CERTIFICATE_USAGE
from otpc_policy.policy.rules.validity import CERTIFICATE_VALIDITY

CERTIFICATE_RULES: tuple[Rule, ...] = (
    CERTIFICATE_NAME,
    CERTIFICATE_TRUST,
    CERTIFICATE_VALIDITY,
    CERTIFICATE_CHAIN,
    CERTIFICATE_KEY,
    CERTIFICATE_LIFETIME,
    CERTIFICATE_USAGE,
    CERTIFICATE_REVOCATION,
)
RULES: tuple[Rule, ...] = (
    TLS_SERVED,
    TLS_MINIMUM_VERSION,
    TLS_REQUIRED_VERSION,
    CIPHER_REQUIRED,
    CIPHER_OUTSIDE_SET,
    CIPHER_INSECURE,
    GROUP_REQUIRED,
    GROUP_OUTSIDE_SET,
    KEY_EXCHANGE_MINIMUM,
    HANDSHAKE_EXTENSION,
    *CERTIFICATE_RULES,
    HTTPS_SERVED,
    TLS_VULNERABILITY,
    CLIENT_AUTH_EXPECTED,
)
