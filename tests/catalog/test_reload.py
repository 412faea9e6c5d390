"""A reload replaces everything that judges, at once, or nothing of it."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from otpc_policy.app.settings import Settings
from otpc_policy.catalog.load import CatalogLoader
from otpc_policy.catalog.partners.deadlines import DeadlineKind
from otpc_policy.catalog.reload import Reloader
from otpc_policy.core.errors import ConfigurationError
from tests.catalog.reloading import BAD, GOOD, MountedFolder, Observer
from tests.support.certificates import CertificateAuthority

NOW = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> MountedFolder:
    mounted = MountedFolder(tmp_path / "partners")
    mounted.swap(bank=GOOD)
    return mounted


def reloader(folder: MountedFolder, observer: Observer | None = None, **settings: Any) -> Reloader:
    return Reloader(
        CatalogLoader(Settings(partners_dir=folder.path, **settings)),
        observer=observer or Observer(),
        now=lambda: NOW,
    )


async def until(holds: Any) -> None:
    """Wait for the watch, which reads files on a thread; bounded."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  # what is waited for is a thread and the file system
            await asyncio.sleep(0.005)


async def test_a_change_is_a_new_generation_and_the_old_one_stays_what_it_was(
    folder: MountedFolder,
) -> None:
    observer = Observer()
    held = reloader(folder, observer)
    before = held.current
    folder.swap(bank=GOOD, other=GOOD.replace("bank", "other"))
    after = await held.reload("test")
    assert after is held.current is not before
    assert (before.partners.find("api.other.example", 443), len(before.partners)) == (None, 1)
    assert after.partners.find("api.other.example", 443) is not None
    assert before.revision != after.revision
    assert (observer.loads, observer.reloads) == ([True, True], ["success"])


async def test_files_that_say_the_same_leave_the_generation_as_it_is(folder: MountedFolder) -> None:
    held = reloader(folder)
    before = held.current
    folder.swap(bank=GOOD)
    assert await held.reload("test") is before


async def test_what_cannot_be_used_leaves_the_last_good_generation_and_is_told_with_file_and_line(
    folder: MountedFolder,
) -> None:
    observer = Observer()
    held = reloader(folder, observer)
    before = held.current
    folder.swap(bank=BAD, good=GOOD.replace("bank", "good"))
    with structlog.testing.capture_logs() as logs, pytest.raises(ConfigurationError) as raised:
        await held.reload("test")
    (problem,) = raised.value.problems
    assert problem == f"{folder.path}/bank.toml:3: owner: must be text"
    assert held.current is before
    assert [(one["event"], one["log_level"], one["problems"], one["revision"]) for one in logs] == [
        ("configuration_refused", "error", [problem], before.revision)
    ]
    assert (observer.loads, observer.reloads) == ([True, False], ["failure"])
    folder.swap(bank=GOOD)
    assert await held.reload("test") is before
    assert observer.loads[-1] is True


async def test_validation_changes_nothing_and_counts_nothing(folder: MountedFolder) -> None:
    observer = Observer()
    held = reloader(folder, observer)
    before = held.current
    folder.swap(bank=GOOD + "# another text\n")
    assert (await held.validate()).revision != before.revision
    folder.swap(bank=BAD)
    with pytest.raises(ConfigurationError):
        await held.validate()
    assert (held.current, observer.loads, observer.reloads) == (before, [True], [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            GOOD + 'policy = "nope"\n',
            "bank.toml:4: policy: no policy is named 'nope'; expected one of bsi-tr-02102-2",
        ),
        ("", "bank.toml:1: id: is missing"),
        (
            GOOD + '[[trusted]]\nca_pem = "x"\nnote = "n"\n',
            "bank.toml:5: trusted.0.ca_pem: holds no certificate",
        ),
    ],
)
async def test_a_first_load_that_fails_ends_the_start(
    folder: MountedFolder, text: str, problem: str
) -> None:
    folder.swap(bank=text)
    with pytest.raises(ConfigurationError) as raised:
        reloader(folder)
    assert any(one.startswith(f"{folder.path}/{problem}") for one in raised.value.problems), (
        raised.value.problems
    )


async def test_a_minimum_that_denies_nothing_is_told_at_the_start_and_at_each_change(
    folder: MountedFolder, tmp_path: Path
) -> None:
    policy = tmp_path / "trial.toml"
    enforced = 'name = "trial"\nextends = "otpc-2024-12"\n'
    policy.write_text(enforced + "enforcing = false\n", encoding="utf-8")
    with structlog.testing.capture_logs() as logs:
        held = reloader(folder, policy_files=[policy], minimum_policy="trial")
        policy.write_text(enforced, encoding="utf-8")
        await held.reload("test")
        policy.write_text(enforced + "enforcing = false\n", encoding="utf-8")
        await held.reload("test")
        await held.reload("test")
    told = [line["policy"] for line in logs if line["event"] == "minimum_policy_denies_nothing"]
    assert told == ["trial", "trial"]


async def test_an_emptied_folder_is_refused(folder: MountedFolder) -> None:
    held = reloader(folder)
    folder.swap()
    with pytest.raises(ConfigurationError, match="contains no documents"):
        await held.reload("test")
    assert len(held.current.partners) == 1


