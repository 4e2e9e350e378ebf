"""The page's server without a browser: the endpoint, what visitors can reach, start and stop."""

import gzip
import json
import re
import shutil
import signal
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import nibabel
import numpy as np
import pytest
from gradio_client import Client, exceptions, handle_file

from liverseg.errors import BrokenFile
from liverseg.network.cascade import segment
from liverseg.network.engine import load_engine
from liverseg.page.synthetic_case import SyntheticCase
from liverseg.page.visitors import SHARED_LIMIT, new_key
from liverseg.phantom import make_phantom
from liverseg.phantom.files import write_dicom, write_ircadb_masks
from liverseg.reading.archive import natural_parts
from liverseg.reading.limits import LIMITS
from liverseg.reading.upload import read_scan, read_truth
from liverseg.scores.measurements import measure
from liverseg.scores.metrics import compare
from liverseg.sentences import say
from tests.helpers.attacker import Attacker
from tests.helpers.make_dicom import seg, series, write
from tests.helpers.page_server import (
    answers,
    files_below,
    served_apart,
    served_here,
    wait_until,
)
from tests.helpers.processes import resident_mb

pytestmark = pytest.mark.slow

SHAPE = (16, 128, 128)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with served_here(tmp_path_factory.mktemp("page")) as served:
        yield served


