"""Rules for a partner's certificates. Everything else about these partners is compliant."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from tests.end_to_end.case import ANCHOR, STRICT, Case, Serve, codes, on_nginx
from tests.end_to_end.world import World
from tests.support.certificates import CertificateAuthority, Issued, self_signed
from tests.support.servers import OTPC_CIPHERS, TlsOffer, haproxy
from tests.support.signing import now

_DAY = timedelta(days=1)


def _with(*leaves: Callable[[World, str], Issued], ciphers: str = OTPC_CIPHERS) -> Serve:
    return on_nginx(
        lambda world, name: TlsOffer(
            certificates=tuple(leaf(world, name) for leaf in leaves), ciphers=ciphers
        )
    )


def _expired(key: str) -> Callable[[World, str], Issued]:
    return lambda world, name: world.expired_leaf(name, key=key)


def _without_intermediate(world: World, name: str) -> Issued:
    leaf = world.leaf(name)
    return replace(leaf, chain=leaf.chain[:1])


def _leaf(**how: object) -> Callable[[World, str], Issued]:
    return lambda world, name: world.leaf(name, **how)


def _stapled(status: str, **how: object) -> Serve:
    def offer(world: World, name: str) -> TlsOffer:
        leaf = world.leaf(name, **how)
        return TlsOffer(
            certificates=(leaf,),
            staple=world.intermediate.ocsp_response(leaf.certificate, status=status),
        )

    return on_nginx(offer)


def _with_a_stranger_between(world: World, name: str) -> Issued:
    leaf = world.leaf(name)
    return replace(leaf, chain=(leaf.chain[0], world.stranger.certificate, *leaf.chain[1:]))


def _under_a_weak_authority(world: World, name: str) -> Issued:
    weak = world.root.intermediate("Weak Intermediate", key="rsa1024")
    return weak.issue(dns=(name,))


CASES = [
    Case(
        rule="a leaf for another name is denied",
        serve=_with(lambda world, _name: world.leaf("other.partner.test")),
        denies=codes("CERTIFICATE_NAME_MISMATCH"),
    ),
    Case(
        rule="a wildcard for the name's label is allowed",
        serve=_with(lambda world, _name: world.leaf("*.partner.test")),
    ),
    Case(
        rule="a common name counts where there is no SAN and the anchor itself issued the leaf",
        serve=_with(
            lambda world, name: world.root.issue(dns=(name,), with_san=False, common_name=name)
        ),
        advises=codes(ANCHOR, "CERTIFICATE_NAME_FROM_COMMON_NAME"),
    ),
    Case(
        rule="a common name does not count next to a SAN",
        serve=_with(lambda world, name: world.leaf("other.partner.test", common_name=name)),
        denies=codes("CERTIFICATE_NAME_MISMATCH"),
    ),
    Case(
        rule="an expired leaf is denied",
        serve=_with(_expired("ec256")),
        denies=codes("CERTIFICATE_EXPIRED"),
        advises=codes(),
    ),
    Case(
        rule="a leaf of tomorrow is denied",
        serve=_with(_leaf(not_before=now() + _DAY)),
        denies=codes("CERTIFICATE_NOT_YET_VALID"),
        advises=codes(),
    ),
    Case(
        rule="a leaf that expires soon is allowed with advice",
        serve=_with(_leaf(not_before=now() - 88 * _DAY, not_after=now() + 2 * _DAY)),
        advises=codes(ANCHOR, "CERTIFICATE_EXPIRES_SOON"),
    ),
    Case(
        rule="a self-signed leaf that nobody pinned is denied",
        serve=_with(lambda _world, name: self_signed(dns=(name,))),
        denies=codes("CERTIFICATE_UNTRUSTED"),
        advises=codes(),
    ),
    Case(
        rule="a self-signed authority as leaf is denied",
        serve=_with(lambda _world, name: self_signed(dns=(name,), ca=True)),
        denies=codes("CERTIFICATE_UNTRUSTED"),
        advises=codes(),
    ),
    Case(
        rule="a self-signed leaf that is pinned is allowed",
        serve=_with(lambda world, _name: world.pinned_leaf),
        pinned=True,
    ),
    Case(
        rule="trust by a partner's anchor is denied by the strict policy",
        serve=_with(_leaf()),
        policy=STRICT,
        denies=codes(ANCHOR),
        advises=codes(),
    ),
    Case(
        rule="a leaf under a root that is nobody's anchor is denied",
        serve=_with(lambda world, name: world.stranger.issue(dns=(name,))),
        denies=codes("CERTIFICATE_UNTRUSTED"),
        # Whether the issuer that was not served is a root or an intermediate is unknowable.
        advises=codes("CERTIFICATE_CHAIN_INCOMPLETE"),
    ),
    Case(
        rule="a root that only bears the anchor's name is not the anchor",
        serve=_with(
            lambda _world, name: CertificateAuthority.create("Partner Root").issue(dns=(name,))
        ),
        denies=codes("CERTIFICATE_UNTRUSTED"),
        advises=codes(),
    ),
    Case(
        rule="a chain without its intermediate is denied",
        serve=_with(_without_intermediate),
        denies=codes("CERTIFICATE_UNTRUSTED"),
        advises=codes("CERTIFICATE_CHAIN_INCOMPLETE"),
    ),
    Case(
        rule="a chain with a stranger between is allowed with advice",
        serve=_with(_with_a_stranger_between),
        advises=codes(ANCHOR, "CERTIFICATE_CHAIN_MISORDERED"),
    ),
    Case(
        rule="an RSA key of 1024 bits is denied",
        serve=_with(_leaf(key="rsa1024")),
        denies=codes("CERTIFICATE_KEY_WEAK"),
        says="1024",
    ),
    Case(
        rule="a weak key of an intermediate is denied, and proves nothing",
        serve=_with(_under_a_weak_authority),
        denies=codes("CERTIFICATE_KEY_WEAK", "CERTIFICATE_UNTRUSTED"),
        advises=codes(),
        says="1024",
    ),
    Case(
        rule="a signature with SHA-1 is denied, and proves nothing",
        serve=_with(_leaf(hash_name="sha1")),
        denies=codes("CERTIFICATE_SIGNATURE_WEAK", "CERTIFICATE_UNTRUSTED"),
        advises=codes(),
    ),
    Case(
        rule="a leaf whose staple says revoked is denied",
        serve=_stapled("revoked"),
        denies=codes("CERTIFICATE_REVOKED"),
    ),
    Case(rule="a leaf whose staple says good is allowed", serve=_stapled("good")),
    Case(
        rule="a leaf that must staple and does is allowed", serve=_stapled("good", must_staple=True)
    ),
    Case(
        rule="a leaf that must staple and does not is denied",
        serve=_with(_leaf(must_staple=True)),
        denies=codes("CERTIFICATE_STAPLE_MISSING"),
    ),
    Case(
        rule="an expired ECDSA leaf is denied next to a good RSA leaf",
        serve=_with(_leaf(key="rsa2048"), _expired("ec256")),
        denies=codes("CERTIFICATE_EXPIRED"),
    ),
    Case(
        rule="HAProxy cannot hide an expired RSA leaf behind a good ECDSA leaf",
        serve=lambda world, at, name: haproxy(
            at,
            TlsOffer(
                certificates=(world.expired_leaf(name, key="rsa2048"), world.leaf(name)),
                versions=("1.2",),
            ),
        ),
        denies=codes("CERTIFICATE_EXPIRED"),
    ),
    Case(
        rule="an expired RSA leaf is denied next to a good ECDSA leaf",
        serve=_with(_expired("rsa2048"), _leaf(key="ec256")),
        denies=codes("CERTIFICATE_EXPIRED"),
    ),
]
