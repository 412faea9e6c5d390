"""The image: what the Dockerfile says, and what its steps make when they are replayed."""

import fnmatch
import json
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from otpc_policy import __version__
from tests.deploy.dockerfile import Replay, Stage, read, sandbox
from tests.deploy.rendering import ROOT, of_kind, pod_of, resources
from tests.support.loopback import free_port


def replayed(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test of the replayed image, which takes a minute to make: once, in one worker."""
    marks = (pytest.mark.long, pytest.mark.xdist_group("image"), pytest.mark.timeout(400))
    for mark in marks:
        test = mark(test)
    return test


DIGEST = re.compile(r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}")


def stages() -> list[Stage]:
    return read(ROOT / "Dockerfile")


def test_there_is_one_base_and_it_is_named_by_its_digest() -> None:
    first, *others = stages()
    assert DIGEST.fullmatch(first.base)
    assert {each.base for each in others} == {first.name}
    labels = others[-1].last("LABEL").text
    named = re.search(r'image\.base\.name="docker\.io/library/([^"]+)"', labels)
    assert named
    assert named[1] == first.base.partition("@")[0]


def test_it_runs_as_a_number_that_the_chart_uses_too() -> None:
    final = stages()[-1]
    assert final.last("USER").text == "10001:10001"
    # Nothing is built or copied after that.
    words = [each.word for each in final.instructions]
    assert not {"RUN", "COPY", "ADD"} & set(words[words.index("USER") :])
    for deployment in of_kind(resources("monitoring"), "Deployment"):
        assert pod_of(deployment)["securityContext"]["runAsUser"] == 10001


def test_labels_name_the_release() -> None:
    text = stages()[-1].last("LABEL").text
    for name in ("title", "description", "licenses", "version", "revision", "created", "source"):
        assert f"org.opencontainers.image.{name}=" in text
    for argument in ("VERSION", "REVISION", "CREATED", "SOURCE"):
        assert [each for each in stages()[-1].all("ARG") if each.text.startswith(f"{argument}=")]
        assert f'"${argument}"' in text


def context(folder: Path) -> Path:
    """Return what a build is given: what .dockerignore leaves, and git knows."""
    kept = []
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line.startswith("!"):
            kept.append(line[1:])
    assert kept
    for name in kept:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy2(source, folder / name)
    return folder


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of the final stage, with every step of the Dockerfile replayed."""
    folder = tmp_path_factory.mktemp("image")
    replay = Replay(folder, context(folder / "context"))
    _, build, final = stages()
    replay.run(build)
    replay.run(final)
    return replay.root("")


def run_in(image: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start the image's entry point as its user, read-only, without a capability."""
    uid = int(stages()[-1].last("USER").text.partition(":")[0])
    path = stages()[-1].last("ENV").text.split()[0].removeprefix("PATH=").replace("$PATH", "/bin")
    (program,) = stages()[-1].last("ENTRYPOINT").exec_form
    return subprocess.Popen(
        [*sandbox(image, uid=uid), program, *arguments],
        env={"PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_steps_that_are_replayed_can_write_into_their_stage_alone(tmp_path: Path) -> None:
    for name in ("opt", "source", "usr/local"):
        (tmp_path / name).mkdir(parents=True)

    def can_write(path: str) -> bool:
        command = [*sandbox(tmp_path, writable=True), "/usr/bin/touch", path]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert can_write("/opt/new")
    assert (tmp_path / "opt/new").exists()
    for folder in ("/", "/etc", "/usr/bin", sys.base_prefix, sysconfig.get_path("stdlib")):
        assert not can_write(f"{folder}/otpc-policy-new"), folder
        assert not Path(folder, "otpc-policy-new").exists()


@replayed
def test_nothing_in_it_installs_or_compiles(image: Path) -> None:
    names = [path.name for path in image.rglob("*")]
    packages = [f"{name}{rest}" for name in ("pip", "setuptools", "wheel") for rest in ("", "-*")]
    for pattern in (*packages, "pip3*", "ensurepip", "gcc*", "cc", "ld"):
        assert not fnmatch.filter(names, pattern), pattern


@replayed
def test_its_sbom_is_of_what_is_in_it(image: Path) -> None:
    document = json.loads((image / "opt/otpc-policy/otpc-policy.cdx.json").read_text())
    listed = {(each["name"], each["version"]) for each in document["components"]}
    folders = (image / "opt/otpc-policy/lib").glob("python3.*/site-packages/*.dist-info")
    found = set()
    for folder in folders:
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        found.add((re.sub(r"[-_.]+", "-", name).lower(), version))
    assert found - listed == {("otpc-policy", __version__)}
    assert not listed - found


@replayed
@pytest.mark.parametrize("role", ["serve", "engine"])
def test_either_role_starts_as_a_number_in_a_read_only_image_and_is_well(
    role: str, image: Path
) -> None:
    ops = f"127.0.0.1:{free_port('127.0.0.1')}"
    options = ["--listen", "127.0.0.1:0", "--ops-listen", ops]
    if role == "engine":
        options.append("--dangerously-listen-without-tls")
    assert stages()[-1].last("CMD").exec_form == ["serve"]
    program, *probe = stages()[-1].last("HEALTHCHECK").exec_form
    assert [program] == stages()[-1].last("ENTRYPOINT").exec_form
    with run_in(image, role, *options) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert process.stdout.readline(), process.stderr.read()
            # In the container it would find process 1; here it is told what that would say.
            with run_in(image, *probe, "--ops", ops) as asked:
                answer, errors = asked.communicate(timeout=30)
            assert (asked.returncode, answer) == (0, "ok\n"), errors
        finally:
            process.terminate()


@replayed
def test_it_measures_as_it_is(image: Path) -> None:
    """The demo needs everything: engines, confined workers, TLS of every age, gRPC."""
    with run_in(image, "demo") as demo:
        output, errors = demo.communicate(timeout=100)
    assert demo.returncode == 0, output + errors