async def test_policies_and_anchors_are_reloaded_with_the_partners(
    folder: MountedFolder, tmp_path: Path
) -> None:
    policies = MountedFolder(tmp_path / "policies")
    policies.swap(own='name = "own"\nextends = "otpc-2024-12"\n')
    anchor = tmp_path / "anchor.pem"
    anchor.write_bytes(CertificateAuthority.create("First").pem)
    held = reloader(
        folder, policies_dir=policies.path, trust=[{"hosts": "a.test", "anchor_file": str(anchor)}]
    )
    first = held.current
    folder.swap(bank=GOOD + 'policy = "new"\n')
    with pytest.raises(ConfigurationError, match="no policy is named 'new'"):
        await held.reload("test")
    policies.swap(own='name = "new"\nextends = "otpc-2024-12"\n')
    second = await held.reload("test")
    assert (
        "own" in first.policies.policies,
        "new" in second.policies.policies,
        "own" in second.policies.policies,
    ) == (True, True, False)
    anchor.write_bytes(CertificateAuthority.create("Second").pem)
    third = await held.reload("test")
    assert second.trust.entries[0].anchors != third.trust.entries[0].anchors


async def test_policy_tests_beside_the_policies_must_pass_before_a_swap(
    folder: MountedFolder, tmp_path: Path
) -> None:
    policies = MountedFolder(tmp_path / "policies")
    policies.swap(own='name = "own"\nextends = "otpc-2024-12"\n')
    held = reloader(folder, policies_dir=policies.path)
    first = held.current
    (policies.path / "own.test.toml").write_text("nonsense = 1\n")
    with pytest.raises(ConfigurationError, match=r"own\.test\.toml"):
        await held.reload("test")
    assert held.current is first


async def test_the_watch_sees_a_swapped_link_a_changed_file_and_a_mended_one(
    folder: MountedFolder,
) -> None:
    observer = Observer()
    held = reloader(folder, observer)
    watch = asyncio.create_task(held.watch(0.01))
    try:
        folder.swap(bank=GOOD, other=GOOD.replace("bank", "other"))
        await until(lambda: len(held.current.partners) == 2)
        with (folder.path / "other.toml").open("a") as file:
            file.write("wrong = 1\n")
        await until(lambda: observer.loads[-1] is False)
        complaints = observer.reloads.count("failure")
        await asyncio.sleep(0.1)
        # A bad set is complained of once, not at every look.
        assert observer.reloads.count("failure") == complaints
        assert len(held.current.partners) == 2
        folder.swap(bank=GOOD)
        await until(lambda: len(held.current.partners) == 1)
    finally:
        watch.cancel()


async def test_validation_does_not_hide_a_change_from_the_watch(folder: MountedFolder) -> None:
    held = reloader(folder)
    folder.swap(bank=GOOD, other=GOOD.replace("bank", "other"))
    await held.validate()
    watch = asyncio.create_task(held.watch(0.01))
    try:
        await until(lambda: len(held.current.partners) == 2)
    finally:
        watch.cancel()


async def test_a_bug_in_a_load_is_counted_and_ends_neither_the_watch_nor_the_service(
    folder: MountedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer = Observer()
    held = reloader(folder, observer)
    watch = asyncio.create_task(held.watch(0.01))
    try:
        with monkeypatch.context() as broken, structlog.testing.capture_logs() as logs:
            broken.setattr("otpc_policy.catalog.load.load_trust", lambda _settings: 1 / 0)
            held.ask()
            await until(lambda: observer.reloads == ["failure"])
        assert [one["event"] for one in logs] == ["configuration_reload_failed"]
        folder.swap(bank=GOOD, other=GOOD.replace("bank", "other"))
        await until(lambda: len(held.current.partners) == 2)
    finally:
        watch.cancel()


async def test_whoever_asks_gets_a_reload_though_nothing_is_polled(folder: MountedFolder) -> None:
    held = reloader(folder)
    watch = asyncio.create_task(held.watch(0))
    try:
        folder.swap(bank=GOOD, other=GOOD.replace("bank", "other"))
        held.ask()
        await until(lambda: len(held.current.partners) == 2)
    finally:
        watch.cancel()


async def test_a_document_that_did_not_change_is_not_read_anew(folder: MountedFolder) -> None:
    held = reloader(folder)
    before = held.current.partners.documents[0]
    folder.swap(bank=GOOD, other=GOOD.replace("bank", "other"))
    after = (await held.reload("test")).partners.documents
    assert [one is before for one in after] == [True, False]


async def test_the_next_end_is_told_by_kind(folder: MountedFolder) -> None:
    authority = CertificateAuthority.create()
    ends = NOW + timedelta(days=2)
    pins = "".join(
        f'[[trusted]]\nspki_sha256 = "{digit * 64}"\nnote = "n"\nends = {at.isoformat()}\n'
        for digit, at in (("a", ends), ("c", NOW))
    )
    folder.swap(
        bank=GOOD + pins + f"[[trusted]]\nca_pem = '''\n{authority.pem.decode()}'''\nnote = \"n\"\n"
    )
    held = reloader(folder)
    assert held.seconds_until_next_end(DeadlineKind.PIN) == timedelta(days=2).total_seconds()
    assert (held.ended(DeadlineKind.PIN), held.ended(DeadlineKind.ANCHOR)) == (1, 0)
    assert (
        held.seconds_until_next_end(DeadlineKind.ANCHOR)
        == held.seconds_until_next_end(DeadlineKind.WAIVER)
        == float("inf")
    )


async def test_a_broken_file_among_thousands_is_told_alone(tmp_path: Path) -> None:
    folder = tmp_path / "partners"
    folder.mkdir()
    for number in range(800):
        (folder / f"p{number:05d}.toml").write_text(GOOD.replace("bank", f"bank{number}"))
    held = Reloader(
        CatalogLoader(Settings(partners_dir=folder)), observer=Observer(), now=lambda: NOW
    )
    assert len(held.current.partners) == 800
    (folder / "p00123.toml").write_text(BAD)
    with pytest.raises(ConfigurationError) as raised:
        await held.reload("test")
    assert raised.value.problems == (f"{folder}/p00123.toml:3: owner: must be text",)
    os.unlink(folder / "p00123.toml")
    assert len((await held.reload("test")).partners) == 799
