"""The page of components: one line each, bounded, in the form that Kubernetes' own pages have."""

from otpc_policy.ops.components import Component, verbose_page


def test_each_component_has_a_line_and_the_last_line_is_the_check() -> None:
    components = [
        Component("lifecycle"),
        Component("engines", "no worker is alive"),
        Component("configuration", "refused", is_required=False),
    ]
    assert verbose_page("readyz", "no worker is alive", components) == (
        "[+]lifecycle ok\n"
        "[-]engines failed: no worker is alive\n"
        "[-]configuration failed: refused (not required to be ready)\n"
        "readyz check failed: no worker is alive\n"
    )
    assert verbose_page("readyz", "", components[:1]) == "[+]lifecycle ok\nreadyz check passed\n"


def test_a_reason_is_one_short_line_whatever_it_holds() -> None:
    page = verbose_page("readyz", "", [Component("a", "one\n[+]b ok\n" + "x" * 1_000)])
    first, last = page.splitlines()
    assert first.startswith("[-]a failed: one [+]b ok xxx")
    assert len(first) < 250
    assert last == "readyz check passed"


def test_engines_without_number_do_not_make_the_page_long() -> None:
    page = verbose_page("readyz", "", [Component(f"engine {n}") for n in range(1_000)])
    assert page.splitlines()[-2:] == ["(900 more are left out)", "readyz check passed"]
    assert len(page.splitlines()) == 102
