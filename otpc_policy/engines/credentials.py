"""The files with which a front proves to engines elsewhere who it is, and knows them."""

from dataclasses import dataclass
from pathlib import Path

import grpc

from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.credentials import unusable
from otpc_policy.ops.secret_files import problem_with_secret_file


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCredentials:
    """Files in PEM: the front's certificate and key, and the CAs of engines."""

    certificate_file: Path
    key_file: Path
    ca_file: Path

    def stamp(self) -> tuple[tuple[int, int, int, int], ...]:
        """Return what changes when a file does."""
        return tuple(map(_stamp, (self.certificate_file, self.key_file, self.ca_file)))

    def read(self) -> grpc.ChannelCredentials:
        """Return what the files hold.

        Raises ConfigurationError if one cannot be read, every user may read the key, or it is not
        that of the certificate: no connection could be made with such a pair, and a rotation writes
        one file at a time.
        """
        contents = {}
        for setting, path in (
            ("engine_ca_file", self.ca_file),
            ("engine_key_file", self.key_file),
            ("engine_certificate_file", self.certificate_file),
        ):
            try:
                contents[path] = path.read_bytes()
            except OSError as error:
                reason = error.strerror or "cannot be read"
                raise ConfigurationError([f"{setting}: {path}: {reason}"]) from None
        problems = unusable(
            contents,
            certificate_file=self.certificate_file,
            key_file=self.key_file,
            ca_file=self.ca_file,
        )
        if problem := problem_with_secret_file(self.key_file):
            problems.append(f"engine_key_file: {problem}")
        if problems:
            raise ConfigurationError(problems)
        return grpc.ssl_channel_credentials(
            contents[self.ca_file], contents[self.key_file], contents[self.certificate_file]
        )


def _stamp(path: Path) -> tuple[int, int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0, 0)  # reading it tells why
    return (status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)
