"""Rendered pods as the kubelet lays them out: each folder with its files, in a folder of a test.

Keys that the chart only refers to are issued here: by the Certificates of the render where there
are any, else for the names that the configuration needs. Paths and host names are the only thing
that differs from the render.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml
from cryptography import x509

from tests.deploy.rendering import (
    CHART,
    Resource,
    by_name,
    of_kind,
    pod_of,
    settings_of,
)
from tests.support.callers import caller_certificate
from tests.support.certificates import CertificateAuthority, Issued

_Files = dict[str, bytes]

MOUNTS: Final = "/etc/otpc-policy"
ENGINE_HOST: Final = "otpc-policy-engine.payments.svc.cluster.local"
ENGINES_ELSEWHERE: Final = "engines.us-east.payments.example"
SPIFFE_ID: Final = "spiffe://example.org/ns/payments/sa/otpc-policy-front"
# What the examples take from ConfigMaps that somebody else keeps.
_ELSEWHERE: Final[Mapping[str, Path]] = {
    "otpc-policy-roles": CHART.parents[1] / "roles.example.toml",
    "otpc-policy-partners": CHART.parents[1] / "kubernetes/partners.yaml",
}


class Cluster:
    """The files of every pod of a render, under folder/ROLE.

    engines: the authority of both sides between fronts and engines. callers: that of callers.
    """

    def __init__(self, folder: Path, found: Sequence[Resource]) -> None:
        self.engines = CertificateAuthority.create("Engines")
        self.servers = CertificateAuthority.create("Servers")
        self.callers = CertificateAuthority.create("Callers")
        self._folder, self._found = folder, found
        for deployment in of_kind(found, "Deployment"):
            role = deployment["metadata"]["name"].removeprefix("otpc-policy-")
            self._mount(role, deployment)

    def at(self, role: str) -> Path:
        """Return the folder that stands for /etc/otpc-policy."""
        return self._folder / role

    def configuration(self, role: str, **texts: str) -> Path:
        """Return the configuration of a role with paths that exist here.

        texts: pairs of the ports and hosts of the render and those of the test.
        """
        text = settings_of(self._found, role).replace(MOUNTS, str(self.at(role)))
        for old, new in texts.items():
            assert old in text, f"{old} is not in the configuration"
            text = text.replace(old, new)
        file = self._folder / f"{role}.toml"
        file.write_text(text, encoding="utf-8")
        return file

    def _mount(self, role: str, deployment: Resource) -> None:
        pod = pod_of(deployment)
        (container,) = pod["containers"]
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for mount in container["volumeMounts"]:
            if not mount["mountPath"].startswith(MOUNTS):
                continue
            name = mount["mountPath"].removeprefix(MOUNTS).strip("/")
            volume = volumes[mount["name"]]
            # csi-lib of cert-manager, storage/filesystem.go: owner and group may read.
            mode = 0o440 if "csi" in volume else volume.get("secret", {}).get("defaultMode", 0o644)
            _lay_out(self.at(role) / name, self._content(role, name, volume), mode)

    def _content(self, role: str, name: str, volume: Mapping[str, Mapping[str, str]]) -> _Files:
        if "configMap" in volume:
            return self._documents(name, volume["configMap"]["name"])
        if name in ("egress-proxy", "fleet-password", "fleet-sentinel-password"):
            return {"password": b"correct horse"}
        if name == "fleet-key":
            return {"key": b"# of this test\n" + b"ab" * 32 + b"\n"}
        if name == "collector":
            return {"headers": b"Authorization: Bearer correct horse"}
        return self._keys(role, name)

    def _documents(self, name: str, config_map: str) -> _Files:
        if config_map in {one["metadata"]["name"] for one in of_kind(self._found, "ConfigMap")}:
            data = by_name(self._found, "ConfigMap", config_map)["data"]
            return {file: text.encode() for file, text in data.items()}
        if name == "caller-ca":
            return {"ca.crt": self.callers.pem}
        if name == "fleet-ca":
            return {"ca.crt": self.servers.pem}
        if name == "roles":
            return {"roles.toml": _ELSEWHERE[config_map].read_bytes()}
        if name == "partners":
            data = yaml.safe_load(_ELSEWHERE[config_map].read_text(encoding="utf-8"))["data"]
            return {file: text.encode() for file, text in data.items()}
        return {"own.toml": b'name = "own"\ntitle = "Own"\nextends = "otpc-2024-12"\n'}

    def _keys(self, role: str, name: str) -> _Files:
        if name.startswith("client-certificates/"):
            issued = self.callers.issue(
                dns=("client.example",), extended_key_usage=("client_auth",)
            )
            return _pair(issued)
        if name == "engine-tls":
            names: list[x509.GeneralName] = [x509.DNSName("otpc-policy-front")]
            if of_kind(self._found, "RoleBinding"):
                names = [x509.UniformResourceIdentifier(SPIFFE_ID)]
            return _pair(caller_certificate(self.engines, names)) | {"ca.crt": self.engines.pem}
        if role == "engine":
            # "localhost" is where the test has it.
            issued = self.engines.issue(dns=(*self._names("otpc-policy-engine-tls"), "localhost"))
            return _pair(issued) | {"ca.crt": self.engines.pem}
        issued = self.servers.issue(dns=(*self._names("otpc-policy-front-tls"), "localhost"))
        return _pair(issued) | {"ca.crt": self.callers.pem}

    def _names(self, certificate: str) -> Sequence[str]:
        made = {one["metadata"]["name"]: one for one in of_kind(self._found, "Certificate")}
        if certificate not in made:
            return (ENGINE_HOST,)
        names: Sequence[str] = made[certificate]["spec"]["dnsNames"]
        return names


def _pair(issued: Issued) -> _Files:
    return {"tls.crt": issued.chain_pem, "tls.key": issued.key_pem}


def _lay_out(folder: Path, files: _Files, mode: int) -> None:
    """Write files as the kubelet does: links to links to files in a folder of that moment."""
    moment = folder / "..2026_11_29_23_00_00.1"
    moment.mkdir(parents=True)
    for name, content in files.items():
        (moment / name).write_bytes(content)
        (moment / name).chmod(mode)
        (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data").symlink_to(moment.name)
