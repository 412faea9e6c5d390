"""authz test: may X do Y, and by which line; the exit status says which."""

from pathlib import Path

import pytest
from cryptography import x509

from otpc_policy.catalog.role import Rpc
from tests.cli.running import Run
from tests.support.callers import caller_certificate
from tests.support.certificates import CertificateAuthority

EXAMPLE = Path(__file__).parents[2] / "deploy" / "roles.example.toml"
ROUTER = "spiffe://example.org/ns/payments/sa/router"
DESK = "onboarding.example.org"


def line_of(text: str, nth: int = 1) -> int:
    """Return the number of the nth line that equals a text in the example."""
    numbers = [
        number for number, line in enumerate(EXAMPLE.read_text().splitlines(), 1) if line == text
    ]
    return numbers[nth - 1]


@pytest.fixture(autouse=True)
def partners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bank.toml").write_text(
        'id = "bank"\nowner = "a@example.com"\nendpoints = ["api.bank.example:8443"]\n'
    )
    monkeypatch.setenv("OTPC_POLICY_PARTNERS_DIR", str(tmp_path))


def test_yes_names_the_lines(run: Run) -> None:
    done = run(
        *("authz", "test", "--roles", EXAMPLE, "--identity", ROUTER, "--rpc", "CheckEndpoint"),
        *("--host", "API.bank.example", "--port", 8443),
    )
    role, caller = line_of("[[role]]"), line_of("[[caller]]")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        (
            f"yes: {ROUTER} may CheckEndpoint api.bank.example:8443 (of partner bank) "
            "under otpc-2024-12"
        ),
        f"  by role router ({EXAMPLE}:{role}), held by {EXAMPLE}:{caller}",
    ]


def test_no_says_what_each_role_lacks(run: Run) -> None:
    done = run(
        *("authz", "test", "--roles", EXAMPLE, "--identity", DESK, "--rpc", "CheckEndpoint"),
        *("--host", "new.example", "--port", 25, "--policy", "otpc-2024-12-strict", "--refresh"),
    )
    held = line_of("[[caller]]", 2)
    assert done.status == 1
    assert done.stdout.splitlines() == [
        (
            f"no: dns:{DESK} may not CheckEndpoint new.example:25 under otpc-2024-12-strict"
            " with refresh"
        ),
        (
            f"  role router ({EXAMPLE}:{line_of('[[role]]')}), held by {EXAMPLE}:{held}, lacks: "
            "policy otpc-2024-12-strict, endpoint new.example:25, refresh"
        ),
        (
            f"  role onboarding ({EXAMPLE}:{line_of('[[role]]', 2)}), held by {EXAMPLE}:{held}, "
            "lacks: port 25"
        ),
    ]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (f"--identity {DESK} --rpc InvalidateResults --host new.example --port 443", 0),
        (f"--identity {DESK} --rpc InvalidateResults --host new.example", 1),
        (f"--identity {DESK} --rpc ValidateCertificate --server-name x.example", 0),
        (f"--identity {DESK} --rpc ValidateCertificate --request-anchors", 1),
        (f"--identity {DESK} --rpc ListPolicies --policy otpc-2024-12-strict", 0),
        (f"--identity {DESK} --rpc ListPolicies", 0),
        (f"--identity {ROUTER} --rpc ListPolicies", 1),
        (f"--identity {DESK} --rpc ListWatched", 0),
        (f"--identity {DESK} --rpc ListWatched --host new.example --port 8443", 0),
        (f"--identity {DESK} --rpc ListWatched --host new.example --port 25", 1),
        (f"--identity {ROUTER} --rpc ListWatched --host new.example", 1),
        (f"--identity {DESK} --rpc ReloadPolicies", 1),
        ("--identity uri:https://ci.example.org/otpc-policy --rpc ReloadPolicies", 0),
        ("--identity https://ci.example.org/otpc-policy --rpc ReloadPolicies", 0),
        ("--identity dns:ci.example.org --rpc ReloadPolicies", 1),
        ("--identity a.routers.example.org --rpc GetPolicy", 0),
        ("--identity a.b.routers.example.org --rpc GetPolicy", 1),
        ("--rpc GetPolicy", 1),
        (f"--identity {ROUTER} --rpc Reload", 2),
        ("--identity ops@example.com --rpc GetPolicy", 2),
        ("--identity *.example.org --rpc GetPolicy", 2),
        (f"--identity {ROUTER} --rpc CheckEndpoint", 2),
    ],
)
def test_the_exit_status_is_the_answer(run: Run, words: str, status: int) -> None:
    done = run("authz", "test", "--roles", EXAMPLE, *words.split())
    assert done.status == status, done
    assert done.stdout.startswith({0: "yes: ", 1: "no: ", 2: ""}[status])
    assert bool(done.stderr) is (status == 2)


