"""The components of the service, for /readyz?verbose.

Readiness depends on the first two, of which the second is the engines of the default perspective.
Without the others the service still answers, if only from what
it has: an operator wants to see them, a load balancer must not act on them.
"""

from collections.abc import Iterator

from otpc_policy.app.application import Application
from otpc_policy.app.lifecycle import Lifecycle, Phase
from otpc_policy.ops.components import Component
from otpc_policy.ops.own_certificate import OwnCertificate


def front_components(
    application: Application, lifecycle: Lifecycle, certificate: OwnCertificate
) -> Iterator[Component]:
    """Yield them as they are now."""
    phase = lifecycle.phase
    yield Component("lifecycle", "" if phase is Phase.SERVING else str(phase.value))
    names = tuple(application.engines)
    for name, engines in application.engines.items():
        failure = "" if engines.workers_alive > 0 else "no worker is alive"
        if name == names[0]:
            yield Component("engines", failure)
        if len(names) > 1:
            yield Component(f"perspective {name}", failure, is_required=False)
    for name, pool in application.pools.items():
        place = f" of {name}" if len(names) > 1 else ""
        for engine in pool.standings():
            failure = "" if engine.is_up else "down"
            yield Component(f"engine {engine.name}{place}", failure, is_required=False)
    if application.fleet is not None:
        yield Component("store", application.fleet.store_failure, is_required=False)
    refused = "the last reload was refused, and the documents before it are in use; see the log"
    failure = refused if application.reloader.was_refused else ""
    yield Component("configuration", failure, is_required=False)
    if certificate.is_loaded:
        yield Component("certificate", certificate.failure, is_required=False)
    for outlet in application.trail.outlets:
        losing = "it does not take audit lines, and some are lost" if outlet.is_losing else ""
        yield Component(f"audit {outlet.name}", losing, is_required=False)
