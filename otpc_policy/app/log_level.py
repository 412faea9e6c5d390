"""The log level of a program that runs: that of its configuration file, which is read again.

Of all settings this one alone takes effect at once. Who may change it is who may write the file. A
change of any other setting is reported, because it waits for the next start.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from otpc_policy.app.settings import LogLevel, Settings
from otpc_policy.app.settings.sources import CONFIG_VARIABLE, read_file, variable_name
from otpc_policy.catalog.watch import stamp_of
from otpc_policy.core.errors import ConfigurationError

_KEY: Final = "log_level"
_MOST_NAMES: Final = 20

_log = structlog.get_logger("otpc_policy.configuration")


class LogLevelFile:
    """The configuration file, as far as it sets the log level.

    path: absolute. is_overridden: the environment sets the level, so that the file cannot.
    """

    def __init__(self, path: Path, *, is_overridden: bool) -> None:
        self.path, self.is_overridden = path, is_overridden
        self._tree_at_start = _tree(path)
        self._reported: frozenset[str] = frozenset()

    @classmethod
    def of(cls, config: str | None) -> "LogLevelFile | None":
        """Return the file of this start, which has been read; None if there is none.

        config: as the command line has it. The environment is not asked again later.
        Raises ConfigurationError.
        """
        path = config or os.environ.get(CONFIG_VARIABLE)
        is_overridden = variable_name([_KEY]) in os.environ
        return cls(Path(path).absolute(), is_overridden=is_overridden) if path else None

    def read(self) -> LogLevel:
        """Return the level in the file now. Raises ConfigurationError."""
        tree = _tree(self.path)
        self._report_others(tree)
        default = Settings.model_fields[_KEY].default
        value = tree.get(_KEY, default.value)
        try:
            return LogLevel(value)
        except ValueError:
            expected = ", ".join(level.value for level in LogLevel)
            problem = f"{self.path}: {_KEY}: {value!r} is none of {expected}"
            raise ConfigurationError([problem]) from None

    def _report_others(self, tree: Mapping[str, Any]) -> None:
        names = {*tree, *self._tree_at_start} - {_KEY}
        changed = frozenset(
            name for name in names if tree.get(name) != self._tree_at_start.get(name)
        )
        if changed and changed != self._reported:
            shown = sorted(changed)[:_MOST_NAMES]
            _log.warning("settings_wait_for_the_next_start", settings=shown, file=str(self.path))
        self._reported = changed


class LogLevelWatch:
    """Follows the file. level: in use at the start. apply: puts another one into effect."""

    def __init__(
        self, file: LogLevelFile | None, level: LogLevel, apply: Callable[[str], None]
    ) -> None:
        self._file, self._level, self._apply = file, level, apply
        self._requested = asyncio.Event()
        self._seen = None if file is None else stamp_of([file.path])

    def ask(self) -> None:
        """Read the file soon, changed or not."""
        self._requested.set()

    async def watch(self, poll_s: float) -> None:
        """Read the file when it has changed, and when asked. Ends when cancelled.

        poll_s: seconds between two looks; 0 for never.
        """
        if self._file is None:
            return
        while True:
            try:
                async with asyncio.timeout(poll_s or None):
                    await self._requested.wait()
            except TimeoutError:
                stamp = await asyncio.to_thread(stamp_of, [self._file.path])
                if stamp == self._seen:
                    continue
            self._requested.clear()
            try:
                await self._follow(self._file)
            except Exception:  # noqa: BLE001  # the outermost frame of this task
                _log.exception("log_level_kept", level=self._level.value)

    async def _follow(self, file: LogLevelFile) -> None:
        # The stamp first: what changes meanwhile is then read again.
        self._seen = await asyncio.to_thread(stamp_of, [file.path])
        try:
            level = await asyncio.to_thread(file.read)
        except ConfigurationError as error:
            _log.error("log_level_kept", level=self._level.value, problems=error.problems)
            return
        if level is self._level:
            return
        if file.is_overridden:
            variable = variable_name([_KEY])
            _log.warning("log_level_kept", level=self._level.value, reason=f"{variable} is set")
            return
        former, self._level = self._level, level
        self._apply(level.value)
        # At a level at which it is logged, whichever way it went.
        emit = _log.warning if level is not LogLevel.ERROR else _log.error
        emit("log_level_changed", former=former.value, log_level=level.value)


def _tree(path: Path) -> Mapping[str, Any]:
    return read_file(Settings, path).tree
