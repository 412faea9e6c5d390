"""The search for a path: it finds what is there, and hostile graphs cannot make it long."""

import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from otpc_policy.pki.anchors import web_anchor_set
from otpc_policy.pki.budget import Work
from otpc_policy.pki.decide import TrustDecision, decide_trust
from otpc_policy.pki.judgement import TrustSource
from otpc_policy.pki.search import candidate_paths
from otpc_policy.pki.served import ServedChain, read_chain
from otpc_policy.pki.signatures import is_too_costly
from otpc_policy.pki.trust import Trust
from tests.support import forging
from tests.support.certificates import CertificateAuthority, Issued
from tests.support.signing import PrivateKey, private_key, sign

Graph = Callable[[], tuple[Issued, list[CertificateAuthority]]]

NOW = datetime.now(UTC)
ROOT = CertificateAuthority.create("Root")
# The same for every authority of a graph: any certificate with the name could be the issuer.
KEY = private_key("ec256")


def named(
    name: str, issuer: str, *, key: PrivateKey = KEY, issuer_key: PrivateKey = KEY
) -> CertificateAuthority:
    """Return a certificate of an authority by another one, which need not be served at all."""
    holder = CertificateAuthority.create(issuer)
    return CertificateAuthority(holder.certificate, issuer_key).intermediate(name, own_key=key)


def under(authority: CertificateAuthority) -> Issued:
    return CertificateAuthority(authority.certificate, authority.private_key).issue()


def same_name() -> tuple[Issued, list[CertificateAuthority]]:
    crowd = [named("A", "A") for _ in range(15)]
    return under(crowd[0]), crowd


def two_names() -> tuple[Issued, list[CertificateAuthority]]:
    crowd = [named("A", "B") if number % 2 else named("B", "A") for number in range(15)]
    return under(crowd[1]), crowd


def all_by_all() -> tuple[Issued, list[CertificateAuthority]]:
    crowd = [named(one, other) for one in "ABCD" for other in "ABCD" if one != other]
    return under(crowd[0]), crowd


def layers() -> tuple[Issued, list[CertificateAuthority]]:
    """Three certificates for each of five names: 243 paths, none of which arrives."""
    crowd = [
        named(name, following)
        for name, following in ("AB", "BC", "CD", "DE", "EF")
        for _ in range(3)
    ]
    return under(crowd[0]), crowd


def renewed_keys() -> tuple[Issued, list[CertificateAuthority]]:
    """Fifteen keys of one name, each certified by the next."""
    keys = [private_key("ec256") for _ in range(16)]
    crowd = [named("A", "A", key=keys[number], issuer_key=keys[number + 1]) for number in range(15)]
    return under(crowd[0]), crowd


GRAPHS: list[Graph] = [same_name, two_names, all_by_all, layers, renewed_keys]


def decide(
    chain: Sequence[bytes], roots: Sequence[CertificateAuthority] = (ROOT,), at: datetime = NOW
) -> tuple[TrustDecision, ServedChain]:
    served = read_chain(chain)
    trust = Trust(mozilla_roots=tuple(one.der for one in roots))
    return decide_trust(
        served, server_name="partner.test", trust=trust, request_anchors=(), at=at
    ), served


@pytest.mark.parametrize("graph", GRAPHS)
def test_hostile_graphs_are_judged_in_bounded_time(graph: Graph) -> None:
    """Before the search was ours, nine certificates of two names took more than a minute, and
    stopped every other call of the process.
    """
    leaf, crowd = graph()
    chain = (leaf.der, *(one.der for one in crowd))
    assert len(chain) <= 16
    began = time.process_time()
    decision, served = decide(chain)
    assert decision.source is TrustSource.NOTHING
    assert not decision.trusted_if_valid
    served.is_misordered()
    assert served.budget.left > 0
    # About 30 ms are seen.
    assert time.process_time() - began < 1


@pytest.mark.parametrize("graph", GRAPHS)
def test_every_road_of_a_hostile_graph_leads_to_a_root_that_refuses_it(graph: Graph) -> None:
    """Each path is whole by names and signatures, and only dates refuse it."""
    leaf, crowd = graph()
    names = sorted({one.certificate.issuer.rfc4514_string().removeprefix("CN=") for one in crowd})
    # Expired, so that no path is good, in every name that issued anything.
    expired = [
        _expired_root(name, key)
        for name in names
        for key in {id(one.private_key): one.private_key for one in crowd}.values()
    ]
    anchors = web_anchor_set(tuple(one.der for one in expired[:60]))
    served = read_chain((leaf.der, *(one.der for one in crowd)))
    assert served.leaf is not None
    paths = list(candidate_paths(served.leaf, served.intermediates(), anchors, served.checks))
    assert paths
    assert all(path.certificates[0] is served.leaf for path in paths)
    began = time.process_time()
    decision, served = decide((leaf.der, *(one.der for one in crowd)), expired[:60])
    assert decision.source is TrustSource.NOTHING
    assert served.budget.spent[Work.VERIFIER] == 0
    # About 25 ms are seen.
    assert time.process_time() - began < 2


