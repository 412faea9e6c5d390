"""The debug page: JSON by section, and a refusal that says how to turn it on."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus

from otpc_policy.ops.debug_page import DebugPage, page_that_is_off


async def _first(query: Mapping[str, str]) -> object:
    return {"host": query.get("host"), "at": datetime(2026, 1, 1, tzinfo=UTC)}


async def _second(_query: Mapping[str, str]) -> object:
    return ["\u202e", 1]


PAGE = DebugPage({"first": _first, "second": _second})


async def test_all_sections_or_the_one_that_is_named() -> None:
    whole = await PAGE.page({"host": "a.example"})
    assert (whole.status, whole.content_type) == (HTTPStatus.OK, "application/json")
    assert json.loads(whole.body) == {
        "first": {"host": "a.example", "at": "2026-01-01 00:00:00+00:00"},
        "second": ["\u202e", 1],
    }
    assert whole.body.isascii()
    assert list(json.loads((await PAGE.page({"section": "second"})).body)) == ["second"]


async def test_an_unknown_section_is_refused_with_those_that_there_are() -> None:
    refused = await PAGE.page({"section": "third"})
    assert refused.status is HTTPStatus.NOT_FOUND
    assert refused.body == b"no such section; expected one of first, second\n"


async def test_a_page_that_is_off_names_the_setting() -> None:
    off = await page_that_is_off({})
    assert off.status is HTTPStatus.NOT_FOUND
    assert b"debug_page" in off.body
