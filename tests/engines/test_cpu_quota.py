"""The cores of a container are those of its quota, not of its node."""

from pathlib import Path

import pytest

from otpc_policy.engines.cpu_quota import usable_cores

BOTH, QUOTA, PERIOD = "cpu,cpuacct", "cpu.cfs_quota_us", "cpu.cfs_period_us"
V2, V1 = "0::{}\n", "4:cpuset:/\n3:cpu,cpuacct:{}\n2:memory:/other\n1:name=systemd:/\n"


@pytest.mark.parametrize(
    ("groups", "own", "files", "cores"),
    [
        ("", "/", {}, 64),
        (V2, "/", {"cpu.max": "200000 100000\n"}, 2),
        (V2, "/", {"cpu.max": "max 100000\n"}, 64),
        (V2, "/pod/box", {"pod/cpu.max": "50000 100000", "pod/box/cpu.max": "max 100000"}, 0.5),
        (V2, "/pod/box", {"pod/cpu.max": "400000 100000", "pod/box/cpu.max": "150000 100000"}, 1.5),
        (V2, "/of/the/host", {"cpu.max": "300000 100000"}, 3),
        (V1, "/", {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        (V1, "/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
        (V1, "/pod", {f"{BOTH}/pod/{QUOTA}": "100000", f"{BOTH}/pod/{PERIOD}": "100000"}, 1),
        (V2, "/", {"cpu.max": "nonsense\n"}, 64),
        (V2, "/", {"cpu.max": "100000 0\n"}, 64),
        (V2, "/", {"cpu.max": "12800000 100000"}, 64),
    ],
)  # fmt: skip
def test_the_quota_counts(
    tmp_path: Path, groups: str, own: str, files: dict[str, str], cores: float
) -> None:
    own_groups = tmp_path / "own"
    own_groups.write_text(groups.format(own))
    cgroups = tmp_path / "cgroup"
    for name, text in files.items():
        (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / name).write_text(text)
    assert usable_cores(cgroups=cgroups, own_groups=own_groups, affinity=64) == cores


def test_this_machine_has_some() -> None:
    assert usable_cores() > 0
