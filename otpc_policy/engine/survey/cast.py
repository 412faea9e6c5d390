"""Which clients one measurement asks as: drawn anew each time, under a cover.

Each question is asked by a recorded client, or by those of the operator's own routers, and by made
up ones in pairs of which each has what the other lacks (profiles.made_up_clients). So whatever a
server tells clients apart by, some hello has it and another one lacks it; and what hellos look like
cannot be learned from the last measurement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from otpc_policy.engine.profiles.clients import SSL2_FORMAT, ClientProfile
from otpc_policy.engine.profiles.hello_draw import RandomBytes
from otpc_policy.engine.profiles.made_up_clients import (
    draw_clients_with_ecdsa_first,
    draw_clients_with_rsa,
    draw_insecure_clients,
    draw_old_clients,
    draw_variants,
)
from otpc_policy.engine.profiles.recorded_clients import ClientKind, recorded_clients
from otpc_policy.engine.survey.offers import NO_VARIANTS, Variants

_NUMBER_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The clients of one measurement, by what is asked.

    certificates: which certificates are served. old, insecure: whether such a client is accepted.
    variants: of the wide hellos that ask about versions and suites.
    """

    certificates: tuple[ClientProfile, ...]
    old: tuple[ClientProfile, ...]
    insecure: tuple[ClientProfile, ...]
    variants: Variants = NO_VARIANTS


def draw_cast(random_bytes: RandomBytes, routers: Sequence[ClientProfile] = ()) -> Cast:
    """Return the clients that one measurement asks as.

    routers: those of the operator, all of which are among them.
    """
    current = _one_of(ClientKind.CURRENT, random_bytes)
    return Cast(
        certificates=(
            *(routers or (current,)),
            *draw_clients_with_ecdsa_first(random_bytes),
            *draw_clients_with_rsa(random_bytes),
        ),
        old=(
            SSL2_FORMAT,
            _one_of(ClientKind.OLD, random_bytes),
            *draw_old_clients(random_bytes),
        ),
        insecure=draw_insecure_clients(random_bytes),
        variants=draw_variants(random_bytes),
    )


def _one_of(kind: ClientKind, random_bytes: RandomBytes) -> ClientProfile:
    profiles = _profiles(kind)
    return profiles[int.from_bytes(random_bytes(_NUMBER_BYTES), "big") % len(profiles)]


@cache
def _profiles(kind: ClientKind) -> tuple[ClientProfile, ...]:
    return tuple(client.profile for client in recorded_clients().values() if client.kind is kind)
