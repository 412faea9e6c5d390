"""Documents on disk, mounted ConfigMaps included: which files they are, and their text.

Every function raises ConfigurationError, so that a loader can report the problems of all files at
once.
"""

import os
from pathlib import Path

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.pki.file_kinds import utf16_encoding

DOCUMENT_SUFFIX = ".toml"
# Tests stand in one folder with the policies, so that a flat mount can hold both.
POLICY_TEST_SUFFIX = ".test.toml"
# Nearly every file is shorter.
_CHUNK_BYTES = 65536


def documents_in(folder: Path, setting: str) -> list[str]:
    """Return the paths of the TOML documents in a folder, by name, policy tests included.

    Folders in it and hidden files (editors' backups, Kubernetes' ..data) are skipped. Paths are
    plain text because building Path objects takes longer than listing the folder.
    setting: its name in problems. An empty folder is a problem: the mount may be missing, and
    nobody means "no rules" by it.
    """
    places = files_in(folder, DOCUMENT_SUFFIX, setting)
    if not places:
        problem = f"{setting}: {folder}: contains no documents (*{DOCUMENT_SUFFIX})"
        raise ConfigurationError([f"{problem}; to have none, leave {setting} out"])
    return places


def files_in(folder: Path, suffix: str, setting: str) -> list[str]:
    """Return the paths of the visible files in a folder whose names end in the suffix, by name."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.path
                for entry in entries
                if entry.name.endswith(suffix)
                and not entry.name.startswith(".")
                and entry.is_file()
            )
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise ConfigurationError([f"{setting}: {folder}: {reason}"]) from None


def read_text(place: str) -> str:
    """Return the text of a file, which must be UTF-8."""
    return decode_text(read_bytes(place), place)


def read_bytes(place: str, at_most: int | None = None) -> bytes:
    """Return the content of a file. at_most: its longest length; None for any.

    Reads by system calls, four for a small file: a file object makes seven, and there may be
    thousands of files.
    """
    try:
        descriptor = os.open(place, os.O_RDONLY)
        try:
            chunks, length = [], 0
            while chunk := os.read(descriptor, _CHUNK_BYTES):
                chunks.append(chunk)
                length += len(chunk)
                if at_most is not None and length > at_most:
                    raise ConfigurationError([f"{place}: is longer than {at_most} bytes"])
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigurationError([f"{place}: {error.strerror or 'cannot be read'}"]) from None
    return b"".join(chunks)


def decode_text(content: bytes, place: str) -> str:
    """Return the text of a document, without the byte order mark that Windows editors put first.

    place: its name in problems.
    """
    if encoding := utf16_encoding(content):
        raise ConfigurationError([f"{place}: is {encoding}, not UTF-8; save it as UTF-8"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        is_der = content.startswith(b"\x30\x82")
        convert = f"; this is DER, so: openssl x509 -inform DER -in {place}" if is_der else ""
        raise ConfigurationError([f"{place}: is not UTF-8{convert}"]) from None
