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
from otpc_policy.engine.profiles.made_up_clients import (
    draw_clients_with_ecdsa_first,
    draw_clients_with_rsa,
    draw_insecure_clients,
    draw_old_clients,
    draw_variants,
)
from otpc_policy.engine.profiles.recorded_clients import ClientKind, recorded_clients
from otpc_policy.engine.survey.offers import NO_VARIANTS, Variants

_NUMBER_BYTES: Final = 4
# One of each build (see made_up_clients). The wide hellos stand in for more clients with RSA alone.
_OF_A_KIND: Final = 4
_WITH_RSA: Final = 2


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


def draw_cast(random_bytes: RandomBytes, routers: Sequence[ClientProfile] = ()) -> Cast:
    """Return the clients that one measurement asks as.

    routers: those of the operator, all of which are among them.
    """
    return Cast(
        certificates=(
            *(routers or (_a_recorded_client(random_bytes),)),
            *draw_clients_with_ecdsa_first(random_bytes, _OF_A_KIND),
            *draw_clients_with_rsa(random_bytes, _WITH_RSA),
        ),
        old=(SSL2_FORMAT, *draw_old_clients(random_bytes, _OF_A_KIND)),
        insecure=draw_insecure_clients(random_bytes, _OF_A_KIND),
        variants=draw_variants(random_bytes, len(NO_VARIANTS)),
    )


def _a_recorded_client(random_bytes: RandomBytes) -> ClientProfile:
    profiles = _current_clients()
    return profiles[int.from_bytes(random_bytes(_NUMBER_BYTES), "big") % len(profiles)]


@cache
def _current_clients() -> tuple[ClientProfile, ...]:
    return tuple(
        client.profile
        for client in recorded_clients().values()
        if client.kind is ClientKind.CURRENT
    )
