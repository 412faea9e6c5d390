"""The SBOM says what is installed, and the same each time."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from supply.pins import Pin, read_pins
from supply.sbom import main, sbom

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"

pytest.importorskip("nassl", reason="needs the extra engine: constraints.txt pins it")


def test_every_pinned_package_is_a_component_with_version_hashes_and_licence() -> None:
    components = {each["name"]: each for each in sbom(read_pins(CONSTRAINTS))["components"]}
    for pin in read_pins(CONSTRAINTS):
        if pin.name not in components:
            assert pin.marker
            continue
        component = components[pin.name]
        (distribution,) = component["externalReferences"]
        assert component["purl"] == f"pkg:pypi/{pin.name}@{pin.version}"
        assert {each["content"] for each in distribution["hashes"]} == set(pin.sha256)
        assert component["licenses"], pin.name


def test_old_openssl_in_the_workers_is_listed_by_version() -> None:
    components = {each["name"]: each for each in sbom(read_pins(CONSTRAINTS))["components"]}
    inside = {each["version"] for each in components["nassl"]["components"]}
    assert inside == {"1.0.2e", "1.1.1w"}


def test_the_graph_begins_at_the_service_and_names_components_alone() -> None:
    document = sbom(read_pins(CONSTRAINTS))
    references = {each["bom-ref"] for each in document["components"]}
    first, *others = document["dependencies"]
    assert first["ref"] == document["metadata"]["component"]["bom-ref"]
    assert any("pkg:pypi/sslyze@" in each for each in first["dependsOn"])
    assert not any("pkg:pypi/pytest@" in each for each in first["dependsOn"])
    assert {each["ref"] for each in others} == references
    assert all(set(each["dependsOn"]) <= references for each in document["dependencies"])


def test_the_same_input_gives_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1764547200")
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(b"a wheel")
    written = []
    for name in ("first", "second"):
        options = ["--constraints", str(CONSTRAINTS), "--wheel", str(wheel)]
        assert main([*options, "--output", str(tmp_path / name)]) == 0
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    described = json.loads(written[0])["metadata"]
    assert described["timestamp"] == datetime.fromtimestamp(1764547200, UTC).strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    assert described["component"]["hashes"][0]["alg"] == "SHA-256"


@pytest.mark.parametrize(("name", "version"), [("idna", "1.0"), ("not-installed-anywhere", "1.0")])
def test_what_is_not_what_was_pinned_is_an_error(name: str, version: str) -> None:
    with pytest.raises(ValueError, match=name):
        sbom([Pin(name=name, version=version, marker="", sha256=("0a" * 32,))])


def test_what_was_removed_after_the_build_is_left_out_and_what_was_not_is_an_error() -> None:
    gone = Pin(name="not-installed-anywhere", version="1.0", marker="", sha256=("0a" * 32,))
    pins = [*read_pins(CONSTRAINTS), gone]
    names = {each["name"] for each in sbom(pins, without=[gone.name])["components"]}
    assert gone.name not in names
    with pytest.raises(ValueError, match="idna: is installed"):
        sbom(pins, without=[gone.name, "idna"])
