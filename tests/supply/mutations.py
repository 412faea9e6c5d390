"""Remove one control at a time and run the test that holds it; the test must fail.

    python -m tests.supply.mutations [--write docs/mutations.md] [NAME ...]

Each mutation is a textual change to a copy of the package in a temporary folder. Its test runs
twice there: against the copy as it is, where it must pass, and against the changed copy, where it
must fail by an assertion or an exception of the test, not because nothing could be imported. A
mutation whose text is no longer found ends the run: it has to follow the code.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Longer than any of these tests takes; a control whose absence makes its test hang has failed it.
_TIMEOUT_S = 100
_PASSED, _FAILED = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One control removed. name: what is lost. file: below folder. test: its node id."""

    name: str
    file: str
    old: str
    new: str
    test: str
    folder: str = "otpc_policy"


MUTATIONS: Sequence[Mutation] = (
    Mutation(
        name="every address may be dialled",
        file="core/addresses.py",
        old="if kind is AddressClass.GLOBAL:",
        new="if True:",
        test="tests/core/test_addresses.py::test_whatever_is_not_plainly_global_unicast_is_forbidden",
    ),
    Mutation(
        name="an opened range opens metadata addresses",
        file="core/addresses.py",
        old="None if kind is AddressClass.METADATA else self._opened_for(one)",
        new="self._opened_for(one)",
        test="tests/core/test_addresses.py::test_metadata_addresses_are_never_reopened_in_any_form",
    ),
    Mutation(
        name="the front believes an engine's addresses",
        file="measurement/resolution_codec.py",
        old="if isinstance(address, ForbiddenAddress):",
        new="if False:",
        test=(
            "tests/measurement/test_resolution_codec.py"
            "::test_an_address_that_the_front_does_not_open_is_forbidden_whatever_the_engine_opens"
        ),
    ),
    Mutation(
        name="the dialler connects to any object that looks like an address",
        file="engine/egress/dialler.py",
        old="if type(address) is not VettedAddress:",
        new="if False:",
        test="tests/engine/test_dialler.py::test_what_only_looks_like_a_vetted_address_is_refused",
    ),
    Mutation(
        name="the dialler accepts any peer",
        file="engine/egress/dialler.py",
        old="if peer != address and ",
        new="if False and ",
        test="tests/engine/test_dialler.py::test_a_peer_that_is_not_the_vetted_address_is_refused",
    ),
    Mutation(
        name="the service's own ports are measured",
        file="ops/own_listeners.py",
        old="return any(self._reaches(one, hosts) for one in targets)",
        new="return False",
        test=(
            "tests/ops/test_own_listeners.py"
            "::test_a_connection_reaches_a_listener_by_port_and_every_form_of_its_address"
        ),
    ),
    Mutation(
        name="any identity may call any method",
        file="rpc/authorisation.py",
        old="if row is None or not access.permissions_of(caller).may_call(row):",
        new="if row is None:",
        test=(
            "tests/rpc/test_roles.py"
            "::test_each_kind_of_identity_may_call_what_its_role_names_and_nothing_else"
        ),
    ),
    Mutation(
        name="a role permits every endpoint and policy",
        file="rpc/authorisation.py",
        old="if missing := permissions.missing(demand):",
        new="if (missing := permissions.missing(demand)) and False:",
        test=(
            "tests/rpc/test_roles.py"
            "::test_a_check_needs_policy_endpoint_port_and_rights_by_itself_and_in_a_batch"
        ),
    ),
    Mutation(
        name="a method without a row is served",
        file="rpc/authorisation.py",
        old="for method in methods if method not in PERMISSIONS]",
        new="for method in methods if False]",
        test=(
            "tests/rpc/test_roles.py"
            "::test_every_method_has_a_row_and_one_without_cannot_be_registered"
        ),
    ),
    Mutation(
        name="no minimum policy judges",
        file="catalog/context.py",
        old="minimum_policy=_other_than(policy, self.policies.minimum),",
        new="minimum_policy=None,",
        test=(
            "tests/catalog/test_minimum_policy.py"
            "::test_a_report_only_policy_that_a_caller_names_keeps_the_verdict_of_the_floor"
        ),
    ),
    Mutation(
        name="a signature by any key counts",
        file="catalog/signatures.py",
        old="            except InvalidSignature:\n                continue\n",
        new="            except InvalidSignature:\n                pass\n",
        test=(
            "tests/catalog/test_signatures.py"
            "::test_a_document_without_a_good_signature_is_refused_by_name"
        ),
    ),
    Mutation(
        name="a key that everyone may read is used",
        file="ops/secret_files.py",
        old="if mode & stat.S_IRWXO:",
        new="if False:",
        test=(
            "tests/ops/test_credentials.py"
            "::test_a_key_that_every_user_may_read_or_change_is_refused"
        ),
    ),
    Mutation(
        name="a caller may have any number of targets measured",
        file="check/caller_limits.py",
        old="if len(targets) >= self._bounds.targets_per_hour:",
        new="if False:",
        test=(
            "tests/check/test_caller_limits.py"
            "::test_targets_are_counted_once_an_hour_and_by_machine"
        ),
    ),
    Mutation(
        name="a caller may take all bytes of answers",
        file="rpc/wire_budget.py",
        old="case Room.SHARE_USED:",
        new="case Room.SHARE_USED if False:",
        test=(
            "tests/rpc/test_wire_budget.py"
            "::test_one_caller_leaves_some_for_the_next_and_a_machine_for_others"
        ),
    ),
    Mutation(
        name="turns do not depend on what a caller holds",
        file="engines/fair_queue.py",
        old="return self._held_by_group(group), self._served[scan_class, group, None]",
        new="return 0, 0",
        test=("tests/engines/test_fair_queue.py::test_whoever_holds_fewer_places_comes_first"),
    ),
    Mutation(
        name="judging costs nothing",
        file="pki/budget.py",
        old="if units > self.left_for(on):",
        new="if False:",
        test=(
            "tests/pki/test_budget.py"
            "::test_a_step_that_costs_all_that_is_left_is_taken_and_one_more_unit_is_not"
        ),
    ),
    Mutation(
        name="a CRL counts whoever signed it",
        file="pki/crl.py",
        old="return named.hash_name in _SIGNING_HASHES and named.verifies(",
        new="return True or named.verifies(",
        test=(
            "tests/pki/test_crl.py::test_nothing_that_was_signed_can_be_changed_and_nothing_cut_off"
        ),
    ),
    Mutation(
        name="a signature that does not verify proves a key",
        file="engine/transport/key_proof.py",
        old="except (InvalidSignature, *_UNREADABLE):\n        return False",
        new="except (InvalidSignature, *_UNREADABLE):\n        return True",
        test="tests/engine/transport/test_key_proof.py::test_nothing_else_proves_it",
    ),
    Mutation(
        name="a certificate decompresses to any length",
        file="engine/transport/certificate_compression.py",
        old="if content is None or len(content) != size:",
        new="if content is None:",
        test=(
            "tests/engine/transport/test_certificate_compression.py"
            "::test_another_length_is_malformed"
        ),
    ),
    Mutation(
        name="a worker may speak of another target",
        file="engine/workers/statements.py",
        old="if statement.target != offer.target:",
        new="if False:",
        test=(
            "tests/engine/workers/test_statements.py"
            "::test_a_statement_about_another_target_is_a_lie"
        ),
    ),
    Mutation(
        name="an engine's counts are not bounded",
        file="measurement/checks.py",
        old="if value > limit:",
        new="if False:",
        test="tests/measurement/test_codec.py::test_what_breaks_the_contract_is_a_lie",
    ),
    Mutation(
        name="an engine at another place is believed",
        file="measurement/checks.py",
        old='require(named in ("", expected), f"perspective: another one than {expected}")',
        new="pass",
        test=("tests/engines/test_client.py::test_what_an_engine_says_of_another_place_is_a_lie"),
    ),
    Mutation(
        name="facts are of the place that they name",
        file="check/measurements.py",
        old="return replace(facts, perspective=self.perspective)",
        new="return facts if facts.perspective else replace(facts, perspective=self.perspective)",
        test=(
            "tests/check/test_perspectives.py"
            "::test_facts_are_of_the_place_that_was_asked_whatever_they_say"
        ),
    ),
    Mutation(
        name="facts serve every place",
        file="check/measurements.py",
        old="perspective=perspective,\n        )\n        for each in depths",
        new='perspective="",\n        )\n        for each in depths',
        test=(
            "tests/check/test_perspectives.py"
            "::test_each_place_has_its_own_verdict_and_a_request_that_names_none_has_the_default"
        ),
    ),
    Mutation(
        name="handshake workers may make any system call",
        file="engine/isolation/seccomp.py",
        old="(_RETURN, 0, 0, _RET_ERRNO | _EPERM)",
        new="(_RETURN, 0, 0, _RET_ALLOW)",
        test=(
            "tests/engine/test_isolation.py"
            "::test_a_handshake_worker_opens_connects_reads_and_starts_nothing"
        ),
    ),
    Mutation(
        name="a changed audit line is not noticed",
        file="ops/audit/chain.py",
        old="elif before.hash and _hash(before.hash, body) != link.hash:",
        new="elif False:",
        test="tests/ops/test_audit_chain.py::test_every_bit_of_a_line_counts",
    ),
    Mutation(
        name="an answer without ALLOW permits traffic",
        folder="clients/python/src/otpc_policy_client",
        file="judged.py",
        old="response.decision != pb.DECISION_ALLOW\n        or not _is",
        new="not _is",
        test="tests/client/test_calls.py::test_only_a_valid_allow_permits_traffic",
    ),
    Mutation(
        name="a caller decides whether it is traced",
        file="ops/tracing/tracer.py",
        old="if self._callers_may_sample:",
        new="if True:",
        test="tests/ops/test_tracing.py::test_which_calls_are_traced",
    ),
    Mutation(
        name="a lease is asked for by whatever token is left",
        file="fleet/tokens.py",
        old="return self._is_made_within(timedelta(), key, token)",
        new="return self._is_made_within(self._longest, key, token)",
        test="tests/fleet/test_leases.py::test_a_lease_that_nobody_heard_of_is_not_asked_for_by_a_name_that_will_end",
    ),
    Mutation(
        name="a cluster leads replicas anywhere in plain text",
        file="fleet/cluster.py",
        old="if address not in self._seeds and not self._is_permitted(address.host):",
        new="if False:",
        test=(
            "tests/fleet/test_connection.py"
            "::test_hosts_that_the_cluster_names_need_tls_beyond_this_machine"
        ),
    ),
    Mutation(
        name="slots are another replica's while connections are open under them",
        file="fleet/address_shares.py",
        old="self.peaks.append((settled_at_s, self.connections))",
        new="pass",
        test=(
            "tests/fleet/test_address_shares.py"
            "::test_a_share_shrinks_for_others_once_its_connections_have_ended"
        ),
    ),
    Mutation(
        name="a connection may meet any leaf",
        folder="clients/python/src/otpc_policy_client",
        file="keeping_terms.py",
        old="if leaf_sha256 not in judged.leaves:",
        new="if False:",
        test=(
            "tests/client/test_connecting.py"
            "::test_another_leaf_is_reported_and_the_new_answer_decides"
        ),
    ),
    Mutation(
        name="the client gives answers that have expired",
        folder="clients/python/src/otpc_policy_client",
        file="answer_cache.py",
        old="if now >= entry.until_s or self._wall_ns() >= entry.expires_ns:",
        new="if False:",
        test=(
            "tests/client/test_decisions.py"
            "::TestCache::test_it_gives_nothing_at_or_after_expiry_by_either_clock"
        ),
    ),
    Mutation(
        name="an answer from before a change is kept",
        folder="clients/python/src/otpc_policy_client",
        file="lookups.py",
        old="if not isinstance(outcome, Verdict) or flight.outdated:",
        new="if not isinstance(outcome, Verdict):",
        test=(
            "tests/client/test_decisions.py"
            "::TestLookups::test_a_change_parts_what_was_asked_before_from_what_is_asked_after"
        ),
    ),
)


