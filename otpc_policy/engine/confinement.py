"""What the engine gives up when it starts: environment, descriptors, files that are not its own.

It measures, so it keeps sockets, threads and the programs that it starts for its workers. The
workers give up nearly all of that as well (engine.workers.template, engine.workers.deep_worker).
Nor can it change the metadata of files, or the limits and priorities of other processes: the front
runs as the same user.
"""

import os
import ssl
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import structlog

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.engine import isolation
from otpc_policy.engine.configuration import EngineConfiguration
from otpc_policy.engine.listening import UNIX, EngineTls

# Listeners, gRPC, DNS, workers.
_OTHER_FILES: Final = 1024
# An engine under load takes 150 MiB; each of its gRPC threads counts with a stack of 8 MiB.
_MEMORY_BYTES: Final = 4 * 2**30
_FIRST_OWN_DESCRIPTOR: Final = 3

# Shared libraries and the data of the C library.
_SYSTEM: Final = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/ssl/openssl.cnf"),
)
# What resolving needs. If one is replaced, so is this process (replaced_files).
NAMES: Final = tuple(
    map(Path, ("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf"))
)
_OTHER_NAMES: Final = ("/etc/gai.conf", "/etc/services", "/etc/protocols")
# Randomness; this process's own numbers for its metrics; how many processors there are.
_KERNEL: Final = (
    *("/dev/urandom", "/dev/random", "/proc/self", "/proc/cpuinfo", "/proc/meminfo"),
    *("/proc/stat", "/sys/devices/system/cpu", "/sys/fs/cgroup"),
)
_LOADERS: Final = ("lib64/ld-*.so*", "lib/ld-*.so*")

_log = structlog.get_logger("otpc_policy.engine")


def start_clean() -> None:
    """Forget the environment, and close all descriptors but the three standard ones.

    Call it before anything else is opened.
    """
    isolation.forget_environment()
    os.closerange(_FIRST_OWN_DESCRIPTOR, os.sysconf("SC_OPEN_MAX"))


def confine(
    configuration: EngineConfiguration,
    listen: str,
    tls: EngineTls | None = None,
    *,
    also_readable: Iterable[Path] = (),
) -> tuple[str, ...]:
    """Limit this process to what measuring needs; return what the kernel lacks for it.

    also_readable: files that are read again, and may be replaced meanwhile.

    Before any thread is started, because those would keep their rights. Raises ConfigurationError
    if the settings require what is lacking.
    """
    level = configuration.scan.isolation
    limits = configuration.scan
    isolation.limit_resources(
        memory_bytes=_MEMORY_BYTES,
        open_files=_OTHER_FILES + 2 * limits.concurrent_scans * limits.connections_per_address,
    )
    missing = isolation.attempt(
        level,
        isolation.forbid_new_privileges,
        lambda: isolation.confine_files(
            readable=_readable(configuration, tls, also_readable),
            writable=(Path(os.devnull),),
            executable=_executable(),
            sockets_in=Path(listen.removeprefix(UNIX)).parent if listen.startswith(UNIX) else None,
        ),
        isolation.forbid_calls_on_others,
    )
    if missing and level == "require":
        raise ConfigurationError([f"scan.isolation: required, but {lack}" for lack in missing])
    return missing


def report(missing: Iterable[str]) -> None:
    """Log what is lacking, once logging is set up."""
    for lacking in missing:
        _log.warning("the engine is NOT isolated as it should be", lacking=lacking)


def _readable(
    configuration: EngineConfiguration, tls: EngineTls | None, also: Iterable[Path]
) -> Iterator[Path]:
    yield from NAMES
    yield from map(Path, (*_SYSTEM, *_OTHER_NAMES, *_KERNEL))
    yield Path(ssl.get_default_verify_paths().openssl_cafile).parent / "openssl.cnf"
    # The interpreter, and everything that can be imported.
    yield from map(Path, {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix})
    yield from (Path(entry) for entry in sys.path if os.path.isabs(entry))
    yield Path(__file__).parents[1]
    files = [
        file
        for each in configuration.client_certificates
        for file in (each.certificate_file, each.key_file)
    ]
    proxy = configuration.egress_proxy
    if proxy is not None and proxy.password_file is not None:
        files.append(proxy.password_file)
    if tls is not None:
        files += (tls.certificate_file, tls.key_file, tls.client_ca_file)
    files += also
    # Rotated files are new ones, in the same folder or where a link in it leads.
    for file in files:
        yield from {file.parent, file.resolve().parent}


def _executable() -> Iterator[Path]:
    """Yield the interpreter that workers are started with, and the loader of its libraries."""
    yield Path(sys.executable).resolve()
    for pattern in _LOADERS:
        yield from (loader.resolve() for loader in Path("/").glob(pattern))
