"""What a server presented to the hellos of one scan: each certificate and staple once, bounded.

A server chooses what it presents on each connection, and a scan keeps what every connection brought
until it ends. Without a bound, three hundred flights of 256 KiB would be kept for each of the scans
that run at the same time.
"""

from dataclasses import replace

from otpc_policy.engine.survey.probe import Outcome
from otpc_policy.tls.flight import ServerFlight, Signature

# A chain with its staple takes 3 to 10 kB, and servers have a few of them; the longest that OpenSSL
# accepts have 100 KiB.
_MOST_BYTES = 4 * 2**20
_NO_ROOM = "the server presented too much to keep"


class KeptFlights:
    """The flights that one scan keeps."""

    def __init__(self) -> None:
        self._bytes_left = _MOST_BYTES
        self._kept: dict[bytes, bytes] = {}

    def of(self, outcome: Outcome) -> Outcome:
        """Return the outcome with what may be kept of its flight.

        What was signed is left out: it was verified already. A flight for which there is no room
        becomes a flight that ended before its certificate: what is served there stays unknown.
        """
        flight = outcome.flight
        if flight is None:
            return outcome
        staple = flight.stapled_ocsp_response
        chain = tuple(map(self._once, flight.chain))
        once = None if staple is None else self._once(staple)
        if None in chain or (staple is not None and once is None):
            return replace(
                outcome, flight=ServerFlight(alert=flight.alert, flaw=_NO_ROOM), key_proven=False
            )
        signature = flight.signature
        if signature is not None:
            signature = Signature(scheme=signature.scheme, content=b"", signature=b"")
        kept = replace(
            flight,
            chain=tuple(certificate for certificate in chain if certificate is not None),
            stapled_ocsp_response=once,
            signature=signature,
        )
        return replace(outcome, flight=kept)

    def _once(self, content: bytes) -> bytes | None:
        """Return the same bytes as were kept before, or None if there is no room for them."""
        if content not in self._kept:
            if len(content) > self._bytes_left:
                return None
            self._bytes_left -= len(content)
            self._kept[content] = content
        return self._kept[content]
