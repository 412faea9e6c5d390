"""What is counted in plain integers is written as prometheus_client's own classes write it."""

from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from otpc_policy.ops.metrics.tallies import Distribution, Distributions, Observed, Tallies

BOUNDS = (0.1, 1, 2.5)


def test_a_counter_is_written_as_the_librarys() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    text, names = 'A "text".\nOf two lines.', ("x", "y")
    counter = Tallies("a_total", text, names, registry=ours)
    of_library = Counter("a_total", text, names, registry=theirs)
    for values, count in ((("q", "r"), 3), (('"', "\\\n"), 1), (("never", ""), 0)):
        tally = counter.labels(*values)
        for _ in range(count):
            tally.inc()
        of_library.labels(*values).inc(count)
    assert _written(ours) == _written(theirs)


@pytest.mark.parametrize("label_names", [(), ("x",)])
def test_a_histogram_is_written_as_the_librarys_at_and_beside_each_bound(
    label_names: tuple[str, ...],
) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    values = ("v",) * len(label_names)
    distribution = Distributions(
        "a_seconds", "A text.", label_names, bounds=BOUNDS, registry=ours
    ).labels(*values)
    of_library = Histogram("a_seconds", "A text.", label_names, buckets=BOUNDS, registry=theirs)
    child = of_library.labels(*values) if label_names else of_library
    between = [(low + high) / 2 for low, high in pairwise(BOUNDS)]
    for amount in (0.0, *BOUNDS, *between, 2.6, float("inf")):
        distribution.observe(amount)
        child.observe(amount)
        assert _written(ours) == _written(theirs)


def test_a_bucket_has_the_last_observation_that_can_be_looked_up() -> None:
    registry = CollectorRegistry()
    distribution = Distributions("a_seconds", "A text.", (), bounds=BOUNDS, registry=registry)
    series = distribution.labels()
    series.observe(0.05)
    series.observe(0.5, Observed("ab" * 16, "first"))
    series.observe(0.6, Observed(check_id="second"))
    series.observe(0.7)
    series.observe(9.0, Observed("cd" * 16))
    text: bytes = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
    (family,) = text_string_to_metric_families(text.decode())  # type: ignore[no-untyped-call]
    found = {
        sample.labels["le"]: (sample.exemplar.labels, sample.exemplar.value)
        for sample in family.samples
        if sample.exemplar
    }
    assert found == {"1.0": ({"check_id": "second"}, 0.6), "+Inf": ({"trace_id": "cd" * 16}, 9.0)}
    assert " # " not in generate_latest(registry).decode()


def test_an_exemplar_says_when() -> None:
    distribution = Distribution(BOUNDS, lambda: 1234.5)
    distribution.observe(2.0, Observed("t", "c"))
    assert distribution.exemplars[2] == (Observed("t", "c"), 2.0, 1234.5)


def test_a_name_is_registered_once() -> None:
    registry = CollectorRegistry()
    Tallies("a_total", "A text.", (), registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Tallies("a_total", "A text.", (), registry=registry)
    Distributions("b", "A text.", (), bounds=BOUNDS, registry=registry)
    with pytest.raises(ValueError, match="Duplicated"):
        Distributions("b", "A text.", (), bounds=BOUNDS, registry=registry)


def _written(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]
