"""Servers whose configuration names the groups of TLS 1.3, and those whose defaults are known."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from otpc_policy.core.registries.groups import CLIENT_GROUPS, group_by_name, group_name
from tests.support.certificates import CertificateAuthority
from tests.support.loopback import Listener, own_listener
from tests.support.servers import TlsOffer, apache, caddy, gnutls_serv, nginx, s_server
from tests.support.servers.envoy import envoy
from tests.support.servers.jsse import jsse
from tests.support.servers.node import node

_OPENSSL_3 = (
    *("x25519", "secp256r1", "x448", "secp521r1", "secp384r1"),
    *("ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192"),
)
_SUITES_OF_JSSE = ("TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
_GNUTLS = "NORMAL:-GROUP-ALL:+GROUP-SECP384R1:+GROUP-X448:+GROUP-FFDHE4096"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupCase:
    """A server that can be started, and the groups that its configuration allows.

    name: unique. stack: the TLS library. serve: starts a fresh server each time.
    closes: it closes in place of an alert.
    """

    name: str
    stack: str
    serve: Callable[[], AbstractContextManager[Listener]]
    groups: frozenset[int]
    closes: bool = False


def group_cases(authority: CertificateAuthority) -> Iterator[GroupCase]:
    """Yield all of them."""
    offer = TlsOffer(certificates=(authority.issue(key="rsa2048"),))

    def case(
        name: str,
        stack: str,
        groups: Sequence[str],
        serve: Callable[[Listener], AbstractContextManager[Listener]],
        *,
        closes: bool = False,
    ) -> GroupCase:
        return GroupCase(
            name=name,
            stack=stack,
            serve=lambda: serve(own_listener()),
            groups=frozenset(map(_number, groups)),
            closes=closes,
        )

    yield case("s_server", "OpenSSL", _OPENSSL_3, lambda at: s_server(at, offer))
    yield case(
        "s_server-three",
        "OpenSSL",
        ("x448", "secp521r1", "ffdhe3072"),
        lambda at: s_server(at, offer, "-groups", "X448:P-521:ffdhe3072"),
    )
    yield case(
        "s_server-own-order",
        "OpenSSL",
        ("x25519", "secp256r1"),
        lambda at: s_server(at, offer, "-groups", "X25519:P-256", "-serverpref"),
    )
    yield case(
        "nginx",
        "OpenSSL",
        ("x25519", "secp256r1", "secp384r1"),
        lambda at: nginx(at, offer, directives=("ssl_ecdh_curve X25519:prime256v1:secp384r1;",)),
    )
    yield case("apache", "OpenSSL", _OPENSSL_3, lambda at: apache(at, offer))
    yield case(
        "envoy",
        "BoringSSL",
        ("X25519MLKEM768", "x25519", "secp256r1"),
        lambda at: envoy(at, offer),
    )
    yield case(
        "envoy-hybrid",
        "BoringSSL",
        ("X25519MLKEM768", "secp384r1"),
        lambda at: envoy(at, offer, groups=("X25519MLKEM768", "P-384")),
    )
    yield case(
        "envoy-two",
        "BoringSSL",
        ("secp521r1", "x25519"),
        lambda at: envoy(at, offer, groups=("P-521", "X25519")),
    )
    yield case(
        "caddy", "Go", ("X25519MLKEM768", "x25519", "secp256r1"), lambda at: caddy(at, offer)
    )
    yield case(
        "caddy-three",
        "Go",
        ("X25519MLKEM768", "secp384r1", "secp521r1"),
        lambda at: caddy(at, offer, groups=("secp521r1", "x25519mlkem768", "secp384r1")),
    )
    yield case(
        "gnutls-serv",
        "GnuTLS",
        ("secp384r1", "x448", "ffdhe4096"),
        lambda at: gnutls_serv(at, offer, priority=_GNUTLS),
    )
    # The defaults of jdk.tls.namedGroups (JDK 17, sun.security.ssl.NamedGroup).
    yield case(
        "jsse",
        "JSSE",
        _OPENSSL_3,
        lambda at: jsse(at, offer, suites=_SUITES_OF_JSSE),
        closes=True,
    )
    yield case(
        "jsse-three",
        "JSSE",
        ("secp256r1", "secp521r1", "ffdhe2048"),
        lambda at: jsse(
            at,
            offer,
            suites=_SUITES_OF_JSSE,
            properties=("jdk.tls.namedGroups=secp256r1,secp521r1,ffdhe2048",),
        ),
        closes=True,
    )
    yield case("node", "OpenSSL of node", _OPENSSL_3, lambda at: node(at, offer))
    yield case(
        "node-two",
        "OpenSSL of node",
        ("secp384r1", "x25519"),
        lambda at: node(at, offer, curves="P-384:X25519"),
    )


def _number(name: str) -> int:
    (number,) = (group for group in CLIENT_GROUPS if group == group_by_name(name))
    return number


def names(groups: frozenset[int]) -> str:
    """Return the groups for people, in the order in which they are asked about."""
    return ", ".join(group_name(group) for group in CLIENT_GROUPS if group in groups)
