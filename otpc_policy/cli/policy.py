"""otpc-policy policy: show policies, compare them, and check documents."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from otpc_policy.cli.examples import examples
from otpc_policy.cli.options import (
    ClientCertificateOption,
    ClientKeyOption,
    FormatOption,
    PlaintextOption,
    ServerCaOption,
    ServerOption,
    TimeoutOption,
    service,
)
from otpc_policy.cli.output import OutputFormat, answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from otpc_policy.cli.remote import Remote
    from otpc_policy.v1 import policy_pb2 as pb

policy_app = typer.Typer(
    help="Show and compare policies; check and test policy documents.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@policy_app.command("list", short_help="List the policies.", epilog=examples("policy list"))
def list_policies(
    *,
    server: ServerOption = None,
    server_ca: ServerCaOption = None,
    client_cert: ClientCertificateOption = None,
    client_key: ClientKeyOption = None,
    dangerously_plaintext: PlaintextOption = False,
    timeout: TimeoutOption = 30.0,
    format: FormatOption = None,  # noqa: A002  # the name of the option
) -> None:
    """List the policies: built-in ones and those of the settings, or those of a running service."""
    remote = service(
        server,
        server_ca,
        dangerously_plaintext,
        timeout,
        client_cert=client_cert,
        client_key=client_key,
    )
    from otpc_policy.cli.render.policies import policies_view  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.v1 import policy_pb2 as pb  # noqa: PLC0415

    policies = _policies(remote)
    answer(pb.ListPoliciesResponse(policies=policies), lambda: policies_view(policies), format)


@policy_app.command("show", short_help="Show a policy in full.", epilog=examples("policy show"))
def show_policy(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The policy; without a name, the default.")
    ] = "",
    *,
    server: ServerOption = None,
    server_ca: ServerCaOption = None,
    client_cert: ClientCertificateOption = None,
    client_key: ClientKeyOption = None,
    dangerously_plaintext: PlaintextOption = False,
    timeout: TimeoutOption = 30.0,
    document: Annotated[
        bool,
        typer.Option(
            "--document",
            help="Print only the effective document in TOML, with everything that it inherits.",
        ),
    ] = False,
    format: FormatOption = None,  # noqa: A002  # the name of the option
) -> None:
    """Show a policy: every rule, its source, the effect of each finding."""
    remote = service(
        server,
        server_ca,
        dangerously_plaintext,
        timeout,
        client_cert=client_cert,
        client_key=client_key,
    )
    from otpc_policy.cli.output import write  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.cli.render.policies import policy_view  # noqa: PLC0415
    from otpc_policy.v1 import policy_pb2 as pb  # noqa: PLC0415

    policy = remote.policy(name) if remote is not None else _local_policy(name)
    if document:
        write(policy.effective_document)
    else:
        answer(pb.GetPolicyResponse(policy=policy), lambda: policy_view(policy), format)


@policy_app.command(
    "diff",
    short_help="Show in words what two policies demand differently.",
    epilog=examples("policy diff"),
)
def compare_policies(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A policy by name, or a document: a path to *.toml.")
    ],
    second: Annotated[str, typer.Argument(metavar="B", help="The policy to compare it with.")],
    *,
    server: ServerOption = None,
    server_ca: ServerCaOption = None,
    client_cert: ClientCertificateOption = None,
    client_key: ClientKeyOption = None,
    dangerously_plaintext: PlaintextOption = False,
    timeout: TimeoutOption = 30.0,
    format: Annotated[  # noqa: A002  # the name of the option
        OutputFormat | None,
        typer.Option(
            "--format",
            help="table is the default on a terminal, else json: first, second, and differences"
            " with rule, about and sentence.",
        ),
    ] = None,
) -> None:
    """Show in words what two policies demand differently, rule by rule.

    Only what can change a verdict counts: effects, severities, parameters, ends, mode, lifetimes.
    Titles, citations and the order of lists do not, nor does a rule that is off in both.

    Exit status: 0 both demand the same, 1 they differ, 2 a policy or document cannot be used.

    With --server, names are those of the service; documents are read here.
    """
    remote = service(
        server,
        server_ca,
        dangerously_plaintext,
        timeout,
        client_cert=client_cert,
        client_key=client_key,
    )
    from otpc_policy.cli.output import as_text, is_for_people, write  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.cli.policy_differences import differences  # noqa: PLC0415
    from otpc_policy.cli.render.policy_differences import differences_json, differences_view  # noqa: PLC0415

    one, other = (
        _named_or_read(name, remote, hint) for name, hint in ((first, "A"), (second, "B"))
    )
    found = differences(one, other)
    if is_for_people(format):
        write(as_text(differences_view(one, other, found)))
    else:
        write(differences_json(one, other, found))
    if found:
        raise typer.Exit(1)


@policy_app.command(
    "verify", short_help="Verify the signatures of documents.", epilog=examples("policy verify")
)
def verify_signatures(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Documents, or folders of documents (*.toml)."),
    ],
    *,
    key: Annotated[
        Path,
        typer.Option(metavar="FILE", help="PEM public keys, as catalog_signing_key names them."),
    ],
) -> None:
    """Verify that FILE.toml.sig holds a signature of each document by one of the keys.

    Exit status: 0 if all do, 1 if a document has no such signature, 2 if a file cannot be used.
    """
    from otpc_policy.catalog.files import POLICY_TEST_SUFFIX, documents_in, read_bytes  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.catalog.signatures import signed_documents  # noqa: PLC0415
    from otpc_policy.cli.output import complain, write  # noqa: PLC0415
    from otpc_policy.cli.status import ExitStatus  # noqa: PLC0415
    from otpc_policy.core.errors import ConfigurationError  # noqa: PLC0415

    signed = signed_documents(key)
    places: list[str] = []
    for path in paths:
        found = documents_in(Path(path), path) if Path(path).is_dir() else [path]
        places += [place for place in found if not place.endswith(POLICY_TEST_SUFFIX)]
    contents = {place: read_bytes(place) for place in places}
    is_refused = False
    for place, content in contents.items():
        try:
            signed.verify(content, place)
        except ConfigurationError as error:
            is_refused = True
            complain(str(error))
        else:
            write(f"ok: {place}\n")
    if is_refused:
        raise typer.Exit(ExitStatus.DENY)


@policy_app.command(
    "lint", short_help="Check documents of policies and partners.", epilog=examples("policy lint")
)
def lint_policies(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|DIR]...",
            help="Documents of policies and partners in TOML, or folders of them; - is stdin.",
        ),
    ] = None,
    *,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Check everything for which serve --config FILE would refuse to start.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Exit with 1 also if something has ended, or ends within a month."
        ),
    ] = False,
) -> None:
    """Check documents of policies and partners, and list what has ended or ends soon.

    Every problem is reported with file and line. Without a path: every document that a service with
    these settings would load, policy tests included. With --config: all that its start would
    refuse, TLS files and engines included; ports are not bound. Exit status: 0 all is valid, 1
    something is not, 2 a setting is wrong.
    """
    from otpc_policy.app.clock import SystemClock  # noqa: PLC0415
    from otpc_policy.cli.linting import (  # noqa: PLC0415  # slow; --help needs none of it
        lint_configuration,
        lint_documents,
        lint_settings,
    )

    if paths and config is not None:
        raise typer.BadParameter(
            "checks a whole configuration; name no paths.", param_hint="--config"
        )
    now = SystemClock().now()
    if config is not None:
        report = lint_configuration(config, now)
    else:
        report = lint_documents(paths, now) if paths else lint_settings(now)
    for line in (
        *report.problems,
        *(f"note: {note}" for note in (*report.endings, *report.remarks)),
    ):
        typer.echo(line)
    if report.problems or (strict and report.endings):
        raise typer.Exit(1)
    checked = ", ".join(paths) if paths else config or "every document that the settings name"
    minimum = f"; {report.minimum}" if report.minimum else ""
    typer.echo(f"ok: {checked}{minimum}", err=True)


def _named_or_read(name: str, remote: "Remote | None", hint: str) -> "pb.Policy":
    """Return a policy of the service or of these settings by its name, or that of a document."""
    if not name.endswith(".toml"):
        return remote.policy(name) if remote is not None else _local_policy(name, hint)
    from otpc_policy.catalog.files import read_text  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.catalog.policies import parse_policy  # noqa: PLC0415
    from otpc_policy.rpc.convert import policy_message  # noqa: PLC0415

    return policy_message(parse_policy(read_text(name), name))


def _policies(remote: "Remote | None") -> "Sequence[pb.Policy]":
    if remote is not None:
        return remote.policies()
    from otpc_policy.cli.local import policies_locally  # noqa: PLC0415  # slow; --help needs none of it

    return policies_locally()


def _local_policy(name: str, hint: str = "NAME") -> "pb.Policy":
    from otpc_policy.cli.local import policies_locally, policy_locally  # noqa: PLC0415  # slow; --help needs none of it
    from otpc_policy.core.errors import UnknownPolicy  # noqa: PLC0415

    try:
        return policy_locally(name)
    except UnknownPolicy:
        names = ", ".join(policy.name for policy in policies_locally())
        raise typer.BadParameter(
            f"no policy is named {name!r}; there are: {names}", param_hint=hint
        ) from None
