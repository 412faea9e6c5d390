"""Where a key is named, a document counts with a signature by it and not otherwise."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from otpc_policy.app.settings import Settings
from otpc_policy.catalog.load import CatalogLoader
from otpc_policy.catalog.reload import Reloader
from otpc_policy.catalog.signatures import signed_documents
from otpc_policy.core.errors import ConfigurationError
from tests.catalog.reloading import GOOD, Observer
from tests.cli.running import runner
from tests.support.requirements import require

POLICY = 'name = "acme"\nextends = "otpc-2024-12"\n'
KINDS = {
    "ed25519": (["ed25519"], []),
    "P-256": (["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], ["-digest", "sha256"]),
    "P-384": (["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], ["-digest", "sha384"]),
    "P-521": (["EC", "-pkeyopt", "ec_paramgen_curve:P-521"], ["-digest", "sha512"]),
}


class Signer:
    """Signs as docs/signatures.md says, with the program openssl."""

    def __init__(self, folder: Path, kind: str = "ed25519") -> None:
        algorithm, self._digest = KINDS[kind]
        self.private, self.public = folder / "signing.key", folder / "signing.pub"
        self._openssl("genpkey", "-algorithm", *algorithm, "-out", str(self.private))
        self._openssl("pkey", "-in", str(self.private), "-pubout", "-out", str(self.public))

    def sign(self, document: Path) -> None:
        command = ["pkeyutl", "-sign", "-rawin", *self._digest]
        signature = self._openssl(*command, "-inkey", str(self.private), "-in", str(document))
        encoded = subprocess.run(["base64"], input=signature, capture_output=True, check=True)
        document.with_name(document.name + ".sig").write_bytes(encoded.stdout)

    def _openssl(self, *arguments: str) -> bytes:
        command = [require("openssl"), *arguments]
        return subprocess.run(command, capture_output=True, check=True).stdout


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer(tmp_path)


@pytest.fixture
def folders(tmp_path: Path, signer: Signer) -> tuple[Path, Path]:
    """A signed policy and a signed partner, in a folder each."""
    policies, partners = tmp_path / "policies", tmp_path / "partners"
    for folder, name, text in ((policies, "acme", POLICY), (partners, "bank", GOOD)):
        folder.mkdir()
        (folder / f"{name}.toml").write_text(text)
        signer.sign(folder / f"{name}.toml")
    return policies, partners


def settings(folders: tuple[Path, Path], key: Path) -> Settings:
    policies, partners = folders
    return Settings(policies_dir=policies, partners_dir=partners, catalog_signing_key=key)


def problems(folders: tuple[Path, Path], key: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        CatalogLoader(settings(folders, key)).load()
    return list(refused.value.problems)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_by_openssl_counts_whatever_the_kind_of_key(tmp_path: Path, kind: str) -> None:
    signer, document = Signer(tmp_path, kind), tmp_path / "a.toml"
    document.write_bytes(b'name = "\xc3\xa4"\n')
    signer.sign(document)
    documents = signed_documents(signer.public)
    assert documents.read(str(document)) == 'name = "ä"\n'
    content = document.read_bytes()
    for at in range(len(content)):
        with pytest.raises(ConfigurationError, match="or was changed since"):
            documents.verify(content[:at] + b"\x00" + content[at + 1 :], str(document))
    with pytest.raises(ConfigurationError, match="or was changed since"):
        documents.verify(content + b"\n", str(document))


def test_signed_documents_are_loaded(folders: tuple[Path, Path], signer: Signer) -> None:
    catalog = CatalogLoader(settings(folders, signer.public)).load()
    assert "acme" in catalog.policies.policies
    assert len(catalog.partners) == 1


@pytest.mark.parametrize("number", [0, 1], ids=["policy", "partner"])
@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda document: document.with_suffix(".toml.sig").unlink(), "demands a signature"),
        (lambda document: document.with_suffix(".toml.sig").write_text("AAAA"), "another key"),
        (lambda document: document.with_suffix(".toml.sig").write_text(""), "another key"),
        (lambda document: document.with_suffix(".toml.sig").write_text("no!"), "is not base64"),
        (lambda document: document.with_suffix(".toml.sig").write_text("A" * 5000), "longer than"),
        (lambda document: document.write_text(document.read_text() + "\n"), "was changed since"),
    ],
)
def test_a_document_without_a_good_signature_is_refused_by_name(
    folders: tuple[Path, Path],
    signer: Signer,
    number: int,
    damage: Callable[[Path], object],
    problem: str,
) -> None:
    (document,) = folders[number].glob("*.toml")
    damage(document)
    (found,) = problems(folders, signer.public)
    assert found.startswith(str(document))
    assert problem in found


def test_another_key_does_not_count_and_each_of_several_does(
    folders: tuple[Path, Path], signer: Signer, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Signer(tmp_path / "other", "P-256")
    assert len(problems(folders, other.public)) == 2
    both = tmp_path / "both.pub"
    both.write_bytes(other.public.read_bytes() + signer.public.read_bytes())
    other.sign(folders[0] / "acme.toml")
    assert len(CatalogLoader(settings(folders, both)).load().partners) == 1


async def test_a_reload_keeps_the_last_good_generation_until_the_signature_comes(
    folders: tuple[Path, Path], signer: Signer
) -> None:
    from datetime import UTC, datetime

    loader = CatalogLoader(settings(folders, signer.public))
    reloader = Reloader(loader, observer=Observer(), now=lambda: datetime.now(UTC))
    before = reloader.current
    document = folders[1] / "bank.toml"
    document.write_text(GOOD.replace("onboarding", "somebody"))
    with pytest.raises(ConfigurationError, match="was changed since"):
        await reloader.reload("call")
    assert reloader.current is before
    stamp = loader.stamp_now()
    signer.sign(document)
    # The signature alone is a change that the watch sees.
    assert loader.stamp_now() != stamp
    await reloader.reload("change")
    assert reloader.current is not before


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "cannot be read"),
        ("private", "holds a private key"),
        ("rsa", "a key of another kind"),
        ("missing", "No such file"),
    ],
)
def test_a_key_that_cannot_be_used_refuses_the_start(
    folders: tuple[Path, Path], signer: Signer, tmp_path: Path, content: bytes | str, problem: str
) -> None:
    key = tmp_path / "key.pub"
    if content == "private":
        key = signer.private
    elif content == "rsa":
        signer._openssl("genpkey", "-algorithm", "RSA", "-out", str(tmp_path / "rsa.key"))
        signer._openssl("pkey", "-in", str(tmp_path / "rsa.key"), "-pubout", "-out", str(key))
    elif isinstance(content, bytes):
        key.write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        CatalogLoader(settings(folders, key))
    (found,) = refused.value.problems
    assert found.startswith("catalog_signing_key: ")
    assert problem in found


def test_without_a_key_nothing_needs_a_signature(folders: tuple[Path, Path]) -> None:
    for folder in folders:
        for signature in folder.glob("*.sig"):
            signature.write_text("no!")
    policies, partners = folders
    assert CatalogLoader(Settings(policies_dir=policies, partners_dir=partners)).load()


def test_policy_verify_says_which_document_is_not_signed(
    folders: tuple[Path, Path],
    signer: Signer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = runner(monkeypatch, capsys)
    policies, partners = folders
    (policies / "acme.test.toml").write_text("tests need no signature")
    done = run("policy", "verify", policies, partners, "--key", signer.public)
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"ok: {policies / 'acme.toml'}",
        f"ok: {partners / 'bank.toml'}",
    ]
    (partners / "bank.toml.sig").unlink()
    done = run("policy", "verify", policies, partners / "bank.toml", "--key", signer.public)
    assert done.status == 1
    assert "bank.toml: catalog_signing_key demands a signature" in done.stderr
    assert run("policy", "verify", policies, "--key", signer.private).status == 2


def test_the_settings_file_names_the_key_relative_to_itself(tmp_path: Path) -> None:
    config = tmp_path / "otpc-policy.toml"
    config.write_text('catalog_signing_key = "keys/signing.pub"\n')
    assert Settings(config=config).catalog_signing_key == tmp_path / "keys" / "signing.pub"
