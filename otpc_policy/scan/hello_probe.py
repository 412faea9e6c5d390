"""One hello of our own to one vetted address, and the first answer to it. Nothing is completed, so no key is ever proven here."""

import asyncio
import os
from contextlib import suppress

from otpc_policy.scan.handshake import Ending, HandshakeOffer, HandshakeOutcome
from otpc_policy.tls.answer import Alert, Incomplete, parse_answer
from otpc_policy.tls.client_hello import ENTROPY_BYTES, encode_client_hello, offered_cipher_suites

_WARNING = 1
_READ_BYTES = 4096


async def probe(offer: HandshakeOffer) -> HandshakeOutcome:
    """Send the offer and return what came back first. Whatever the server does ends as an outcome, within the offer's deadline and bytes."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    exchange = _Exchange()
    try:
        async with asyncio.timeout(offer.deadline_s):
            ending = await exchange.run(offer)
    except TimeoutError:
        ending = Ending.TIMED_OUT
    except ConnectionRefusedError:
        ending = Ending.REFUSED
    except OSError:
        ending = Ending.RESET if exchange.connected else Ending.UNREACHABLE
    return HandshakeOutcome(
        ending=ending,
        connected=exchange.connected,
        offered=offered_cipher_suites(exchange.sent),
        first_bytes=exchange.received,
        duration_s=loop.time() - started,
    )


class _Exchange:
    """What went over one connection so far; readable when it was cut short."""

    def __init__(self) -> None:
        self.connected = False
        self.sent = self.received = b""

    async def run(self, offer: HandshakeOffer) -> Ending:
        """Connect, send, and read until the answer is whole. Raises OSError, and TimeoutError from outside."""
        reader, writer = await asyncio.open_connection(offer.address, offer.port, limit=_READ_BYTES)
        self.connected = True
        try:
            hello = encode_client_hello(
                version=offer.version, cipher_suites=offer.cipher_suites, server_name=offer.server_name, entropy=os.urandom(ENTROPY_BYTES)
            )
            writer.write(hello)
            self.sent = hello
            return await self._read_answer(reader, offer.byte_limit)
        finally:
            writer.close()
            with suppress(OSError, TimeoutError):
                await writer.wait_closed()

    async def _read_answer(self, reader: asyncio.StreamReader, byte_limit: int) -> Ending:
        while len(self.received) < byte_limit:
            content = await reader.read(_READ_BYTES)
            if not content:
                return Ending.CLOSED
            self.received += content
            answer = parse_answer(self.received)
            # A ServerHello may follow a warning.
            if not isinstance(answer, Incomplete) and not (isinstance(answer, Alert) and answer.level == _WARNING):
                return Ending.ANSWERED
        return Ending.BYTE_LIMIT
