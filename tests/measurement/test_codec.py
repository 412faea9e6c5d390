"""Facts between the programs: nothing is lost within the bounds, and nothing beyond them passes."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otpc_policy.core import facts as model
from otpc_policy.core.facts import (
    AddressFacts,
    CipherSuiteFact,
    CurveFact,
    DeepFacts,
    DeploymentFact,
    Depth,
    Evidence,
    GroupFact,
    HandshakeFacts,
    KeyExchangeFact,
    KeyType,
    Support,
    TlsVersion,
    TraceStep,
    VersionFact,
    Vulnerability,
    VulnerabilityFact,
)
from otpc_policy.core.facts_codec import dump_facts
from otpc_policy.core.registries.groups import group_bits, named_groups
from otpc_policy.engine.survey.offers import suites_at
from otpc_policy.measurement.codec import decode_facts, encode_facts
from otpc_policy.measurement.engine_lied import EngineLied
from otpc_policy.measurement.limits import (
    MAX_CHAIN_BYTES,
    MAX_CHAIN_CERTIFICATES,
    MAX_DEPLOYMENT_BYTES,
    MAX_DEPLOYMENTS,
    MAX_GROUPS,
    MAX_MESSAGE_BYTES,
    MAX_PRIME_BITS,
    MAX_REMARKS,
    MAX_STAPLE_BYTES,
    MAX_TEXT_CHARACTERS,
    MAX_TRACE_STEPS,
)
from otpc_policy.measurement.v1 import measurement_pb2 as pb
from otpc_policy.measurement.vocabulary import PROVEN
from tests.support.facts import NOW, make_address

STEP = TraceStep(
    purpose="control", offered="TLS 1.2", answer="it", proves="both", started_s=0.25, duration_s=0.5
)
DEEP = DeepFacts(
    early_data=Support.NO,
    fallback_scsv=Support.YES,
    curves=(CurveFact("secp256r1", Support.YES), CurveFact("x448", Support.NO)),
    contradictions=("TLS 1.0: refused by proof, yet sslyze had it accepted",),
    connections_used=12,
    duration=timedelta(seconds=2.5),
    remarks=("ended early",),
)
EXTENSIONS = ("extended_master_secret", "secure_renegotiation", "compression")
ROBOT = VulnerabilityFact(Vulnerability.ROBOT, Support.NO)


def sent(facts: AddressFacts) -> pb.AddressFacts:
    """What arrives at the other side."""
    return pb.AddressFacts.FromString(encode_facts(facts).SerializeToString())


def received(message: pb.AddressFacts, facts: AddressFacts) -> AddressFacts:
    return decode_facts(
        message, address=facts.address, depth=facts.depth, probe_revision=facts.probe_revision
    )


def there_and_back(facts: AddressFacts) -> AddressFacts:
    return received(sent(facts), facts)


# Strategies are made once: each that is made for a draw has to be checked and indexed again.
texts = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
supports = st.sampled_from(Support)
versions_ = st.sampled_from(TlsVersion)
seconds = st.floats(min_value=0, max_value=86_399)
durations = st.timedeltas(min_value=timedelta(), max_value=timedelta(hours=23))
instants = st.integers(0, 200 * 365 * 86_400 * 10**6).map(
    lambda microseconds: datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
)
any_versions = st.lists(versions_, unique=True)
any_evidence = st.sampled_from(Evidence)
evidence_of_one = st.sampled_from([one for one in Evidence if one is not Evidence.LOWER_VERSION])
any_suites = {
    version: st.lists(st.sampled_from(suites_at(version)), unique=True, max_size=20)
    for version in TlsVersion
}
any_groups = st.lists(st.sampled_from(list(named_groups())), unique=True)
any_exchanges = st.lists(
    st.tuples(
        st.sampled_from([version for version in TlsVersion if version < TlsVersion.TLS_1_3]),
        st.none()
        | st.sampled_from([group for group in named_groups() if group_bits(group) is not None]),
    ),
    unique=True,
    max_size=8,
)
prime_bits = st.integers(0, MAX_PRIME_BITS)
certificates = st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=4)
# Of the certificates that were drawn, by number.
chains = st.lists(st.integers(0, 3), min_size=1, max_size=4)
deployment_counts = st.integers(0, 5)
key_types = st.sampled_from(KeyType)
staples = st.none() | st.binary(max_size=9)
booleans = st.booleans()


@st.composite
def version_facts(draw: st.DrawFn) -> tuple[VersionFact, ...]:
    return tuple(
        VersionFact(version, PROVEN[evidence], evidence)
        for version in draw(any_versions)
        for evidence in [draw(any_evidence)]
    )


@st.composite
def suite_facts(draw: st.DrawFn) -> tuple[CipherSuiteFact, ...]:
    found = []
    for version in sorted(draw(any_versions)):
        for code_point in sorted(draw(any_suites[version])):
            evidence = draw(evidence_of_one)
            found.append(
                CipherSuiteFact(
                    version=version,
                    code_point=code_point,
                    support=PROVEN[evidence],
                    evidence=evidence,
                    handshake_completed=evidence is Evidence.SERVER_HELLO and draw(booleans),
                )
            )
    return tuple(found)


@st.composite
def group_facts(draw: st.DrawFn) -> tuple[GroupFact, ...]:
    return tuple(
        GroupFact(code_point=group, support=PROVEN[evidence], evidence=evidence)
        for group in sorted(draw(any_groups))
        for evidence in [draw(evidence_of_one)]
    )


@st.composite
def key_exchange_facts(draw: st.DrawFn) -> tuple[KeyExchangeFact, ...]:
    return tuple(
        KeyExchangeFact(
            version=version,
            group=group,
            bits=draw(prime_bits) if group is None else group_bits(group) or 0,
        )
        for version, group in draw(any_exchanges)
    )


@st.composite
def deployment_facts(draw: st.DrawFn) -> tuple[DeploymentFact, ...]:
    served = draw(certificates)
    found = []
    for _ in range(draw(deployment_counts)):
        evidence = draw(any_evidence)
        is_offered = evidence is Evidence.SERVER_HELLO
        chain = tuple(served[number % len(served)] for number in draw(chains))
        found.append(
            DeploymentFact(
                version=draw(versions_),
                key_type=draw(key_types),
                support=PROVEN[evidence],
                evidence=evidence,
                chain=chain if is_offered else (),
                stapled_ocsp_response=draw(staples) if is_offered else None,
            )
        )
    return tuple(found)


steps = st.builds(
    TraceStep,
    purpose=texts,
    offered=texts,
    answer=texts,
    proves=texts,
    started_s=seconds,
    duration_s=seconds,
)
deep_facts = st.builds(
    DeepFacts,
    early_data=supports,
    fallback_scsv=supports,
    extended_master_secret=supports,
    secure_renegotiation=supports,
    client_renegotiation=supports,
    curves=st.lists(st.builds(CurveFact, texts, supports), max_size=4).map(tuple),
    contradictions=st.lists(texts, max_size=3).map(tuple),
    connections_used=st.integers(0, 1000),
    duration=durations,
    remarks=st.lists(texts, max_size=3).map(tuple),
)
vulnerability_facts = st.lists(
    st.builds(VulnerabilityFact, st.sampled_from(Vulnerability), supports),
    unique_by=lambda one: one.vulnerability,
).map(tuple)


@st.composite
def any_facts(draw: st.DrawFn) -> AddressFacts:
    """Facts that a scanner may make, every field drawn."""
    depth = draw(depths)
    return AddressFacts(**draw(fields_at[depth]), depth=depth, address="192.0.2.1")


depths = st.sampled_from(Depth)
some_texts = st.lists(texts, max_size=4).map(tuple)
of_any_depth: dict[str, st.SearchStrategy[Any]] = {
    "observed_at": instants,
    "duration": durations,
    "connections_used": st.integers(0, 10_000),
    "reachable": supports,
    "tls": st.sampled_from(model.TlsService),
    "versions": version_facts(),
    "cipher_suites": suite_facts(),
    "deployments": deployment_facts(),
    "client_auth": st.sampled_from(model.ClientAuth),
    "http": st.sampled_from(model.HttpService),
    "remarks": some_texts,
    "intolerances": some_texts,
    "trace": st.lists(steps, max_size=5).map(tuple),
    "groups": group_facts(),
    "key_exchanges": key_exchange_facts(),
    "handshake": st.builds(HandshakeFacts, **dict.fromkeys(EXTENSIONS, supports)),
    "seed": st.just("") | st.binary(min_size=16, max_size=16).map(bytes.hex),
}
of_deep_scans = {"vulnerabilities": vulnerability_facts, "deep": st.none() | deep_facts}
fields_at = {
    Depth.STANDARD: st.fixed_dictionaries(of_any_depth),
    Depth.DEEP: st.fixed_dictionaries({**of_any_depth, **of_deep_scans}),
}


@settings(max_examples=300, deadline=None)
@given(any_facts())
def test_no_field_of_facts_is_lost_or_changed(facts: AddressFacts) -> None:
    back = there_and_back(facts)
    assert {field.name: getattr(back, field.name) for field in fields(back)} == {
        field.name: getattr(facts, field.name) for field in fields(facts)
    }


@pytest.mark.parametrize(
    "facts",
    [
        make_address(),
        make_address(trace=(STEP, STEP), remarks=("a remark",), intolerances=("long hellos",)),
        make_address(depth=Depth.DEEP, deep=DEEP, vulnerabilities=(ROBOT,)),
        make_address(reachable=Support.NO, versions=(), cipher_suites=(), deployments=()),
    ],
    ids=["compliant", "with texts", "deep", "unreachable"],
)
def test_facts_of_the_rules_tests_come_back_as_they_went(facts: AddressFacts) -> None:
    in_order = tuple(sorted(facts.cipher_suites, key=lambda one: (one.version, one.code_point)))
    assert there_and_back(facts) == replace(facts, cipher_suites=in_order)


def test_what_an_older_engine_does_not_send_is_unknown() -> None:
    facts = make_address(
        groups=(X25519,), key_exchanges=(P256,), handshake=HandshakeFacts(compression=Support.NO)
    )
    message = sent(facts)
    assert received(message, facts) == there_and_back(facts)
    for field in ("groups", "key_exchanges", "handshake"):
        message.ClearField(field)
    back = received(message, facts)
    assert (back.groups, back.key_exchanges, back.handshake) == ((), (), HandshakeFacts())


def test_facts_of_a_compliant_server_fit_in_eight_kilobytes() -> None:
    """JSON takes 52 kB, nearly all for suites that are refused."""
    refused = tuple(
        suite_fact(version, code_point)
        for version in (TlsVersion.TLS_1_2, TlsVersion.TLS_1_3)
        for code_point in suites_at(version)
    )
    facts = make_address(
        cipher_suites=refused, trace=tuple(replace(STEP, started_s=n / 100) for n in range(42))
    )
    assert len(dump_facts(facts)) > 40_000
    assert encode_facts(facts).ByteSize() < 8_000


def suite_fact(version: TlsVersion, code_point: int) -> CipherSuiteFact:
    return CipherSuiteFact(
        version=version, code_point=code_point, support=Support.NO, evidence=Evidence.ALERT
    )


X25519 = GroupFact(code_point=29, support=Support.YES, evidence=Evidence.SERVER_HELLO)
P256 = KeyExchangeFact(version=TlsVersion.TLS_1_2, group=23, bits=256)
REFUSED = suite_fact(TlsVersion.TLS_1_2, 0xC02F)
CHOSEN = replace(REFUSED, support=Support.YES, evidence=Evidence.SERVER_HELLO)


def test_a_time_of_another_zone_is_the_same_instant() -> None:
    at = NOW.astimezone(timezone(timedelta(hours=5)))
    assert there_and_back(make_address(observed_at=at)).observed_at == NOW


def test_facts_share_what_servers_have_in_common() -> None:
    """Hundreds of suites and dozens of texts would else be kept for every address."""
    message = sent(make_address(trace=(STEP,)))
    one, other = (received(message, make_address()) for _ in range(2))
    assert all(a is b for a, b in zip(one.cipher_suites, other.cipher_suites, strict=True))
    assert one.trace[0].purpose is other.trace[0].purpose


# -- what does not fit ---------------------------------------------------------------------------


def offered(*chain: bytes, key_type: KeyType = KeyType.RSA, **fields_: Any) -> DeploymentFact:
    return DeploymentFact(
        version=TlsVersion.TLS_1_2,
        key_type=key_type,
        support=Support.YES,
        evidence=Evidence.SERVER_HELLO,
        chain=chain,
        **fields_,
    )


@pytest.mark.parametrize(
    ("deployment", "fits"),
    [
        (offered(*(b"x%d" % n for n in range(MAX_CHAIN_CERTIFICATES))), True),
        (offered(*(b"x%d" % n for n in range(MAX_CHAIN_CERTIFICATES + 1))), False),
        (offered(b"x" * MAX_CHAIN_BYTES), True),
        (offered(b"x" * MAX_CHAIN_BYTES, b"y"), False),
        (offered(b"x", stapled_ocsp_response=b"s" * MAX_STAPLE_BYTES), True),
        (offered(b"x", stapled_ocsp_response=b"s" * (MAX_STAPLE_BYTES + 1)), False),
    ],
    ids=["64 certificates", "65", "256 KiB", "a byte more", "64 KiB staple", "a byte more of it"],
)
def test_a_chain_beyond_the_bounds_becomes_unknown(deployment: DeploymentFact, fits: bool) -> None:
    back = there_and_back(make_address(deployments=(deployment,)))
    if fits:
        assert back.deployments == (deployment,)
        assert not back.remarks
    else:
        assert [one.support for one in back.deployments] == [Support.UNKNOWN]
        assert "too large to be judged" in back.remarks[0]


def test_chains_that_are_too_much_together_become_unknown_from_there_on() -> None:
    half = MAX_DEPLOYMENT_BYTES // 2
    chains = [
        offered(bytes([n]) * half, key_type=key)
        for n, key in enumerate((KeyType.RSA, KeyType.ECDSA, KeyType.EDDSA), 1)
    ]
    again = offered(*chains[0].chain, key_type=KeyType.DSA)
    back = there_and_back(make_address(deployments=(*chains, again)))
    # The same certificates again cost nothing.
    assert [one.support.name for one in back.deployments] == ["YES", "YES", "UNKNOWN", "YES"]


def test_of_too_many_deployments_the_rest_is_unknown() -> None:
    many = tuple(offered(b"%d" % n) for n in range(MAX_DEPLOYMENTS + 1))
    back = there_and_back(make_address(deployments=many))
    assert len(back.deployments) == MAX_DEPLOYMENTS
    assert back.deployments[-1].support is Support.UNKNOWN


def test_texts_are_cut_escaped_and_counted() -> None:
    remarks = ("ä\x1b[31m\n", "x" * 1000, *("more" for _ in range(100)))
    back = there_and_back(make_address(remarks=remarks))
    assert back.remarks[0] == r"\xe4\x1b[31m\n"
    assert back.remarks[1] == "x" * (MAX_TEXT_CHARACTERS - 3) + "..."
    assert len(back.remarks) == MAX_REMARKS
    assert back.remarks[-1] == f"and {len(remarks) - MAX_REMARKS + 1} more"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5000), st.integers(0, 700), st.integers(0, 3000))
def test_whatever_a_server_presents_the_message_stays_within_its_bound(
    certificates: int, size: int, trace_steps: int
) -> None:
    chain = tuple(b"%06d" % n + bytes(size) for n in range(certificates))
    facts = make_address(
        deployments=tuple(offered(*chain[n : n + 60]) for n in range(0, certificates, 7)),
        trace=tuple(replace(STEP, purpose=f"{n}" * 200) for n in range(trace_steps)),
        remarks=tuple("r" * 10_000 for _ in range(1000)),
        intolerances=tuple("r" * 10_000 for _ in range(1000)),
        cipher_suites=tuple(suite_fact(v, c) for v in TlsVersion for c in suites_at(v)),
    )
    message = encode_facts(facts)
    assert message.ByteSize() < MAX_MESSAGE_BYTES
    received(message, facts)


@pytest.mark.parametrize(
    "facts",
    [
        make_address(versions=(VersionFact(TlsVersion.TLS_1_2, Support.YES, Evidence.NONE),)),
        make_address(cipher_suites=(replace(REFUSED, support=Support.YES),)),
        make_address(cipher_suites=(replace(REFUSED, handshake_completed=True),)),
        make_address(observed_at=NOW.replace(tzinfo=None)),
    ],
    ids=["nothing proves YES", "an alert proves YES", "refused, and completed", "naive"],
)
def test_facts_that_no_scanner_makes_are_not_sent(facts: AddressFacts) -> None:
    with pytest.raises(ValueError, match=r"prove|holds|time zone"):
        encode_facts(facts)


# -- lies ----------------------------------------------------------------------------------------

Forge = Callable[[pb.AddressFacts], object]


def suites_of(message: pb.AddressFacts) -> pb.CipherSuiteFacts:
    return message.cipher_suites[0]


def put_chain(message: pb.AddressFacts, certificate: bytes) -> None:
    message.certificates[:] = [certificate]
    del message.deployments[1:]
    message.deployments[0].chain[:] = [0]


LIES: dict[str, Forge] = {
    "a million certificates in one chain": lambda m: m.deployments[0].chain.extend([0] * 1_000_000),
    "65 certificates in one chain": lambda m: m.deployments[0].chain.extend([0] * 65),
    "a certificate that is not there": lambda m: m.deployments[0].chain.append(99),
    "a chain of more than 256 KiB": lambda m: put_chain(m, b"x" * (MAX_CHAIN_BYTES + 1)),
    "an empty certificate": lambda m: m.certificates.append(b""),
    "too many bytes of certificates": lambda m: m.certificates.extend([b"x" * MAX_CHAIN_BYTES] * 2),
    "too many certificates": lambda m: m.certificates.extend([b"x"] * 10_000),
    "too many deployments": lambda m: m.deployments.extend([m.deployments[0]] * MAX_DEPLOYMENTS),
    "offered without a chain": lambda m: m.deployments[0].ClearField("chain"),
    "a chain, and not offered": lambda m: setattr(m.deployments[0], "evidence", pb.EVIDENCE_ALERT),
    "a chain, and unknown": lambda m: setattr(m.deployments[0], "evidence", pb.EVIDENCE_NONE),
    "a staple without a chain": lambda m: m.deployments.add(
        version=pb.TLS_VERSION_TLS_1_2,
        key_type=pb.KEY_TYPE_RSA,
        evidence=pb.EVIDENCE_NONE,
        stapled_ocsp_response=b"s",
    ),
    "too long a staple": lambda m: setattr(
        m.deployments[0], "stapled_ocsp_response", b"s" * (MAX_STAPLE_BYTES + 1)
    ),
    "an unregistered suite": lambda m: suites_of(m).accepted.append(0x0A0A),
    "a suite that is no number of one": lambda m: suites_of(m).accepted.append(2**32 - 1),
    "a suite in two lists": lambda m: suites_of(m).unknown.append(suites_of(m).accepted[0]),
    "a suite twice in one list": lambda m: suites_of(m).accepted.append(suites_of(m).accepted[0]),
    "a million suites": lambda m: suites_of(m).refused_by_alert.extend([1] * 1_000_000),
    "suites of one version twice": lambda m: m.cipher_suites.append(suites_of(m)),
    "suites of no version": lambda m: m.cipher_suites.add(),
    "a version twice": lambda m: m.versions.append(m.versions[0]),
    "a version without evidence": lambda m: m.versions[0].ClearField("evidence"),
    "evidence of no kind": lambda m: setattr(m.versions[0], "evidence", 99),
    "reachable, but how": lambda m: m.ClearField("reachable"),
    "an enum's number of nothing": lambda m: setattr(m, "http", 1000),
    "NaN seconds": lambda m: m.trace.started_s.__setitem__(0, math.nan),
    "endless seconds": lambda m: m.trace.duration_s.__setitem__(0, math.inf),
    "seconds below zero": lambda m: m.trace.duration_s.__setitem__(0, -0.5),
    "a duration below zero": lambda m: setattr(m.duration, "seconds", -1),
    "a duration of centuries": lambda m: setattr(m.duration, "seconds", 2**40),
    "nanoseconds beyond a second": lambda m: setattr(m.duration, "nanos", 2_000_000_000),
    "an instant beyond the calendar": lambda m: setattr(m.observed_at, "seconds", 2**60),
    "an instant below zero": lambda m: setattr(m.observed_at, "seconds", -(2**60)),
    "no instant": lambda m: m.ClearField("observed_at"),
    "no duration": lambda m: m.ClearField("duration"),
    "a billion connections": lambda m: setattr(m, "connections_used", 1_000_000_000),
    "too long a text": lambda m: m.remarks.append("x" * (MAX_TEXT_CHARACTERS + 1)),
    "too many texts": lambda m: m.remarks.extend([""] * (MAX_REMARKS + 1)),
    "a text that moves the cursor": lambda m: m.remarks.append("\x1b[2J"),
    "a text beyond ASCII": lambda m: m.intolerances.append("\N{RIGHT-TO-LEFT OVERRIDE}"),
    "an unregistered group": lambda m: m.groups.add(group=0x0A0A, evidence=pb.EVIDENCE_NONE),
    "a group without evidence": lambda m: m.groups.add(group=29),
    "a group of a lower version": lambda m: m.groups.add(
        group=29, evidence=pb.EVIDENCE_LOWER_VERSION
    ),
    "a group twice": lambda m: [
        m.groups.add(group=29, evidence=evidence)
        for evidence in (pb.EVIDENCE_ALERT, pb.EVIDENCE_SERVER_HELLO)
    ],
    "too many groups": lambda m: [
        m.groups.add(group=29, evidence=pb.EVIDENCE_NONE) for _ in range(MAX_GROUPS + 1)
    ],
    "a key exchange of TLS 1.3": lambda m: m.key_exchanges.add(
        version=pb.TLS_VERSION_TLS_1_3, group=29, bits=255
    ),
    "a key exchange of no version": lambda m: m.key_exchanges.add(group=29, bits=255),
    "a curve of another size": lambda m: m.key_exchanges.add(
        version=pb.TLS_VERSION_TLS_1_2, group=29, bits=256
    ),
    "a curve that has no size": lambda m: m.key_exchanges.add(
        version=pb.TLS_VERSION_TLS_1_2, group=0x11EC
    ),
    "a prime that no message holds": lambda m: m.key_exchanges.add(
        version=pb.TLS_VERSION_TLS_1_2, bits=MAX_PRIME_BITS + 1
    ),
    "a key exchange twice": lambda m: [
        m.key_exchanges.add(version=pb.TLS_VERSION_TLS_1_2, bits=bits) for bits in (1024, 2048)
    ],
    "an extension without a word": lambda m: m.handshake.ClearField("compression"),
    "an extension of no kind": lambda m: setattr(m.handshake, "compression", 9),
    "a seed that is too short": lambda m: setattr(m, "seed", bytes(15)),
    "a seed that is too long": lambda m: setattr(m, "seed", bytes(17)),
    "a trace without a text": lambda m: m.trace.ClearField("texts"),
    "a trace of ragged columns": lambda m: m.trace.proofs.append(0),
    "a trace of ragged seconds": lambda m: m.trace.duration_s.append(0),
    "an endless trace": lambda m: m.trace.started_s.extend([0.0] * (MAX_TRACE_STEPS + 1)),
    "a trace with too many texts": lambda m: m.trace.texts.extend(["x"] * 5000),
    "deep facts that nobody asked for": lambda m: m.deep.SetInParent(),
    "vulnerabilities that nobody asked about": lambda m: m.vulnerabilities.add(
        vulnerability=pb.VULNERABILITY_ROBOT, present=pb.SUPPORT_NO
    ),
}


@pytest.mark.parametrize("forge", LIES.values(), ids=LIES.keys())
def test_what_breaks_the_contract_is_a_lie(forge: Forge) -> None:
    facts = make_address(trace=(STEP,), cipher_suites=(CHOSEN,))
    message = sent(facts)
    received(message, facts)
    forge(message)
    with pytest.raises(EngineLied):
        received(pb.AddressFacts.FromString(message.SerializeToString()), facts)


DEEP_LIES: dict[str, Forge] = {
    "too many curves": lambda m: m.deep.curves.extend([m.deep.curves[0]] * 1000),
    "no duration": lambda m: m.deep.ClearField("duration"),
    "a vulnerability twice": lambda m: m.vulnerabilities.append(m.vulnerabilities[0]),
    "a vulnerability of no name": lambda m: m.vulnerabilities.add(present=pb.SUPPORT_NO),
    "support of no kind": lambda m: m.deep.ClearField("early_data"),
    "a curve with an escape": lambda m: setattr(m.deep.curves[0], "curve", "\x07"),
}


@pytest.mark.parametrize("forge", DEEP_LIES.values(), ids=DEEP_LIES.keys())
def test_what_breaks_the_contract_in_deep_facts_is_a_lie(forge: Forge) -> None:
    facts = make_address(depth=Depth.DEEP, deep=DEEP, vulnerabilities=(ROBOT,))
    message = sent(facts)
    received(message, facts)
    forge(message)
    with pytest.raises(EngineLied):
        received(message, facts)


def test_a_lie_is_named_without_a_word_of_the_engine() -> None:
    facts = make_address()
    message = sent(facts)
    message.remarks.append("secret\x00")
    with pytest.raises(EngineLied, match=r"^remarks: not a short printable text$"):
        received(message, facts)