def _expired_root(name: str, key: PrivateKey) -> CertificateAuthority:
    holder = CertificateAuthority(CertificateAuthority.create(name).certificate, key)
    return holder.intermediate(
        name, own_key=key, not_before=NOW - timedelta(days=20), not_after=NOW - timedelta(days=10)
    )


def test_a_good_path_is_found_among_expired_cross_certificates() -> None:
    """The authority is certified by the root and, twelve times, by one whose certificates have
    expired: served first, and in the way.
    """
    good = ROOT.intermediate("Cross-signed")
    old_root = CertificateAuthority.create("Old Root")
    expired = [
        old_root.intermediate(
            "Cross-signed",
            own_key=good.private_key,
            not_before=NOW - timedelta(days=30),
            not_after=NOW - timedelta(days=1),
        )
        for _ in range(12)
    ]
    chain = (good.issue().der, *(one.der for one in expired), good.der)
    decision, _ = decide(chain, (ROOT, old_root))
    assert (decision.source, decision.path) == (TrustSource.MOZILLA_ROOT, (0, 13))


def test_the_longest_path_has_eight_intermediates() -> None:
    authority, chain = ROOT, []
    for number in range(9):
        authority = authority.intermediate(f"Level {number}")
        chain.append(authority)
    for levels, expected in ((8, TrustSource.MOZILLA_ROOT), (9, TrustSource.NOTHING)):
        issued = chain[levels - 1].issue()
        decision, _ = decide(issued.chain_der)
        assert decision.source is expected


def test_a_renewed_key_leads_to_the_root_by_way_of_the_old_one() -> None:
    """RFC 4210 4.4: the authority's old key, which the root certified, certifies its new one."""
    old = ROOT.intermediate("Renewed")
    new_with_old = CertificateAuthority(old.certificate, old.private_key).intermediate("Renewed")
    decision, _ = decide((new_with_old.issue().der, new_with_old.der, old.der))
    assert (decision.source, decision.path) == (TrustSource.MOZILLA_ROOT, (0, 1, 2))


def test_an_exponent_as_long_as_the_modulus_is_not_worth_a_look() -> None:
    """OpenSSL accepts them up to 3072 bits, and a check then costs as much as a hundred others."""
    modulus = private_key("rsa2048", "long exponent").public_key()
    assert isinstance(modulus, rsa.RSAPublicKey)
    n = modulus.public_numbers().n
    for bits, expected in ((17, False), (64, False), (65, True), (2047, True)):
        key = rsa.RSAPublicNumbers((1 << (bits - 1)) + 1, n).public_key()
        name = ROOT.certificate.subject
        certificate = sign(
            x509.CertificateBuilder(name, name, key, 1, NOW, NOW + timedelta(days=1)),
            ROOT.private_key,
            "sha256",
        )
        served = read_chain((certificate.public_bytes(Encoding.DER),))
        assert served.leaf is not None
        assert is_too_costly(served.leaf) is expected


def test_a_wrong_signature_is_found_where_names_leave_no_choice() -> None:
    """Only one certificate has the issuer's name, so that the search checks no signature:
    the verifier does.
    """
    root = forging.authority("Named Root")
    issuer, namesake = (
        forging.authority("Named Issuer", by=root),
        forging.authority("Named Issuer", by=root),
    )
    good = forging.leaf(issuer)
    for chain, is_misordered in (
        ((good.with_flipped_bit(), issuer), True),
        ((good, namesake), True),
        ((good, issuer.with_flipped_bit()), False),
    ):
        served = read_chain(tuple(certificate.der for certificate in chain))
        decision = decide_trust(
            served,
            server_name="partner.test",
            trust=Trust(mozilla_roots=(root.der,)),
            request_anchors=(),
            at=forging.AT,
        )
        assert (decision.source, decision.trusted_if_valid) == (TrustSource.NOTHING, False)
        assert served.is_misordered() is is_misordered


