"""What is compared: a server, what its configuration allows, and what somebody says that it offers."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from otpc_policy.core.facts import TlsVersion
from otpc_policy.core.registries.suites import suite_by_code_point
from tests.support.loopback import Listener

# Code points by version; a version without suites is not offered.
Offered = Mapping[TlsVersion, frozenset[int]]
Serve = Callable[[], AbstractContextManager[Listener]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A server that can be started, and the truth about it.

    name: unique; explanations refer to it. stack: the TLS library with its version. serve: a fresh server each time.
    allowed: what the configuration allows. reasons: why the configuration allows less than it names, for the report.
    with_testssl: testssl.sh is slow and looks at these only.
    """

    name: str
    stack: str
    serve: Serve
    allowed: Offered
    reasons: tuple[str, ...] = ()
    with_testssl: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReport:
    """What a tool says about a server.

    offered: what it saw. known: what it would have seen. versions_told: versions that the tool states by themselves, apart from suites; None
    if it does not. broken: why there is no answer; empty if there is one.
    """

    offered: Offered = field(default_factory=dict)
    known: Offered = field(default_factory=dict)
    versions_told: frozenset[TlsVersion] | None = None
    broken: str = ""


def size(offered: Offered) -> int:
    """Return how many pairs of version and suite there are."""
    return sum(len(suites) for suites in offered.values())


def suite_name(code_point: int) -> str:
    """Return the IANA name, or the number where there is none."""
    suite = suite_by_code_point(code_point)
    return suite.iana_name if suite else f"0x{code_point:04X}"
