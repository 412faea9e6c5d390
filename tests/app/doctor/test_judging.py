"""What the doctor makes of what it finds: tables with their boundaries."""

from datetime import UTC, date, datetime, timedelta

import pytest

from otpc_policy.app.doctor.ages import (
    REGISTRIES_GROW_OLD,
    ROOTS_GROW_OLD,
    _limits,
    _registries,
    _roots,
)
from otpc_policy.app.doctor.clock import HttpsPeer
from otpc_policy.app.doctor.clock import judged as judged_clock
from otpc_policy.app.doctor.engines import judged as judged_names
from otpc_policy.app.doctor.result import Status, failed, ok, skipped, warning, worst
from otpc_policy.app.doctor.sandbox import judged as judged_sandbox
from otpc_policy.app.settings.values import IsolationLevel
from otpc_policy.core.addresses import Resolution
from otpc_policy.core.facts import ResolutionFailure, ResolutionStatus
from otpc_policy.core.registries.states import registry_states

AT = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
PEER = HttpsPeer(host="time.example")


def test_a_failure_is_worse_than_a_warning_and_that_than_what_was_skipped() -> None:
    results = [ok("a", ""), skipped("b", ""), warning("c", "", ""), failed("d", "", "")]
    assert [worst(results[: n + 1]) for n in range(4)] == list(Status)
    assert worst(reversed(results)) is Status.FAILED
    assert worst([]) is Status.OK


@pytest.mark.parametrize(
    ("ahead_s", "took_s", "status", "words"),
    [
        (0.0, 0.0, Status.OK, "apart by no more"),
        (0.9, 0.1, Status.OK, "apart by no more"),
        (6.0, 0.0, Status.OK, "5 s ahead of"),
        (6.1, 0.0, Status.WARNING, "5 s ahead of"),
        (-5.0, 0.0, Status.OK, "5 s behind"),
        (-5.1, 0.0, Status.WARNING, "5 s behind"),
        (61.0, 0.0, Status.WARNING, "60 s ahead of"),
        (61.1, 0.0, Status.FAILED, "60 s ahead of"),
        (-60.0, 0.0, Status.WARNING, "60 s behind"),
        (-60.1, 0.0, Status.FAILED, "60 s behind"),
        # What the request took may be the whole difference.
        (-10.0, 10.0, Status.OK, "apart by no more"),
        (-90.0, 30.0, Status.WARNING, "60 s behind"),
    ],
)
def test_clocks_may_differ_by_what_a_date_cannot_tell(
    ahead_s: float, took_s: float, status: Status, words: str
) -> None:
    before = AT + ahead_s * SECOND
    found = judged_clock(PEER, AT, before, before + took_s * SECOND)
    assert (found.status, words in found.message) == (status, True), found


@pytest.mark.parametrize(
    ("level", "lacks", "status"),
    [
        (IsolationLevel.PREFER, False, Status.OK),
        (IsolationLevel.REQUIRE, False, Status.OK),
        (IsolationLevel.PREFER, True, Status.WARNING),
        (IsolationLevel.REQUIRE, True, Status.FAILED),
        (IsolationLevel.OFF, False, Status.WARNING),
    ],
)
def test_what_the_kernel_lacks_matters_as_the_settings_say(
    level: IsolationLevel, *, lacks: bool, status: Status
) -> None:
    found = {"no_new_privs": "", "landlock": "none here" if lacks else "", "seccomp": ""}
    result = judged_sandbox(found, level)
    assert result.status is status
    assert ("landlock: none here" in result.message) == lacks


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (ResolutionFailure.NONE, Status.OK),
        (ResolutionFailure.NXDOMAIN, Status.OK),
        (ResolutionFailure.NODATA, Status.OK),
        (ResolutionFailure.SERVFAIL, Status.WARNING),
        (ResolutionFailure.REFUSED, Status.WARNING),
        (ResolutionFailure.TIMEOUT, Status.FAILED),
        (ResolutionFailure.OTHER, Status.FAILED),
    ],
)
def test_name_servers_are_sound_if_they_answer_whatever_they_answer(
    failure: ResolutionFailure, status: Status
) -> None:
    found = Resolution(status=ResolutionStatus.FAILED, failure=failure)
    assert judged_names(found, "a.invalid", "192.0.2.53", 0.01).status is status


def test_every_failure_of_resolving_is_judged() -> None:
    for failure in ResolutionFailure:
        found = Resolution(status=ResolutionStatus.FAILED, failure=failure)
        assert judged_names(found, "a.invalid", "", 0.0).message


@pytest.mark.parametrize(
    ("version", "days", "status"),
    [
        ("2026.1.1", 180, Status.OK),
        ("2026.1.1", 181, Status.WARNING),
        ("2026.01.01.2", 0, Status.OK),
        ("2026.1.1", -1, Status.OK),
        ("3.0", 0, Status.WARNING),
        ("main", 0, Status.WARNING),
    ],
)
def test_roots_grow_old_by_the_day_of_their_package(
    version: str, days: int, status: Status
) -> None:
    assert _roots(date(2026, 1, 1) + timedelta(days=days), version).status is status


def test_limits_and_registries_grow_old() -> None:
    day = date(2026, 1, 1)
    document = {"as_of": day, "roots": [1, 2]}
    assert _limits(day + ROOTS_GROW_OLD, document).status is Status.OK
    assert _limits(day + ROOTS_GROW_OLD + timedelta(days=1), document).status is Status.WARNING
    dated = min(each.as_of for each in registry_states() if each.as_of is not None)
    assert _registries(dated + REGISTRIES_GROW_OLD).status is Status.OK
    old = _registries(dated + REGISTRIES_GROW_OLD + timedelta(days=1))
    assert (old.status, "366 days old" in old.message) == (Status.WARNING, True)
