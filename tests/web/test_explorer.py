"""The page at `/`, in a real browser: what is typed, clicked and read there."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from genrec.web.answers import Answers

from .conftest import hosted, serve

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: apt-get install chromium")

METRICS = {
    setting: {"users": users, "recall@10": recall, "ndcg@10": recall / 2}
    for setting, users, recall in (("all", 150, 0.25), ("warm", 140, 0.3), ("cold", 60, 0.125))
}
EVIL = '<img src=x onerror="document.title=1"><b>Kettle</b>'


@pytest.fixture(scope="module")
def answers(setrec: Path, tiger: Path) -> dict[str, Answers]:
    found = {name: hosted(run, name) for name, run in (("setrec", setrec), ("tiger", tiger))}
    found["setrec"].hosted.metrics = METRICS
    return found


@pytest.fixture(scope="module")
def address(answers: dict[str, Answers]) -> Iterator[str]:
    """One server for all."""
    server = uvicorn.Server(uvicorn.Config(serve(*answers.values()).app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One browser for all."""
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Open]:
    """Opens the page, in a window of its own; whatever it complains of is an error, and so is asking anybody else."""
    contexts, troubles = [], []

    def open_(rest: str = "", width: int = 1400, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: message.type == "error" and troubles.append(message.text))
        page.on("request", lambda asked: asked.url.startswith((address, "data:")) or troubles.append(asked.url))
        page.goto(f"{address}/{rest}")
        api.expect(page.locator("#lists .row")).not_to_have_count(0)
        return page

    yield open_
    for context in contexts:
        context.close()
    # A refusal is logged by the browser, too.
    assert [trouble for trouble in troubles if "404 (Not Found)" not in trouble] == []


def add(page: Any, *texts: str) -> None:
    for text in texts:
        page.locator("#search").fill(text)
        page.locator("#search").press("Enter")
        api.expect(page.locator("#search")).to_have_value("")


def listed(page: Any, run: str = "setrec") -> list[str]:
    page.locator("#lists:not([aria-busy])").wait_for()
    rows = page.locator(f'article[data-run="{run}"] .row')
    return rows.evaluate_all("rows => rows.map(row => row.dataset.key)")  # type: ignore[no-any-return]


@needs_browser
def test_three_items_are_found_and_ten_recommended(opened: Open, answers: dict[str, Answers]) -> None:
    page, served = opened(), answers["setrec"].hosted.served
    page.locator("#search").fill("kettle")
    option = page.locator("#found").get_by_role("option").first
    title = option.locator(".title").inner_text()
    assert "kettle" in title.lower()
    option.click()
    add(page, "item-7", "item-81")
    api.expect(page.locator("#taken li")).to_have_count(3)
    assert page.locator("#taken .title").first.inner_text() == title
    api.expect(page.locator("#status")).to_have_text("10 items for 3 items of history")
    taken = [served.catalog.keys[list(served.catalog.titles).index(title)], "item-7", "item-81"]
    assert listed(page) == served.recommend([taken], 10)["item"].to_list()
    page.get_by_role("button", name="Clear the history").click()
    api.expect(page.locator("#taken li")).to_have_count(0)


@needs_browser
def test_scores_are_told_slot_by_slot(opened: Open) -> None:
    page = opened("#took=item-3&took=item-7")
    row = page.locator(".row").first
    told = row.get_by_role("img").get_attribute("aria-label")
    values = [float(value.replace("\u2212", "-")) for value in re.findall(r"[\d.\u2212]+(?=,|$)", told)]
    assert re.sub(r"[\d.\u2212]+(?=,|$)", "#", told) == "collaborative #, semantic 1 #, semantic 2 #"
    score = float(row.locator(".score").inner_text().replace("\u2212", "-"))
    assert sum(values) == pytest.approx(score, rel=1e-2)
    assert row.locator(".bar").count() == 3
    row.locator(".title").click()
    table = page.locator("#item table.slots")
    api.expect(table.locator("tr")).to_have_count(4)
    assert table.locator("tr").last.inner_text().split() == ["score", row.locator(".score").inner_text()]


