"""Extensions of a hello by the names that IANA registers, and TLS versions as people write them.

Source: IANA, TLS ExtensionType Values. What is not registered there stands as the browsers'
sources name it.
"""

from collections.abc import Mapping
from typing import Final

from otpc_policy.core.facts import TlsVersion

EXTENSION_NAMES: Final[Mapping[int, str]] = {
    0: "server_name",
    1: "max_fragment_length",
    5: "status_request",
    10: "supported_groups",
    11: "ec_point_formats",
    13: "signature_algorithms",
    15: "heartbeat",
    16: "application_layer_protocol_negotiation",
    17: "status_request_v2",
    18: "signed_certificate_timestamp",
    21: "padding",
    22: "encrypt_then_mac",
    23: "extended_master_secret",
    27: "compress_certificate",
    28: "record_size_limit",
    34: "delegated_credential",
    35: "session_ticket",
    43: "supported_versions",
    45: "psk_key_exchange_modes",
    49: "post_handshake_auth",
    50: "signature_algorithms_cert",
    51: "key_share",
    65037: "encrypted_client_hello",
    65281: "renegotiation_info",
    13172: "next_protocol_negotiation",
    17513: "application_settings_old",
    17613: "application_settings",
    51764: "trust_anchors",
}
VERSION_NAMES: Final[Mapping[int, str]] = {version: version.label for version in TlsVersion}
