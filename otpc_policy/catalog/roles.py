"""Documents of roles: TOML text to the access that they grant, or to every problem with its line.

The names of policies and partners in a document must be those of the same generation: a role for a
policy that is not loaded would permit less than its author believes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic import ValidationError

from otpc_policy.catalog.access import Access, Grant, access_without_roles, admin_grants
from otpc_policy.catalog.files import read_text
from otpc_policy.catalog.problems import Problem, problems_of, refusal
from otpc_policy.catalog.role import EVERYTHING, Role
from otpc_policy.catalog.schemas.roles import RolesDocument
from otpc_policy.catalog.sources import CatalogSources
from otpc_policy.catalog.toml_lines import KeyPath, TomlLines, decode_toml

# A message lists no more names than people read.
_LISTED_NAMES = 20


class RolesFile:
    """A document of roles as it was read. text: "" where there is none.

    Raises ConfigurationError with every problem as "place:line: key: what is wrong".
    """

    def __init__(self, text: str, place: str, admin_callers: Sequence[str] = ()) -> None:
        table = decode_toml(text, place)
        self.text = text
        self._lines = TomlLines(text, place)
        try:
            self._document = RolesDocument.model_validate(table)
        except ValidationError as error:
            raise refusal(problems_of(error, RolesDocument), self._lines) from None
        problems: list[Problem] = []
        roles = self._roles(problems)
        grants = list(self._grants(roles, problems))
        if problems:
            raise refusal(problems, self._lines)
        if admin_callers:
            grants += admin_grants(admin_callers)
        self.access = Access(grants, by_roles=True)

    def unknown_names(self, policies: Iterable[str], partners: Iterable[str]) -> Iterator[str]:
        """Yield a problem for each policy or partner that is not loaded."""
        known_policies, known_partners = frozenset(policies), frozenset(partners)
        for position, role in enumerate(self._document.role):
            yield from self._unknown(
                ("role", position, "policies"), role.policies, known_policies, "policy is named"
            )
            yield from self._unknown(
                ("role", position, "partners"), role.partners, known_partners, "partner has the id"
            )

    def _unknown(
        self, path: KeyPath, names: Sequence[str], known: frozenset[str], none_has: str
    ) -> Iterator[str]:
        for at, name in enumerate(names):
            if name != EVERYTHING and name not in known:
                key = ".".join(map(str, (*path, at)))
                yield (
                    f"{self._lines.at((*path, at))}: {key}: no {none_has} {name!r}; "
                    f"expected {_one_of(known)}"
                )

    def _roles(self, problems: list[Problem]) -> Mapping[str, Role]:
        roles: dict[str, Role] = {}
        for position, table in enumerate(self._document.role):
            if table.name in roles:
                other = roles[table.name].place
                sentence = f"{table.name!r} is also the name of the role at {other}"
                problems.append(Problem(("role", position, "name"), sentence))
                continue
            roles[table.name] = table.role(self._lines.at(("role", position)))
        return roles

    def _grants(self, roles: Mapping[str, Role], problems: list[Problem]) -> Iterator[Grant]:
        for position, table in enumerate(self._document.caller):
            for at, name in enumerate(table.roles):
                role = roles.get(name)
                if role is None:
                    sentence = f"no role is named {name!r}; expected {_one_of(roles)}"
                    problems.append(Problem(("caller", position, "roles", at), sentence))
                    continue
                place = self._lines.at(("caller", position))
                yield Grant(identities=table.identities, role=role, place=place)


def load_roles(sources: CatalogSources) -> RolesFile | None:
    """Return the document of roles, or None where there is none. Raises ConfigurationError."""
    if sources.roles_file is None:
        return None
    place = str(sources.roles_file)
    return RolesFile(read_text(place), place, sources.admin_callers)


def access_of(roles: RolesFile | None, sources: CatalogSources) -> Access:
    """Return what a document of roles grants, or what holds without one."""
    return access_without_roles(sources.admin_callers) if roles is None else roles.access


def _one_of(names: Iterable[str]) -> str:
    ordered = sorted(names)
    if not ordered:
        return "none, because there is none"
    more = f" and {len(ordered) - _LISTED_NAMES} more" if len(ordered) > _LISTED_NAMES else ""
    return f"one of {', '.join(ordered[:_LISTED_NAMES])}{more}"
