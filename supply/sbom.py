"""Write a CycloneDX 1.6 SBOM of the installed service, without a network.

    python -m supply.sbom --constraints FILE [--wheel WHEEL] [--without NAME] --output FILE

Names, versions and hashes are those of the constraints file; licences and dependencies are those
that the installed packages state. A pinned package that is not installed, or at another version,
is an error: an SBOM of something else is worth nothing. So is a package that was needed to build
alone (--without) and is still there. OpenSSL inside the packages' native code is listed too, by the
version that the code itself names. What statically linked libraries say nothing of themselves
(BoringSSL in grpcio, c-ares in pycares) is not.

Only the standard library: the image's build stage runs this with the service's interpreter. The
same input gives the same bytes.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from supply.pins import Pin, normalised, read_pins

_PACKAGE = "otpc-policy"
_OPENSSL = re.compile(rb"OpenSSL (\d+\.\d+\.\d+[a-z]?) +\d{1,2} [A-Z][a-z]{2} \d{4}\x00")
_REQUIREMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_OTHER_EXTRA = re.compile(r"extra\s*==\s*['\"](?!engine['\"])")
_LICENCE_FILE = re.compile(r"(?i)(licen[cs]e|copying)")
_LONGEST_LICENCE_NAME = 64

Component = dict[str, Any]


def purl(name: str, version: str) -> str:
    """Return the package URL of a Python project."""
    return f"pkg:pypi/{normalised(name)}@{version}"


def licences(distribution: metadata.Distribution) -> list[dict[str, Any]]:
    """Return what a package says of its licence, as CycloneDX has it; [] if it says nothing.

    A package that only has the text in a file is listed with that text.
    """
    fields = distribution.metadata
    if expressions := fields.get_all("License-Expression"):
        return [{"expression": expressions[0]}]
    stated = [
        classifier.rpartition(" :: ")[2]
        for classifier in fields.get_all("Classifier") or []
        if classifier.startswith("License ::")
    ]
    (text,) = (fields.get_all("License") or [""])[:1]
    if not stated and text and len(text) <= _LONGEST_LICENCE_NAME and "\n" not in text:
        stated = [text]
    if stated:
        return [{"license": {"name": name}} for name in stated]
    texts = {
        file.name: file.read_text(encoding="utf-8")
        for file in distribution.files or ()
        if ".dist-info" in str(file) and _LICENCE_FILE.match(file.name)
    }
    return [
        {"license": {"name": f"in the file {name}", "text": {"content": texts[name]}}}
        for name in sorted(texts)
    ]


def openssl_inside(distribution: metadata.Distribution) -> list[str]:
    """Return the versions of OpenSSL in a package's native code, sorted."""
    found: set[str] = set()
    for file in distribution.files or ():
        if re.search(r"\.so(\.|$)", file.name):
            content = Path(str(distribution.locate_file(file))).read_bytes()
            found.update(match.decode("ascii") for match in _OPENSSL.findall(content))
    return sorted(found)


def requirements(distribution: metadata.Distribution) -> set[str]:
    """Return the normalised names that a package requires, extras other than engine left out."""
    names = set()
    for requirement in distribution.requires or ():
        found = _REQUIREMENT_NAME.match(requirement)
        if found is not None and not _OTHER_EXTRA.search(requirement):
            names.add(normalised(found[0]))
    return names


def component(pin: Pin, distribution: metadata.Distribution) -> Component:
    """Return a pinned package. Raises ValueError if another version is installed."""
    if distribution.version != pin.version:
        raise ValueError(f"{pin.name}: {pin.version} is pinned, {distribution.version} installed")
    reference = purl(pin.name, pin.version)
    made: Component = {
        "type": "library",
        "bom-ref": reference,
        "name": pin.name,
        "version": pin.version,
        "purl": reference,
        "externalReferences": [
            {
                "type": "distribution",
                "url": reference,
                "comment": "the files that the constraints permit, one of which is installed",
                "hashes": [{"alg": "SHA-256", "content": each} for each in sorted(pin.sha256)],
            }
        ],
    }
    if stated := licences(distribution):
        made["licenses"] = stated
    if inside := openssl_inside(distribution):
        made["components"] = [
            {
                "type": "library",
                "bom-ref": f"{reference}#openssl-{version}",
                "name": "openssl",
                "version": version,
                "purl": f"pkg:generic/openssl@{version}",
                "cpe": f"cpe:2.3:a:openssl:openssl:{version}:*:*:*:*:*:*:*",
            }
            for version in inside
        ]
    return made


def sbom(
    pins: Sequence[Pin],
    *,
    wheel: Path | None = None,
    at: datetime | None = None,
    without: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the document. wheel: whose hash it names. at: the time it names.

    without: pinned packages that were needed to build, and have been removed since. Raises
    ValueError if what is installed differs from the pins.
    """
    own = metadata.distribution(_PACKAGE)
    components, required = [], {}
    for pin in sorted(pins, key=lambda each: each.name):
        try:
            distribution = metadata.distribution(pin.name)
        except metadata.PackageNotFoundError:
            if pin.marker or pin.name in without:
                continue
            raise ValueError(f"{pin.name}: pinned, not installed") from None
        if pin.name in without:
            raise ValueError(f"{pin.name}: is installed, and would be left out")
        components.append(component(pin, distribution))
        required[pin.name] = requirements(distribution)
    references = {each["name"]: each["bom-ref"] for each in components}
    subject: Component = {
        "type": "application",
        "bom-ref": purl(_PACKAGE, own.version),
        "name": _PACKAGE,
        "version": own.version,
        "purl": purl(_PACKAGE, own.version),
        "licenses": licences(own),
    }
    if wheel is not None:
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        subject["hashes"] = [{"alg": "SHA-256", "content": digest}]
    described: dict[str, Any] = {"component": subject}
    if at is not None:
        described["timestamp"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    graph = {subject["bom-ref"]: requirements(own)}
    graph |= {references[name]: names for name, names in required.items()}
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": described,
        "components": components,
        "dependencies": [
            {
                "ref": reference,
                "dependsOn": sorted(references[name] for name in names if name in references),
            }
            for reference, names in graph.items()
        ],
    }
    identity = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return {**document, "serialNumber": f"urn:uuid:{identity}"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when the file has been written."""
    parser = argparse.ArgumentParser(prog="python -m supply.sbom")
    parser.add_argument("--constraints", type=Path, required=True)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--without", action="append", default=[], metavar="NAME")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args(arguments)
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    at = datetime.fromtimestamp(int(epoch), UTC) if epoch else None
    try:
        pins = read_pins(options.constraints)
        document = sbom(pins, wheel=options.wheel, at=at, without=options.without)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    options.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