@pytest.fixture(scope="module")
def client(served):
    return Client(served.url, verbose=False)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Paths of a scan's zip and its masks' zip."""
    return zipped_case(tmp_path_factory.mktemp("case"), seed=3)


def zipped_case(folder, seed):
    volume, truth = make_phantom(seed, shape=SHAPE)
    write_dicom(volume, folder / "dicom")
    write_ircadb_masks(truth, volume, folder / "masks")
    return [zipped(folder / name, folder / f"{name}.zip") for name in ("dicom", "masks")]


def zipped(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return path


@pytest.fixture
def predicted(served, monkeypatch):
    """How many slices the networks were given, by network."""
    engine, counts = served.service.engine, {"liver": 0, "tumor": 0}

    def counting(network, batch, predict=engine.predict):
        counts[network] += len(batch)
        return predict(network, batch)

    monkeypatch.setattr(engine, "predict", counting)
    return counts


def analyze(client, scan, truth=None, choose=None):
    files = [[handle_file(path) for path in paths] if paths else None for paths in (scan, truth)]
    return client.predict(*files, choose, api_name="/segment")


def test_the_endpoint_gives_what_the_package_gives(client, case):
    report, labels = analyze(client, [case[0]], [case[1]])
    volume = read_scan(case[0])
    prediction = segment(volume)
    scores = compare(prediction, read_truth(case[1], volume), volume)
    assert report["scores"]["liver"]["dice"] == scores.liver.dice
    assert report["scores"]["tumor"]["hd95_mm"] == scores.tumor.hd95_mm
    stored = np.asarray(nibabel.load(labels).dataobj)
    assert stored.shape == SHAPE[::-1]
    assert np.array_equal(np.bincount(stored.ravel()), np.bincount(prediction.labels.ravel()))
    assert report["weights"] == load_engine().identity


def test_the_endpoint_leaves_only_its_result_on_the_disk(served, client, case):
    before = set(files_below(served.scratch))
    analyze(client, [case[0]], [case[1]])
    left = [path.name for path in set(files_below(served.scratch)) - before]
    assert sorted(name for name in left if not name.startswith("tmp")) == [
        "report.json",
        "segmentation.nii.gz",
    ]
    assert len(served.service.visitors) == 0


def test_a_program_is_told_the_answers_and_gives_them(client, tmp_path):
    """A scan of two slices and one of three, with masks for the latter."""
    for count in (2, 3):
        write(series(count, SeriesInstanceUID=f"1.2.{count}"), tmp_path / "both" / f"{count}")
    write([seg({"Liver": np.eye(12, 16)[None].repeat(3, 0)})], tmp_path / "both" / "seg")
    both = zipped(tmp_path / "both", tmp_path / "both.zip")
    with pytest.raises(exceptions.AppError, match=r"2 scans: 3 slices.*Answer with scan=0, scan=1"):
        analyze(client, [both])
    with pytest.raises(exceptions.AppError, match="no answer"):
        analyze(client, [both], choose="first")
    report, _ = analyze(client, [both], choose="scan=0 truth=0")
    assert "dice" in report["scores"]["liver"]


def test_names_of_slices_keep_their_order_through_the_endpoint(
    served, client, tmp_path, monkeypatch
):
    readers, order = served.service.readers, []
    uid = "1.3.6.1.4.1.14519.5.2.1.0000.0000.000000000000000000000000000000"

    def read_scan(paths, answers=(), *, wanted):
        order.append([path.read_bytes() for path in sorted(paths, key=natural)])
        raise BrokenFile(say("picture.damaged"))

    def natural(path):
        return natural_parts([path.name])

    monkeypatch.setattr(readers, "read_scan", read_scan)
    for name in ("slice_{}.png", f"{uid}_{uid}_slice{{}}.png", "срез_печени_" * 9 + "{}.png"):
        files = [tmp_path / name.format(k) for k in (1, 2, 10)]
        for k, file in enumerate(files):
            file.write_bytes(b"%d" % k)
        with pytest.raises(exceptions.AppError):
            analyze(client, files[::-1])
    assert order == [[b"0", b"1", b"2"]] * 3


def test_equal_scans_cost_one_segmentation(served, client, tmp_path, predicted):
    scan, _ = zipped_case(tmp_path, seed=4)
    first, _ = analyze(client, [scan])
    assert predicted["liver"] > 0
    once = dict(predicted)
    second, _ = analyze(client, [scan])
    assert predicted == once
    assert second == first


def test_equal_uploads_at_the_same_time_cost_one_segmentation_and_share_nothing_else(
    served, tmp_path, predicted
):
    """Six visitors, each with the file under a name of his own."""
    scan, _ = zipped_case(tmp_path, seed=6)
    names = [f"upload-of-{k}" for k in range(6)]
    paths = [shutil.copy(scan, tmp_path / f"{name}.zip") for name in names]
    volume = read_scan(scan)
    expected = segment(volume, engine=served.service.engine)
    once = dict(predicted)
    assert once["liver"] > 0
    clients = [Client(served.url, verbose=False, download_files=False) for _ in paths]
    together = threading.Barrier(len(paths))

    def visit(client, path):
        together.wait()
        return analyze(client, [path])

    with ThreadPoolExecutor(len(paths)) as pool:
        answers = list(pool.map(visit, clients, paths))
    assert predicted == {network: 2 * count for network, count in once.items()}
    reports, files = zip(*answers, strict=True)
    assert reports == (reports[0],) * 6
    assert reports[0]["measurements"]["liver_ml"] == measure(expected, volume).liver_ml
    assert len({file["url"] for file in files}) == 6
    for file in files:
        labels = nibabel.Nifti1Image.from_bytes(gzip.decompress(httpx.get(file["url"]).content))
        assert np.array_equal(np.asarray(labels.dataobj).T, expected.labels)
    assert not any(name in str(answers) for name in names)


class Copied:
    """An upload of one file, which stays where it is."""

    def __init__(self, path):
        self.path = path

    def move_to(self, folder):
        shutil.copy(self.path, folder)


def test_a_known_scan_looks_like_a_new_one(served, tmp_path, predicted):
    """All that the page shows two visitors with equal scans, but for their secret addresses."""
    scan, _ = zipped_case(tmp_path, seed=7)
    shown, spent = [], []
    for visitor in ("first", "second"):
        handlers = served.page.handlers
        read = partial(served.service.open_scan, visitor, Copied(scan))
        values = list(handlers._read(visitor, read))
        values += list(handlers.run(visitor))[-4:]  # after all previews
        study, text = served.service.visitors.of(visitor), re.sub("0x[0-9a-f]+", "", repr(values))
        files = [file.name for file in study.shown["ct"]]
        for own in (study.served.name, *files, study.shown["id"]):
            assert own in text
            text = text.replace(own, "")
        shown.append(text)
        spent.append(predicted["liver"])
    assert spent[0] == spent[1] > 0
    assert shown[0] == shown[1]


@pytest.mark.parametrize(
    ("content", "words"), [(b"just some notes", "CT"), (b"", "CT"), (b"PK\x03\x04cut", "zip")]
)
def test_what_cannot_be_read_is_refused_in_a_sentence(client, tmp_path, content, words):
    path = tmp_path / "scan.zip"
    path.write_bytes(content)
    with pytest.raises(exceptions.AppError) as refused:
        analyze(client, [path])
    assert re.search(words, str(refused.value), re.IGNORECASE)
    assert "scan.zip" not in str(refused.value)


def test_an_unexpected_failure_is_a_sentence_and_the_next_scan_works(
    served, client, case, tmp_path, monkeypatch, caplog
):
    scan, _ = zipped_case(tmp_path, seed=5)

    def broken(network, batch):
        raise RuntimeError("DOE^JANE in the message")

    with monkeypatch.context() as patch:
        patch.setattr(served.service.engine, "predict", broken)
        with pytest.raises(exceptions.AppError, match="went wrong"):
            analyze(client, [scan])
    assert "RuntimeError at test_app.py" in caplog.text
    assert "DOE" not in caplog.text
    report, _ = analyze(client, [scan])
    assert report["measurements"]["liver_ml"] is not None


@pytest.mark.parametrize(
    "path",
    [
        "gradio_api/file=/etc/passwd",
        "gradio_api/file=app.py",
        "gradio_api/file=..%2f..%2fetc%2fpasswd",
        "monitoring/summary",
        "gradio_api/runs",
    ],
)
def test_what_is_not_a_visitors_is_closed(served, path):
    assert httpx.get(served.url + path).status_code in (403, 404)


def test_a_folder_of_visitors_cannot_be_listed_or_guessed(served):
    folders = (served.scratch, served.scratch / "served", served.scratch / "reading")
    for path in (*folders, served.scratch / "served" / ("0" * 64) / "segmentation.nii.gz"):
        for place in (f"gradio_api/file={path}", f"files/{path.name}", f"files/{path}"):
            assert httpx.get(f"{served.url}{place}").status_code == 404


def test_only_one_endpoint_is_documented(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/segment"]


def test_an_event_of_the_page_of_a_visitor_without_a_scan_says_so(served):
    assert "no scan open" in Attacker(served).happened("run", new_key())


@pytest.mark.parametrize("key", ["guess", "", None, 5, {"path": "/etc/passwd"}])
def test_an_event_of_the_page_without_a_visitor_says_so(served, key):
    assert "which visitor it is" in Attacker(served).happened("run", key)


def test_an_event_that_arrives_after_its_tab_was_closed_leaves_nothing(served, monkeypatch):
    small = make_phantom(3, shape=(4, 64, 64))
    monkeypatch.setattr(SyntheticCase, "make", lambda case: small)
    visitors, key = served.service.visitors, new_key()
    with httpx.stream("GET", f"{served.url}here/{key[:32]}") as stream:
        next(stream.iter_lines())
    before = len(visitors)
    event = json.dumps({"number": 3, "size": "any", "contrast": "any"})
    said = Attacker(served).happened("open_case", key, event_data=json.loads(event))
    assert '"success":true' in said.replace(" ", "")
    assert len(visitors) == before + 1
    monkeypatch.setattr(visitors, "_grace_s", -1)
    wait_until(lambda: visitors.sweep() or len(visitors) == before, 30)


def test_the_page_states_the_limits(served):
    page = " ".join(httpx.get(served.url + "config").text.replace("\\n", " ").split())
    assert f"{LIMITS.sentence} {SHARED_LIMIT}" in page


def test_the_page_stays_small_and_tidies_up_when_told_to_stop(tmp_path):
    with served_apart(tmp_path) as served:
        assert "liverseg" in httpx.get(served.url).text
        assert resident_mb(served.process.pid) < 500
        (folder,) = tmp_path.glob("liverseg-*")
        assert folder.stat().st_mode & 0o777 == 0o700
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 0
        assert not folder.exists()
        port = httpx.URL(served.url).port
    with served_apart(tmp_path, port=port) as again:
        assert answers(again.url)


def test_it_starts_as_on_a_space(tmp_path):
    space = {"SYSTEM": "spaces", "SPACE_ID": "someone/liverseg", "GRADIO_SSR_MODE": "true"}
    asked = {"x-forwarded-proto": "https", "x-forwarded-host": "someone-liverseg.hf.space"}
    with served_apart(tmp_path, GRADIO_SERVER_NAME="0.0.0.0", **space) as served:
        config = httpx.get(served.url + "config", headers=asked).json()
        assert config["root"].startswith("https://someone-liverseg.hf.space")
        assert config["space_id"] == "someone/liverseg"
        assert not config["analytics_enabled"]
        assert "huggingface.co" not in served.log.read_text()
