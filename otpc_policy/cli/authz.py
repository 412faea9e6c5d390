"""otpc-policy authz: what the roles permit, and by which line."""

from typing import Annotated

import typer

from otpc_policy.cli.examples import examples

authz_app = typer.Typer(
    help="Ask a document of roles who may do what.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@authz_app.callback()
def _group() -> None:
    # Without it the only command would take the place of the group.
    pass


@authz_app.command(
    "test",
    short_help="Tell whether a caller may make a call, and by which line.",
    epilog=examples("authz test"),
)
def ask_roles(
    *,
    rpc: Annotated[
        str,
        typer.Option(
            "--rpc",
            metavar="METHOD",
            help="The method, such as CheckEndpoint, ListPolicies or ReloadPolicies.",
        ),
    ],
    identity: Annotated[
        list[str] | None,
        typer.Option(
            "--identity",
            metavar="NAME",
            help="A name in the caller's certificate: spiffe://domain/path, uri:https://..., or a"
            " DNS name. May be repeated. Without one: a caller whom nothing identifies.",
        ),
    ] = None,
    certificate: Annotated[
        str | None,
        typer.Option(
            "--certificate",
            metavar="FILE",
            help="Take the names from the caller's certificate (PEM), as the service would.",
        ),
    ] = None,
    roles: Annotated[
        str | None,
        typer.Option(
            "--roles", metavar="FILE", help="The document; without it, roles_file of the settings."
        ),
    ] = None,
    config: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Settings in TOML, for policies and partners; default: OTPC_POLICY_CONFIG.",
        ),
    ] = None,
    policy: Annotated[
        str,
        typer.Option("--policy", metavar="NAME", help="Without it, the default policy."),
    ] = "",
    host: Annotated[
        str, typer.Option("--host", metavar="HOST", help="The endpoint's host or address.")
    ] = "",
    port: Annotated[
        int,
        typer.Option("--port", metavar="PORT", help="0 is 443; for InvalidateResults, every port."),
    ] = 0,
    server_name: Annotated[
        str,
        typer.Option("--server-name", metavar="NAME", help="If it differs from the host."),
    ] = "",
    refresh: Annotated[bool, typer.Option("--refresh", help="Measure now.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Depth DEEP.")] = False,
    full_view: Annotated[bool, typer.Option("--full-view", help="View FULL.")] = False,
    request_anchors: Annotated[
        bool, typer.Option("--request-anchors", help="Trust anchors in the request.")
    ] = False,
) -> None:
    """Tell whether a caller may make a call, by which line of the roles, or what is missing.

    One role must permit all that the call needs; roles do not add up.

    Exit status: 0 permitted, 1 not permitted, 2 wrong command line, document or setting.

    Health is open to every caller whom the listener admits. docs/callers.md explains the document.
    """
    from otpc_policy.cli.authorisation_test import Question, answer_question  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.cli.output import write  # noqa: PLC0415

    asked = Question(
        rpc=rpc,
        identities=tuple(identity or ()),
        certificate_file=certificate,
        policy=policy,
        host=host,
        port=port,
        server_name=server_name,
        refresh=refresh,
        deep=deep,
        full_view=full_view,
        request_anchors=request_anchors,
    )
    is_permitted, lines = answer_question(asked, roles_file=roles, config=config)
    write("".join(f"{line}\n" for line in lines))
    if not is_permitted:
        raise typer.Exit(1)
