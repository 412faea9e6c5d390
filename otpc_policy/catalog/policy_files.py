"""The policies of this process: the built-in ones and the documents that the settings name."""

from dataclasses import replace
from pathlib import Path

from otpc_policy.catalog.files import documents_in
from otpc_policy.catalog.policies import load_builtin_policies, parse_policy
from otpc_policy.catalog.policy_test_files import CASES_SUFFIX
from otpc_policy.catalog.sources import CatalogSources
from otpc_policy.errors import ConfigurationError
from otpc_policy.policy.model import Policy, PolicySet


def policies_from(settings: CatalogSources) -> PolicySet:
    """Return all policies, with the default of the settings. Raises ConfigurationError with the problems of every document."""
    builtin = load_builtin_policies()
    policies = dict(builtin.policies)
    problems: list[str] = []
    for path in policy_paths(settings, problems):
        policy = _read(path, problems)
        if policy is None:
            continue
        if policy.name in policies:
            problems.append(f"{path}: name: another policy is named {policy.name!r} already")
        policies[policy.name] = policy
    if not problems and settings.default_policy not in policies:
        problems.append(
            f"default_policy: no policy is named {settings.default_policy!r}; expected one of {', '.join(sorted(policies))}"
        )
    if problems:
        raise ConfigurationError(problems)
    return replace(builtin, policies=policies, default_name=settings.default_policy)


def policy_paths(settings: CatalogSources, problems: list[str] | None = None) -> tuple[Path, ...]:
    """Return the documents that the settings name, one by one or as a folder, tests left out. problems: gets what is wrong with the folder."""
    found: tuple[Path, ...] = ()
    if settings.policies_dir is not None:
        try:
            found = tuple(map(Path, documents_in(settings.policies_dir, "policies_dir")))
        except ConfigurationError as error:
            if problems is not None:
                problems.extend(error.problems)
    return (
        *settings.policy_files,
        *(path for path in found if not path.name.endswith(CASES_SUFFIX)),
    )


def _read(path: Path, problems: list[str]) -> Policy | None:
    try:
        return parse_policy(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        problems.append(f"{path}: {error.strerror or 'cannot be read'}")
    except UnicodeDecodeError:
        problems.append(f"{path}: is not UTF-8")
    except ConfigurationError as error:
        problems.extend(error.problems)
    return None
