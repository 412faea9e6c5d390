"""A fleet of real programs: fronts, engines, a store, and partners behind a relay."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.far_partner import FarPartner, far_partner
from tests.support.engine_program import engine_program
from tests.support.service_process import ServiceProcess, service_process
from tests.support.valkey import Valkey, ValkeyCluster, valkey, valkey_cluster
from tests.support.waiting import wait_until


@dataclass(slots=True)
class RealFleet:
    """engines: their processes, where they run apart from the fronts. cluster: None for one store.

    start_front: starts one that is ended with the fleet.
    """

    partner: FarPartner
    store: Valkey
    cluster: ValkeyCluster | None
    fronts: list[ServiceProcess]
    engines: Sequence[Any]
    start_front: Callable[[int], ServiceProcess]

    def replace_front(self, number: int) -> None:
        """Start another in place of one that has ended."""
        self.fronts[number] = self.start_front(number)


@contextmanager
def real_fleet(
    folder: Path,
    *,
    endpoints: int,
    names_of_an_address: int,
    replicas: int,
    are_engines_apart: bool,
    round_trip_s: float,
    is_cluster: bool = False,
    may_turn_lax: bool = False,
    settings: Mapping[str, str],
    of_port: Callable[[int], Mapping[str, str]] = lambda _port: {},
) -> Iterator[RealFleet]:
    """Run it while the context lasts.

    are_engines_apart: as many as fronts, and all fronts use them; otherwise each has one of its
    own. is_cluster: the store is one, of three primaries and three replicas. may_turn_lax: see
    far_partner. settings: of the fronts, names as in the environment without their prefix.
    of_port: more of them, by the port of all partners.
    """
    key = folder / "key"
    key.write_text("cd" * 32 + "\n")
    key.chmod(0o600)
    trust = {"hosts": ["*.partner.test"], "anchor_file": str(folder / "anchor.pem")}
    with ExitStack() as stack:
        partner = stack.enter_context(
            far_partner(
                folder,
                names=endpoints,
                round_trip_s=round_trip_s,
                own_addresses=True,
                names_of_an_address=names_of_an_address,
                may_turn_lax=may_turn_lax,
            )
        )
        cluster = stack.enter_context(valkey_cluster()) if is_cluster else None
        store = stack.enter_context(valkey()) if cluster is None else cluster.servers[0]
        engines, whose = [], {"ENGINES": "1"}
        if are_engines_apart:
            sockets = [f"unix:{folder}/engine{number}" for number in range(replicas)]
            config = folder / "engine.toml"
            config.write_text("\n".join(partner.configuration))
            engines = [
                stack.enter_context(engine_program("--listen", at, "--config", str(config)))
                for at in sockets
            ]
            whose = {"ENGINE_ADDRESSES": json.dumps(sockets)}
        chosen = {
            **whose,
            "STATIC_HOSTS": json.dumps(partner.hosts),
            "TRUST": json.dumps([trust]),
            **(
                {"FLEET__URL": store.url}
                if cluster is None
                else {"FLEET__MODE": "cluster", "FLEET__URLS": json.dumps(list(cluster.urls))}
            ),
            "FLEET__KEY_FILE": str(key),
            **settings,
            **of_port(partner.port),
        }
        variables = {f"OTPC_POLICY_{name}": text for name, text in chosen.items()}

        def start_front(number: int) -> ServiceProcess:
            own = folder / f"front{number}"
            own.mkdir(exist_ok=True)
            front = stack.enter_context(service_process(own, **variables))
            wait_until(lambda: front.metric("otpc_policy_store_available") == 1)
            return front

        fronts = [start_front(number) for number in range(replicas)]
        yield RealFleet(partner, store, cluster, fronts, engines, start_front)
