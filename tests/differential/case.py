"""What is compared: a server, what its configuration allows, and what a tool reports."""

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

    name: unique; explanations refer to it. stack: the TLS library with its version. serve: starts
    a fresh server each time. allowed: what the configuration allows. reasons: why the
    configuration allows less than it names, for the report. with_testssl: testssl.sh is slow, so
    only these servers are scanned with it.
    """

    name: str
    stack: str
    serve: Serve
    allowed: Offered
    reasons: tuple[str, ...] = ()
    with_testssl: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReport:
    """The findings of a tool about a server.

    offered: what it saw. known: what it is able to see. reported_versions: versions that the tool
    reports apart from suites; None if it does not. broken: why there is no result, or empty.
    """

    offered: Offered = field(default_factory=dict)
    known: Offered = field(default_factory=dict)
    reported_versions: frozenset[TlsVersion] | None = None
    broken: str = ""


def size(offered: Offered) -> int:
    """Return the number of pairs of version and suite."""
    return sum(len(suites) for suites in offered.values())


def suite_name(code_point: int) -> str:
    """Return the IANA name, or the number if there is no name."""
    suite = suite_by_code_point(code_point)
    return suite.iana_name if suite else f"0x{code_point:04X}"
