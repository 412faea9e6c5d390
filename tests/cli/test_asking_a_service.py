"""Commands that ask a service: mutual TLS, administration, and why a connection fails."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from otpc_policy.v1 import policy_pb2 as pb
from otpc_policy.v1 import policy_pb2_grpc as rpc
from tests.cli.running import Run
from tests.cli.serving import configuration, serving
from tests.support.certificates import CertificateAuthority

PARTNER = 'id = "{0}"\nowner = "onboarding@example.com"\nendpoints = ["{0}.example"]\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Secured:
    """A service behind mutual TLS that ops.example may administer.

    known: options that reach it, without the address.
    """

    port: int
    folder: Path

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    @property
    def known(self) -> tuple[str, ...]:
        return self.shown_by("ops")

    def shown_by(self, client: str) -> tuple[str, ...]:
        files = (f"{self.folder}/{client}.pem", f"{self.folder}/{client}.key")
        return (*self.ca("ca"), "--client-cert", files[0], "--client-key", files[1])

    def ca(self, name: str) -> tuple[str, str]:
        return ("--server-ca", f"{self.folder}/{name}.pem")


def _write(folder: Path, name: str, authority: CertificateAuthority, dns: str) -> None:
    usage = ("server_auth", "client_auth")
    issued = authority.issue(dns=(dns,), extended_key_usage=usage)
    (folder / f"{name}.pem").write_bytes(issued.chain_pem)
    (folder / f"{name}.key").write_bytes(issued.key_pem)
    (folder / f"{name}.key").chmod(0o600)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority, stranger = CertificateAuthority.create(), CertificateAuthority.create()
    for name, one in (("ca", authority), ("other-ca", stranger)):
        (folder / f"{name}.pem").write_bytes(one.pem)
    _write(folder, "service", authority, "localhost")
    _write(folder, "ops", authority, "ops.example")
    _write(folder, "stranger", stranger, "ops.example")
    (folder / "partners").mkdir()
    (folder / "partners" / "good.toml").write_text(PARTNER.format("good"))
    config = configuration(
        folder,
        'tls_certificate_file = "service.pem"',
        'tls_key_file = "service.key"',
        'tls_client_ca_file = "ca.pem"',
        "admin_service = true",
        'admin_callers = ["ops.example"]',
        'partners_dir = "partners"',
    )
    with serving(config) as port:
        yield Secured(port=port, folder=folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    watch = 'watch = { endpoints = ["127.0.0.1:1", "[::1]:2"] }'
    with serving(configuration(tmp_path_factory.mktemp("plain"), watch)) as port:
        yield f"localhost:{port}"


def test_every_command_presents_the_client_certificate(run: Run, secured: Secured) -> None:
    there = ("--server", secured.address, *secured.known)
    for command in (
        ("policy", "list"),
        ("policy", "show", "otpc-2024-12"),
        ("policy", "diff", "otpc-2024-12", "otpc-2024-12"),
        ("admin", "reload", "--validate-only"),
        ("admin", "invalidate", "pay.partner.test"),
    ):
        done = run(*command, *there)
        assert (done.status, done.stderr) == (0, ""), command
    done = run("check", "127.0.0.1:4433", *there)
    assert (done.status, done.codes) == (1, ["TARGET_ADDRESS_FORBIDDEN"])
    assert run("validate", f"{secured.folder}/ops.pem", "--name", "ops.example", *there).status == 1


def test_a_reload_reports_what_changed_and_every_problem(run: Run, secured: Secured) -> None:
    there = ("--server", secured.address, *secured.known)
    unchanged = run("admin", "reload", *there, "--format", "table")
    assert unchanged.status == 0
    assert unchanged.stdout.startswith("unchanged: ")
    assert "1 partners" in unchanged.stdout
    added = secured.folder / "partners" / "added.toml"
    added.write_text(PARTNER.format("added") + "surprise = 1\n")
    try:
        refused = run("admin", "reload", *there)
        assert (refused.status, refused.stdout) == (1, "")
        assert "added.toml:4: surprise: unknown key" in refused.stderr
        added.write_text(PARTNER.format("added"))
        would_be = run("admin", "reload", "--validate-only", *there, "--format", "table")
        assert "changed: " in would_be.stdout
        assert "2 partners" in would_be.stdout
    finally:
        added.unlink()


def test_administration_needs_a_service_that_permits_it(run: Run, plain: str) -> None:
    done = run("admin", "reload", "--server", plain)
    assert (done.status, done.stdout) == (3, "")
    assert "the administrative service is off" in done.stderr
    assert run("admin", "reload").status == 2


def _refused(run: Run, address: str, *options: str) -> str:
    done = run("policy", "list", "--server", address, *options, "--timeout", "10")
    assert (done.status, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.endswith(address)
    return line.removeprefix("otpc-policy: the service is not available: ").removesuffix(address)


def test_a_wrong_connection_is_explained_in_words(run: Run, secured: Secured) -> None:
    address, folder = secured.address, secured.folder
    assert _refused(run, address, *secured.ca("other-ca")) == (
        f"its certificate is not under the authority in {folder}/other-ca.pem: "
    )
    assert _refused(run, address, *secured.ca("ca")) == (
        "it demands a certificate of the client (--client-cert FILE, --client-key FILE): "
    )
    assert _refused(run, address, *secured.shown_by("stranger")) == (
        f"it does not accept the certificate in {folder}/stranger.pem: "
    )
    assert _refused(run, f"127.0.0.1:{secured.port}", *secured.known) == (
        "its certificate is for another name than 127.0.0.1 ('localhost'): "
    )
    assert _refused(run, address) == (
        "it speaks TLS, and plain text was used (give --server-ca FILE, or leave out "
        "--dangerously-plaintext): "
    )


def test_tls_against_plain_text_is_explained(run: Run, plain: str, secured: Secured) -> None:
    assert _refused(run, plain, *secured.ca("ca")) == (
        "it speaks no TLS (leave out --server-ca; --dangerously-plaintext for plain text): "
    )


def test_nobody_there_is_explained(run: Run) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        assert _refused(run, address) == "nobody listens at "


def test_something_else_in_its_place_is_explained(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as web:

        def answer() -> None:
            while True:
                try:
                    connection, _ = web.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        address = f"127.0.0.1:{web.getsockname()[1]}"
        assert _refused(run, address) == "it speaks neither gRPC in plain text nor TLS: "
        web.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize(
    ("options", "lesson"),
    [
        (("--client-cert", "ops.pem"), "go together"),
        (("--client-key", "ops.key"), "go together"),
        (("--client-cert", "ops.pem", "--client-key", "gone.key"), "No such file"),
        (("--client-cert", "ops.pem", "--client-key", "service.key"), "is not the key of"),
        (
            ("--client-cert", "ops.pem", "--client-key", "ops.key", "--dangerously-plaintext"),
            "contradict each other",
        ),
    ],
)
def test_client_certificates_that_cannot_be_used_are_refused(
    options: tuple[str, ...],
    lesson: str,
    run: Run,
    secured: Secured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(secured.folder)
    done = run("policy", "list", "--server", secured.address, *options)
    assert (done.status, done.stdout) == (2, "")
    assert lesson in " ".join(done.stderr.split())


def test_a_client_certificate_needs_a_service(run: Run) -> None:
    done = run("policy", "list", "--client-cert", "a.pem", "--client-key", "a.key")
    assert done.status == 2
    assert "needs --server" in " ".join(done.stderr.split())


def test_what_is_watched_is_listed(run: Run, plain: str) -> None:
    listed = run("watched", "--server", plain, "--format", "json")
    assert listed.status == 0
    found = [(each["host"], each["port"]) for each in json.loads(listed.stdout)["endpoints"]]
    assert found == [("127.0.0.1", 1), ("::1", 2)]
    table = run("watched", "--server", plain, "--format", "table")
    assert "ENDPOINT" in table.stdout
    assert "[::1]:2" in table.stdout
    of_nobody = run("watched", "--server", plain, "--partner", "bank", "--format", "table")
    assert (of_nobody.status, of_nobody.stdout) == (0, "no endpoint is watched that you may see\n")


def test_watched_needs_a_service(run: Run) -> None:
    asked = run("watched")
    assert asked.status == 2
    assert "--server" in asked.stderr


def test_who_watches_a_service_that_does_not_answer_is_told_so(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("otpc_policy.cli.watch._PATIENCE_S", 0.1)
    monkeypatch.setattr("otpc_policy.cli.remote._ATTEMPTS", 1)
    asked = run("watch", "--server", "127.0.0.1:9", "--dangerously-plaintext")
    assert asked.status == 3
    assert asked.stderr.startswith("otpc-policy: no answer yet from 127.0.0.1:9;")


class _OlderService(rpc.PolicyCheckServiceServicer):
    """Knows no perspectives: it passes over the field, and answers from where it is."""

    def CheckEndpoint(  # noqa: N802  # the name of the method
        self, _request: Any, _context: Any
    ) -> pb.CheckEndpointResponse:
        return pb.CheckEndpointResponse(
            decision=pb.DECISION_ALLOW, evaluated_decision=pb.DECISION_ALLOW
        )


def test_an_answer_from_another_place_than_was_named_is_none(run: Run) -> None:
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        rpc.add_PolicyCheckServiceServicer_to_server(_OlderService(), server)  # type: ignore[no-untyped-call]
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        asking = ("check", "p.test", "--server", f"127.0.0.1:{port}", "--dangerously-plaintext")
        assert run(*asking).status == 0
        refused = run(*asking, "--perspective", "us-east")
        server.stop(None).wait()
    assert refused.status == 3
    assert "did not answer from us-east" in refused.stderr
