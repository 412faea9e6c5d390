"""Every resource of the chart: by Kubernetes' own schemas, and by what we promise of it."""

import ipaddress
import json
import math
import re
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from otpc_policy.core.registries.networks import AddressClass, classify
from tests.deploy.rendering import (
    ROOT,
    VALUES,
    Resource,
    by_name,
    of_kind,
    pod_of,
    resources,
    role_of,
    settings_of,
)
from tests.support.requirements import require, require_file

OPERATORS = {"cert-manager.io/v1", "monitoring.coreos.com/v1"}
MODELS = ROOT / ".venv/node-kubernetes"

every_values = pytest.mark.parametrize("values", VALUES)


def pods(values: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Yield the role, the pod and its one container, of every Deployment."""
    for deployment in of_kind(resources(values), "Deployment"):
        pod = pod_of(deployment)
        (container,) = pod["containers"]
        yield role_of(deployment), pod, container


@every_values
@pytest.mark.parametrize("release", ["1.27", kubernetes_validate.latest_version()])
def test_kubernetes_own_schemas_accept_it(values: str, release: str) -> None:
    own = [one for one in resources(values) if one["apiVersion"] not in OPERATORS]
    assert len(own) >= 7
    for resource in own:
        kubernetes_validate.validate(resource, release, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    deployment = of_kind(resources("all-in-one"), "Deployment")[0]
    pod_of(deployment)["terminationGracePeriod"] = 30
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)


def test_the_schemas_of_the_operators_accept_theirs() -> None:
    theirs = [
        one for values in VALUES for one in resources(values) if one["apiVersion"] in OPERATORS
    ]
    assert {one["kind"] for one in theirs} == {"Certificate", "ServiceMonitor", "PrometheusRule"}
    done = validated_by_models([*theirs])
    assert (done.returncode, done.stdout.strip()) == (0, str(len(theirs))), done.stderr
    (monitor,) = of_kind(theirs, "ServiceMonitor")
    monitor["spec"]["endpoints"][0]["port"] = 9464
    assert "must be string" in validated_by_models([monitor]).stderr


def validated_by_models(found: list[Resource]) -> "subprocess.CompletedProcess[str]":
    program = MODELS / "validate.mjs"
    node = require("node")
    require_file(MODELS / "node_modules/.package-lock.json", "make .venv/.kubernetes, needs npm")
    source = ROOT / "tests/deploy/node/validate.mjs"
    program.write_bytes(source.read_bytes())
    lines = "".join(json.dumps(one) + "\n" for one in found)
    command = [node, str(program)]
    return subprocess.run(
        command, input=lines, capture_output=True, text=True, timeout=60, check=False
    )


def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    (rule,) = of_kind(resources("monitoring"), "PrometheusRule")
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(rule["spec"]), encoding="utf-8")
    command = [require("promtool"), "check", "rules", "--lint-fatal", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@every_values
def test_names_are_unique_and_what_is_referred_to_is_there(values: str) -> None:
    found = resources(values)
    names = [(one["kind"], one["metadata"]["name"]) for one in found]
    assert len(set(names)) == len(names)
    for role, pod, _ in pods(values):
        labels = by_name(found, "Deployment", f"otpc-policy-{role}")["spec"]["template"][
            "metadata"
        ]["labels"]
        assert ("ServiceAccount", pod["serviceAccountName"]) in names
        for kind, path in {"Service": ("selector",), "PodDisruptionBudget": ("selector",)}.items():
            mine = [one for one in of_kind(found, kind) if role_of(one) == role]
            assert mine
            for one in mine:
                selector: Mapping[str, Any] = one["spec"][path[0]]
                assert selector.get("matchLabels", selector).items() <= labels.items()


@every_values
def test_pods_keep_to_the_restricted_standard(values: str) -> None:
    """Source: kubernetes.io, Pod Security Standards, Restricted."""
    allowed_volumes = {"configMap", "csi", "emptyDir", "secret"}
    for _, pod, container in pods(values):
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not [port for port in container["ports"] if "hostPort" in port]
        for volume in pod["volumes"]:
            assert volume.keys() - {"name"} <= allowed_volumes


@every_values
def test_nothing_is_given_a_token_of_the_cluster(values: str) -> None:
    for account in of_kind(resources(values), "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    for _, pod, _ in pods(values):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False


@every_values
def test_folders_are_mounted_whole_and_keys_are_not_for_everyone(values: str) -> None:
    for _, pod, container in pods(values):
        assert pod["securityContext"]["fsGroup"] == 10001
        for mount in container["volumeMounts"]:
            assert not {"subPath", "subPathExpr"} & mount.keys()
            assert mount["mountPath"] == "/tmp" or mount["readOnly"] is True
        for volume in pod["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440
            assert "items" not in volume.get("configMap", {})
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


@every_values
def test_the_grace_of_the_pod_outlasts_the_drain(values: str) -> None:
    for role, pod, container in pods(values):
        settings = tomllib.loads(settings_of(resources(values), role))
        drain_s = settings.get("drain_delay_s", 0) + settings["drain_grace_s"]
        # deploy/otpc-policy.example.toml: longer than both together, by 3 s.
        assert pod["terminationGracePeriodSeconds"] >= drain_s + 3
        assert "lifecycle" not in container
        if role == "front":
            # Until the readiness probe has failed, and more for whoever hears of it.
            probe = container["readinessProbe"]
            noticed_s = probe["periodSeconds"] * probe["failureThreshold"]
            assert settings["drain_delay_s"] > noticed_s


def test_the_grace_of_the_pod_follows_the_values() -> None:
    options = ("--set-json", 'front.drain={"delaySeconds":12.5,"graceSeconds":60}')
    deployments = of_kind(resources("monitoring", *options), "Deployment")
    (front,) = (one for one in deployments if role_of(one) == "front")
    assert pod_of(front)["terminationGracePeriodSeconds"] == math.ceil(72.5) + 5


def test_engines_drain_for_longer_than_a_measurement_takes() -> None:
    for values in VALUES:
        for role, _, _ in pods(values):
            settings = tomllib.loads(settings_of(resources(values), role))
            if role == "engine":
                deadline_s = settings.get("scan", {}).get("scan_deadline_s", 20)
                assert settings["drain_grace_s"] > deadline_s


@every_values
def test_probes_are_those_of_the_operations_port(values: str) -> None:
    for _, _, container in pods(values):
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports["ops"] == 9464
        probes = ("startupProbe", "livenessProbe", "readinessProbe")
        paths = [container[probe]["httpGet"] for probe in probes]
        assert paths == [
            {"path": path, "port": "ops"} for path in ("/startupz", "/livez", "/readyz")
        ]


def egress_of(values: str, role: str, *options: str) -> list[dict[str, Any]]:
    policy = by_name(resources(values, *options), "NetworkPolicy", f"otpc-policy-{role}")
    assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    rules: list[dict[str, Any]] = policy["spec"]["egress"]
    assert all(rule["to"] and rule["ports"] for rule in rules), "a rule without them is for all"
    return rules


def blocks(rules: list[dict[str, Any]]) -> list[tuple[Any, list[Any]]]:
    """Return the networks that rules open, each with what it leaves out."""
    found = [peer["ipBlock"] for rule in rules for peer in rule["to"] if "ipBlock" in peer]
    return [
        (
            ipaddress.ip_network(one["cidr"]),
            [ipaddress.ip_network(each) for each in one.get("except", ())],
        )
        for one in found
    ]


def reaches(rules: list[dict[str, Any]], address: str) -> bool:
    wanted = ipaddress.ip_address(address)
    return any(
        wanted in network and not any(wanted in each for each in excepted)
        for network, excepted in blocks(rules)
        if network.version == wanted.version
    )


INSIDE = (
    *("10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "100.64.0.1", "169.254.169.254"),
    *("127.0.0.1", "168.63.129.16", "224.0.0.1", "255.255.255.255", "0.0.0.0", "192.0.0.192"),
    *("::1", "fd00:ec2::254", "fe80::1", "fc00::1", "64:ff9b::a00:1", "2002:a00:1::", "2001::1"),
    *("::ffff:10.0.0.1", "ff02::1"),
)
OUTSIDE = ("8.8.8.8", "1.1.1.1", "172.32.0.1", "192.167.255.255", "2606:4700::1111", "2a00::1")


@pytest.mark.parametrize(
    ("values", "role"),
    [("all-in-one", "front"), *((each, "engine") for each in ("cert-manager", "monitoring"))],
)
def test_whoever_measures_reaches_the_internet_and_no_private_range(values: str, role: str) -> None:
    rules = egress_of(values, role)
    for address in INSIDE:
        assert classify(ipaddress.ip_address(address)) is not AddressClass.GLOBAL
        assert not reaches(rules, address), address
    for address in OUTSIDE:
        assert classify(ipaddress.ip_address(address)) is AddressClass.GLOBAL
        assert reaches(rules, address), address
    for network, excepted in blocks(rules):
        assert all(each.subnet_of(network) for each in excepted), "Kubernetes refuses others"


def test_an_allowed_private_network_is_opened_and_no_other() -> None:
    rules = egress_of("production", "engine")
    assert reaches(rules, "10.20.3.4")
    assert not reaches(rules, "10.21.0.1")
    for role in ("front", "engine"):
        settings = tomllib.loads(settings_of(resources("production"), role))
        assert settings["allow_networks"] == ["10.20.0.0/16"]


@pytest.mark.parametrize("values", sorted(set(VALUES) - {"all-in-one", "regions"}))
def test_fronts_reach_engines_and_name_servers_alone(values: str) -> None:
    rules = egress_of(values, "front")
    assert not blocks(rules)
    dns, engines, *further = rules
    assert {port["port"] for port in dns["ports"]} == {53}
    (peer,) = engines["to"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "engine"
    assert engines["ports"] == [{"protocol": "TCP", "port": 50052}]
    assert bool(further) is (values == "production")


def test_fronts_reach_the_store_and_engines_elsewhere_where_these_are_and_engines_do_not() -> None:
    dns, engines, store, elsewhere = egress_of("regions", "front")
    assert {port["port"] for port in dns["ports"]} == {53}
    assert engines["ports"] == [{"protocol": "TCP", "port": 50052}]
    assert store["ports"] == [{"protocol": "TCP", "port": 6380}]
    (peer,) = store["to"]
    assert peer["podSelector"] == {"matchLabels": {"app.kubernetes.io/name": "valkey"}}
    assert elsewhere["ports"] == [{"protocol": "TCP", "port": 50052}]
    assert [str(network) for network, _ in blocks([elsewhere])] == ["198.51.100.0/24"]
    ports = [port.get("port") for rule in egress_of("regions", "engine") for port in rule["ports"]]
    assert ports == [53, 53, None], "name servers, and what is measured"
    of_engine = [one for rule in egress_of("regions", "engine") for one in rule["to"]]
    assert {"podSelector": peer["podSelector"]} not in of_engine


def test_the_port_of_the_store_is_that_of_its_url_unless_others_are_named() -> None:
    def ports(*options: str) -> list[int]:
        return [port["port"] for port in egress_of("regions", "front", *options)[2]["ports"]]

    assert ports("--set", "fleet.url=rediss://valkey.data/2") == [6379]
    assert ports("--set", "fleet.url=rediss://[2001:db8::1]:7000/2") == [7000]
    assert ports("--set-json", "fleet.ports=[6379,26379]") == [6379, 26379]
    cluster = 'fleet.urls=["rediss://a.data:7001","rediss://b.data:7002","rediss://c.data:7001"]'
    assert ports("--set", "fleet.url=", "--set-json", cluster) == [7001, 7002]


def test_engines_know_the_name_of_their_place_and_nothing_of_the_store() -> None:
    found = resources("regions")
    front, engine = (tomllib.loads(settings_of(found, role)) for role in ("front", "engine"))
    assert (front["perspective"], engine["perspective"]) == ("eu-west", "eu-west")
    assert front["perspectives"]["us-east"]["engine_addresses"]
    assert front["fleet"]["prefix"] == "payments"
    assert front["watch"]["partners"] is True
    assert not {"fleet", "watch", "perspectives"} & engine.keys()
    for role, _, container in pods("regions"):
        mounts = {
            mount["mountPath"].removeprefix("/etc/otpc-policy/")
            for mount in container["volumeMounts"]
        }
        secrets = {"fleet-key", "fleet-password", "fleet-ca"}
        assert mounts & secrets == (secrets if role == "front" else set())


def test_fronts_that_measure_themselves_may_use_engines_elsewhere_too() -> None:
    options = (
        *(
            "--set-json",
            'perspectives={"us-east":{"engineAddresses":["e.example:5"],"peers":[{"ipBlock":{"cidr":"192.0.2.0/24"}}]}}',
        ),
        *("--set", "front.engineTls.existingSecret=engines"),
    )
    settings = tomllib.loads(settings_of(resources("all-in-one", *options), "front"))
    assert "engine_addresses" not in settings
    assert settings["engine_ca_file"] == "/etc/otpc-policy/engine-tls/ca.crt"
    assert reaches(egress_of("all-in-one", "front", *options), "192.0.2.7")


def test_fronts_of_another_cluster_may_use_engines_if_they_are_named() -> None:
    policy = by_name(resources("regions"), "NetworkPolicy", "otpc-policy-engine")
    own, *others = policy["spec"]["ingress"][0]["from"]
    assert own["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "front"
    assert others == [{"ipBlock": {"cidr": "198.51.100.0/24"}}]


def test_behind_a_proxy_engines_reach_nothing_else() -> None:
    rules = egress_of("egress-proxy", "engine")
    assert reaches(rules, "192.0.2.10")
    assert not any(reaches(rules, address) for address in (*OUTSIDE, *INSIDE))
    assert rules[-1]["ports"] == [{"protocol": "TCP", "port": 3128}]


def test_engines_are_called_by_fronts_alone() -> None:
    for values in VALUES:
        for policy in of_kind(resources(values), "NetworkPolicy"):
            if role_of(policy) == "engine":
                first = policy["spec"]["ingress"][0]
                peer, *others = first["from"]
                assert bool(others) is (values == "regions")
                labels = peer["podSelector"]["matchLabels"]
                assert labels["app.kubernetes.io/component"] == "front"


def test_without_callers_and_scrapers_nobody_gets_in() -> None:
    options = ("--set-json", "networkPolicy.callers=[]")
    policy = by_name(resources("all-in-one", *options), "NetworkPolicy", "otpc-policy-front")
    assert policy["spec"]["ingress"] == []


@every_values
def test_clients_can_balance_over_all_pods(values: str) -> None:
    headless = by_name(resources(values), "Service", "otpc-policy-headless")
    assert headless["spec"]["clusterIP"] == "None"
    assert "publishNotReadyAddresses" not in headless["spec"]


def test_the_name_of_engines_is_that_of_their_service_and_certificate() -> None:
    for values in ("cert-manager", "spiffe"):
        found = resources(values)
        (address,) = tomllib.loads(settings_of(found, "front"))["engine_addresses"]
        host = address.removeprefix("dns:///").removesuffix(":50052")
        service = by_name(found, "Service", "otpc-policy-engine")
        assert service["spec"]["clusterIP"] == "None"
        assert host == f"{service['metadata']['name']}.payments.svc.cluster.local"
        certificate = by_name(found, "Certificate", "otpc-policy-engine-tls")
        assert host in certificate["spec"]["dnsNames"]


def test_a_changed_setting_starts_new_pods_and_a_changed_partner_does_not() -> None:
    def stamps(*options: str) -> dict[str, str]:
        return {
            role_of(one): one["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
            for one in of_kind(resources("cert-manager", *options), "Deployment")
        }

    before = stamps()
    assert stamps("--set", "partners.files.new\\.toml=x") == before
    after = stamps("--set", "front.settings.cache_entries=5")
    assert (after["front"] != before["front"], after["engine"]) == (True, before["engine"])


def test_a_digest_counts_more_than_a_tag() -> None:
    for _, _, container in pods("production"):
        assert re.fullmatch(
            r"registry\.example\.org/[\w/-]+@sha256:[0-9a-f]{64}", container["image"]
        )


def test_scaling_takes_the_place_of_a_number_of_replicas() -> None:
    found = resources("production")
    for deployment in of_kind(found, "Deployment"):
        assert "replicas" not in deployment["spec"]
        scaler = by_name(found, "HorizontalPodAutoscaler", deployment["metadata"]["name"])
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
