"""The report: one page that holds everything, shows the right slices and names nobody."""

import base64
import html.parser
import re

import cv2
import numpy as np
import pytest

from liverseg.scores.findings import find
from liverseg.scores.glossary import EXPLANATIONS, UNDEFINED, format_value
from liverseg.scores.measurements import measure
from liverseg.scores.metrics import compare
from liverseg.volume import Segmentation, Spacing, Volume
from liverseg.writing import colors
from liverseg.writing.report import report
from liverseg.writing.slice_picture import snapshot

SHAPE = (8, 60, 90)
SPACING = Spacing(2.5, 1.0, 1.5)
IDENTITY = "fast-0123456789ab"


def case(tumors=1, spacing=SPACING, windowed=None, notices=()):
    """A body with a liver that is largest on slice 3 and tumors of which most are on slice 5."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, 5:55, 8:82] = 40
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:7, 10:40, 12:40] = 1
    labels[3, 8:42, 10:44] = 1
    for k in range(tumors):
        labels[5, 12 + 2 * k, 14:20] = 2
        labels[5, 12 + 2 * k, 22] = 2
    return Volume(hu, spacing, windowed, notices), Segmentation(labels)


def made(volume, prediction, truth=None) -> str:
    return report(find(volume, prediction, IDENTITY, truth))


def pictures(text: str) -> list[np.ndarray]:
    encoded = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(e), np.uint8), 1) for e in encoded]


class Tags(html.parser.HTMLParser):
    """Collects what a browser would ask a server for, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.requests, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.requests += [v for k, v in attributes if k in ("src", "href") and v[:5] != "data:"]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_asks_nothing_from_any_server():
    volume, prediction = case()
    text = made(volume, prediction, prediction)
    tags = Tags(text)
    assert tags.requests == tags.open == []
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert "<script" not in text


def test_it_shows_the_slices_with_the_largest_liver_and_tumor():
    text = made(*case())
    assert "Slice 4 of 8: largest liver area" in text
    assert "Slice 6 of 8: largest tumor area" in text
    assert len(pictures(text)) == 2


def test_it_says_what_it_is_and_which_weights_made_it():
    text = made(*case())
    assert "Teaching demo, not for diagnosis" in text
    assert IDENTITY in text


def test_its_numbers_are_the_measured_ones():
    volume, prediction = case()
    truth = Segmentation(np.roll(prediction.labels, 2, axis=1))
    text = made(volume, prediction, truth)
    found, scores = measure(prediction, volume), compare(prediction, truth, volume)
    for key, value in (
        ("liver_ml", found.liver_ml),
        ("long_axis_mm", found.lesions[0].long_axis_mm),
        ("dice", scores.liver.dice),
        ("hd95_mm", scores.tumor.hd95_mm),
    ):
        assert f"<td>{format_value(key, value, unit=True)}</td>" in text


def test_undefined_numbers_are_dashes():
    volume, prediction = case(tumors=0, spacing=None)
    text = made(volume, prediction, prediction)
    row = re.search(r'<th scope="row">Dice</th>(.*?)</tr>', text).group(1)
    assert row == f"<td>1.000</td><td>{UNDEFINED}</td>"
    assert f'<th scope="row">Liver volume</th><td>{UNDEFINED}</td>' in text


def test_without_a_liver_the_middle_slice_is_shown_and_said_to_be():
    volume, _ = case()
    text = made(volume, Segmentation(np.zeros(SHAPE, np.uint8)))
    assert "Slice 5 of 8: no liver was found" in text
    assert len(pictures(text)) == 1


def test_more_tumors_than_fit_are_counted():
    assert "8 smaller ones are in the CSV" in made(*case(tumors=7))


def test_notices_are_text_never_markup():
    text = made(*case(notices=("<script>alert(1)</script> $identity",)))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $identity" in text


def test_a_picture_has_square_pixels_and_a_scale_bar_only_with_spacing():
    volume, prediction = case()
    known = decoded(snapshot(volume, 3, prediction))
    unknown = decoded(snapshot(case(spacing=None)[0], 3, prediction))
    # The body's box with its margin: all 60 rows of 1 mm, columns 0 to 90 of 1.5 mm.
    assert known.shape[1] / known.shape[0] == pytest.approx(90 * 1.5 / 60, rel=0.01)
    assert unknown.shape[1] / unknown.shape[0] == pytest.approx(90 / 60, rel=0.01)
    corner = (slice(-40, None), slice(-200, None))
    assert (known[corner] == 255).all(axis=-1).any()
    assert not (unknown[corner] == 255).all(axis=-1).any()


def test_the_masks_have_the_colors_of_the_page():
    volume, prediction = case()
    truth = Segmentation(np.roll(prediction.labels, 6, axis=2))
    colored = {tuple(pixel) for pixel in decoded(snapshot(volume, 5, prediction)).reshape(-1, 3)}
    assert {colors.rgb(colors.LIVER), colors.rgb(colors.TUMOR)} <= colored
    assert colors.rgb(colors.TRUTH) not in colored
    compared = decoded(snapshot(volume, 5, prediction, truth)).reshape(-1, 3)
    assert colors.rgb(colors.TRUTH) in {tuple(pixel) for pixel in compared}


def decoded(png: bytes) -> np.ndarray:
    """(y, x, RGB) uint8."""
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_every_explanation_is_one_sentence_with_a_source():
    for known in EXPLANATIONS.values():
        assert known.sentence.endswith(".")
        assert not re.search(r"\. [A-Z]", known.sentence)
        assert known.source


@pytest.mark.slow
def test_it_prints_on_one_page(tmp_path, chromium):
    volume, prediction = case(tumors=7, notices=("A sentence about a choice that was made.",) * 1)
    path = tmp_path / "report.html"
    path.write_text(made(volume, prediction, prediction), encoding="utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    pdf = page.pdf(prefer_css_page_size=True, print_background=True)
    page.close()
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
