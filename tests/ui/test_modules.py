"""What the page decides by itself agrees with the server: patterns, and where a payload begins and ends."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from bus.patterns import contains
from tests.support import ServerProcess

SEGMENT = st.sampled_from(["a", "b", "*"])
PATTERN = st.builds(
    lambda middle, last: ".".join(["app", *middle, last]),
    st.lists(SEGMENT, max_size=3),
    st.sampled_from(["a", "*", ">"]),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
SPACES = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")])


@pytest.fixture(scope="module")
def modules(browser: Browser, bus: ServerProcess) -> Iterator[Page]:
    """A page that the dashboard's modules can be imported into."""
    page = browser.new_page()
    page.goto(f"{bus.url}/ui/")
    yield page
    page.close()


@settings(max_examples=50)
@given(pairs=st.lists(st.tuples(PATTERN, PATTERN), min_size=20, max_size=20))
def test_patterns_contain_each_other_as_the_server_says(modules: Page, pairs: list[tuple[str, str]]) -> None:
    asked = """async pairs => {
        const { contains } = await import('./store.js')
        return pairs.map(pair => contains(...pair)) }"""
    assert modules.evaluate(asked, pairs) == [contains(wide, narrow) for wide, narrow in pairs]


@settings(max_examples=50)
@given(payloads=st.lists(JSON, min_size=1, max_size=10), spaces=SPACES)
def test_payloads_are_cut_out_as_they_stand(modules: Page, payloads: list[object], spaces: tuple[str, str]) -> None:
    texts = [json.dumps(payload, separators=spaces) for payload in payloads]
    lines = [f'{{"id":"e_1","subject":"app.a","payload":{text},"created_at":"…","index":1}}' for text in texts]
    cut = """async ([page, lines]) => { const { EventLine, readPage } = await import('./event_line.js')
        return [readPage(page), { rows: lines.map(line => new EventLine(line)), next: 7 }].map(
            ({ rows, next }) => [...rows.map(row => row.payloadText), next]) }"""
    page = f'{{"events":[{",".join(lines)}],"next":7}}'
    assert modules.evaluate(cut, [page, lines]) == [[*texts, 7], [*texts, 7]]
