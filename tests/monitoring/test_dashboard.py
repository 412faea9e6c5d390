"""Every query of the dashboard can be asked, and reads what is exported."""

import re

import pytest

from tests.monitoring.conftest import Monitored
from tests.monitoring.dashboard import Panel, dashboard, filled_in, panels
from tests.monitoring.promql import faults
from tests.monitoring.rules import RULES
from tests.monitoring.test_rules import with_recorded

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("monitored")]

_PANELS = list(panels())
_ALL = {"job": ".*", "instance": ".*"}
# Grafana's own; those that the panels use.
_UNITS = {"reqps", "percentunit", "s", "none", "bytes", "cps"}


@pytest.mark.parametrize("panel", _PANELS, ids=lambda panel: panel.title)
def test_the_queries_of_a_panel_can_be_asked_and_read_what_is_exported(
    monitored: Monitored, panel: Panel
) -> None:
    there = with_recorded(monitored, monitored.prometheus.rules())
    for query, legend in panel.queries:
        asked = filled_in(query, rate_interval="1m", variables=_ALL)
        assert "$" not in asked
        assert faults(asked, there) == []
        monitored.prometheus.value(asked)
        # A label that the query has summed away leaves a gap in the legend.
        kept = re.findall(r"\bby \(([^)]*)\)", query)
        labels = set(kept[0].split(", ")) if kept else {"job", "instance"}
        assert set(re.findall(r"{{(\w+)}}", legend)) <= labels, (query, legend)


@pytest.mark.parametrize("panel", _PANELS, ids=lambda panel: panel.title)
def test_a_panel_follows_the_variables_says_what_it_shows_and_names_runbooks_that_there_are(
    panel: Panel,
) -> None:
    for query, _ in panel.queries:
        assert 'job=~"$job"' in query
        assert 'instance=~"$instance"' in query or query.startswith("job:")
    assert panel.description
    assert panel.unit in _UNITS
    alerts = "".join(path.read_text(encoding="utf-8") for path in RULES)
    for name in re.findall(r"OtpcPolicy\w+", panel.description):
        assert f"alert: {name}\n" in alerts


def test_variables_come_from_a_metric_that_service_and_engine_export(monitored: Monitored) -> None:
    variables = {each["name"]: each for each in dashboard()["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "instance"]
    metric = "otpc_policy_scan_workers"
    assert variables["job"]["definition"] == f"label_values({metric}, job)"
    jobs = {labels["job"] for labels, _ in monitored.prometheus.value(metric)}
    assert jobs == {"otpc-policy", "otpc-policy-engine"}


def test_panels_fill_their_rows_and_none_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in _PANELS:
        x, y, width, height = panel.place
        cells = {(column, line) for column in range(x, x + width) for line in range(y, y + height)}
        assert not cells & taken, panel.title
        assert x + width <= 24
        taken |= cells
    assert len(taken) == 24 * len({line for _, line in taken})


def test_rows_are_those_that_an_operator_looks_for() -> None:
    assert list(dict.fromkeys(panel.row for panel in _PANELS)) == [
        "Traffic and decisions",
        "Latency",
        "INDETERMINATE and DENY",
        "Engines",
        "Queues and saturation",
        "DNS and egress",
        "Configuration and certificates",
        "Shared store",
        "Watch list",
        "Processes and audit trail",
    ]
