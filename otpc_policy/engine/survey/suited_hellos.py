"""Hellos that suit one server: no longer than it accepts, with lists that it reads to the end."""

from otpc_policy.core.facts import TlsVersion
from otpc_policy.engine.survey.journal import LONG_LIST, Journal
from otpc_policy.engine.survey.offers import (
    NO_VARIANTS,
    Variants,
    short_lists_of,
    variants_at,
    without_ecdsa,
)
from otpc_policy.engine.survey.probe import Purpose
from otpc_policy.tls.client_hello import PLAIN, ClientHello, GroupList, HelloStyle, HelloVariant

# With this many suites, one more for its control, both TLS 1.2 and TLS 1.3, and a server name of
# 24 bytes, a short hello stays below 256 bytes.
_SHORTEST_LIST = 31


class Hellos:
    """Builds hellos, given the answers so far.

    style: of the hellos that have extensions. variants: of full ones; the first is used where
    nothing else is asked for.
    """

    def __init__(
        self, journal: Journal, server_name: str | None, variants: Variants = NO_VARIANTS
    ) -> None:
        self._journal, self._server_name = journal, server_name
        self.variants = variants
        self.style = HelloStyle.SHORT if self._dislikes_full_hellos() else HelloStyle.FULL

    def hello(
        self,
        version: TlsVersion,
        suites: tuple[int, ...],
        groups: GroupList = GroupList.WIDE,
        variant: HelloVariant | None = None,
    ) -> ClientHello:
        """Return a hello that offers exactly this version."""
        name = self._server_name
        if version is TlsVersion.SSL_3_0 and (accepted := self._journal.chosen(version)):
            name = next(iter(accepted.values())).probe.hello.server_name
        style = HelloStyle.BARE if version <= TlsVersion.SSL_3_0 else self.style
        return ClientHello(
            version=version,
            lowest=version,
            cipher_suites=suites,
            server_name=name,
            style=style,
            groups=groups,
            variant=(variant or variants_at(version, self.variants)[0])
            if style is HelloStyle.FULL
            else PLAIN,
        )

    def again(self, version: TlsVersion, suites: tuple[int, ...]) -> list[ClientHello]:
        """Return hellos for all but ECDSA suites with finite-field groups (see GroupList)."""
        return [
            self.hello(version, some, GroupList.FINITE_FIELD)
            for some in self.lists(version, without_ecdsa(suites))
        ]

    def lists(self, version: TlsVersion, suites: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Split suites into lists that the server reads to the end."""
        if not suites:
            return []
        if self.style is HelloStyle.SHORT and version >= TlsVersion.SSL_3_0:
            return short_lists_of(suites, _SHORTEST_LIST)
        return short_lists_of(suites) if self.is_deaf_to_long_lists(version) else [suites]

    def is_deaf_to_long_lists(self, version: TlsVersion) -> bool:
        """A long list ending in a good suite was not accepted, or one of this version was vague."""
        return self._journal.is_deaf_to_long_lists or version in self._journal.unproven_long_lists

    def _dislikes_full_hellos(self) -> bool:
        """Only short hellos were accepted, or no full hello of the length that short lists need."""
        accepted = self._journal.accepted
        full = [len(good.offered) for good in accepted if good.hello.style is HelloStyle.FULL]
        if not full:
            return any(good.hello.style is HelloStyle.SHORT for good in accepted)
        return any(
            record.wave
            and not record.chose
            and record.probe.purpose is Purpose.CONTROL
            and record.hello.style is HelloStyle.FULL
            and max(full) < len(record.offered) <= LONG_LIST
            for record in self._journal.records
        )
