"""Compressed frames are decoded where a crash does no harm."""

import sys

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import as_pixel_options

from liverseg.errors import NoDecoder
from liverseg.reading.dicom import decoder as module
from liverseg.reading.dicom.decoder import FrameDecoder
from liverseg.reading.upload import read_scan
from tests.helpers.make_dicom import GDCM_SYNTAXES, ct, series, write

JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
PRECISION = 6  # byte of a JPEG lossless frame that begins with its frame header


@pytest.fixture
def decoder():
    decoder = FrameDecoder()
    yield decoder
    if decoder._process:
        decoder._end()


def compressed(dataset: Dataset) -> tuple[bytes, dict]:
    """A dataset's only frame, and what the decoder has to know of it."""
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    return frame, as_pixel_options(dataset, pixel_keyword="PixelData")


def crashing(frame: bytes) -> bytes:
    """80 bits a pixel: GDCM 3.2.6 reads through a null pointer."""
    assert frame[2:4] == b"\xff\xc3"
    return frame[:PRECISION] + b"\x50" + frame[PRECISION + 1 :]


@pytest.mark.parametrize("syntax", GDCM_SYNTAXES)
def test_a_frame_is_decoded_as_pydicom_does(decoder, syntax):
    dataset = ct(syntax=syntax)
    frame, options = compressed(dataset)
    decoded = decoder.decode(frame, syntax, options)
    assert decoded.dtype == np.uint16
    assert np.array_equal(decoded, dataset.pixel_array)


def test_a_frame_that_cannot_be_decoded_leaves_the_process_alone(decoder):
    frame, options = compressed(ct(syntax=JPEG_LOSSLESS))
    decoder.decode(frame, JPEG_LOSSLESS, options)
    process = decoder._process
    with pytest.raises(ValueError):
        decoder.decode(frame[:20], JPEG_LOSSLESS, options)
    assert decoder._process is process
    decoder.decode(frame, JPEG_LOSSLESS, options)


def test_after_a_crash_the_next_frame_is_decoded(decoder):
    frame, options = compressed(ct(syntax=JPEG_LOSSLESS))
    with pytest.raises(NoDecoder, match="stops its decoder"):
        decoder.decode(crashing(frame), JPEG_LOSSLESS, options)
    assert decoder.decode(frame, JPEG_LOSSLESS, options).shape == (12, 16)


def test_a_process_that_was_ended_from_outside_is_not_missed(decoder):
    frame, options = compressed(ct(syntax=JPEG_LOSSLESS))
    decoder.decode(frame, JPEG_LOSSLESS, options)
    decoder._process.kill()
    decoder._process.wait()
    assert decoder.decode(frame, JPEG_LOSSLESS, options).shape == (12, 16)


def test_a_decoder_that_takes_too_long_is_stopped(decoder, monkeypatch):
    hangs = "import time; print('{}', flush=True); time.sleep(60)"
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", hangs))
    monkeypatch.setattr(module, "SECONDS", 0.1)
    with pytest.raises(NoDecoder):
        decoder.decode(b"", JPEG_LOSSLESS, {})


def test_a_decoder_that_cannot_be_started_is_no_decoder(decoder, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "COMMAND", (str(tmp_path / "missing"),))
    with pytest.raises(NoDecoder):
        decoder.decode(b"", JPEG_LOSSLESS, {})


def test_a_scan_whose_slice_crashes_the_decoder_is_refused_and_the_next_one_read(tmp_path):
    slices = series(3, syntax=JPEG_LOSSLESS)
    write(slices, tmp_path / "good")
    frame, _ = compressed(slices[1])
    slices[1].PixelData = encapsulate([crashing(frame)])
    with pytest.raises(NoDecoder):
        read_scan(write(slices, tmp_path / "bad"))
    assert read_scan(tmp_path / "good").shape[0] == 3
