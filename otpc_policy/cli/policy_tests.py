"""otpc-policy policy test: saved facts, judged by the policies as a service would use them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otpc_policy.cli.status import CommandFailed, ExitStatus

if TYPE_CHECKING:
    from otpc_policy.catalog.policy_tests import PolicyTestOutcome


def run_tests(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR|FILE...",
            help="Folders with documents of tests (*.test.toml), or single documents.",
        ),
    ],
    *,
    policy_file: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="A policy document in addition to those of the settings; may be repeated.",
        ),
    ] = None,
) -> None:
    """Run policy tests: saved facts, a fixed clock, and the expected decision and codes.

    `otpc-policy check --save-facts` saves facts. Exit status: 0 every test passes, 1 at least one
    fails, 2 nothing to run, or an invalid file.
    """
    from otpc_policy.catalog.files import (  # noqa: PLC0415  # slow; --help needs none of it
        POLICY_TEST_SUFFIX,
        files_in,
    )
    from otpc_policy.catalog.load import CatalogLoader  # noqa: PLC0415
    from otpc_policy.catalog.policy_tests import (  # noqa: PLC0415
        read_policy_tests,
        run_policy_tests,
    )
    from otpc_policy.cli.configuration import read_settings  # noqa: PLC0415

    settings = read_settings()
    if policy_file:
        settings = read_settings(policy_files=[*settings.policy_files, *policy_file])
    places: list[str] = []
    for path in paths:
        is_folder = path.is_dir()
        places += files_in(path, POLICY_TEST_SUFFIX, "policy tests") if is_folder else [str(path)]
    if not places:
        folders = ", ".join(map(str, paths))
        problem = f"{folders}: contains no policy tests; their names end in {POLICY_TEST_SUFFIX}"
        raise CommandFailed([problem], ExitStatus.USAGE)
    catalog = CatalogLoader(settings).load_untested()
    outcomes = list(run_policy_tests(read_policy_tests(places), catalog))
    for outcome in outcomes:
        _print(outcome)
    failed = sum(not outcome.passed for outcome in outcomes)
    typer.echo(f"{len(outcomes) - failed} passed, {failed} failed", err=True)
    raise typer.Exit(1 if failed else 0)


def _print(outcome: "PolicyTestOutcome") -> None:
    from otpc_policy.cli.render.words import (  # noqa: PLC0415  # slow; --help needs none of it
        one_line,
    )

    test, policy = outcome.test, outcome.policy
    typer.echo(f"{'ok  ' if outcome.passed else 'FAIL'}  {test.place}: {one_line(test.name)}")
    if policy is not None and not outcome.passed:
        revision, at = policy.revision[:12], f"{test.at:%Y-%m-%d %H:%M:%S %Z}"
        typer.echo(f"      policy {policy.name} (revision {revision}), at {at}")
    for difference in outcome.differences:
        # Messages quote what the partner sent.
        typer.echo(f"      {one_line(difference)}")
