"""Which of the recorded clients meet a fault that is shown to some hellos only.

Each client's hello is encoded as the client sends it to partner.test, with the key shares of its
recording, and given to the stack that has the fault: so what counts is the server's answer.
"""

import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.profiles.clients import ProfileHello
from otpc_policy.engine.profiles.hello_bytes import encode_profile_hello
from otpc_policy.engine.profiles.hello_draw import draw
from otpc_policy.engine.profiles.recorded_clients import RecordedClient, recorded_clients
from tests.hostile.faults import EXPIRED_ECDSA, NULL, NULL_SUITES, TLS10, Fault, Stacks
from tests.hostile.surveying import HOST
from tests.support.hostile.hello import SeenHello, read_choice, read_client_hello
from tests.support.hostile.turns import Claim
from tests.tls.sent_hello import read_hello

_SAMPLES = Path(__file__).parents[1] / "engine/profiles/recorded"
# Of a client that orders its extensions anew for each hello.
_ORDERS = 24
# A HelloRetryRequest and an alert are shorter.
_FLIGHT = 300
_ECDSA_P256, _RSA_PSS = 0x0403, frozenset({0x0804, 0x0805, 0x0806})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientHellos:
    """The hellos of one client. shown: names of the faults that a client is shown that asks."""

    name: str
    hellos: tuple[SeenHello, ...]
    shown: frozenset[str]

    def meets(self, fault: Fault, claim: Claim) -> bool:
        """Some hello of the client has what the claim says, and is shown the fault."""
        return fault.name in self.shown and any(map(claim, self.hellos))


def clients_of(stacks: Stacks, faults: Sequence[Fault]) -> tuple[ClientHellos, ...]:
    """Return every recorded client, and which of the faults it is shown."""
    recorded = recorded_clients().values()
    return tuple(hellos_of(client.name, sent_by(client), stacks, faults) for client in recorded)


def hellos_of(
    name: str, sent: Sequence[bytes], stacks: Stacks, faults: Sequence[Fault]
) -> ClientHellos:
    """Return a client by the hellos that it sends: forms of one, of which the first is tried."""
    shown = frozenset(fault.name for fault in faults if is_shown(stacks, fault, sent[0]))
    return ClientHellos(name=name, hellos=tuple(map(_read, sent)), shown=shown)


def is_shown(stacks: Stacks, fault: Fault, sent: bytes) -> bool:
    """The stack that has the fault shows it to this hello."""
    hello = _read(sent)
    if not fault.concerns(hello):
        return False
    received = _answer(fault.stack(stacks), sent)
    choice = read_choice(received)
    if choice is None:
        return False
    if fault is TLS10:
        return choice.version <= TlsVersion.TLS_1_1
    if fault is NULL:
        return choice.cipher_suite in NULL_SUITES
    if choice.version == TlsVersion.TLS_1_3:
        return len(received) > _FLIGHT and (fault is not EXPIRED_ECDSA or _prefers_ecdsa(hello))
    return stacks.serve_faulty_leaf(received)


def _prefers_ecdsa(hello: SeenHello) -> bool:
    """OpenSSL chooses among its leaves by the client's order of schemes."""
    kinds = [scheme for scheme in hello.schemes or () if scheme in {_ECDSA_P256, *_RSA_PSS}]
    return kinds[:1] == [_ECDSA_P256]


def _answer(context: ssl.SSLContext, sent: bytes) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(sent)
    with suppress(ssl.SSLError):
        context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    return outgoing.read()


@cache
def _sample(name: str) -> bytes:
    return bytes.fromhex((_SAMPLES / f"{name}.hex").read_text("ascii"))


def sent_by(client: RecordedClient) -> tuple[bytes, ...]:
    """Return hellos of the client for partner.test."""
    recorded = read_hello(_sample(client.name))
    groups = set(client.profile.share_groups)
    shares = {group: share for group, share in recorded.key_shares if group in groups}
    profile, chance = client.profile, Random(client.name)
    hello = ProfileHello(profile=profile, server_name=HOST if profile.sends_name else None)
    drawn = [draw(profile, chance.randbytes) for _ in range(_ORDERS)]
    if not profile.shuffles_extensions:
        drawn = drawn[:1]
    return tuple(encode_profile_hello(hello, each, shares=shares) for each in drawn)


def _read(sent: bytes) -> SeenHello:
    hello = read_client_hello(sent)
    assert hello is not None
    return hello


def names_of(clients: Sequence[ClientHellos], fault: Fault, claim: Claim) -> tuple[str, ...]:
    """Return the names of the clients that meet a fault that is shown where the claim holds."""
    return tuple(client.name for client in clients if client.meets(fault, claim))
