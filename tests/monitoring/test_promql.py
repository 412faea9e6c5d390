"""What a query reads, and that a name which is not exported is found."""

import pytest

from tests.monitoring.promql import Selector, exported, faults, reads

THERE = exported(
    "# TYPE a_total counter\n"
    'a_total{x="1",y="q"} 0\na_total{x="2",y="r"} 0\n'
    "# TYPE b gauge\nb 1\n"
    '# TYPE c histogram\nc_bucket{le="0.5"} 0\nc_bucket{le="+Inf"} 0\nc_sum 0\nc_count 0\n'
)


def test_every_metric_of_a_query_is_found_with_its_matchers_and_no_function_is_one() -> None:
    read = reads(
        """histogram_quantile(
            0.99, sum by (job, le) (rate(c_bucket{x=~"1|2", y!="{q}"}[5m] offset 1h))
        )
        > bool 1e3 and on (job) group_left (x) b  # a comment with a_name
        or job:a:rate5m == +Inf unless sum(b) without(z)"""
    )
    assert read.selectors == [
        Selector("c_bucket", (("x", "=~", "1|2"), ("y", "!=", "{q}"))),
        Selector("b"),
        Selector("job:a:rate5m"),
        Selector("b"),
    ]
    assert read.labels == {"job", "le", "x", "z"}


@pytest.mark.parametrize(
    "query",
    [
        'rate(a_total{x="1", job=~".*p", instance="h"}[5m])',
        'sum by (namespace, x) (a_total{x=~"1|2"}) / on (x) a_total',
        "histogram_quantile(0.5, sum by (le) (rate(c_bucket[1m]))) > 0 and c_count > b and up",
    ],
)
def test_a_query_of_what_is_there_has_no_fault(query: str) -> None:
    assert faults(query, THERE) == []


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("rate(a[5m])", "no metric a"),
        ("c > 0", "no metric c"),
        ('a_total{z="1"}', "a_total has no label z"),
        ('a_total{x="3"}', 'a_total has no x="3"'),
        ('a_total{x=~"1|3"}', 'a_total has no x like "3"'),
        ('c_bucket{le="0.6"}', 'c_bucket has no le="0.6"'),
        ("sum by (z) (a_total)", "no label z"),
    ],
)
def test_what_is_not_there_is_a_fault(query: str, fault: str) -> None:
    assert faults(query, THERE) == [fault]


@pytest.mark.parametrize("query", ['{x="1"}', "a ; b", 'a{x="1'])
def test_what_cannot_be_read_is_an_error(query: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        reads(query)
