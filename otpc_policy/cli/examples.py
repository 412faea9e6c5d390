"""Command lines to start from, shown at the end of each command's help."""

from typing import Final

_SERVICE: Final = "--server policy.internal:50051 --server-ca ca.pem"
_ENGINE: Final = "--tls-certificate engine.crt --tls-key engine.key --tls-client-ca fronts-ca.crt"
_CALL: Final = "--rpc CheckEndpoint --host pay.partner.example"
_CLIENT: Final = "--client-cert me.pem --client-key me.key"

EXAMPLES: Final = {
    "serve": (
        "otpc-policy serve --config service.toml --check",
        "otpc-policy serve --config service.toml",
    ),
    "engine": (f"otpc-policy engine --listen 0.0.0.0:50061 {_ENGINE}",),
    "probe": ("otpc-policy probe readyz --ops 127.0.0.1:9464",),
    "doctor": (
        "otpc-policy doctor --config service.toml",
        "otpc-policy doctor --config service.toml --https-peer time.example --json",
    ),
    "check": (
        "otpc-policy check pay.partner.example",
        "otpc-policy check pay.partner.example:8443 --explain",
        "otpc-policy check --partner example-bank",
        f"otpc-policy check pay.partner.example --refresh {_SERVICE} {_CLIENT}",
    ),
    "validate": (
        "otpc-policy validate chain.pem --name pay.partner.example",
        "otpc-policy validate chain.pem --name pay.partner.example --at 2027-01-01T00:00:00Z",
    ),
    "watch": (
        f"otpc-policy watch {_SERVICE}",
        f"otpc-policy watch --partner example-bank --format json {_SERVICE} {_CLIENT}",
    ),
    "watched": (
        f"otpc-policy watched {_SERVICE}",
        f"otpc-policy watched --partner example-bank {_SERVICE} {_CLIENT}",
    ),
    "explain": ("otpc-policy explain CIPHER_SUITE_NONE_REQUIRED",),
    "demo": ("otpc-policy demo",),
    "policy list": (f"otpc-policy policy list {_SERVICE}",),
    "policy show": ("otpc-policy policy show otpc-2024-12 --document",),
    "policy diff": ("otpc-policy policy diff otpc-2024-12 policies/acme.toml",),
    "policy lint": (
        "otpc-policy policy lint policies partners",
        "otpc-policy policy lint --strict --config service.toml",
    ),
    "policy verify": ("otpc-policy policy verify policies partners --key signers.pem",),
    "policy test": ("otpc-policy policy test policies --policy-file policies/acme.toml",),
    "authz test": (
        f"otpc-policy authz test --roles roles.toml --identity spiffe://x.example/router {_CALL}",
        f"otpc-policy authz test --certificate refused.pem {_CALL} --refresh",
    ),
    "audit verify": ("otpc-policy audit verify audit.log",),
    "admin reload": (f"otpc-policy admin reload --validate-only {_SERVICE} {_CLIENT}",),
    "admin invalidate": (
        f"otpc-policy admin invalidate pay.partner.example:8443 {_SERVICE} {_CLIENT}",
    ),
}
"""By command."""


def examples(command: str) -> str:
    """Return the examples of a command as its epilog. Each is on one line, for copying."""
    lines = EXAMPLES[command]
    # The backspace keeps click from wrapping the paragraph.
    return "\n".join(
        ("\b", "Example:" if len(lines) == 1 else "Examples:", *map("  ".__add__, lines))
    )
