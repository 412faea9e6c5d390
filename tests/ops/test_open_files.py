"""How many files may be open: raised as far as allowed, refused where nothing could be served."""

import subprocess
import sys

import pytest

_PROGRAM = """
from otpc_policy.core.errors import ConfigurationError
from otpc_policy.ops.open_files import open_files_limit
try:
    print(open_files_limit(at_least=64))
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ("ulimit -S -n 40; ulimit -H -n 100", "100"),
        ("ulimit -n 64", "64"),
        ("ulimit -n 63", "only 63 files may be open here (ulimit -n); at least 64 are needed"),
    ],
)
def test_the_limit_is_raised_and_too_low_a_one_is_refused(limits: str, said: str) -> None:
    command = f'{limits}; exec "$0" -c "$1"'
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, _PROGRAM],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout.strip() == said
