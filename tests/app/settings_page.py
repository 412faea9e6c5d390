"""docs/settings.md, written from the model: `python -m tests.app.settings_page`."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from pydantic import BaseModel

from otpc_policy.app.settings import SettingDescription, describe_settings
from otpc_policy.app.settings.model import ClientCertificateSettings
from otpc_policy.catalog.schemas.trust import TrustTable

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
# What stands in tables that an operator names, or lists.
_INNER: dict[str, type[BaseModel]] = {
    "client_certificates": ClientCertificateSettings,
    "trust": TrustTable,
}
_OPENING = """\
# Settings

Written by `python -m tests.app.settings_page` from the model (`otpc_policy/app/settings`); a test
holds it to that. `otpc-policy serve --show-settings` prints the same of the release that you run.

Options of the command line take precedence over variables, variables over the TOML file
(`--config`, or the variable `OTPC_POLICY_CONFIG`), and the file over the defaults. A variable is
the key in capitals after `OTPC_POLICY_`, with `__` for the dot of a table: `scan.workers` is
`OTPC_POLICY_SCAN__WORKERS`. Lists in variables are written `a,b`, tables as JSON. Paths in the file
are relative to its folder. Times are in seconds. An unknown key or variable is refused.

All settings are read at the start, but for `log_level`, which a running program takes from the file
again ([operations.md](operations.md#log-level)).
`otpc-policy doctor --config FILE` and `otpc-policy serve --config FILE --check` examine a file.
"""


def page() -> str:
    """Return the whole page."""
    described = [setting for setting in describe_settings() if setting.key]
    parts = [_OPENING]
    for table, settings in groupby(sorted(described, key=_table), key=_table):
        parts.append(f"\n## {f'[{table}]' if table else 'Top level'}\n\n{_rows(settings)}")
    return "".join(parts)


def _table(setting: SettingDescription) -> str:
    return setting.key.rpartition(".")[0]


def _rows(settings: Iterator[SettingDescription]) -> str:
    lines = ["| key | default | bounds | what it is for |", "|---|---|---|---|"]
    for setting in settings:
        name = setting.key.rpartition(".")[2]
        default = f"`{setting.default}`" if setting.default else ""
        lines.append(_row(name, default, setting.bounds, setting.description))
        inner = _INNER.get(setting.key)
        for key, field in () if inner is None else inner.model_fields.items():
            required = "required" if field.is_required() else ""
            lines.append(_row(f"{name}.….{key}", required, "", field.description or ""))
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    name, *others = (cell.replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| `{name}` | {' | '.join(others)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
