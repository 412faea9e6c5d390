"""What the scanner and its workers send each other: JSON after a length, bytes in base64.

Never pickle: a worker has read bytes of a hostile server, so nothing it sends may become
code. This module is all that a worker needs; how its statements are read is in `statements`.
"""

import dataclasses
import json
from base64 import b64decode, b64encode
from typing import Any, Final

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.workers.handshake import HandshakeOffer, HandshakeOutcome, Hello, Target

LENGTH_BYTES: Final = 4
# Between the scanner and the template; the answer to FORK is the process id in decimal digits.
FORK: Final = b"fork"
READY: Final = b"ready"


def frame(message: bytes) -> bytes:
    """Put the length in front of a message."""
    return len(message).to_bytes(LENGTH_BYTES, "big") + message


def encode_ready(missing: tuple[str, ...]) -> bytes:
    """Return a worker's first message. missing: what the kernel lacks for its isolation."""
    return json.dumps(missing).encode()


def encode_request(number: int, offer: HandshakeOffer) -> bytes:
    """Return the request with this number; the connection is sent with it."""
    hello = offer.hello
    fields = {
        "number": number,
        "target": dataclasses.asdict(offer.target),
        "hello": {**dataclasses.asdict(hello), "request": b64encode(hello.request).decode()},
    }
    return json.dumps(fields).encode()


def decode_request(message: bytes) -> tuple[int, Target, Hello]:
    """Return the number of a request, what it is about, and the hello to send."""
    fields: dict[str, Any] = json.loads(message)
    hello = fields["hello"]
    hello["version"] = None if hello["version"] is None else TlsVersion(hello["version"])
    hello["cipher_suites"] = tuple(hello["cipher_suites"])
    hello["request"] = b64decode(hello["request"])
    return fields["number"], Target(**fields["target"]), Hello(**hello)


def encode_statement(number: int, target: Target, outcome: HandshakeOutcome) -> bytes:
    """Return the answer to the request with this number."""
    staple = outcome.stapled_ocsp_response
    fields = {
        "number": number,
        "target": dataclasses.asdict(target),
        "outcome": {
            **{name: getattr(outcome, name) for name in HandshakeOutcome.__slots__},
            "ending": outcome.ending.value,
            "first_bytes": b64encode(outcome.first_bytes).decode(),
            "chain": [b64encode(certificate).decode() for certificate in outcome.chain],
            "stapled_ocsp_response": None if staple is None else b64encode(staple).decode(),
            "reply": b64encode(outcome.reply).decode(),
        },
    }
    return json.dumps(fields).encode()
