"""otpc-policy explain: what a finding code means and what to do about it."""

from typing import Annotated

import typer


def explain(
    code: Annotated[
        str,
        typer.Argument(
            metavar="CODE",
            help="A finding code, such as TLS_VERSION_BELOW_MINIMUM; without one, all are listed.",
        ),
    ] = "",
) -> None:
    """Explain a finding code: meaning, severity, effect, remedy, source.

    Exit status: 0, or 2 for a code that does not exist.
    """
    from otpc_policy.cli.configuration import read_policies  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.cli.output import as_text, write  # noqa: PLC0415
    from otpc_policy.cli.render.explanation import codes_view, explanation_view, near_misses  # noqa: PLC0415
    from otpc_policy.policy.registry import finding_codes  # noqa: PLC0415

    policies = read_policies()
    if not code:
        write(as_text(codes_view(policies.get(""))))
        return
    finding = finding_codes().get(code.upper())
    if finding is None:
        near = near_misses(code.upper())
        hint = (
            f"did you mean {' or '.join(near)}?" if near else "otpc-policy explain lists them all."
        )
        raise typer.BadParameter(f"{code!r} is not a finding code; {hint}", param_hint="CODE")
    write(as_text(explanation_view(finding, policies.ordered())))
