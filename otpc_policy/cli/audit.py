"""otpc-policy audit: what a chained audit file proves."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from otpc_policy.cli.examples import examples
from otpc_policy.cli.output import complain, write
from otpc_policy.cli.status import ExitStatus

if TYPE_CHECKING:
    from otpc_policy.ops.audit.chain import Link, Verification

audit_app = typer.Typer(
    help="Verify audit files.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)

_MOST_FINDINGS = 100
# Far above any line of ours: what is longer is none.
_LINE_BYTES = 2**24


@audit_app.callback()
def _audit() -> None:
    """Verify audit files."""


@audit_app.command(epilog=examples("audit verify"))
def verify(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Audit files, the oldest first.")
    ],
    anchor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SEQ:HASH",
            help="A line that is known from elsewhere: seq and chain of an audit_anchor line or of "
            "an earlier verification. May be repeated.",
        ),
    ] = None,
) -> None:
    """Find what was cut, changed, inserted or moved in audit files.

    Exit status: 0 if nothing was, 1 if something was, 2 if a file cannot be read.
    """
    from otpc_policy.ops.audit.chain import Verification  # noqa: PLC0415
    from otpc_policy.ops.audit.file_sink import head_path, read_head  # noqa: PLC0415

    # What is written meanwhile is after the head, so that comes first.
    beside = head_path(files[-1])
    head = read_head(beside.read_bytes()) if beside.exists() else None
    anchors = [_anchor(text) for text in anchor or ()]
    found = Verification(anchors if head is None else [head, *anchors])
    for file in files:
        with file.open("rb") as opened:
            found.follow(str(file), _lines(opened), is_torn=_is_torn(file))
    found.end()
    _report(found, len(files), has_end=head is not None or found.is_ended or bool(anchor))


def _report(found: "Verification", files: int, *, has_end: bool) -> None:
    for finding in found.findings[:_MOST_FINDINGS]:
        write(f"{finding.place}: {finding.text}\n")
    if len(found.findings) > _MOST_FINDINGS:
        write(f"and {len(found.findings) - _MOST_FINDINGS} more\n")
    if found.lost:
        write(f"note: the service itself reports {found.lost} lines as lost\n")
    if not has_end:
        write(
            "note: nothing here shows whether lines are missing at the end; give --anchor, the"
            " next file, or the .head file beside\n"
        )
    if found.first is not None and found.last is not None:
        first, last = found.first.seq, found.last.seq
        where = "1 file" if files == 1 else f"{files} files"
        word = "NOT intact" if found.findings else "ok"
        write(f"{word}: lines {first} to {last} in {where}; the last is {last}:{found.last.hash}\n")
    if found.findings:
        raise typer.Exit(ExitStatus.DENY)


def _anchor(text: str) -> "Link":
    from otpc_policy.ops.audit.chain import Link  # noqa: PLC0415

    found = re.fullmatch(r"([1-9]\d{0,17}):([0-9a-f]{64})", text)
    if found is None:
        complain(f"--anchor: {text!r} is not the number and the hash of a line, as 17:0f3a...")
        raise typer.Exit(ExitStatus.USAGE)
    return Link(int(found[1]), found[2])


def _lines(opened: BinaryIO) -> Iterator[bytes]:
    while line := opened.readline(_LINE_BYTES):
        yield line.removesuffix(b"\n")


def _is_torn(file: Path) -> bool:
    with file.open("rb") as opened:
        size = opened.seek(0, 2)
        opened.seek(max(0, size - 1))
        return size > 0 and opened.read(1) != b"\n"
