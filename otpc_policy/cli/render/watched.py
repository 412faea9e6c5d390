"""Watched endpoints: a row for each."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from otpc_policy.cli.render.words import (
    comma_list,
    day_words,
    decision_text,
    length_words,
    one_line,
    to_datetime,
)
from otpc_policy.v1 import policy_pb2 as pb

_NONE = "-"
_ENDS = (
    ("certificate", "certificate_end_time"),
    ("waiver", "waiver_end_time"),
    ("pin", "pin_end_time"),
)


def watched_view(endpoints: Sequence[pb.WatchedEndpoint], now: datetime) -> RenderableType:
    """Return one row for each endpoint, with times as they are from now."""
    if not endpoints:
        return Text("no endpoint is watched that you may see")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("ENDPOINT", overflow="fold")
    for name in ("PARTNER", "NOW", "MEASURED", "NEXT", "NEXT END"):
        table.add_column(name, no_wrap=name in ("NOW", "MEASURED", "NEXT"), overflow="fold")
    table.add_column("FINDINGS", overflow="fold")
    for each in endpoints:
        table.add_row(
            Text(_endpoint(each), style="bold"),
            Text(one_line(each.partner_id) or _NONE),
            decision_text(each.decision),
            _since(each, now),
            _until(each, now),
            _next_end(each),
            Text(comma_list(each.finding_codes) or _NONE),
        )
    return table


def _endpoint(each: pb.WatchedEndpoint) -> str:
    host = one_line(each.host)
    return f"[{host}]:{each.port}" if ":" in host else f"{host}:{each.port}"


def _since(each: pb.WatchedEndpoint, now: datetime) -> str:
    if not each.HasField("observation_time"):
        return "never"
    return f"{length_words(now - to_datetime(each.observation_time))} ago"


def _until(each: pb.WatchedEndpoint, now: datetime) -> str:
    if not each.HasField("next_check_time"):
        return _NONE
    at = to_datetime(each.next_check_time)
    return "now" if at <= now else f"in {length_words(at - now)}"


def _next_end(each: pb.WatchedEndpoint) -> str:
    """Return the first day on which something of the endpoint ends, and what."""
    ends: list[tuple[datetime, str, Timestamp]] = [
        (to_datetime(getattr(each, field)), what, getattr(each, field))
        for what, field in _ENDS
        if each.HasField(field)  # type: ignore[arg-type]  # one of the names above
    ]
    if not ends:
        return _NONE
    _, what, at = min(ends, key=lambda end: end[0])
    return f"{day_words(at)} {what}"
