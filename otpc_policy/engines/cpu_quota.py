"""How many cores this process may use: the quota of its cgroup, where there is one.

`os.cpu_count()` tells the machine's cores; a container with two of sixty-four would start far too
many engines by it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUPS: Final = Path("/proc/self/cgroup")
# Where version 1 may mount its controller (systemd, containers).
_VERSION_1_MOUNTS: Final = ("cpu", "cpu,cpuacct", "cpuacct,cpu")


def usable_cores(
    *, cgroups: Path = _CGROUPS, own_groups: Path = _OWN_GROUPS, affinity: int | None = None
) -> float:
    """Return the smallest of the process's affinity and the quotas of its groups.

    cgroups: where they are mounted. own_groups: the file that names those of this process.
    affinity: cores it may run on; asked of the system by default.
    Source: Linux, Documentation/admin-guide/cgroup-v2.rst (cpu.max) and scheduler/sched-bwc.rst.
    """
    cores = float(affinity if affinity is not None else len(os.sched_getaffinity(0)))
    return min([cores, *_quotas(cgroups, own_groups)])


def _quotas(cgroups: Path, own_groups: Path) -> Iterator[float]:
    for line in _text(own_groups).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            for folder in _up_from(cgroups, path):
                quota, _, period = _text(folder / "cpu.max").strip().partition(" ")
                yield from _cores(quota, period)
        elif "cpu" in controllers.split(","):
            for mount in _VERSION_1_MOUNTS:
                for folder in _up_from(cgroups / mount, path):
                    quota = _text(folder / "cpu.cfs_quota_us").strip()
                    yield from _cores(quota, _text(folder / "cpu.cfs_period_us").strip())


def _up_from(mount: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a group and those above it: each may have a quota.

    In a container the path is often that of the host, and the mount is the group itself.
    """
    folder = mount / path.strip("/")
    yield folder
    while folder != mount:
        folder = folder.parent
        yield folder


def _cores(quota: str, period: str) -> Iterator[float]:
    """Yield the quota in cores; nothing for "max", -1 and what cannot be read."""
    if quota.isdigit() and period.isdigit() and int(quota) and int(period):
        yield int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
