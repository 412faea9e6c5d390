"""Which clients one measurement asks as: drawn anew each time, under a cover.

Each question is asked by a recorded client, or by those of the operator's own routers, and by made
up ones, some of which have what others lack (profiles.made_up_clients). So whatever a server tells
clients apart by, some hello has it and another one lacks it; and what hellos look like cannot be
learned from the last measurement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from otpc_policy.engine.profiles.clients import SSL2_FORMAT, ClientProfile
from otpc_policy.engine.profiles.hello_draw import RandomBytes
from otpc_policy.engine.profiles.length_parity import with_both_parities
from otpc_policy.engine.profiles.made_up_clients import (
    draw_clients_of_tls12,
    draw_clients_with_ecdsa_first,
    draw_insecure_clients,
    draw_old_clients,
    draw_variants,
)
from otpc_policy.engine.profiles.recorded_clients import ClientKind, recorded_clients
from otpc_policy.engine.survey.offers import NO_VARIANTS, Variants

_NUMBER_BYTES: Final = 4
# One of each build (see made_up_clients). The wide hellos stand in for more clients of TLS 1.2.
_OF_TLS13: Final = 4
_OF_TLS12: Final = 3
_THAT_REVEAL: Final = 5
_SSL3_CLIENT: Final = "openssl-1.0.2-ssl3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The clients of one measurement, by what is asked.

    certificates: which certificates are served. old, insecure: whether such a client is accepted;
    the former may be asked with the certificates.
    variants: of the wide hellos that ask about versions and suites.
    """

    certificates: tuple[ClientProfile, ...]
    old: tuple[ClientProfile, ...]
    insecure: tuple[ClientProfile, ...]
    variants: Variants = NO_VARIANTS


def draw_cast(
    random_bytes: RandomBytes,
    routers: Sequence[ClientProfile] = (),
    *,
    server_name: str | None,
) -> Cast:
    """Return the clients that one measurement asks as.

    routers: those of the operator, all of which are among them. server_name: an A-label name; None
    sends none. What is drawn does not depend on it, but how long some hello is does.
    """

    def balanced(made_up: Sequence[ClientProfile]) -> tuple[ClientProfile, ...]:
        return with_both_parities(made_up, server_name)

    return Cast(
        certificates=(
            *(routers or (_one_of(ClientKind.CURRENT, random_bytes),)),
            *balanced(draw_clients_with_ecdsa_first(random_bytes, _OF_TLS13)),
            *balanced(draw_clients_of_tls12(random_bytes, _OF_TLS12)),
        ),
        old=(
            SSL2_FORMAT,
            _one_of(ClientKind.OLD, random_bytes),
            recorded_clients()[_SSL3_CLIENT].profile,
            *balanced(draw_old_clients(random_bytes, _THAT_REVEAL)),
        ),
        insecure=(
            _one_of(ClientKind.INSECURE, random_bytes),
            *balanced(draw_insecure_clients(random_bytes, _THAT_REVEAL)),
        ),
        variants=draw_variants(random_bytes, len(NO_VARIANTS)),
    )


def _one_of(kind: ClientKind, random_bytes: RandomBytes) -> ClientProfile:
    """Return a recorded client of this kind."""
    profiles = _recorded(kind)
    return profiles[int.from_bytes(random_bytes(_NUMBER_BYTES), "big") % len(profiles)]


@cache
def _recorded(kind: ClientKind) -> tuple[ClientProfile, ...]:
    """SSL 3 is asked for in any case."""
    return tuple(
        client.profile
        for name, client in recorded_clients().items()
        if client.kind is kind and name != _SSL3_CLIENT
    )
