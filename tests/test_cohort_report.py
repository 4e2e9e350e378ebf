"""The page of a cohort: small, asking for nothing, and in a browser sorted, filtered and rated."""

import json
import re

import pytest
from playwright.sync_api import expect

from liverseg.cohort.report import report, write_report
from liverseg.cohort.store import STUDIES, THUMBNAIL
from liverseg.writing.tables import DISCLAIMER

MOST_BYTES = 30_000_000


def rows(count=40, **more):
    """As `gather.gathered` makes them: one that failed, one that is unlike the others, the rest."""
    made = [
        {
            "key": f"{k:020x}",
            "state": "done",
            "verdict": "PASS",
            "outlier_score": 1.0,
            "reason": "",
            "sources": 1,
            "liver_ml": 1500.0 + k,
            "liver_dice": 0.9 + k / 1e6,
            "tumors": k % 5,
            "seconds": 1.0,
            **more,
        }
        for k in range(count)
    ]
    made[1] |= {"verdict": "REVIEW", "reason": "Liver volume is 9, far below the median."}
    failed = {"state": "failed", "verdict": "FAIL", "reason": "Its <files> are damaged."}
    made[0] = {"key": made[0]["key"], "outlier_score": None, "sources": 1, **failed}
    return made


def test_five_thousand_studies_are_far_below_the_limit():
    numbers = {f"liver_number_{k}": 1 / (k + 3) for k in range(40)}
    assert len(report(rows(5000, **numbers)).encode()) < MOST_BYTES / 2


def test_it_asks_nothing_from_any_server_and_no_text_ends_its_data():
    text = report(rows())
    page, data, script = (
        text.split('id="data">')[0],
        *text.split('id="data">')[1].split("</script>", 1),
    )
    script = script.split('id="plotly">')[0]
    assert DISCLAIMER in page
    assert "http" not in page.replace("http-equiv", "") + script
    assert "<" not in data
    assert json.loads(data)["rows"][0][4] == "Its <files> are damaged."
    assert text.count("Plotly.js v") <= 1
    assert re.search("default-src 'none'", page)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    write_report(folder, rows())
    return folder


@pytest.fixture
def page(chromium, folder):
    page = chromium.new_page(viewport={"width": 1200, "height": 800})
    page.requested, page.errors = [], []
    page.on("request", lambda request: page.requested.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(f"file://{folder}/report.html")
    yield page
    assert page.errors == []
    assert all(url.startswith(("file:", "blob:")) for url in page.requested)
    page.close()


def states(page) -> list[str]:
    return page.locator(
        ".row > span.FAIL, .row > span.failed, .row > span.REVIEW"
    ).all_inner_texts()


@pytest.mark.slow
def test_failed_studies_are_first_with_their_sentence_and_thumbnails_are_lazy(page):
    assert "Its <files> are damaged." in page.locator(".row").first.inner_text()
    assert states(page) == ["failed", "REVIEW"]
    assert 0 < page.locator(".row").count() < 40
    asked = [url for url in page.requested if url.endswith(THUMBNAIL)]
    assert 0 < len(asked) < 39
    page.locator("#list").evaluate("(list) => list.scrollTop = list.scrollHeight")
    expect(page.locator(".row:last-child")).to_contain_text("27")


@pytest.mark.slow
def test_studies_are_sorted_filtered_and_searched(page):
    page.select_option("#sort", "liver_ml")
    assert "Liver volume 1539" in page.locator(".row").first.inner_text()
    page.check("#up")
    assert "far below" in page.locator(".row").first.inner_text()
    assert states(page)[0] == "REVIEW"
    page.select_option("#show", "failed")
    assert page.locator(".row").count() == 1
    assert page.locator("#count").inner_text() == "1 of 40 studies"
    page.select_option("#show", "")
    page.fill("#search", "far below")
    assert page.locator(".row").count() == 1


@pytest.mark.slow
def test_a_point_opens_its_study_and_a_rating_is_saved_and_loaded(page, tmp_path):
    chart = page.locator(".chart.drawn").first
    chart.wait_for()
    drawn = "document.querySelector('.chart.drawn')"
    page.evaluate(f"{drawn}.emit('plotly_click', {{points: [{{pointNumber: 30}}]}})")
    key = f"{30:020x}"
    assert page.locator("#study h2").inner_text() == key
    assert page.locator(".row[aria-current=true]").count() == 1
    expected = rows()[30][page.evaluate(f"{drawn}.dataset.key")]
    shown = page.evaluate(f"{drawn}.layout.shapes[0].x0")
    assert shown == pytest.approx(expected, rel=1e-3)
    page.click("#study button:text('fix')")
    page.fill("#study textarea", "left lobe")
    page.locator("#study textarea").blur()
    with page.expect_download() as download:
        page.click("#save")
    saved = tmp_path / "ratings.json"
    download.value.save_as(saved)
    assert json.loads(saved.read_text()) == {key: {"rating": "fix", "note": "left lobe"}}
    page.reload()
    page.select_option("#rated", "fix")
    assert page.locator(".row").count() == 1
    page.click(".row")
    page.click("#study button:text('fix')")  # again: no rating any more
    page.select_option("#rated", "discard")
    saved.write_text(json.dumps({key: {"rating": "discard", "note": ""}, "x": {"rating": "<b>"}}))
    page.set_input_files("#load", saved)
    page.locator("#count:text('1 rating was loaded.')").wait_for()
    assert page.locator(".row").count() == 1


@pytest.mark.slow
def test_a_study_s_own_files_are_linked(page):
    page.click(".row >> nth=1")
    links = page.locator("#study .links a").evaluate_all(
        "all => all.map((a) => a.getAttribute('href'))"
    )
    assert links == [f"{STUDIES}/{1:020x}/"]
