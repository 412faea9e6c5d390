"""Policy tests on disk: found in a folder or beside the policies, read with the files that they name, and run before policies are used."""

from collections.abc import Iterable
from pathlib import Path

from otpc_policy.catalog.policy_tests import CaseJudge, PolicyCase, run_policy_tests
from otpc_policy.catalog.schemas.policy_test import parse_cases
from otpc_policy.errors import ConfigurationError
from otpc_policy.policy.model import PolicySet

# In one folder with policies, so that a flat mount (a ConfigMap) can hold both; whoever lists policy documents leaves these out.
CASES_SUFFIX = ".test.toml"


def case_files_in(folder: Path) -> tuple[Path, ...]:
    """Return the documents of policy tests in a folder, by name; folders in it are not entered. Raises OSError."""
    return tuple(
        sorted(
            one
            for one in folder.iterdir()
            if one.name.endswith(CASES_SUFFIX) and not one.name.startswith(".") and one.is_file()
        )
    )


def case_files_beside(policy_files: Iterable[Path]) -> tuple[Path, ...]:
    """Return the documents of policy tests in the folders of these policy documents."""
    folders = dict.fromkeys(path.parent for path in policy_files)
    return tuple(file for folder in folders if folder.is_dir() for file in case_files_in(folder))


def read_policy_tests(files: Iterable[Path]) -> tuple[PolicyCase, ...]:
    """Return the tests of these documents. Files that they name are relative to their folder.

    Raises ConfigurationError with the problems of every document.
    """
    cases: list[PolicyCase] = []
    problems: list[str] = []
    for file in files:

        def read(name: str, folder: Path = file.parent) -> str:
            return (folder / name).read_text(encoding="utf-8")

        try:
            cases += parse_cases(file.read_text(encoding="utf-8"), str(file), read)
        except OSError as error:
            problems.append(f"{file}: {error.strerror or 'cannot be read'}")
        except UnicodeDecodeError:
            problems.append(f"{file}: is not UTF-8")
        except ConfigurationError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigurationError(problems)
    return tuple(cases)


def require_policy_tests(policies: PolicySet, judge: CaseJudge, files: Iterable[Path]) -> int:
    """Run the tests of these documents against policies that are about to be used; return how many there are.

    judge: as the process will judge. Raises ConfigurationError with what cannot be read, or with every test that does not pass.
    """
    outcomes = run_policy_tests(read_policy_tests(files), policies, judge)
    problems = [
        f"{one.case.place}: policy test {one.case.name!r}: {difference}"
        for one in outcomes
        for difference in one.differences
    ]
    if problems:
        raise ConfigurationError(problems)
    return len(outcomes)
