"""Every option that takes a certificate, given what people have instead: exit status 2, the file
by name, and what to do. No verdict, and no field of a request in the message.
"""

import base64
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.running import Run
from tests.support.certificates import CertificateAuthority

ROOT = CertificateAuthority.create()
ISSUED = ROOT.intermediate().issue(dns=["pay.partner.test"])
PEM = ISSUED.chain_pem
# Words of the messages, by the file that is given.
_KINDS: Mapping[str, str] = {
    "utf16le.pem": "text in UTF-16LE",
    "utf16be.pem": "text in UTF-16BE",
    "no-mark.pem": "text in UTF-16LE",
    "chain.p7b": "a PKCS #7 bundle",
    "chain-pem.p7b": "a PKCS #7 bundle",
    "chain.p12": "a PKCS #12 keystore",
    "page.html": "an HTML page",
    "bare.pem": "base64 without the lines around it",
    "request.pem": "a certificate request (CSR)",
    "key.pem": "a private key",
    "key.der": "a private key",
    "trusted.pem": "BEGIN TRUSTED CERTIFICATE",
    "words.pem": "text without a certificate in it",
    "empty.pem": "is empty",
    "facts.json": "is JSON",
    "der-and-pem.pem": "a structure in DER next to its PEM",
    "appended.pem": "text in UTF-16 next to its PEM",
    "quoted.pem": "base64 outside its blocks",
    "padded.der": "a certificate in DER with other octets after it",
    "folder": "Is a directory",
    "no-such-file": "No such file",
}
_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "validate": ("validate", "FILE"),
    "--anchor": ("validate", "good.pem", "--anchor", "FILE"),
    "--trust-anchor": ("check", "pay.partner.test", "--trust-anchor", "FILE"),
    "--trust-pin": ("check", "pay.partner.test", "--trust-pin", "FILE"),
    "--observed-leaf": ("check", "pay.partner.test", "--observed-leaf", "FILE"),
    "--server-ca": ("check", "a.test", "--server", "localhost:1", "--server-ca", "FILE"),
}