def test_each_signature_is_asked_about_once() -> None:
    """The search asks about both signatures of the path, and the order of the chain about nothing
    more.
    """
    decision, served = decide(ROOT.intermediate("Proven").issue().chain_der)
    assert (decision.source, decision.path) == (TrustSource.MOZILLA_ROOT, (0, 1))
    assert not served.is_misordered()
    assert served.checks.made == 2


def test_a_key_written_in_two_ways_makes_no_detour() -> None:
    """Of an authority and its twin with the same key, compressed, a path has one, never both."""

    def compress(elements: list[bytes]) -> None:
        point = KEY.public_key()
        assert isinstance(point, ec.EllipticCurvePublicKey)
        compressed = point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        prefix = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200")
        elements[forging.KEY] = prefix + compressed

    root = forging.authority("Root of twins")
    plain = forging.authority("Twin", by=root, key=KEY)
    compressed = forging.authority("Twin", by=plain, key=KEY, edit=compress)
    server = forging.leaf(compressed)
    assert plain.certificate.public_key() == compressed.certificate.public_key()
    anchors = web_anchor_set((root.der,))
    for served in (
        read_chain((server.der, plain.der, compressed.der)),
        read_chain((server.der, compressed.der, plain.der)),
    ):
        assert served.leaf is not None
        paths = [
            one.certificates
            for one in candidate_paths(served.leaf, served.intermediates(), anchors, served.checks)
        ]
        assert [[one.view.der for one in path] for path in paths] == [[server.der, plain.der]]


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        pytest.param("2a8648ce3d030107", "2a8648ce3d03017f", id="unknown curve"),
        pytest.param("2a8648ce3d0201", "2a8648ce3d027f", id="unknown algorithm"),
        pytest.param("2a8648ce3d0201", "2a8648ce380401", id="DSA with parameters of a curve"),
        pytest.param("03420004", "03420005", id="no point"),
    ],
)
def test_an_issuer_whose_key_nobody_can_use_leads_nowhere(found: str, instead: str) -> None:
    """The root has signed it and the names fit, but nobody can verify what it signed."""

    def spoil(elements: list[bytes]) -> None:
        assert found in elements[forging.KEY].hex()
        elements[forging.KEY] = bytes.fromhex(elements[forging.KEY].hex().replace(found, instead))

    root = forging.authority("Odd Root")
    issuer = forging.authority("Odd Issuer", by=root, edit=spoil)
    served = read_chain((forging.leaf(issuer).der, issuer.der))
    decision = decide_trust(
        served,
        server_name="partner.test",
        trust=Trust(mozilla_roots=(root.der,)),
        request_anchors=(),
        at=forging.AT,
    )
    assert decision.source is TrustSource.NOTHING


@pytest.mark.parametrize("seed", range(60))
def test_the_search_finds_a_path_exactly_where_there_is_one(seed: int) -> None:
    """Random graphs of authorities, some expired, against a search that tries everything."""
    dice = random.Random(seed)
    names = [(name, key) for name in "ABC" for key in KEYS]
    edges = [
        (dice.choice(names), dice.choice([*names, ("Root", ROOT.private_key)]), dice.random() < 0.3)
        for _ in range(14)
    ]
    crowd = [_edge(*edge) for edge in edges]
    start = dice.choice(names)
    issued = CertificateAuthority(
        CertificateAuthority.create(start[0]).certificate, start[1]
    ).issue()
    dice.shuffle(crowd)
    decision, served = decide((issued.der, *(one.der for one in crowd)))
    assert served.budget.left > 0
    assert (decision.source is TrustSource.MOZILLA_ROOT) is _leads_to_root(
        start, [edge for edge in edges if not edge[2]], ()
    )


Holder = tuple[str, PrivateKey]
KEYS = [private_key("ec256") for _ in range(2)]


def _edge(subject: Holder, issuer: Holder, is_expired: bool) -> CertificateAuthority:
    holder = CertificateAuthority(
        ROOT.certificate
        if issuer[0] == "Root"
        else CertificateAuthority.create(issuer[0]).certificate,
        issuer[1],
    )
    return holder.intermediate(
        subject[0],
        own_key=subject[1],
        not_before=NOW - timedelta(days=20),
        not_after=NOW + timedelta(days=-10 if is_expired else 10),
    )


def _leads_to_root(
    holder: Holder, edges: list[tuple[Holder, Holder, bool]], seen: tuple[Holder, ...]
) -> bool:
    issuers = [issuer for subject, issuer, _ in edges if subject == holder and issuer not in seen]
    return any(
        issuer[0] == "Root" or _leads_to_root(issuer, edges, (*seen, holder)) for issuer in issuers
    )
