"""The hosts file, as hosts(5) describes it."""

from pathlib import Path

from otpc_policy.engine.egress.hosts_file import HostsFile

TEXT = """\
# a comment
127.0.0.1   localhost LocalHost.example   # another
::1         localhost
fe80::1%lo0 zone.example
10.0.0.1    Partner.Example. alias
10.0.0.2    partner.example
10.0.0.1    partner.example
nonsense    partner.example
10.0.0.3
"""


def test_every_address_of_a_name_is_found_whatever_its_case(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text(TEXT)
    hosts = HostsFile(file)
    assert hosts.addresses("localhost") == ("127.0.0.1", "::1")
    assert hosts.addresses("localhost.example") == ("127.0.0.1",)
    assert hosts.addresses("partner.example") == ("10.0.0.1", "10.0.0.2")
    assert hosts.addresses("alias") == ("10.0.0.1",)
    assert hosts.addresses("zone.example") == ("fe80::1",)
    assert hosts.addresses("other.example") == ()


def test_a_file_that_changes_is_read_again_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    hosts = HostsFile(file)
    assert hosts.addresses("a.example") == ()
    file.write_text("10.0.0.1 a.example\n")
    assert hosts.addresses("a.example") == ("10.0.0.1",)
    other = tmp_path / "other"
    other.write_text("10.0.0.2 a.example\n")
    other.replace(file)
    assert hosts.addresses("a.example") == ("10.0.0.2",)
    file.unlink()
    assert hosts.addresses("a.example") == ()


def test_a_file_in_another_encoding_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_bytes(b"# caf\xe9\n10.0.0.1 a.example\n")
    assert HostsFile(file).addresses("a.example") == ("10.0.0.1",)
