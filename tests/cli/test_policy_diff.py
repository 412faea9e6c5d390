"""otpc-policy policy diff: what two policies demand differently, in words, and the exit status."""

from pathlib import Path

import pytest

from otpc_policy.catalog.policies import load_builtin_policies
from otpc_policy.cli.policy_differences import differences
from otpc_policy.rpc.convert import policy_message
from otpc_policy.v1 import policy_pb2 as pb
from tests.cli.running import Run

TLS12_UNTIL_2032 = (
    "[rules.tls.minimum_version.parameters]\npermitted_versions = "
    '[{ name = "TLS 1.2", until = 2032-01-01T00:00:00Z }, "TLS 1.3"]\n'
)


def sentences(run: Run, *arguments: object) -> list[tuple[str, str]]:
    done = run("policy", "diff", *arguments)
    return [(each["rule"], each["sentence"]) for each in done.json["differences"]]


def document(directory: Path, name: str, text: str, base: str = "otpc-2024-12") -> Path:
    path = directory / f"{name}.toml"
    path.write_text(f'name = "{name}"\nextends = "{base}"\n{text}')
    return path


def test_effects_differ_in_words(run: Run) -> None:
    assert sentences(run, "otpc-2024-12", "otpc-2024-12-strict") == [
        (rule, f"{code} advises in otpc-2024-12 and denies in otpc-2024-12-strict")
        for rule, code in (
            ("cipher.outside_set", "CIPHER_SUITE_NOT_LISTED"),
            ("certificate.trust", "CERTIFICATE_TRUSTED_BY_PARTNER_ANCHOR"),
        )
    ]


def test_the_exit_status_says_whether_they_differ(run: Run, tmp_path: Path) -> None:
    assert run("policy", "diff", "otpc-2024-12", "otpc-2024-12-strict").status == 1
    same = run("policy", "diff", "otpc-2024-12", "otpc-2024-12")
    assert (same.status, same.json["differences"]) == (0, [])
    renamed = document(tmp_path, "renamed", 'title = "Another title"\n')
    assert run("policy", "diff", "otpc-2024-12", renamed).status == 0
    table = run("policy", "diff", "otpc-2024-12", renamed, "--format", "table").stdout
    assert "Both demand the same." in table


@pytest.mark.parametrize(
    ("text", "rule", "sentence"),
    [
        ("enforcing = false\n", "", "a enforces; b is report-only and denies nothing"),
        (
            "lifetimes.deny_s = 1.5\n",
            "",
            "results last as the service is set in a, 1.5 s in b",
        ),
        (
            'rules.https.served.severities.HTTPS_NOT_SERVED = "low"\n',
            "https.served",
            "HTTPS_NOT_SERVED has severity high in a, low in b",
        ),
        (
            "rules.certificate.key.parameters.rsa_minimum_bits = 3072\n",
            "certificate.key",
            "rsa_minimum_bits: 2048 in a, 3072 in b",
        ),
        (
            'rules.certificate.key.parameters.refused_key_types = ["DSA", "EDDSA"]\n',
            "certificate.key",
            "refused_key_types: only b has EDDSA",
        ),
        (
            TLS12_UNTIL_2032,
            "tls.minimum_version",
            "permitted_versions: TLS 1.2 without end in a, until 2032-01-01 00:00:00 UTC in b",
        ),
        (
            'rules.certificate.lifetime.effects.CERTIFICATE_LIFETIME_TOO_LONG = "deny"\n',
            "certificate.lifetime",
            'off in a; in b CERTIFICATE_LIFETIME_TOO_LONG denies; maximum_days = "sc-081v3"',
        ),
        (
            'rules.https.served.effects.HTTP_NOT_OBSERVABLE = "off"\n',
            "https.served",
            "HTTP_NOT_OBSERVABLE advises in a and is off in b",
        ),
    ],
)
def test_each_kind_of_difference_is_one_sentence(
    run: Run, tmp_path: Path, text: str, rule: str, sentence: str
) -> None:
    one, other = document(tmp_path, "a", ""), document(tmp_path, "b", text)
    assert sentences(run, one, other) == [(rule, sentence)]