def test_listing_is_permitted_to_a_role_without_the_default_policy(
    run: Run, tmp_path: Path
) -> None:
    """The service shows it the policies of its own."""
    roles = tmp_path / "roles.txt"
    roles.write_text(
        '[[role]]\nname = "a"\nrpcs = ["ListPolicies"]\npolicies = ["mozilla-modern"]\n'
        f'[[caller]]\nidentities = ["{DESK}"]\nroles = ["a"]\n'
    )
    words = ("authz", "test", "--roles", roles, "--identity", DESK, "--rpc", "ListPolicies")
    assert [run(*words).status, run(*words, "--policy", "otpc-2024-12").status] == [0, 1]


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        ("--rpc InvalidateResults --host new.example --port 443", "admin_service"),
        ("--rpc ValidateCertificate --request-anchors", "allow_request_anchors"),
        ("--rpc ServerReflectionInfo", "reflection"),
        ("--rpc CheckEndpoint --host new.example --port 25", "shares.allowed_ports"),
        ("--rpc CheckEndpoint --host api.bank.example --port 8443", ""),
        ("--rpc InvalidateResults --host new.example --port 25", "admin_service"),
    ],
)
def test_what_the_settings_refuse_though_roles_permit_it_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, setting: str
) -> None:
    monkeypatch.setenv("OTPC_POLICY_REFLECTION", "false")
    roles = tmp_path / "roles.txt"
    rpcs = ", ".join(f'"{rpc.value}"' for rpc in Rpc)
    roles.write_text(
        f'[[role]]\nname = "a"\nrpcs = [{rpcs}]\nhosts = ["*"]\nrequest_anchors = true\n'
        f'[[caller]]\nidentities = ["{DESK}"]\nroles = ["a"]\n'
    )
    done = run("authz", "test", "--roles", roles, "--identity", DESK, *words.split())
    assert done.status == 0
    refused = [line for line in done.stdout.splitlines() if line.startswith("  but ")]
    assert len(refused) == bool(setting)
    assert setting in "".join(refused)


def test_names_are_taken_from_a_certificate_as_the_service_takes_them(
    run: Run, tmp_path: Path
) -> None:
    authority = CertificateAuthority.create()
    words = ("authz", "test", "--roles", EXAMPLE, "--rpc", "GetPolicy", "--certificate")
    router, odd = tmp_path / "router.crt", tmp_path / "odd.crt"
    names = [x509.UniformResourceIdentifier(ROUTER)]
    router.write_bytes(caller_certificate(authority, names).chain_pem)
    odd.write_bytes(caller_certificate(authority, [x509.RFC822Name(DESK)]).chain_pem)
    assert run(*words, router).status == 0
    done = run(*words, odd)
    assert (done.status, done.stdout) == (2, "")
    assert f"{odd}: holds no SPIFFE id, URI or DNS name" in done.stderr


def test_a_document_with_mistakes_is_refused_with_its_lines(run: Run, tmp_path: Path) -> None:
    roles = tmp_path / "roles.txt"
    roles.write_text('[[role]]\nname = "a"\nrpcs = ["GetPolicy"]\npolicies = ["brief"]\n')
    done = run("authz", "test", "--roles", roles, "--rpc", "GetPolicy", "--identity", DESK)
    assert done.status == 2
    assert f"{roles}:4: role.0.policies.0: no policy is named 'brief'" in done.stderr


def test_without_a_document_it_says_what_holds_then(run: Run) -> None:
    done = run(
        *("authz", "test", "--identity", DESK, "--rpc", "CheckEndpoint", "--host", "a.example")
    )
    assert done.status == 0
    assert "by role everyone (built in, without roles_file)" in done.stdout


def test_the_help_teaches(run: Run) -> None:
    done = run("authz", "test", "--help")
    for words in ("Exit status: 0 permitted, 1 not permitted", "--identity", "docs/callers.md"):
        assert words in done.stdout
