"""docs/metrics.md is what the code exports, and every label has a meaning."""

from collections.abc import Sequence

import pytest
from prometheus_client.metrics_core import Metric

from otpc_policy.engine.metrics import LABELS as ENGINE_LABELS
from otpc_policy.ops.metrics import LABELS
from otpc_policy.ops.metrics.labels import LabelMeanings
from tests.monitoring.reference import (
    REFERENCE,
    engine_metrics,
    exported_name,
    label_values,
    reference,
    service_metrics,
)


def test_the_reference_is_what_the_code_exports() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == reference(), "make metrics writes it again"


@pytest.mark.parametrize(
    ("metrics", "meanings"),
    [(service_metrics(), LABELS), (engine_metrics(), ENGINE_LABELS)],
    ids=["service", "engine"],
)
def test_every_label_has_a_meaning_and_no_meaning_is_of_nothing(
    metrics: Sequence[Metric], meanings: LabelMeanings
) -> None:
    families = {exported_name(family): family for family in metrics}
    assert meanings.keys() <= families.keys()
    for name, family in families.items():
        # The sinks of the audit trail are configured: there are none here.
        if family.samples and not name.startswith("process_"):
            assert set(label_values(family)) == set(meanings.get(name, ())), name


def test_what_an_engine_exports_a_service_exports_too() -> None:
    names = {exported_name(family) for family in service_metrics()}
    assert {exported_name(family) for family in engine_metrics()} <= names
