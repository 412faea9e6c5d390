"""The name of facts: one for equal facts, another one as soon as anything differs."""

from dataclasses import fields, replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from otpc_policy.check import StoredFacts
from otpc_policy.core.facts import (
    SEED_BYTES,
    AddressFacts,
    ClientAuth,
    DeepFacts,
    Depth,
    Evidence,
    GroupFact,
    HandshakeFacts,
    HttpService,
    KeyExchangeFact,
    Support,
    TlsService,
    TlsVersion,
    TraceStep,
    Vulnerability,
    VulnerabilityFact,
)
from otpc_policy.core.facts_codec import dump_facts, load_facts
from tests.support.facts import NOW, deployment, make_address, suite, versions

STEP = TraceStep(purpose="a", offered="b", answer="c", proves="d", started_s=0, duration_s=0.5)
OTHERS: dict[str, Any] = {
    "address": "192.0.2.2",
    "observed_at": NOW,
    "duration": timedelta(milliseconds=301),
    "connections_used": 25,
    "depth": Depth.DEEP,
    "reachable": Support.UNKNOWN,
    "tls": TlsService.UNKNOWN,
    "versions": versions(TLS_1_0=Support.YES),
    "cipher_suites": (suite("TLS_AES_128_GCM_SHA256"),),
    "deployments": (deployment(chain=(b"x",)),),
    "client_auth": ClientAuth.REQUIRED,
    "http": HttpService.UNKNOWN,
    "probe_revision": "2",
    "vulnerabilities": (VulnerabilityFact(Vulnerability.ROBOT, Support.NO),),
    "remarks": ("a remark",),
    "intolerances": ("a remark",),
    "trace": (STEP,),
    "deep": DeepFacts(),
    "groups": (GroupFact(code_point=29, support=Support.NO, evidence=Evidence.ALERT),),
    "key_exchanges": (KeyExchangeFact(version=TlsVersion.TLS_1_2, group=None, bits=1024),),
    "handshake": HandshakeFacts(compression=Support.YES),
    "seed": "00" * SEED_BYTES,
    "perspective": "eu-west",
}


def test_equal_facts_have_one_name_however_they_came_about() -> None:
    facts = make_address(trace=(STEP,))
    read = load_facts(dump_facts(facts), AddressFacts)
    elsewhere = facts.observed_at.astimezone(timezone(timedelta(hours=2)))
    others = [make_address(trace=(STEP,)), read, replace(facts, observed_at=elsewhere)]
    assert {StoredFacts.of(other).facts_id for other in others} == {StoredFacts.of(facts).facts_id}
    assert all(StoredFacts.of(other) == StoredFacts.of(facts) for other in others)


def test_a_name_is_a_sha_256_in_hexadecimal() -> None:
    name = StoredFacts.of(make_address()).facts_id
    assert len(bytes.fromhex(name)) == 32


@pytest.mark.parametrize("field", [field.name for field in fields(AddressFacts)])
def test_every_field_is_part_of_the_name(field: str) -> None:
    changed = make_address(**{field: OTHERS[field]})
    assert changed != make_address()
    assert StoredFacts.of(changed) != StoredFacts.of(make_address())


def test_facts_without_a_canonical_form_have_no_name() -> None:
    with pytest.raises(ValueError, match="time zone"):
        StoredFacts.of(make_address(observed_at=NOW.replace(tzinfo=None)))
