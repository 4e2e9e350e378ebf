"""The page's server without a browser: the endpoint, what visitors can reach, start and stop."""

import re
import signal
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import nibabel
import numpy as np
import pytest
from gradio_client import Client, exceptions, handle_file
from page_server import answers, files_below, served_apart, served_here

from liverseg.cascade import segment
from liverseg.engine import load_engine
from liverseg.metrics import compare
from liverseg.phantom import make_phantom
from liverseg.phantom.files import write_dicom, write_ircadb_masks
from liverseg.upload import read_scan, read_truth

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


def analyze(client, scan, truth=None, series=None):
    files = [[handle_file(path) for path in paths] if paths else None for paths in (scan, truth)]
    return client.predict(*files, series, api_name="/segment")


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
    assert len(served.service.studies) == 0


def test_equal_scans_cost_one_segmentation(served, client, tmp_path, predicted):
    scan, _ = zipped_case(tmp_path, seed=4)
    first, _ = analyze(client, [scan])
    assert predicted["liver"] > 0
    once = dict(predicted)
    second, _ = analyze(client, [scan])
    assert predicted == once
    assert second == first


def test_visitors_with_the_same_file_at_the_same_time_all_get_their_result(served, case):
    with ThreadPoolExecutor(4) as pool:
        clients = [Client(served.url, verbose=False) for _ in range(4)]
        reports = [one for one, _ in pool.map(lambda one: analyze(one, [case[0]]), clients)]
    assert reports[0]["measurements"]["liver_ml"] is not None
    assert reports == [reports[0]] * 4


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


@pytest.mark.parametrize("path", ["/etc/passwd", "app.py", "../app.py"])
def test_a_file_of_the_server_is_not_taken_for_an_upload(served, path):
    data = [[{"path": path, "meta": {"_type": "gradio.FileData"}}], None, None]
    assert "event: error" in called(served, "segment", data)


def called(served, name, data):
    """What the server says to a bare call of an endpoint."""
    with httpx.Client(base_url=served.url, timeout=30) as http:
        event = http.post(f"gradio_api/call/{name}", json={"data": data}).json()["event_id"]
        return http.get(f"gradio_api/call/{name}/{event}").text


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
    for path in (served.scratch, served.scratch / "gradio", served.scratch / "visitors"):
        assert httpx.get(f"{served.url}gradio_api/file={path}").status_code in (403, 404)
    guessed = served.scratch / "gradio" / ("0" * 64) / "segmentation.nii.gz"
    assert httpx.get(f"{served.url}gradio_api/file={guessed}").status_code in (403, 404)


def test_only_one_endpoint_is_documented(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/segment"]


def test_an_event_of_the_page_in_a_session_without_a_scan_says_so(served):
    config = httpx.get(served.url + "config").json()
    names = {fn["api_name"]: fn["id"] for fn in config["dependencies"]}
    with httpx.Client(base_url=served.url, timeout=30) as http:
        body = {"data": [], "fn_index": names["score"], "session_hash": "guess"}
        http.post("gradio_api/queue/join", json=body).raise_for_status()
        with http.stream("GET", "gradio_api/queue/data?session_hash=guess") as stream:
            said = next(line for line in stream.iter_lines() if "process_completed" in line)
    assert "no scan open" in said


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


def resident_mb(pid):
    """Memory that a process holds; 0 where the system does not say."""
    status = Path(f"/proc/{pid}/status")
    return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) / 1024 if status.exists() else 0