@needs_browser
def test_an_item_is_named_with_its_neighbours(opened: Open, answers: dict[str, Answers]) -> None:
    page = opened("#item=item-3")
    item, near = answers["tiger"].item("item-3"), answers["tiger"].similar("item-3", "text", 6)
    page.locator("#run").select_option("tiger")
    api.expect(page.locator("#item .name")).to_have_text(item["identifier"])
    api.expect(page.locator("#item")).to_contain_text("codes " + " ".join(map(str, item["codes"])))
    columns = page.locator("#item .near > div")
    assert columns.locator("h4").all_inner_texts() == ["Nearest by identifier", "Nearest by text"]
    assert columns.last.locator(".title").all_inner_texts() == [other["title"] for other in near["items"]]
    first, second = (columns.nth(place).bounding_box() for place in (0, 1))
    assert first["y"] == second["y"], "side by side"
    columns.last.locator(".title").first.click()
    api.expect(page.locator("#item h3")).to_have_text(near["items"][0]["title"])
    api.expect(page.locator("#item")).to_be_focused()


@needs_browser
def test_two_runs_stand_next_to_each_other(opened: Open, answers: dict[str, Answers]) -> None:
    page = opened("#took=item-3&took=item-7")
    page.locator("#other").select_option("tiger")
    api.expect(page.locator("#lists article")).to_have_count(2)
    lists = {name: listed(page, name) for name in answers}
    for name, each in answers.items():
        assert lists[name] == each.hosted.served.recommend([["item-3", "item-7"]], 10)["item"].to_list()
    for row in page.locator('article[data-run="tiger"] .row').all():
        key = row.get_attribute("data-key")
        there = f"there {lists['setrec'].index(key) + 1}" if key in lists["setrec"] else "only here"
        assert row.locator(".elsewhere").inner_text() == there
    boxes = [page.locator("#lists article").nth(place).bounding_box() for place in (0, 1)]
    assert boxes[0]["y"] == boxes[1]["y"], "side by side"
    page.reload()
    api.expect(page.locator("#lists article")).to_have_count(2)
    page.locator("#run").select_option("tiger")
    api.expect(page.locator("#lists article")).to_have_count(1)


@needs_browser
def test_what_was_measured_is_a_table(opened: Open) -> None:
    page = opened("#beside=tiger")
    rows = [row.inner_text().split() for row in page.locator("table.metrics tr").all()]
    assert rows[0] == ["recall@10", "ndcg@10", "users"]
    assert rows[1:] == [
        ["all", "setrec", "0.2500", "0.1250", "150"],
        ["warm", "setrec", "0.3000", "0.1500", "140"],
        ["cold", "setrec", "0.1250", "0.0625", "60"],
    ]
    page.locator("#run").select_option("tiger")
    api.expect(page.locator("#tables")).to_have_text(re.compile("Not tested"))


@needs_browser
def test_an_unknown_key_is_told(opened: Open, answers: dict[str, Answers]) -> None:
    page = opened()
    page.locator("#search").fill("no-such-key")
    page.locator("#search").press("Enter")
    api.expect(page.locator("#found-note")).to_have_text("nothing is called \u201cno-such-key\u201d")
    api.expect(page.locator("#taken li")).to_have_count(0)
    page = opened("#took=gone&took=item-3")
    api.expect(page.locator("#taken li").first).to_contain_text("gone is not in the catalogue")
    api.expect(page.locator("#lists")).to_contain_text("left out, as it is not in its catalogue: gone")
    assert listed(page) == answers["setrec"].hosted.served.recommend([["item-3"]], 10)["item"].to_list()
    page = opened("#item=gone")
    api.expect(page.locator("#item")).to_contain_text("there is no item `gone`")


@needs_browser
def test_an_empty_history_has_a_list_too(opened: Open, answers: dict[str, Answers]) -> None:
    page = opened()
    api.expect(page.locator("#status")).to_have_text("10 items for a user of whom nothing is known")
    assert listed(page) == answers["setrec"].hosted.served.recommend([[]], 10)["item"].to_list()