def run_test(copy: Path, test: str) -> int:
    """Return pytest's exit code for one test of a copy; 1 where it hangs."""
    path = os.pathsep.join([str(copy), str(copy / "clients/python/src")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
    ]
    try:
        done = subprocess.run(
            [*command, test],
            cwd=copy,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _FAILED
    return done.returncode


def mutated(mutation: Mutation, source: str) -> str:
    """Return a module's text without the control. Raises ValueError if the text is not there."""
    if mutation.old not in source:
        raise ValueError(f"{mutation.name}: {mutation.file} no longer has {mutation.old!r}")
    return source.replace(mutation.old, mutation.new)


def is_caught(mutation: Mutation, copy: Path) -> bool:
    """Tell whether the test passes with the control and fails without it."""
    module = copy / mutation.folder / mutation.file
    intact = module.read_text(encoding="utf-8")
    if run_test(copy, mutation.test) != _PASSED:
        return False
    module.write_text(mutated(mutation, intact), encoding="utf-8")
    try:
        # Any other code means that the test could not be run, which proves nothing.
        return run_test(copy, mutation.test) == _FAILED
    finally:
        module.write_text(intact, encoding="utf-8")


def table(results: Mapping[str, bool], mutations: Iterable[Mutation]) -> str:
    """Return the results as Markdown."""
    rows = [
        "| what was removed | in | test that must fail | it did |",
        "|---|---|---|---|",
        *(
            f"| {each.name} | `{each.folder}/{each.file}` | `{each.test}` "
            f"| {'yes' if results[each.name] else '**no**'} |"
            for each in mutations
        ),
    ]
    return "\n".join(rows) + "\n"


_INTRODUCTION = """\
# Controls that were removed

Each row takes one control of [SECURITY.md](../SECURITY.md) out of a copy of the package and runs
the test that holds it. The test passes with the control and must fail without it. This table is
written by

    python -m tests.supply.mutations --write docs/mutations.md

and `tests/supply/test_mutations.py` checks in every run that each mutation still fits the code.
It says nothing of controls without a row, nor that a test notices every way to weaken one.

"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if every test failed without its control."""
    parser = argparse.ArgumentParser(prog="python -m tests.supply.mutations")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; all by default")
    parser.add_argument("--write", type=Path, help="write the table to this file")
    options = parser.parse_args(arguments)
    chosen = [each for each in MUTATIONS if not options.names or each.name in options.names]
    results: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("clients", "otpc_policy", "tests", "docs", "deploy", "protos"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", copy)
        for each in chosen:
            results[each.name] = is_caught(each, copy)
            print("caught" if results[each.name] else "MISSED", each.name, flush=True)
    if options.write is not None:
        options.write.write_text(_INTRODUCTION + table(results, chosen), encoding="utf-8")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
