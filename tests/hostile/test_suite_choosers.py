"""Servers that choose a suite first and fail afterwards: their refusal is about one suite.

A server that prefers DHE, and has no parameters for it, answers handshake_failure to every list
that holds a DHE suite (testssl.sh#2883). What it would take below that is refused along with it.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import all_suites
from otpc_policy.policy.finding import Decision
from tests.hostile.faults import EXTENSIONS
from tests.hostile.servers import Backends
from tests.hostile.surveying import Surveyor, objection
from tests.support.hostile.behaviours import HANDSHAKE_FAILURE, alert
from tests.support.hostile.endpoint import SIX, Endpoint, server_context
from tests.support.hostile.hello import SeenHello, read_choice
from tests.support.hostile.made_hello import MadeHello
from tests.support.hostile.turns import where
from tests.support.loopback import Listener, own_listener
from tests.support.ordinary_clients import s_client
from tests.support.raw_client import answer_to
from tests.support.tcp import Behaviour, counting_server

pytestmark = pytest.mark.asyncio(loop_scope="package")

_NAMES = {suite.code_point: suite.iana_name for suite in all_suites()}


def named(part: str) -> frozenset[int]:
    """Return the suites whose names contain this."""
    return frozenset(code for code, name in _NAMES.items() if part in name)


FAMILIES: Mapping[str, frozenset[int]] = {
    "dhe-rsa": named("_DHE_RSA_"),
    "dh-anon": named("_DH_anon_"),
    "psk": named("PSK"),
    "srp": named("SRP"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Weak:
    """A suite that must not be accepted. code: of the finding under the strict policy.

    cipher: OpenSSL's name, and then the handshake completes; empty for a suite that today's
    OpenSSL has no more: it is chosen in a ServerHello, and the connection ends.
    """

    suite: int
    code: str
    cipher: str = ""

    def server(self, backends: Backends) -> Endpoint:
        """Return a server that accepts nothing else over TLS 1.2."""
        table = {TlsVersion.TLS_1_2: frozenset({self.suite})}
        if not self.cipher:
            return replace(backends.strict, accepts={}, scripted=table)
        leaf = backends.authority.issue(key="rsa2048")
        newest = ssl.TLSVersion.TLSv1_2
        context = server_context(leaf, ciphers=self.cipher, newest=newest)
        return Endpoint(context=context, accepts=table)


WEAK: Mapping[str, Weak] = {
    "null": Weak(suite=0x003B, code="CIPHER_SUITE_INSECURE", cipher="NULL-SHA256"),
    "export": Weak(suite=0x0003, code="CIPHER_SUITE_INSECURE"),
    "anonymous": Weak(suite=0xC018, code="CIPHER_SUITE_INSECURE", cipher="AECDH-AES128-SHA"),
    "rc4": Weak(suite=0x0005, code="CIPHER_SUITE_NOT_LISTED"),
    "3des": Weak(suite=0x000A, code="CIPHER_SUITE_NOT_LISTED"),
}


def chooser(family: str, below: Behaviour, backends: Backends) -> Behaviour:
    """Return a server that takes a suite of the policy first, then one of the family, and fails.

    below: serves TLS 1.2 to hellos that have neither.
    """

    def is_served(hello: SeenHello) -> bool:
        return hello.highest is not TlsVersion.TLS_1_2 or bool(hello.offered & SIX)

    def is_failed(hello: SeenHello) -> bool:
        return bool(hello.offered & FAMILIES[family])

    return where(is_served, backends.strict, where(is_failed, alert(HANDSHAKE_FAILURE), below))


def chosen(server: Listener, *suites: int) -> int | None:
    """Return the suite that a client is given that offers these over TLS 1.2."""
    hello = MadeHello(version=0x0303, cipher_suites=suites, extensions=EXTENSIONS)
    choice = read_choice(answer_to(server, bytes(hello)))
    return choice.cipher_suite if choice else None


@pytest.mark.parametrize("weak", WEAK)
@pytest.mark.parametrize("family", FAMILIES)
async def test_what_a_chooser_takes_below_its_failure_is_never_allowed(
    family: str,
    weak: str,
    patient: Surveyor,
    backends: Backends,
) -> None:
    one, failing = WEAK[weak], min(FAMILIES[family])
    behaviour, server = chooser(family, one.server(backends), backends), own_listener()
    with counting_server(server, behaviour):
        assert chosen(server, one.suite) == one.suite
        assert chosen(server, failing, one.suite) is None
        assert chosen(server, 0xC02F, failing, one.suite) == 0xC02F
        if one.cipher:
            options = "-tls1_2", "-cipher", f"{one.cipher}:@SECLEVEL=0"
            seen = s_client(server, backends.authority.pem, *options)
            assert seen is not None
            assert seen.cipher_suite == one.cipher
    assert objection(await patient.verdict_of(behaviour), one.code) == ""


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_chooser_with_nothing_below_its_failure_is_allowed(
    family: str,
    patient: Surveyor,
    backends: Backends,
) -> None:
    behaviour = chooser(family, backends.strict, backends)
    verdict = await patient.verdict_of(behaviour)
    assert verdict.decision is Decision.ALLOW, [one.message for one in verdict.findings]
