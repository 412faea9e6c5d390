"""Values that make no sense are refused with their name, before anything reaches a cluster."""

import pytest

from tests.deploy.rendering import template

_STORE = ("--set", "fleet.url=rediss://valkey.example,fleet.key.existingSecret=key")
_PEERS = ("--set-json", 'fleet.peers=[{"podSelector":{}}]')
REFUSED = {
    "an unknown name": (("--set", "front.replica=3"), "replica"),
    "a number as text": (("--set-string", "front.replicas=3"), "/front/replicas"),
    "a wrong digest": (("--set", "image.digest=sha256:00"), "/image/digest"),
    "a proxy without a port": (
        ("--set", "egressProxy.url=http://proxy.example"),
        "/egressProxy/url",
    ),
    "a proxy with credentials in the URL": (
        ("--set", "egressProxy.url=http://me:secret@proxy.example:3128"),
        "/egressProxy/url",
    ),
    "a proxy that nothing may reach": (
        ("--set", "egressProxy.url=http://proxy.example:3128"),
        "egressProxy.peers",
    ),
    "a peer that is everyone": (("--set-json", "networkPolicy.callers=[{}]"), "callers/0"),
    "no way to a name server": (("--set-json", "networkPolicy.dns.peers=[]"), "dns/peers"),
    "a setting that the chart sets": (
        ("--set", "front.settings.listen=0.0.0.0:1"),
        "front.settings.listen",
    ),
    "a setting that belongs to allowNetworks": (
        (
            *("--set-json", 'allowNetworks=["10.0.0.0/8"]'),
            *("--set-json", 'engine.settings.allow_networks=["10.0.0.0/8"]'),
        ),
        "engine.settings.allow_networks",
    ),
    "a store with a password in the URL": (
        ("--set", "fleet.url=rediss://me:secret@valkey.example"),
        "/fleet/url",
    ),
    "a store without a key": (
        (*("--set", "fleet.url=rediss://valkey.example"), *_PEERS),
        "fleet.key",
    ),
    "sentinels without the ports of the NetworkPolicy": (
        (*_STORE, *_PEERS, *("--set", "fleet.mode=sentinel")),
        "fleet.ports",
    ),
    "a user of the sentinels without a password": (
        (*_STORE, *_PEERS, *("--set", "fleet.sentinelUser=otpc-policy")),
        "fleet.sentinelPassword",
    ),
    "a mode of the store that there is not": (("--set", "fleet.mode=ring"), "/fleet/mode"),
    "a user of the store without a password": (
        (*_STORE, *_PEERS, *("--set", "fleet.user=otpc-policy")),
        "fleet.password",
    ),
    "a store that nothing may reach": (_STORE, "fleet.peers"),
    "a setting of the store that the chart sets": (
        (*_STORE, *_PEERS, *("--set", "fleet.settings.key_file=/x")),
        "fleet.settings.key_file",
    ),
    "a store twice": (
        (*_STORE, *_PEERS, *("--set", "front.settings.fleet.prefix=x")),
        "front.settings.fleet",
    ),
    "a setting of the watch list that there is not": (("--set", "watch.every_s=5"), "every_s"),
    "no name of a perspective": (("--set", "perspective=EU"), "/perspective"),
    "a perspective without engines": (
        ("--set-json", 'perspectives={"us":{"engineAddresses":[]}}'),
        "/perspectives/us/engineAddresses",
    ),
    "a perspective that nothing may reach": (
        ("--set-json", 'perspectives={"us":{"engineAddresses":["e.example:50052"]}}'),
        "perspectives.us.peers",
    ),
    "no certificate": (("--set", "front.tls.existingSecret="), "front.tls"),
    "no certificate of engines": (("--set", "engine.tls.existingSecret="), "engine.tls"),
    "cert-manager without an issuer": (
        ("--set", "certManager.enabled=true,engine.tls.existingSecret="),
        "certManager.engineIssuer.name",
    ),
    "roles without the file of roles": (
        ("--set", "roles.files.other\\.toml=x"),
        "roles.toml",
    ),
    "a folder in the place of one of the chart's": (
        ("--set-json", 'front.folders={"tls":{"emptyDir":{}}}'),
        # Helm names a wrong place for names of properties.
        "invalid propertyName 'tls'",
    ),
    "a folder of nothing": (("--set-json", 'front.folders={"keys":{}}'), "/front/folders/keys"),
    "scaling by a request that is not made": (
        ("--set", "front.autoscaling.enabled=true", "--set", "front.resources.requests.cpu=null"),
        "front.resources.requests.cpu",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_values_without_sense_are_refused(case: str) -> None:
    options, named = REFUSED[case]
    done = template("monitoring", *options)
    assert done.returncode != 0, done.stdout
    assert named in done.stderr


def test_no_tls_has_to_be_said_in_so_many_words() -> None:
    options = ("--set", "front.tls.existingSecret=,front.dangerouslyListenWithoutTls=true")
    done = template("all-in-one", *options)
    assert done.returncode == 0, done.stderr
    assert "dangerously_listen_without_tls = true" in done.stdout
    assert "tls_certificate_file" not in done.stdout
