"""The command otpc-policy: its commands, and how errors become exit statuses."""

import sys
import traceback
from contextlib import suppress
from typing import Annotated

import typer

from otpc_policy import __version__
from otpc_policy.cli.admin import admin_app
from otpc_policy.cli.audit import audit_app
from otpc_policy.cli.authz import authz_app
from otpc_policy.cli.check import check
from otpc_policy.cli.demo.command import demo
from otpc_policy.cli.doctor import doctor
from otpc_policy.cli.engine import engine
from otpc_policy.cli.examples import examples
from otpc_policy.cli.explain import explain
from otpc_policy.cli.output import complain
from otpc_policy.cli.policy import policy_app
from otpc_policy.cli.policy_tests import run_tests
from otpc_policy.cli.probe import probe
from otpc_policy.cli.serve import ServeCommand, serve
from otpc_policy.cli.standard_streams import open_missing_streams
from otpc_policy.cli.status import CommandFailed, ExitStatus
from otpc_policy.cli.validate import validate
from otpc_policy.cli.watch import watch
from otpc_policy.cli.watched import watched
from otpc_policy.core.errors import (
    InvalidRequest,
    OtpcPolicyError,
    Overloaded,
    ServiceUnavailable,
    UnknownPolicy,
)

app = typer.Typer(
    name="otpc-policy",
    help="Does a partner's TLS endpoint meet our transport policy, right now?",
    epilog="Exit status of check and validate: 0 ALLOW, 1 DENY, 3 INDETERMINATE or not judged,"
    " 2 wrong command line, file or setting.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(cls=ServeCommand, short_help="Run the gRPC service.", epilog=examples("serve"))(serve)
app.command(short_help="Run the engine by itself.", epilog=examples("engine"))(engine)
app.command(short_help="Ask whether it is well.", epilog=examples("probe"))(probe)
app.command(short_help="Check all that the service needs.", epilog=examples("doctor"))(doctor)
app.command(short_help="Judge an endpoint.", epilog=examples("check"))(check)
app.command(short_help="Judge a certificate chain in a file.", epilog=examples("validate"))(
    validate
)
app.command(short_help="List what a running service watches.", epilog=examples("watched"))(watched)
app.command(short_help="Follow changes of verdicts.", epilog=examples("watch"))(watch)
policy_app.command("test", short_help="Run policy tests.", epilog=examples("policy test"))(
    run_tests
)
app.add_typer(policy_app, name="policy")
app.add_typer(authz_app, name="authz")
app.add_typer(audit_app, name="audit")
app.add_typer(admin_app, name="admin")
app.command(short_help="Explain a finding code and how to fix it.", epilog=examples("explain"))(
    explain
)
app.command(short_help="Watch the service judge eight local partners.", epilog=examples("demo"))(
    demo
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"otpc-policy {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line of this process and exit."""
    open_missing_streams()
    try:
        app(prog_name="otpc-policy")
    except CommandFailed as error:
        complain(str(error))
        sys.exit(error.status)
    except InvalidRequest as error:
        for violation in error.violations:
            complain(f"{violation.field} {violation.description}".strip())
        sys.exit(ExitStatus.USAGE)
    except UnknownPolicy as error:
        complain(str(error) + _about_a_file(error.name))
        sys.exit(ExitStatus.USAGE)
    except (Overloaded, ServiceUnavailable) as error:
        complain(str(error) or "the engine is not available")
        sys.exit(ExitStatus.INDETERMINATE)
    except OtpcPolicyError as error:
        complain(str(error))
        sys.exit(ExitStatus.USAGE)
    except OSError as error:
        complain(
            f"{error.filename}: {error.strerror}"
            if error.filename
            else error.strerror or str(error)
        )
        sys.exit(ExitStatus.USAGE)
    # The outermost frame: Python would exit with 1, which means DENY.
    except Exception:  # noqa: BLE001
        with suppress(OSError):
            traceback.print_exc()
        complain("this is a bug; nothing was judged")
        sys.exit(ExitStatus.INDETERMINATE)


def _about_a_file(name: str) -> str:
    """Say how a document is used, if it was given in the place of a policy's name."""
    if not (name.endswith(".toml") or "/" in name):
        return ""
    return (
        "; --policy takes a name: add the document to policy_files"
        f" (OTPC_POLICY_POLICY_FILES={name}), and give the name in it"
    )