@needs_browser
def test_the_keyboard_is_enough(opened: Open) -> None:
    page = opened()
    press, focus = page.keyboard.press, lambda: page.evaluate("document.activeElement.id")
    for _ in range(4):
        press("Tab")
    assert focus() == "search"
    field = page.get_by_role("combobox", name="Add an item")
    options = page.locator("#found").get_by_role("option")
    press("ArrowDown")
    api.expect(options).to_have_count(8)
    assert field.get_attribute("aria-expanded") == "true"
    press("ArrowDown")
    api.expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    assert field.get_attribute("aria-activedescendant") == options.nth(1).get_attribute("id")
    press("ArrowUp")
    press("ArrowUp")
    api.expect(options.last).to_have_attribute("aria-selected", "true")
    title = options.last.locator(".title").inner_text()
    press("Enter")
    api.expect(page.locator("#taken .title")).to_have_text(title)
    assert focus() == "search"
    page.keyboard.type("piano")
    api.expect(options.first).to_contain_text("Piano")
    press("Escape")
    api.expect(options).to_have_count(0)
    assert field.input_value() == "piano"
    press("Escape")
    assert field.input_value() == ""
    page.keyboard.type("piano")
    press("Enter")
    api.expect(page.locator("#taken li")).to_have_count(2)
    for _ in range(2):
        press("Tab")
    press("Enter")
    api.expect(page.locator("#taken li")).to_have_count(1)
    assert "remove" in page.evaluate("document.activeElement.ariaLabel")
    press("Enter")
    api.expect(page.locator("#taken li")).to_have_count(0)
    assert focus() == "search"
    press("Tab")
    page.locator("#lists:not([aria-busy])").wait_for()
    press("Enter")
    chosen = page.locator("#lists .title").first.inner_text()
    api.expect(page.locator("#item h3")).to_have_text(chosen)
    press("Tab")
    press("Enter")
    api.expect(page.locator("#taken .title")).to_have_text(chosen)
    page.locator("#lists:not([aria-busy])").wait_for()
    first = page.locator("#lists .row").first
    assert first.evaluate("row => row.contains(document.activeElement)"), "it stays in its place of the new list"


@needs_browser
@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_its_place(opened: Open, width: int, scheme: str) -> None:
    page = opened("#took=item-3&beside=tiger&item=item-3", width, color_scheme=scheme)
    page.locator(".near li").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    paper, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    light, dark = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (paper, ink))
    assert (light > dark) == (scheme == "light")
    narrowest = page.locator("#lists .title").evaluate_all("all => Math.min(...all.map(title => title.clientWidth))")
    assert narrowest > 100, "a title has room for words"
    row = page.locator("#lists .row").first
    marks = [row.locator(part).bounding_box() for part in (".rank", ".title", ".score", ".tool")]
    assert [mark["x"] for mark in marks] == sorted(mark["x"] for mark in marks)
    assert max(mark["y"] for mark in marks) - min(mark["y"] for mark in marks) < 12, "one line"
    places = [page.locator(f"#{name}").bounding_box() for name in ("history", "recommended", "item")]
    assert len({place["y" if width == 1400 else "x"] for place in places}) == 1


@needs_browser
def test_a_title_is_text(opened: Open, answers: dict[str, Answers], address: str) -> None:
    page = opened()
    body = {"items": [{"item": "<i>evil</i>/&?#", "title": EVIL, "categories": [EVIL], "brand": EVIL}], "run": "setrec"}
    assert page.request.post(f"{address}/items", data=body).ok
    add(page, "kettle</b>")
    api.expect(page.locator("#taken .title")).to_have_text(EVIL)
    page.locator("#taken .title").click()
    api.expect(page.locator("#item h3")).to_have_text(EVIL)
    api.expect(page.locator("#item .quiet").first).to_contain_text(f"<i>evil</i>/&?# \u00b7 {EVIL} \u00b7 {EVIL}")
    page.reload()
    api.expect(page.locator("#taken .title")).to_have_text(EVIL)
    assert page.locator("img").count() == 0
    assert page.title() == "genrec: setrec, tiger"


@needs_browser
def test_the_page_asks_for_the_token_and_tells_what_fails(browser: Any, address: str) -> None:
    page = browser.new_page()

    def guarded(route: Any) -> None:
        if route.request.headers.get("authorization") == "Bearer secret":
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": "the token is missing or wrong", "where": None, "request": "1"})

    page.route("**/info", guarded)
    page.goto(address)
    api.expect(page.get_by_role("alert")).to_have_text("the token is missing or wrong")
    page.get_by_label("The server asks for its token").fill("secret")
    page.keyboard.press("Enter")
    api.expect(page.locator("#lists .row")).to_have_count(10)
    api.expect(page.get_by_role("alert")).to_be_hidden()
    page.route("**/recommend", lambda route: route.abort())
    add(page, "item-3")
    api.expect(page.get_by_role("alert")).to_have_text("the server does not answer")
    page.context.close()
