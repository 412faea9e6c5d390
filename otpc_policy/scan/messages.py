"""The language between the scanner and its workers: JSON behind a length, bytes in base64. Never pickle.

A worker has read bytes of hostile servers, so nothing that it says may become code.
"""

import json
from base64 import b64decode, b64encode
from typing import Any

from otpc_policy.core.addresses import vet_again
from otpc_policy.core.facts import TlsVersion
from otpc_policy.scan.handshake import Ending, HandshakeOffer, HandshakeOutcome

LENGTH_BYTES = 4
# A chain of connection_bytes in base64 is below 1 MiB at every sensible setting.
MAX_MESSAGE = 8 * 2**20
# The worker's first message: imports are done, both TLS libraries are loaded.
READY = b'{"ready":true}'


def frame(message: bytes) -> bytes:
    """Put the length in front of a message."""
    return len(message).to_bytes(LENGTH_BYTES, "big") + message


def encode_offer(number: int, offer: HandshakeOffer) -> bytes:
    """Return the request with this number."""
    fields = {
        "number": number,
        "address": offer.address.text,
        "opened": offer.address.opened,
        "port": offer.port,
        "server_name": offer.server_name,
        "version": offer.version,
        "cipher_suites": offer.cipher_suites,
        "legacy": offer.legacy,
        "request": b64encode(offer.request).decode(),
        "deadline_s": offer.deadline_s,
        "byte_limit": offer.byte_limit,
    }
    return json.dumps(fields).encode()


def decode_offer(message: bytes) -> tuple[int, HandshakeOffer]:
    """Return the number of a request and its offer, whose address is vetted once more.

    Raises ValueError.
    """
    fields: dict[str, Any] = json.loads(message)
    number: int = fields.pop("number")
    fields["address"] = vet_again(fields["address"], fields.pop("opened"))
    fields["version"] = None if fields["version"] is None else TlsVersion(fields["version"])
    fields["cipher_suites"] = tuple(fields["cipher_suites"])
    fields["request"] = b64decode(fields["request"])
    return number, HandshakeOffer(**fields)


def encode_outcome(number: int, outcome: HandshakeOutcome) -> bytes:
    """Return the answer to the request with this number."""
    staple = outcome.stapled_ocsp_response
    fields = {
        "number": number,
        "ending": outcome.ending.value,
        "connected": outcome.connected,
        "offered": outcome.offered,
        "first_bytes": b64encode(outcome.first_bytes).decode(),
        "key_proven": outcome.key_proven,
        "client_certificate_requested": outcome.client_certificate_requested,
        "chain": [b64encode(certificate).decode() for certificate in outcome.chain],
        "stapled_ocsp_response": None if staple is None else b64encode(staple).decode(),
        "reply": b64encode(outcome.reply).decode(),
        "duration_s": outcome.duration_s,
        "detail": outcome.detail,
    }
    return json.dumps(fields).encode()


def decode_outcome(message: bytes) -> tuple[int, HandshakeOutcome]:
    """Return the number of an answer and its outcome."""
    fields: dict[str, Any] = json.loads(message)
    number: int = fields.pop("number")
    staple = fields["stapled_ocsp_response"]
    fields["ending"] = Ending(fields["ending"])
    fields["offered"] = tuple(fields["offered"])
    fields["first_bytes"] = b64decode(fields["first_bytes"])
    fields["chain"] = tuple(b64decode(certificate) for certificate in fields["chain"])
    fields["stapled_ocsp_response"] = None if staple is None else b64decode(staple)
    fields["reply"] = b64decode(fields["reply"])
    return number, HandshakeOutcome(**fields)
