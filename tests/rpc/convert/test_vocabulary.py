"""Every value of the core has one spelling on the wire, by the same name."""

from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest

from otpc_policy.check import FreshnessMode, ResultSource
from otpc_policy.core import facts
from otpc_policy.policy import finding
from otpc_policy.rpc.convert import vocabulary
from otpc_policy.v1 import policy_pb2 as pb

TABLES: list[tuple[type[Enum], Mapping[Any, int], Any, str, set[str]]] = [
    (finding.Decision, vocabulary.DECISIONS, pb.Decision, "DECISION_", set()),
    (finding.Effect, vocabulary.EFFECTS, pb.Effect, "EFFECT_", {"OFF"}),
    (finding.Severity, vocabulary.SEVERITIES, pb.Severity, "SEVERITY_", set()),
    (facts.Support, vocabulary.SUPPORTS, pb.Support, "SUPPORT_", set()),
    (facts.Evidence, vocabulary.EVIDENCES, pb.Evidence, "EVIDENCE_", {"NONE"}),
    (facts.TlsVersion, vocabulary.VERSIONS, pb.TlsVersion, "TLS_VERSION_", set()),
    (facts.KeyType, vocabulary.KEY_TYPES, pb.KeyType, "KEY_TYPE_", set()),
    (facts.ClientAuth, vocabulary.CLIENT_AUTHS, pb.ClientAuth, "CLIENT_AUTH_", set()),
    (facts.HttpService, vocabulary.HTTP_SERVICES, pb.HttpService, "HTTP_SERVICE_", set()),
]


@pytest.mark.parametrize(
    ("core", "table", "wire", "prefix", "unset"), TABLES, ids=[row[0].__name__ for row in TABLES]
)
def test_each_value_has_its_name_on_the_wire(
    core: type[Enum], table: Mapping[Any, int], wire: Any, prefix: str, unset: set[str]
) -> None:
    assert {value.name: wire.Name(table[value]) for value in core} == {
        value.name: f"{prefix}{'UNSPECIFIED' if value.name in unset else value.name}"
        for value in core
    }
    assert set(table.values()) | {0} == set(wire.values()), (
        "a value of the contract that is never sent"
    )


def test_every_depth_source_and_mode_of_the_contract_is_known() -> None:
    assert set(vocabulary.DEPTHS) == set(pb.ScanDepth.values())
    assert set(vocabulary.SOURCES.values()) == set(pb.ResultSource.values())
    assert set(vocabulary.DEPTHS.values()) == set(facts.Depth)
    assert set(vocabulary.SOURCES) == set(ResultSource)
    assert set(vocabulary.FRESHNESS_MODES) == set(pb.FreshnessMode.values())
    assert set(vocabulary.FRESHNESS_MODES.values()) == set(FreshnessMode)
