"""What leaves the parser is valid; what is wrong is said at once, with its field."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from otpc_policy.check import ChainRequest, CheckRequest, Freshness, FreshnessMode
from otpc_policy.core.endpoint import parse_endpoint
from otpc_policy.core.errors import InvalidRequest
from otpc_policy.core.facts import Depth
from otpc_policy.rpc.convert import (
    ParsedCheck,
    ParsedValidation,
    parse_batch_request,
    parse_check_request,
    parse_page_size,
    parse_validate_request,
    read_check_request,
)
from otpc_policy.v1 import policy_pb2 as pb
from tests.support.certificates import CertificateAuthority, Issued

ANY_CHAIN = pb.DerChain(certificates=[b"leaf"])


@pytest.fixture(scope="module")
def issued() -> Issued:
    return CertificateAuthority.create().intermediate().issue()


def fields(error: pytest.ExceptionInfo[InvalidRequest]) -> list[str]:
    return [violation.field for violation in error.value.violations]


def check(**overrides: Any) -> pb.CheckEndpointRequest:
    return pb.CheckEndpointRequest(**{"host": "partner.test", **overrides})


def with_enum(field: str, number: int) -> pb.CheckEndpointRequest:
    message = check()
    setattr(message, field, number)
    return message


def test_the_empty_fields_mean_their_documented_defaults() -> None:
    asked = CheckRequest(
        endpoint=parse_endpoint("partner.test", 443),
        policy_name="",
        freshness=Freshness(mode=FreshnessMode.CACHE_FIRST, max_age=None, max_stale=None),
        depth=Depth.STANDARD,
        observed_leaf=None,
    )
    assert parse_check_request(check()) == ParsedCheck(asked, pb.VIEW_BASIC)


def test_every_field_is_read() -> None:
    message = check(
        host="Bücher.Example.",
        port=8443,
        policy="otpc-2024-12-strict",
        server_name="other.example",
        freshness=pb.Freshness(
            mode=pb.FRESHNESS_MODE_CACHE_ONLY, max_age=Duration(seconds=60), max_stale=Duration()
        ),
        view=pb.VIEW_FULL,
        depth=pb.SCAN_DEPTH_DEEP,
        observed_leaf_sha256=bytes(32),
    )
    minute, none = timedelta(seconds=60), timedelta(0)
    asked = CheckRequest(
        endpoint=parse_endpoint("xn--bcher-kva.example", 8443, "other.example"),
        policy_name="otpc-2024-12-strict",
        freshness=Freshness(mode=FreshnessMode.CACHE_ONLY, max_age=minute, max_stale=none),
        depth=Depth.DEEP,
        observed_leaf=bytes(32),
    )
    assert read_check_request(message.SerializeToString()) == ParsedCheck(asked, pb.VIEW_FULL)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (check(host=""), "host"),
        (check(host="https://partner.test/"), "host"),
        (check(host="0x7f.1"), "host"),
        (check(port=-1), "port"),
        (check(port=65536), "port"),
        (check(server_name="a b"), "server_name"),
        (check(server_name="192.0.2.1"), "server_name"),
        (check(freshness=pb.Freshness(max_age=Duration())), "freshness.max_age"),
        (check(freshness=pb.Freshness(max_age=Duration(seconds=-1))), "freshness.max_age"),
        (check(freshness=pb.Freshness(max_age=Duration(seconds=1, nanos=-1))), "freshness.max_age"),
        (check(freshness=pb.Freshness(max_stale=Duration(seconds=-1))), "freshness.max_stale"),
        (check(freshness=pb.Freshness(max_stale=Duration(seconds=2**62))), "freshness.max_stale"),
        (check(observed_leaf_sha256=b"a" * 31), "observed_leaf_sha256"),
        (check(observed_leaf_sha256=b"a" * 33), "observed_leaf_sha256"),
        (check(observed_leaf_sha256=b"a" * 64), "observed_leaf_sha256"),
        (with_enum("view", 3), "view"),
        (with_enum("depth", -1), "depth"),
    ],
)
def test_each_bad_field_of_a_check_is_named(message: pb.CheckEndpointRequest, field: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_check_request(message)
    assert fields(error) == [field]


def test_an_unknown_freshness_mode_is_refused() -> None:
    message = check()
    message.freshness.mode = 9  # type: ignore[assignment]
    with pytest.raises(InvalidRequest) as error:
        parse_check_request(message)
    assert fields(error) == ["freshness.mode"]


def test_all_violations_come_at_once() -> None:
    message = pb.CheckEndpointRequest(
        port=70000,
        server_name="*",
        freshness=pb.Freshness(max_age=Duration(), max_stale=Duration(seconds=-1)),
    )
    message.view = 77  # type: ignore[assignment]
    message.depth = 78  # type: ignore[assignment]
    message.freshness.mode = 79  # type: ignore[assignment]
    with pytest.raises(InvalidRequest) as error:
        parse_check_request(message)
    assert sorted(fields(error)) == [
        "depth",
        "freshness.max_age",
        "freshness.max_stale",
        "freshness.mode",
        "host",
        "port",
        "server_name",
        "view",
    ]


@pytest.mark.parametrize("raw", [b"\xff", b"\x0a\x05ab", b"\x0a\x01\xff", b"\xff" * 5000])
def test_bytes_that_are_no_message_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest, match="are not a valid otpc_policy"):
        read_check_request(raw)


def test_a_long_request_is_read_like_a_short_one() -> None:
    parsed = read_check_request(check(policy="p" * 3000).SerializeToString())
    assert parsed.request.policy_name == "p" * 3000


@pytest.mark.parametrize(("count", "good"), [(0, False), (1, True), (100, True), (101, False)])
def test_a_batch_holds_1_to_100_items(count: int, good: bool) -> None:
    message = pb.BatchCheckEndpointsRequest(requests=[pb.CheckEndpointRequest()] * count)
    if good:
        assert len(parse_batch_request(message)) == count
    else:
        with pytest.raises(InvalidRequest) as error:
            parse_batch_request(message)
        assert fields(error) == ["requests"]


@pytest.mark.parametrize(
    ("size", "page"), [(0, 50), (1, 1), (100, 100), (101, 100), (2**31 - 1, 100)]
)
def test_page_sizes(size: int, page: int) -> None:
    assert parse_page_size(pb.ListPoliciesRequest(page_size=size)) == page


@pytest.mark.parametrize("size", [-1, -(2**31)])
def test_bad_page_sizes_are_refused(size: int) -> None:
    with pytest.raises(InvalidRequest, match="page_size"):
        parse_page_size(pb.ListPoliciesRequest(page_size=size))


def validate(**overrides: Any) -> pb.ValidateCertificateRequest:
    if "pem_bundle" not in overrides:
        overrides.setdefault("der_chain", ANY_CHAIN)
    return pb.ValidateCertificateRequest(**overrides)


def test_der_and_pem_give_the_same_chain(issued: Issued) -> None:
    by_der = parse_validate_request(
        validate(der_chain=pb.DerChain(certificates=issued.chain_der)), allow_request_anchors=False
    )
    by_pem = parse_validate_request(
        validate(pem_bundle=issued.chain_pem.decode()), allow_request_anchors=False
    )
    assert by_der == by_pem
    assert by_der == ParsedValidation(ChainRequest(chain=issued.chain_der), pb.VIEW_BASIC)
    asked = by_der.request
    assert (asked.server_name, asked.at, asked.trust_anchors) == (None, None, ())


def test_every_field_of_a_validation_is_read(issued: Issued) -> None:
    message = validate(
        policy="p",
        server_name="[2001:DB8::1]",
        validation_time=Timestamp(seconds=1_700_000_000, nanos=5000),
        trust_anchors=[issued.der],
        view=pb.VIEW_FULL,
    )
    parsed = parse_validate_request(message, allow_request_anchors=True)
    asked = parsed.request
    assert (asked.policy_name, asked.server_name) == ("p", "2001:db8::1")
    assert (asked.trust_anchors, parsed.view) == ((issued.der,), pb.VIEW_FULL)
    assert asked.at == datetime(2023, 11, 14, 22, 13, 20, 5, tzinfo=UTC)


def test_a_certificate_that_cannot_be_decoded_is_no_error_of_the_request() -> None:
    message = validate(der_chain=pb.DerChain(certificates=[b"", b"junk"]))
    parsed = parse_validate_request(message, allow_request_anchors=False)
    assert parsed.request.chain == (b"", b"junk")


@pytest.mark.parametrize(
    ("message", "field", "says"),
    [
        (pb.ValidateCertificateRequest(), "chain", "required"),
        (validate(der_chain=pb.DerChain()), "der_chain.certificates", "no certificate"),
        (
            validate(der_chain=pb.DerChain(certificates=[b"x"] * 65)),
            "der_chain.certificates",
            "at most 64",
        ),
        (
            validate(der_chain=pb.DerChain(certificates=[b"x" * 131_072, b"x" * 131_073])),
            "der_chain.certificates",
            "at most 262144",
        ),
        (validate(pem_bundle=""), "pem_bundle", "no certificate"),
        (validate(pem_bundle="hello"), "pem_bundle", "no certificate"),
        (validate(pem_bundle="ü" * 131_073), "pem_bundle", "at most 262144"),
        (
            validate(
                pem_bundle="-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n" * 65
            ),
            "pem_bundle",
            "at most 64",
        ),
        (validate(server_name="a/b"), "server_name", "bare host"),
        (validate(validation_time=Timestamp(nanos=-1)), "validation_time", "Timestamp"),
        (validate(trust_anchors=[b"x"]), "trust_anchors", "allow_request_anchors"),
    ],
)
def test_each_bad_field_of_a_validation_is_named(
    message: pb.ValidateCertificateRequest, field: str, says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says) as error:
        parse_validate_request(message, allow_request_anchors=False)
    assert fields(error) == [field]


def test_a_private_key_inside_the_pem_is_refused_and_not_repeated(issued: Issued) -> None:
    with pytest.raises(InvalidRequest, match="private key") as error:
        parse_validate_request(
            validate(pem_bundle=(issued.chain_pem + issued.key_pem).decode()),
            allow_request_anchors=False,
        )
    assert issued.key_pem.decode().splitlines()[1] not in str(error.value)


def test_anchors_must_be_certificates_and_few(issued: Issued) -> None:
    with pytest.raises(InvalidRequest) as error:
        parse_validate_request(
            validate(trust_anchors=[issued.der, b"junk", b""]), allow_request_anchors=True
        )
    assert fields(error) == ["trust_anchors[1]", "trust_anchors[2]"]
    with pytest.raises(InvalidRequest, match="at most 16"):
        parse_validate_request(
            validate(trust_anchors=[issued.der] * 17), allow_request_anchors=True
        )


def test_an_anchor_that_costs_too_much_to_read_is_left_to_the_judgement() -> None:
    """Whoever asks gets a verdict that says so; what is cheap enough is looked at all the same."""
    huge = CertificateAuthority.create(
        excluded_dns=[f"x{number}.test" for number in range(9_000)]
    ).der
    parsed = parse_validate_request(
        validate(trust_anchors=[huge, huge]), allow_request_anchors=True
    )
    assert parsed.request.trust_anchors == (huge, huge)
    with pytest.raises(InvalidRequest) as error:
        parse_validate_request(validate(trust_anchors=[huge, b"junk"]), allow_request_anchors=True)
    assert fields(error) == ["trust_anchors[1]"]


def test_all_violations_of_a_validation_come_at_once() -> None:
    message = pb.ValidateCertificateRequest(
        server_name="a b", validation_time=Timestamp(seconds=2**62), trust_anchors=[b"x"]
    )
    message.view = 9  # type: ignore[assignment]
    with pytest.raises(InvalidRequest) as error:
        parse_validate_request(message, allow_request_anchors=False)
    assert fields(error) == ["chain", "server_name", "validation_time", "trust_anchors", "view"]
