"""Records that only replicas with the fleet's key can have written, bound to where they lie."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.secret_files import in_words, read_secret

MAC_BYTES: Final = hashlib.sha256().digest_size
_LEAST_KEY_BYTES: Final = 32
_MOST_KEYS: Final = 4
# Of key_file: four keys of 512 bits in hexadecimal, with room to spare.
_MOST_FILE_BYTES: Final = 4_096
_HEX: Final = re.compile(r"[0-9a-fA-F]+")


class FleetKey:
    """Signs with the first key and accepts all: a new key is put first, then the old one removed.

    keys: at least one, each of at least 32 bytes.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or any(len(key) < _LEAST_KEY_BYTES for key in keys):
            raise ValueError(f"a fleet's key has at least {_LEAST_KEY_BYTES} bytes")
        self._keys = tuple(keys)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of keys in hexadecimal, one a line; what follows "#" is a comment.

        Raises ConfigurationError.
        """
        try:
            text = read_secret(path, what="fleet key", most_bytes=_MOST_FILE_BYTES)
        except (OSError, ValueError) as error:
            raise ConfigurationError([f"fleet.key_file: {in_words(error)}"]) from None
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        keys = [line for line in lines if line]
        if not 1 <= len(keys) <= _MOST_KEYS:
            problem = f"{path}: holds {len(keys)} keys; one to {_MOST_KEYS} expected, one a line"
        elif not all(
            _HEX.fullmatch(key) and len(key) % 2 == 0 and len(key) >= 2 * _LEAST_KEY_BYTES
            for key in keys
        ):
            problem = (
                f"{path}: a key is at least 64 hexadecimal digits, such as `openssl rand -hex 32` "
                "prints"
            )
        else:
            return cls([bytes.fromhex(key) for key in keys])
        raise ConfigurationError([f"fleet.key_file: {problem}"])

    def seal(self, content: bytes, *, place: str) -> bytes:
        """Return a signed record. place: where it will lie; it is no record anywhere else."""
        return _mac(self._keys[0], place, content) + content

    def open(self, record: bytes, *, place: str) -> bytes | None:
        """Return the content of a record that was sealed for the place; None for anything else."""
        mac, content = record[:MAC_BYTES], record[MAC_BYTES:]
        matches = [hmac.compare_digest(mac, _mac(key, place, content)) for key in self._keys]
        return content if any(matches) else None


def _mac(key: bytes, place: str, content: bytes) -> bytes:
    named = place.encode()
    return hmac.digest(key, len(named).to_bytes(4, "big") + named + content, "sha256")
