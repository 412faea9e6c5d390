"""otpc-policy policy test: saved facts judged by the policies as they would be used, against what is expected."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otpc_policy.cli.status import CommandFailed, ExitStatus

if TYPE_CHECKING:
    from otpc_policy.catalog.policy_tests import CaseOutcome


def run_tests(
    paths: Annotated[list[Path], typer.Argument(metavar="DIR|FILE...", help="Folders with documents of tests (*.test.toml), or single documents.")],
    *,
    policy_file: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="A policy document beside those of the settings and the built-in ones; may be repeated.")
    ] = None,
) -> None:
    """Run policy tests: facts that `otpc-policy check --save-facts` wrote, a fixed clock, and the expected decision and codes.

    Exit status: 0 every test passes, 1 at least one does not, 2 nothing to run, or a file that cannot be used.
    """
    from otpc_policy.catalog.load import read_generation  # noqa: PLC0415
    from otpc_policy.catalog.partners.folder import PartnerFolder  # noqa: PLC0415
    from otpc_policy.catalog.policy_test_files import CASES_SUFFIX, case_files_in, read_policy_tests  # noqa: PLC0415
    from otpc_policy.catalog.policy_test_judge import judge_under  # noqa: PLC0415
    from otpc_policy.catalog.policy_tests import run_policy_tests  # noqa: PLC0415
    from otpc_policy.cli.configuration import read_settings  # noqa: PLC0415  # slow; --help needs none of it

    settings = read_settings()
    if policy_file:
        settings = read_settings(policy_files=[*settings.policy_files, *policy_file])
    files = [file for path in paths for file in (case_files_in(path) if path.is_dir() else (path,))]
    if not files:
        raise CommandFailed([f"{', '.join(map(str, paths))}: holds no test; their names end in {CASES_SUFFIX}"], ExitStatus.USAGE)
    generation = read_generation(settings, PartnerFolder(settings.partners_dir))
    outcomes = run_policy_tests(read_policy_tests(files), generation.policies, judge_under(generation))
    for outcome in outcomes:
        _print(outcome)
    failed = sum(not outcome.passed for outcome in outcomes)
    typer.echo(f"{len(outcomes) - failed} passed, {failed} failed", err=True)
    raise typer.Exit(1 if failed else 0)


def _print(outcome: "CaseOutcome") -> None:
    from otpc_policy.cli.render.words import one_line  # noqa: PLC0415  # slow; --help needs none of it

    typer.echo(f"{'ok  ' if outcome.passed else 'FAIL'}  {outcome.case.place}: {one_line(outcome.case.name)}")
    if outcome.policy is not None and not outcome.passed:
        typer.echo(f"      policy {outcome.policy.name} (revision {outcome.policy.revision[:12]}), at {outcome.case.at:%Y-%m-%d %H:%M:%S %Z}")
    for difference in outcome.differences:
        # Messages quote what the partner sent.
        typer.echo(f"      {one_line(difference)}")