def _openssl(*arguments: str) -> bytes:
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    chain, key = str(folder / "good.pem"), str(folder / "key.pem")
    Path(chain).write_bytes(PEM)
    Path(key).write_bytes(ISSUED.key_pem)
    text = PEM.decode()
    contents = {
        "utf16le.pem": b"\xff\xfe" + text.encode("utf-16-le"),
        "utf16be.pem": b"\xfe\xff" + text.encode("utf-16-be"),
        "no-mark.pem": text.replace("\n", "\r\n").encode("utf-16-le"),
        "chain.p7b": _openssl("crl2pkcs7", "-nocrl", "-certfile", chain, "-outform", "DER"),
        "chain-pem.p7b": _openssl("crl2pkcs7", "-nocrl", "-certfile", chain),
        "chain.p12": _openssl(
            "pkcs12", "-export", "-in", chain, "-inkey", key, "-passout", "pass:x"
        ),
        "page.html": b"<html><h1>404 Not Found</h1></html>",
        "bare.pem": base64.encodebytes(ISSUED.der),
        "request.pem": _openssl("req", "-new", "-key", key, "-subj", "/CN=a.test"),
        "key.der": _openssl("ec", "-in", key, "-outform", "DER"),
        "trusted.pem": _openssl("x509", "-in", chain, "-trustout") + PEM,
        "words.pem": b"please find the certificate attached\n",
        "empty.pem": b"",
        "facts.json": b'{"format": "otpc-policy facts"}',
        "der-and-pem.pem": ISSUED.der + PEM,
        "appended.pem": PEM + text.encode("utf-16-le"),
        "quoted.pem": base64.encodebytes(ISSUED.der).replace(b"\n", b"\n> ") + b"\n" + PEM,
        "padded.der": ISSUED.der + b"\0\0",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder").mkdir()
    return folder


@pytest.mark.parametrize("option", _COMMANDS)
@pytest.mark.parametrize("given", _KINDS)
def test_a_file_that_holds_no_certificate_is_named_with_what_it_is(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, option: str, given: str
) -> None:
    monkeypatch.chdir(folder)
    done = run(*(given if part == "FILE" else part for part in _COMMANDS[option]))
    assert (done.status, done.stdout) == (2, "")
    said = " ".join(done.stderr.split())
    if given == "no-such-file" and option in ("--trust-pin", "--observed-leaf"):
        assert "'no-such-file' is neither a file nor a SHA-256" in said
        return
    assert _KINDS[given] in said
    assert given in said
    assert "pem_bundle" not in said


@pytest.mark.parametrize("given", ["chain.p7b", "chain-pem.p7b", "chain.p12", "utf16le.pem"])
def test_the_command_in_a_message_converts_the_file(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "root.pem").write_bytes(ROOT.pem)
    said = " ".join(run("validate", given).stderr.split())
    command = said.partition("openssl " if "openssl " in said else "iconv ")
    password = " -passin pass:x" if given == "chain.p12" else ""
    subprocess.run(f"{command[1]}{command[2]}{password}", shell=True, check=True, cwd=folder)
    done = run("validate", "chain.pem", "--name", "pay.partner.test", "--anchor", "root.pem")
    assert done.status == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["many.pem"], "many.pem holds 65 certificates; at most 64 are accepted"),
        (["big.pem"], "big.pem holds 262145 bytes of certificates; at most 262144"),
        (["good.pem", "--name", "pay_ments.test"], "--name: 'pay_ments.test' is not a DNS name"),
        (["good.pem", "--name", "https://a.test/"], "is a URL; give the host alone: a.test"),
        (["good.pem", "--policy", "mine.toml"], "OTPC_POLICY_POLICY_FILES=mine.toml"),
        (["good.pem", "--policy", "mine"], "no policy is named 'mine'"),
        (["good.pem", "--at", "12:00"], "--at: '12:00' is not a time such as 2025-01-31"),
        (["good.pem", "--at", "0001-01-01T00:00:00+14:00"], "is in no year from 1 to 9999"),
        (["good.pem", "--at", "9999-12-31T23:59:59-14:00"], "is in no year from 1 to 9999"),
    ],
)
def test_a_refusal_names_what_the_user_gave(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "many.pem").write_bytes(PEM[: PEM.index(b"-----END") + 26] * 65)
    body = base64.encodebytes(b"\0" * 262_145)
    (folder / "big.pem").write_bytes(
        b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"
    )
    done = run("validate", *arguments)
    assert (done.status, done.stdout) == (2, "")
    assert said in " ".join(done.stderr.split())


def test_a_service_refuses_in_the_words_of_the_user_too(
    run: Run, folder: Path, service: str
) -> None:
    many = folder / "seventeen.pem"
    many.write_bytes(PEM[: PEM.index(b"-----END") + 26] * 65)
    done = run("validate", many, "--name", "a_b.test", "--server", service)
    assert (done.status, done.stdout) == (2, "")
    assert f"{many} holds 65 certificates" in done.stderr
    assert "--name: 'a_b.test' is not a DNS name" in done.stderr


@pytest.mark.parametrize(
    ("at", "note"),
    [
        ("2026-01-31", "2026-01-31 has no time; judged at 2026-01-31T00:00:00Z"),
        ("2026-01-31T12:00", "2026-01-31T12:00 has no zone; judged at 2026-01-31T12:00:00Z"),
        ("20260131T120000", "20260131T120000 has no zone; judged at 2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00+02:00", ""),
    ],
)
def test_an_instant_that_is_not_whole_is_judged_as_the_note_says(
    run: Run, folder: Path, at: str, note: str
) -> None:
    done = run("validate", folder / "good.pem", "--at", at)
    assert done.status in (1, 3)
    assert note in done.stderr
    assert bool(note) == bool(done.stderr)


@pytest.mark.parametrize("given", ["line", "file"])
def test_a_pin_is_read_as_openssl_prints_it(run: Run, folder: Path, given: str) -> None:
    """The host does not exist: that it is looked for shows that the pin was read."""
    line = _openssl("x509", "-in", str(folder / "good.pem"), "-noout", "-fingerprint", "-sha256")
    (folder / "pin.txt").write_bytes(line)
    pin = line.decode().strip() if given == "line" else str(folder / "pin.txt")
    done = run("check", "127.0.0.1:1", "--allow-network", "127.0.0.0/8", "--trust-pin", pin)
    assert (done.status, done.codes) == (3, ["TARGET_UNREACHABLE"])
