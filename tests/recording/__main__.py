"""Records the hellos of the programs on this machine as data for the engine.

    python -m tests.recording [--times 8] [NAME ...]

connects each program to a listener on loopback several times and writes one file for each client
to otpc_policy/engine/profiles/recorded, and its first hello to tests/engine/profiles/recorded. A
program that is not installed keeps the files that it has. Needs tests/support's programs, and for
rustls and the browsers `pip install uv curl-cffi`.
"""

import argparse
import queue
import sys
from datetime import UTC, datetime
from pathlib import Path

from otpc_policy.engine.profiles.recorded_clients import parse_client
from tests.recording.client_program import ClientProgram, NotInstalled
from tests.recording.hello_text import Recording, file_text
from tests.recording.listener import recording
from tests.recording.programs import PROGRAMS

_ROOT = Path(__file__).parents[2]
DATA = _ROOT / "otpc_policy/engine/profiles/recorded"
SAMPLES = _ROOT / "tests/engine/profiles/recorded"
_COLUMNS = 96


def record(client: ClientProgram, times: int) -> Recording:
    """Return its recording. Raises NotInstalled, and queue.Empty if it sends no hello."""
    version = client.version_of()
    with recording() as hellos, client.connecting(hellos.listener) as connect:
        received = []
        for _ in range(times):
            hellos.forget()
            connect()
            received.append(hellos.next())
    return Recording(
        name=client.name,
        kind=client.kind,
        program=client.program,
        version=version,
        recorded_on=datetime.now(UTC).date(),
        command=client.command,
        source=client.source,
        hellos=tuple(received),
    )


def write(recorded: Recording) -> None:
    """Write both files. Raises ValueError if the loader would not take the data."""
    text = file_text(recorded)
    file = DATA / f"{recorded.name}.toml"
    parse_client(file.name, text)
    file.write_text(text, encoding="utf-8")
    sample = recorded.hellos[0].hex()
    lines = (sample[at : at + _COLUMNS] for at in range(0, len(sample), _COLUMNS))
    SAMPLES.mkdir(exist_ok=True)
    (SAMPLES / f"{recorded.name}.hex").write_text("\n".join(lines) + "\n", encoding="ascii")


def main() -> int:
    """Run the command; 1 if a program that is installed could not be recorded."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=8, help="hellos of each program")
    parser.add_argument("names", nargs="*", metavar="NAME", help="clients; all if none is named")
    chosen = parser.parse_args()
    failed = 0
    for client in PROGRAMS:
        if chosen.names and client.name not in chosen.names:
            continue
        try:
            write(record(client, chosen.times))
            print(f"{client.name}: recorded", flush=True)
        except NotInstalled as missing:
            print(f"{client.name}: {missing} is not installed", flush=True)
        except (queue.Empty, ValueError) as error:
            failed += 1
            print(f"{client.name}: {error!r}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
