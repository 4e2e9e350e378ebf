"""Compressed frames are decoded where a crash does no harm."""

import sys

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

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


def test_a_slice_that_crashes_the_decoder_is_left_out_and_counted(tmp_path):
    slices = series(3, syntax=JPEG_LOSSLESS)
    frame, _ = compressed(slices[2])
    slices[2].PixelData = encapsulate([crashing(frame)])
    volume = read_scan(write(slices, tmp_path))
    assert volume.shape[0] == 2
    assert any("1 damaged slice" in notice for notice in volume.notices)


def test_a_scan_that_crashes_the_decoder_over_and_over_is_refused(tmp_path):
    slices = series(6, syntax=JPEG_LOSSLESS)
    for one in slices:
        one.PixelData = encapsulate([crashing(compressed(one)[0])])
    with pytest.raises(NoDecoder):
        read_scan(write(slices, tmp_path))


@pytest.mark.parametrize("syntax", [*GDCM_SYNTAXES, RLELossless, ExplicitVRLittleEndian])
def test_a_cut_slice_is_left_out_and_counted_whatever_its_compression(tmp_path, syntax):
    slices = series(3, syntax=syntax)
    pixels = slices[2].PixelData
    if slices[2].file_meta.TransferSyntaxUID.is_encapsulated:
        frame, _ = compressed(slices[2])
        slices[2].PixelData = encapsulate([frame[: len(frame) // 2]])
    else:
        slices[2].PixelData = pixels[: len(pixels) // 2]
    volume = read_scan(write(slices, tmp_path))
    assert volume.shape[0] == 2
    assert any("1 damaged slice" in notice for notice in volume.notices)
