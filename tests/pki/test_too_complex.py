"""Chains that cost more than a judgement may: undecided, never a pass, and never more work than was
paid for.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from otpc_policy.pki import second_opinion
from otpc_policy.pki.budget import JUDGEMENT_UNITS, SHARES, Work, WorkBudget
from otpc_policy.pki.decoded_certificate import DecodedCertificate
from otpc_policy.pki.judge import judge_chain
from otpc_policy.pki.judgement import ChainJudgement, NameMatch, StapleStatus, TrustSource
from otpc_policy.pki.trust import Trust, TrustEntry
from tests.support.forging import (
    AT,
    ROOT,
    Made,
    alternative_names,
    authority,
    leaf,
    make,
    name_constraints,
    organization,
    purposes,
)
from tests.support.signing import private_key

HOST = "partner.test"
KEY = private_key("ec256")
DAY = timedelta(days=1)


class Ledger(WorkBudget):
    """A budget that remembers what was paid for, in order."""

    def __init__(self, units: int = JUDGEMENT_UNITS) -> None:
        super().__init__(units)
        self.order: list[Work] = []

    def spend(self, units: int, on: Work, reason: str) -> None:
        super().spend(units, on, reason)
        self.order.append(on)


def judge(
    chain: Sequence[Made],
    *,
    budget: WorkBudget | None = None,
    roots: Sequence[Made] = (ROOT,),
    entries: tuple[TrustEntry, ...] = (),
    request_anchors: Sequence[Made] = (),
    staple: bytes | None = None,
    at: datetime = AT,
) -> ChainJudgement:
    return judge_chain(
        [certificate.der for certificate in chain],
        server_name=HOST,
        stapled_ocsp_response=staple,
        trust=Trust(mozilla_roots=tuple(one.der for one in roots), entries=entries),
        request_anchors=[one.der for one in request_anchors],
        at=at,
        budget=budget,
    )


def hosts(number: int) -> list[str]:
    return [HOST, *(f"n{one}.{HOST}" for one in range(number - 1))]


def fenced(subtrees: int, *, by: Made = ROOT, name: str = "Fenced", key: object = "ec256") -> Made:
    permitted = [*(f"d{number}.example" for number in range(subtrees - 1)), HOST]
    return authority(name, by=by, key=key, plus=[(name_constraints(permitted), True)])  # type: ignore[arg-type]


def claimed(copies: int, *, names: int, subtrees: int) -> list[Made]:
    """An authority that claims to be issued by the root, in several versions, above a leaf that it
    signed.
    """
    impostor = Made(ROOT.der, KEY, ROOT.name)
    key = private_key("ec256")
    middle = [fenced(subtrees, by=impostor, name="Claims", key=key) for _ in range(copies)]
    return [leaf(middle[0], dns=hosts(names)), *middle]


FENCED = fenced(61)
SERVER = leaf(FENCED, dns=hosts(200))
PLAIN = authority("Plain", by=ROOT)
COMMON_NAME = leaf(ROOT, subject=HOST, without=[x509.SubjectAlternativeName])
ANCHORED = TrustEntry(hosts=(HOST,), anchors=(ROOT.der,))
# 1,000 addresses under 128 masks.
COMPLEX_AUTHORITY = authority(
    "Fenced",
    by=ROOT,
    plus=[(name_constraints(excluded=[f"::/{size}" for size in range(1, 129)]), True)],
)
COMPLEX = leaf(COMPLEX_AUTHORITY, dns=[HOST], ips=[f"fe80::{one:x}" for one in range(900)])


def test_signatures_come_before_constraints() -> None:
    """Nothing is compared, and the library is not asked, where a signature on the path is false."""
    for forged in (
        claimed(3, names=100, subtrees=20),
        [SERVER.with_flipped_bit(), FENCED],
        [SERVER, FENCED.with_flipped_bit()],
    ):
        budget = WorkBudget()
        judgement = judge(forged, budget=budget)
        assert (judgement.trust, judgement.trusted_if_valid) == (TrustSource.NOTHING, False)
        assert budget.spent[Work.SIGNATURES] > 0
        assert budget.spent[Work.COMPARISONS] == budget.spent[Work.VERIFIER] == 0


def test_the_library_is_not_asked_about_what_is_not_proven(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def counted(path: Sequence[DecodedCertificate], *_: object) -> bool:
        asked.append(path[-1].view.subject)
        return True

    monkeypatch.setattr(second_opinion, "_accepts", counted)
    judge(claimed(3, names=100, subtrees=20))
    judge(claimed(3, names=100, subtrees=20), entries=(ANCHORED,), request_anchors=(ROOT,))
    judge([leaf(FENCED, dns=[*hosts(7), "other.test"]), FENCED])
    judge([leaf(FENCED)], roots=(), request_anchors=(FENCED,))
    assert asked == []
    chain = [leaf(FENCED, dns=hosts(9)), FENCED]
    judge(chain)
    judge(chain)
    assert asked == ["CN=Root"]


def test_every_signature_of_a_path_is_paid_for_before_its_first_comparison() -> None:
    upper = fenced(5, name="Upper")
    lower = fenced(5, by=upper, name="Lower")
    for chain, signatures in (([SERVER, FENCED], 2), ([leaf(lower), lower, upper], 3)):
        ledger = Ledger()
        assert judge(chain, budget=ledger).trust is TrustSource.MOZILLA_ROOT
        first = ledger.order.index(Work.COMPARISONS)
        assert ledger.order[:first].count(Work.SIGNATURES) == signatures
        assert ledger.order[-1] is Work.VERIFIER


def test_a_path_is_proven_once_for_all_instants() -> None:
    """Expired: it is looked for at the present and at three other instants, and asked about at none
    and at one of them.
    """
    expired = leaf(FENCED, dns=hosts(100), dates=(AT - 20 * DAY, AT - 10 * DAY))
    good = leaf(FENCED, dns=hosts(100))
    spent = []
    for one in (good, expired):
        budget = WorkBudget()
        judgement = judge([one, FENCED], budget=budget)
        assert judgement.trusted_if_valid
        spent.append(budget.spent[Work.COMPARISONS])
    assert spent[0] == spent[1]
    outside = replace(
        expired,
        der=leaf(FENCED, dns=["other.test", *hosts(100)], dates=(AT - 20 * DAY, AT - 10 * DAY)).der,
    )
    budget = WorkBudget()
    assert judge([outside, FENCED], budget=budget).trust is TrustSource.NOTHING
    assert budget.spent[Work.VERIFIER] == 0
    assert budget.spent[Work.COMPARISONS] <= spent[0] + 10


@pytest.mark.parametrize(
    ("chain", "options", "expected"),
    [
        pytest.param([SERVER, FENCED], {}, TrustSource.MOZILLA_ROOT, id="below constraints"),
        pytest.param([leaf(PLAIN), PLAIN], {}, TrustSource.MOZILLA_ROOT, id="ordinary"),
        pytest.param(
            [leaf(PLAIN), PLAIN],
            {"roots": (), "entries": (ANCHORED,)},
            TrustSource.ANCHOR,
            id="operator's anchor",
        ),
        pytest.param(
            [SERVER, FENCED],
            {"roots": (), "request_anchors": (ROOT,)},
            TrustSource.REQUEST_ANCHOR,
            id="anchor of the request",
        ),
        pytest.param(
            [COMMON_NAME],
            {"roots": (), "entries": (ANCHORED,)},
            TrustSource.ANCHOR,
            id="by its common name",
        ),
    ],
)
def test_trust_costs_exactly_what_it_costs(
    chain: list[Made], options: dict[str, object], expected: TrustSource
) -> None:
    """With the last unit trusted, with one less undecided, and with any smaller budget nothing else
    either.
    """
    budget = WorkBudget()
    assert judge(chain, budget=budget, **options).trust is expected  # type: ignore[arg-type]
    # The second opinion decides nothing, and is left out where there is too little left for it.
    cost = JUDGEMENT_UNITS - budget.left - budget.spent[Work.VERIFIER]
    assert judge(chain, budget=WorkBudget(cost), **options).trust is expected  # type: ignore[arg-type]
    for units in (*range(0, cost, 1 + cost // 100), cost - 1):
        judgement = judge(chain, budget=WorkBudget(units), **options)  # type: ignore[arg-type]
        assert (judgement.trust, judgement.trusted_if_valid) == (TrustSource.UNDECIDED, False)
        assert judgement.trust_failure
        assert not judgement.issuer_missing


@pytest.mark.parametrize(
    "chain",
    [
        pytest.param([leaf(FENCED, dns=[*hosts(50), "other.test"]), FENCED], id="a name outside"),
        pytest.param(
            [leaf(PLAIN, plus=[(purposes("client_auth"), False)]), PLAIN], id="for another purpose"
        ),
        pytest.param(claimed(2, names=10, subtrees=5), id="a false issuer"),
        pytest.param([leaf(authority("Nobody"))], id="an unknown issuer"),
        pytest.param([leaf(None)], id="self-signed"),
        pytest.param([leaf(PLAIN, dates=(AT - 9 * DAY, AT - DAY)), PLAIN], id="expired"),
    ],
)
def test_no_budget_is_so_small_that_it_trusts(chain: list[Made]) -> None:
    budget = WorkBudget()
    whole = judge(chain, budget=budget)
    assert whole.trust is TrustSource.NOTHING
    for units in range(0, JUDGEMENT_UNITS - budget.left, 37):
        judgement = judge(chain, budget=WorkBudget(units))
        assert judgement.trust in (TrustSource.NOTHING, TrustSource.UNDECIDED)
        assert judgement.trusted_if_valid <= whole.trusted_if_valid


def _staple(
    made: Made,
    issuer: Made,
    *,
    status: ocsp.OCSPCertStatus,
    responder: Made | None = None,
    others: Sequence[Made] = (),
) -> bytes:
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    signer = responder or issuer
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            made.certificate,
            issuer.certificate,
            hashes.SHA256(),
            status,
            AT - DAY,
            AT + DAY,
            AT - DAY if revoked else None,
            None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, signer.certificate)
        .certificates([one.certificate for one in (*others, *((responder,) if responder else ()))])
    )
    assert isinstance(signer.key, ec.EllipticCurvePrivateKey)
    return builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.DER)


def _responder(names: int) -> Made:
    extensions = [
        (purposes("ocsp_signing"), False),
        (alternative_names([f"r{number}.test" for number in range(names)]), False),
    ]
    return make(
        "Responder", by=PLAIN, key="ec256", extensions=extensions, dates=(AT - DAY, AT + DAY)
    )


def test_a_revocation_is_seen_or_undecided_and_never_missed() -> None:
    server = leaf(PLAIN)
    staple = _staple(server, PLAIN, status=ocsp.OCSPCertStatus.REVOKED, responder=_responder(3))
    budget = WorkBudget()
    assert judge([server, PLAIN], budget=budget, staple=staple).staple is StapleStatus.REVOKED
    cost = JUDGEMENT_UNITS - budget.left - budget.spent[Work.VERIFIER]
    for units in (*range(0, cost, 29), cost - 1):
        assert (
            judge([server, PLAIN], budget=WorkBudget(units), staple=staple).staple
            is StapleStatus.UNDECIDED
        )


@pytest.mark.parametrize(
    ("names", "expected"), [(10, StapleStatus.REVOKED), (5_000, StapleStatus.UNDECIDED)]
)
def test_a_responder_with_too_many_names_leaves_the_staple_undecided(
    names: int, expected: StapleStatus
) -> None:
    server, responder = leaf(PLAIN), _responder(names)
    judgement = judge(
        [server, PLAIN],
        staple=_staple(server, PLAIN, status=ocsp.OCSPCertStatus.REVOKED, responder=responder),
    )
    assert (judgement.trust, judgement.staple) == (TrustSource.MOZILLA_ROOT, expected)


def test_a_staple_with_a_crowd_of_certificates_is_not_read() -> None:
    """The library reads the whole response again for each of them: 400 tiny ones took 50 ms."""
    server, crowd = leaf(PLAIN), [_responder(0)] * 200
    budget = WorkBudget()
    staple = _staple(
        server, PLAIN, status=ocsp.OCSPCertStatus.GOOD, responder=_responder(0), others=crowd
    )
    assert judge([server, PLAIN], budget=budget, staple=staple).staple is StapleStatus.UNDECIDED
    assert budget.spent[Work.STAPLE] <= SHARES[Work.STAPLE]
    # What the issuer signed itself needs none of them.
    direct = _staple(server, PLAIN, status=ocsp.OCSPCertStatus.GOOD, others=crowd)
    assert judge([server, PLAIN], staple=direct).staple is StapleStatus.GOOD


def test_a_pin_needs_no_path() -> None:
    pin = TrustEntry(
        hosts=(HOST,), certificate_pins=frozenset({hashlib.sha256(COMPLEX.der).hexdigest()})
    )
    judgement = judge([COMPLEX, COMPLEX_AUTHORITY], entries=(pin,))
    assert (judgement.trust, judgement.name, judgement.path) == (
        TrustSource.PIN,
        NameMatch.SUBJECT_ALT_NAME,
        (0,),
    )
    assert judge([COMPLEX, COMPLEX_AUTHORITY]).trust is TrustSource.UNDECIDED


def test_a_path_that_costs_too_much_is_no_obstacle_to_another_one() -> None:
    """The authority is certified twice: once with 128 masks, once without any."""
    plain = authority("Fenced", by=ROOT, key=COMPLEX_AUTHORITY.key)
    for chain in ([COMPLEX, COMPLEX_AUTHORITY, plain], [COMPLEX, plain, COMPLEX_AUTHORITY]):
        assert judge(chain).trust is TrustSource.MOZILLA_ROOT


def test_what_stands_in_a_chain_beside_a_trusted_path_costs_no_trust() -> None:
    crowd = [
        authority(f"Alien {number}", by=ROOT, plus=[(alternative_names(["x.test"] * 3_000), False)])
        for number in range(14)
    ]
    judgement = judge([leaf(PLAIN), PLAIN, *crowd])
    assert (judgement.trust, judgement.path) == (TrustSource.MOZILLA_ROOT, (0, 1))
    assert judgement.misordered


UNREAD_SERVER = leaf(PLAIN, dns=hosts(20_000))


def test_a_leaf_that_is_not_read_is_undecided_but_for_its_dates_and_key() -> None:
    judgement = judge([UNREAD_SERVER, PLAIN])
    assert (judgement.trust, judgement.name, judgement.path) == (
        TrustSource.UNDECIDED,
        NameMatch.UNDECIDED,
        (0,),
    )
    assert (
        judgement.leaf_unread
        == judgement.trust_failure
        == "the leaf has too many names, extensions or bytes to be read"
    )
    assert judgement.leaf is not None
    assert (judgement.leaf.not_after, judgement.leaf.key_name, judgement.malformed) == (
        AT + 80 * DAY,
        "EC secp256r1",
        (),
    )
    assert not judgement.misordered


def test_of_a_leaf_with_a_huge_subject_nothing_is_read() -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "o")] * 8_000)
    judgement = judge([leaf(PLAIN, subject=subject), PLAIN])
    assert (judgement.trust, judgement.name, judgement.leaf, judgement.path) == (
        TrustSource.UNDECIDED,
        NameMatch.UNDECIDED,
        None,
        (),
    )
    assert judgement.leaf_unread
    assert judgement.malformed == ()


def test_signatures_tell_that_what_was_not_read_is_not_trusted() -> None:
    """However much a certificate says, a path needs a signature by an anchor at its end."""
    stranger = authority("Stranger")
    huge = authority(
        "Huge",
        by=stranger,
        plus=[(name_constraints(excluded=[f"x{number}.test" for number in range(9_000)]), True)],
    )
    for chain in (
        [leaf(stranger, dns=hosts(20_000)), stranger],
        [leaf(huge), huge],
        [leaf(stranger, dns=hosts(20_000)), huge, stranger],
    ):
        judgement = judge(chain, request_anchors=(PLAIN,), entries=(ANCHORED,))
        assert (judgement.trust, judgement.issuer_missing) == (TrustSource.NOTHING, False)
    below = authority(
        "Huge",
        by=ROOT,
        plus=[(name_constraints(excluded=[f"x{number}.test" for number in range(9_000)]), True)],
    )
    assert judge([leaf(below), below]).trust is TrustSource.UNDECIDED
    # The same one among others of which none needs it.
    assert judge([leaf(stranger), below, stranger]).trust is TrustSource.NOTHING
    assert judge([leaf(PLAIN), below, PLAIN]).trust is TrustSource.MOZILLA_ROOT


def test_an_anchor_of_the_request_that_is_not_read_decides_nothing() -> None:
    many = [(name_constraints(excluded=[f"x{number}.test" for number in range(9_000)]), True)]
    huge, other = authority("Huge", plus=many), authority("Other", plus=many)
    server = leaf(huge)
    assert judge([server], request_anchors=(huge,)).trust is TrustSource.UNDECIDED
    assert judge([server], request_anchors=(other,)).trust is TrustSource.NOTHING
    assert (
        judge([leaf(PLAIN), PLAIN], roots=(), request_anchors=(huge, ROOT)).trust
        is TrustSource.REQUEST_ANCHOR
    )


def _directories(number: int) -> list[x509.GeneralName]:
    return [x509.DirectoryName(organization(f"x{one}")) for one in range(number)]


def _rdns(number: int) -> x509.Name:
    return x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"u{one}") for one in range(number)]
    )


def _below(
    constraints: x509.NameConstraints,
    *,
    others: Sequence[x509.GeneralName] = (),
    dns: Sequence[str] = (HOST,),
    **options: object,
) -> list[Made]:
    middle = authority("Middle", by=ROOT, plus=[(constraints, True)])
    return [leaf(middle, plus=[(alternative_names(dns, others=others), False)], **options), middle]  # type: ignore[arg-type]


def _copies(number: int, made: Callable[[], list[Made]]) -> list[Made]:
    server, middle = made()
    key = middle.key
    extensions = [(one.value, one.critical) for one in middle.certificate.extensions]
    twins = [
        make(
            middle.name,
            by=ROOT,
            key=key,
            extensions=extensions,
            dates=(AT - (9 + day) * DAY, AT + 900 * DAY),
        )
        for day in range(number)
    ]
    return [server, middle, *twins]


MANY_MAIL = [x509.RFC822Name(f"a@{number}.test") for number in range(4_000)]
MANY_URIS = [x509.UniformResourceIdentifier(f"https://{number}.test/") for number in range(4_000)]
SUBTREES = [f"x{number}.test" for number in range(250)]


def _policies(*names: str) -> tuple[x509.ExtensionType, bool]:
    named = [x509.PolicyInformation(x509.ObjectIdentifier(name), None) for name in names]
    return x509.CertificatePolicies(named), False


def _carried_policies(number: int, *, twins: int, levels: int = 8) -> list[Made]:
    """An authority with policies that any-policy carries down, in vain: the leaf has another."""
    demand = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)
    above = authority(
        "Policies", by=ROOT, plus=[_policies(*(f"2.{n}" for n in range(number))), (demand, True)]
    )
    chain = [above]
    any_policy = _policies("2.5.29.32.0")
    for level in range(levels - 2):
        chain.insert(0, authority(f"Level {level}", by=chain[0], plus=[any_policy]))
    key = private_key("ec256")
    last = [authority("Last", by=chain[0], key=key, plus=[any_policy]) for _ in range(twins)]
    return [leaf(last[0], dns=[HOST], plus=[_policies("1.2.3.4.5")]), *last, *chain]


def test_policies_are_paid_for_on_every_level_that_carries_them() -> None:
    """The price of a path grows with their number and with its length, not with one of the two."""
    spent = []
    for number, levels in ((10, 3), (210, 3), (210, 8)):
        budget = WorkBudget()
        judgement = judge(
            _carried_policies(number, twins=1, levels=levels), budget=budget, entries=(ANCHORED,)
        )
        assert judgement.trust is TrustSource.NOTHING
        spent.append(budget.spent[Work.SEARCH])
    few, many, deep = spent
    assert many - few >= 3 * 200
    assert deep - many >= 5 * 210


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: _carried_policies(1_500, twins=12), id="policies carried on"),
        pytest.param(lambda: _carried_policies(500, twins=40), id="fewer policies, more paths"),
        pytest.param(
            lambda: claimed(14, names=4_000, subtrees=260), id="a false issuer fourteen times"
        ),
        pytest.param(
            lambda: _copies(13, lambda: [COMPLEX, COMPLEX_AUTHORITY]),
            id="a genuine issuer fourteen times",
        ),
        pytest.param(
            lambda: _below(name_constraints(excluded=_directories(4_000)), subject=_rdns(4_000)),
            id="directory names",
        ),
        pytest.param(
            lambda: _below(name_constraints(excluded=_directories(700)), subject=_rdns(1_000)),
            id="fewer directory names",
        ),
        pytest.param(
            lambda: _below(
                name_constraints(excluded=[x509.DirectoryName(_rdns(500))] * 3), dns=hosts(1_000)
            ),
            id="long directory names",
        ),
        pytest.param(
            lambda: _below(name_constraints(excluded=SUBTREES), others=MANY_MAIL),
            id="mail addresses",
        ),
        pytest.param(
            lambda: _below(name_constraints(excluded=SUBTREES), others=MANY_URIS), id="URIs"
        ),
        pytest.param(
            lambda: _below(
                name_constraints(excluded=[x509.RFC822Name(one) for one in SUBTREES]),
                others=MANY_MAIL,
            ),
            id="mail against mail",
        ),
        pytest.param(
            lambda: _below(
                name_constraints(excluded=SUBTREES[:100]),
                dns=[HOST, *(".".join(["a"] * 120) + f".{n}" for n in range(200))],
            ),
            id="labels",
        ),
        pytest.param(
            lambda: _below(
                name_constraints(excluded=[f"10.{n}.0.0/16" for n in range(250)]), dns=hosts(700)
            ),
            id="networks",
        ),
        pytest.param(
            lambda: _below(
                name_constraints(excluded=[f"x{n}.test" for n in range(2_000)]),
                dns=[HOST, *(f"*.{n}.test" for n in range(40))],
            ),
            id="wildcards",
        ),
        pytest.param(
            lambda: [leaf(PLAIN, dns=[*(f"a_{n}" for n in range(8_000)), HOST]), PLAIN],
            id="names that are no host names",
        ),
        pytest.param(
            lambda: [
                leaf(ROOT, plus=[(name_constraints(excluded=SUBTREES), True)], dns=hosts(700))
            ],
            id="constraints on the leaf",
        ),
        pytest.param(lambda: [leaf(ROOT, dns=[""] * 5_000)] * 16, id="sixteen leaves"),
        pytest.param(lambda: [UNREAD_SERVER, PLAIN], id="20,000 names"),
    ],
)
def test_no_chain_holds_the_loop(made: Callable[[], list[Made]]) -> None:
    """What is paid for is what is done: the budget is never exceeded, and a unit is a microsecond
    at most.
    """
    chain, budget = made(), WorkBudget()
    began = time.process_time()
    judge(chain, budget=budget)
    seconds = time.process_time() - began
    assert budget.left >= 0
    assert all(budget.spent[work] <= share for work, share in SHARES.items())
    # At most 35 ms are seen; the fault to catch took seconds.
    assert seconds < 0.5
