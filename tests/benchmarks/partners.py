"""How long it takes to load ten thousand partner entries, and to find one of them.

Run as `python -m tests.benchmarks.partners [ENTRIES]`. Whole entries (two endpoints, a pin, a
waiver), short entries (one endpoint), and entries that each hold a private CA, whose certificates
must be decoded; a file for each entry, and all in one file. CPU time next to wall time shows what
else the machine was doing.
"""

import hashlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tomli import loads

from otpc_policy.app.settings import Settings
from otpc_policy.catalog.load import CatalogLoader
from otpc_policy.catalog.partners.folder import PartnerFolder
from otpc_policy.catalog.partners.index import PartnerIndex
from otpc_policy.core.errors import ConfigurationError
from tests.support.certificates import CertificateAuthority

_ENTRIES = 10_000
_LOOKUPS = 100_000
# Issue 4: ten thousand entries load in a second.
_TARGET_S = 1.0

# Entry number and table prefix, which is "partner." if entries share a document.
_Entry = Callable[[int, str], str]


def main() -> None:
    """Measure and print."""
    entries = int(sys.argv[1]) if len(sys.argv) > 1 else _ENTRIES
    parser = loads.__module__.partition(".")[0]
    print(f"{entries} entries, TOML by {parser}; target: {_TARGET_S:.1f} s")
    print(f"{'entries':<26}{'files':>8}{'MB':>7}{'load':>9}{'CPU':>9}{'reload':>9}{'stamp':>9}")
    index = PartnerIndex()
    with tempfile.TemporaryDirectory() as name:
        for label, entry, count in (
            ("short", _short, entries),
            ("whole", _whole, entries),
            ("private CA each", _with_ca, entries // 10),
        ):
            for single in (False, True):
                folder = Path(name) / f"{label} {single}"
                size = _write(folder, entry, count, single)
                index = max(index, _measure(f"{label} ({count})", folder, size), key=len)
        _break_one(Path(name) / "whole False", entries)
    _look_up(index)


def _break_one(folder: Path, entries: int) -> None:
    broken = folder / f"p{entries // 2:05d}.toml"
    broken.write_text(
        broken.read_text(encoding="utf-8").replace(
            "ends = 2027-03-01T00:00:00Z", "ends = 2027-03-01"
        ),
        encoding="utf-8",
    )
    try:
        PartnerFolder(folder).read()
    except ConfigurationError as error:
        problems = "; ".join(error.problems).replace(str(folder), folder.name)
        print(f"one broken entry among {entries}: {problems}")


def _measure(label: str, folder: Path, size: int) -> PartnerIndex:
    reader = PartnerFolder(folder)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    index = reader.read()
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    again_s = _timed(reader.read)
    loader = CatalogLoader(Settings(partners_dir=folder))
    stamp_s = _timed(loader.stamp_now)
    files = len(list(folder.iterdir()))
    print(
        f"{label:<26}{files:>8}{size / 1e6:>7.1f}{wall_s:>7.2f} s{cpu_s:>7.2f} s"
        f"{again_s:>7.2f} s{stamp_s:>7.3f} s"
    )
    return index


def _look_up(index: PartnerIndex) -> None:
    chosen = random.Random(1)  # a benchmark
    hosts = [pattern.host for partner in index.partners for pattern in partner.endpoints]
    asked = [
        (host if chosen.random() < 0.5 else "x." + host, 443)
        for host in chosen.choices(hosts, k=_LOOKUPS)
    ]
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        for host, port in asked:
            index.find(host, port)
        rounds.append((time.perf_counter() - began) / _LOOKUPS)
    print(f"look-up among {len(index)} partners: {statistics.median(rounds) * 1e9:.0f} ns")


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _write(folder: Path, entry: _Entry, count: int, single: bool) -> int:
    folder.mkdir()
    if single:
        texts = {
            "all": "\n".join(f"[[partner]]\n{entry(number, 'partner.')}" for number in range(count))
        }
    else:
        texts = {f"p{number:05d}": entry(number, "") for number in range(count)}
    for name, text in texts.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return sum(map(len, texts.values()))


def _short(number: int, _under: str) -> str:
    return (
        f'id = "p{number}"\nowner = "onboarding@example.com"\n'
        f'endpoints = ["api.p{number}.example"]\n'
    )


def _whole(number: int, under: str) -> str:
    pin = hashlib.sha256(str(number).encode()).hexdigest()
    return (
        f'id = "p{number}"\nowner = "onboarding@example.com"\n'
        f'endpoints = ["api.p{number}.example", "*.otp.p{number}.example:8443"]\n'
        f'policy = "otpc-2024-12"\nclient_auth = "required"\n'
        f'[[{under}trusted]]\ncertificate_sha256 = "{pin}"\n'
        'note = "agreed with the security team"\nends = 2030-03-01T00:00:00Z\n'
        f'[[{under}waivers]]\ncode = "CIPHER_SUITE_NOT_LISTED"\n'
        'suites = ["TLS_RSA_WITH_AES_128_GCM_SHA256"]\nreason = "change window in March"\n'
        'owner = "onboarding@example.com"\nends = 2027-03-01T00:00:00Z\n'
    )


def _with_ca(number: int, under: str) -> str:
    pem = CertificateAuthority.create(f"CA {number}").pem.decode()
    trusted = f"[[{under}trusted]]\nca_pem = '''\n{pem}'''\nnote = \"private CA\"\n"
    return f"{_short(number, under)}{trusted}"


if __name__ == "__main__":
    main()
