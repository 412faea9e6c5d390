"""Alerts by number: data only, for people who read what a server answered."""

from collections.abc import Mapping

# The IANA registry "TLS Alerts" (tls-parameters-6): RFC 9846 6.2, with those that RFC 9846 reserves because older versions used them,
# and what RFC 9147 (52), RFC 6066 (111 to 114) and RFC 7507 (86) add. Compared with Wireshark 4.0.17, which lacks 52 and 117 only.
ALERTS: Mapping[int, str] = {
    0: "close_notify",
    1: "end_of_early_data",
    10: "unexpected_message",
    20: "bad_record_mac",
    21: "decryption_failed",
    22: "record_overflow",
    30: "decompression_failure",
    40: "handshake_failure",
    41: "no_certificate",
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    47: "illegal_parameter",
    48: "unknown_ca",
    49: "access_denied",
    50: "decode_error",
    51: "decrypt_error",
    52: "too_many_cids_requested",
    60: "export_restriction",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    90: "user_canceled",
    100: "no_renegotiation",
    109: "missing_extension",
    110: "unsupported_extension",
    111: "certificate_unobtainable",
    112: "unrecognized_name",
    113: "bad_certificate_status_response",
    114: "bad_certificate_hash_value",
    115: "unknown_psk_identity",
    116: "certificate_required",
    117: "general_error",
    120: "no_application_protocol",
    121: "ech_required",
}


def alert_name(description: int) -> str:
    """Return the name of an alert with its number, such as "handshake_failure (40)"; one without a name is "alert 200"."""
    name = ALERTS.get(description)
    return f"{name} ({description})" if name is not None else f"alert {description}"