@pytest.mark.parametrize(
    "text",
    [
        'rules.tls.minimum_version.parameters.permitted_versions = ["TLS 1.3", "TLS 1.2"]\n',
        'rules.tls.served.citation = "elsewhere"\n',
        "rules.certificate.lifetime.parameters.maximum_days = 90\n",
    ],
)
def test_what_changes_no_verdict_is_no_difference(run: Run, tmp_path: Path, text: str) -> None:
    one, other = document(tmp_path, "a", ""), document(tmp_path, "b", text)
    assert run("policy", "diff", one, other).status == 0


def test_the_table_has_the_same_sentences(run: Run) -> None:
    done = run("policy", "diff", "mozilla-intermediate", "mozilla-modern", "--format", "table")
    assert done.status == 1
    words = " ".join(done.stdout.split())
    for _, sentence in sentences(run, "mozilla-intermediate", "mozilla-modern"):
        assert sentence in words
    assert "only mozilla-intermediate has TLS 1.2" in words


def test_names_of_a_service_are_compared_too(run: Run, service: str) -> None:
    names = ("otpc-2024-12", "otpc-2024-12-strict")
    assert sentences(run, *names, "--server", service) == sentences(run, *names)


@pytest.mark.parametrize("place", [0, 1])
def test_a_policy_or_document_that_cannot_be_used_exits_with_2(
    run: Run, tmp_path: Path, place: int
) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("name = \n")
    for wrong, words in (
        ("otpc-2024-21", "there are: bsi-tr-02102-2"),
        (tmp_path / "none.toml", "No such file"),
        (broken, "broken.toml:1"),
    ):
        names: list[object] = ["otpc-2024-12", "otpc-2024-12"]
        names[place] = wrong
        done = run("policy", "diff", *names)
        assert (done.status, done.stdout) == (2, "")
        assert words in done.stderr


def test_help_explains_the_exit_status(run: Run) -> None:
    text = " ".join(run("policy", "diff", "--help").stdout.split())
    assert "Exit status: 0 both demand the same, 1 they differ, 2 a policy" in text


def test_a_policy_of_another_release_is_compared_as_far_as_both_know_it() -> None:
    first = policy_message(load_builtin_policies().get("nist-800-52r2"))
    older = pb.Policy()
    older.CopyFrom(first)
    older.name = "older"
    for number, rule in enumerate(older.rules):
        if rule.id == "tls.required_version":
            del older.rules[number]
            break
    older.rules[0].parameters.append("no_toml = <what>")
    found = {(each.rule, each.about): each.sentence for each in differences(first, older)}
    assert found == {
        ("tls.required_version", ""): "nist-800-52r2 has the rule (TLS_VERSION_NOT_OFFERED denies;"
        ' versions = ["TLS 1.3"]); older does not know it',
        ("tls.served", "no_toml"): "no_toml: not set in nist-800-52r2, <what> in older",
    }
    assert ("tls.required_version", "") in {
        (each.rule, each.about) for each in differences(older, first)
    }


def test_a_code_that_one_release_knows_is_a_difference_from_either_side() -> None:
    newer = policy_message(load_builtin_policies().get("otpc-2024-12"))
    older = pb.Policy()
    older.CopyFrom(newer)
    rule = next(rule for rule in older.rules if rule.id == "certificate.revocation")
    rule.codes.remove(next(code for code in rule.codes if code.code == "CERTIFICATE_REVOKED"))
    for pair in ((newer, older), (older, newer)):
        assert ("certificate.revocation", "CERTIFICATE_REVOKED") in {
            (each.rule, each.about) for each in differences(*pair)
        }


def test_ends_that_differ_by_less_than_a_second_differ(run: Run, tmp_path: Path) -> None:
    """A judgement ends at the instant itself, so a document may not be read as another one."""
    versions = 'rules.tls.minimum_version.parameters.permitted_versions = ["TLS 1.3", {}]'
    end = '{{ name = "TLS 1.2", until = 2032-01-01T00:00:00{}Z }}'
    one, other = (
        document(tmp_path, name, versions.format(end.format(fraction)))
        for name, fraction in (("one", ""), ("other", ".5"))
    )
    assert run("policy", "diff", one, other).status == 1
