"""The service's metrics: collectors on an injected registry, each documented where it is made.

Every label is a bounded set known at start, and every series exists from the start with the value
zero, so that a rate over a first event is right. Children are looked up in advance: counting costs
a dictionary lookup and an increment.
"""

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, disable_created_metrics

from otpc_policy.ops.metrics import (
    audit,
    calls,
    engines,
    measuring,
    process,
    second_opinions,
    tls,
    verdicts,
)
from otpc_policy.ops.metrics.calls import CallMetrics
from otpc_policy.ops.metrics.engines import EngineMetrics
from otpc_policy.ops.metrics.labels import LabelMeanings
from otpc_policy.ops.metrics.measuring import MeasuringMetrics
from otpc_policy.ops.metrics.process import ProcessMetrics
from otpc_policy.ops.metrics.second_opinions import SecondOpinionMetrics
from otpc_policy.ops.metrics.tls import TlsMetrics
from otpc_policy.ops.metrics.verdicts import VerdictMetrics

LABELS: Final[LabelMeanings] = {
    name: meanings
    for module in (audit, calls, engines, measuring, process, second_opinions, tls, verdicts)
    for name, meanings in module.LABELS.items()
}
"""What every label of the service's metrics means."""


class Metrics(
    CallMetrics, VerdictMetrics, MeasuringMetrics, EngineMetrics, ProcessMetrics, TlsMetrics
):
    """All collectors of a process.

    finding_codes, rpc_methods (service, method): every value that labels may have.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        finding_codes: Iterable[str],
        rpc_methods: Iterable[tuple[str, str]],
    ) -> None:
        # Process-wide in the library. By default every counter and histogram has a second series,
        # "_created".
        disable_created_metrics()  # type: ignore[no-untyped-call]
        CallMetrics.__init__(self, registry, rpc_methods)
        VerdictMetrics.__init__(self, registry, finding_codes)
        MeasuringMetrics.__init__(self, registry)
        EngineMetrics.__init__(self, registry)
        ProcessMetrics.__init__(self, registry)
        TlsMetrics.__init__(self, registry)
        SecondOpinionMetrics(registry)
