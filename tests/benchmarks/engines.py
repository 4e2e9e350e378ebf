"""Measures what could run the liver network on a CPU, in one run, to choose the fast engine.

    pip install openvino nncf ai-edge-litert tf2onnx
    python -m tests.benchmarks.engines

Prints Markdown and keeps the table for the README, as `python -m tests.benchmarks.speed` does.
Every candidate gets the same synthetic slices and the same number of threads; those in 8-bit
integers are calibrated on the same other slices. Candidates that are not installed are left out.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import onnxruntime
import tensorflow as tf
from onnxruntime import quantization

from liverseg.model import build_resunet
from liverseg.network.engine import OnnxEngine, load_network, thread_count
from liverseg.network.weights import load_config
from liverseg.training.int8.quantize import agreement, phantoms, slices_for
from tests.benchmarks.speed import SPEED, keep

Run = Callable[[np.ndarray], np.ndarray]  # (1, y, x, 3) → (1, y, x, 1)
SCANS, REPEATS = 4, 3
THREADS = thread_count()


class Calibration(quantization.CalibrationDataReader):
    """Hands one image at a time to ONNX Runtime's own quantization."""

    def __init__(self, images):
        self._images = iter(images)

    def get_next(self):
        image = next(self._images, None)
        return None if image is None else {"image": image[None]}


def candidates(model, calibration: np.ndarray, folder: Path) -> Iterator[tuple[str, Callable]]:
    """Names of candidates, and what makes them run."""
    saved = str(folder / "saved")
    fixed = build_resunet(calibration.shape[1:], load_config().recipe.filters)  # LiteRT needs it
    fixed.set_weights(model.get_weights())
    fixed.export(saved, verbose=False)
    exported = folder / "float.onnx"

    def tensorflow() -> Run:
        run = tf.function(model, [tf.TensorSpec((1, *calibration.shape[1:]), tf.float32)])
        return lambda image: run(image).numpy()

    def onnx_session(path: Path) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        (name,) = (one.name for one in session.get_inputs())
        return lambda image: session.run(None, {name: image})[0]

    def onnx_float() -> Run:
        import tf2onnx

        signature = [tf.TensorSpec((1, *calibration.shape[1:]), tf.float32, name="image")]
        tf2onnx.convert.from_function(
            tf.function(model), signature, opset=17, output_path=str(exported)
        )
        return onnx_session(exported)

    def onnx_int8() -> Run:
        if not exported.exists():  # the candidate before makes it
            raise ImportError(name="tf2onnx")
        path = folder / "int8.onnx"
        quantization.quantize_static(
            str(exported), str(path), Calibration(calibration), per_channel=True
        )
        return onnx_session(path)

    def openvino(quantized: bool) -> Run:
        import openvino

        found = openvino.convert_model(saved, input=[1, *calibration.shape[1:]])
        if quantized:
            import nncf

            data = nncf.Dataset([image[None] for image in calibration])
            found = nncf.quantize(found, data, subset_size=len(calibration))
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": THREADS}
        compiled = openvino.Core().compile_model(found, "CPU", settings)
        return lambda image: compiled(image)[0]

    def litert(quantized: bool) -> Run:
        from ai_edge_litert.interpreter import Interpreter

        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        if quantized:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ([image[None]] for image in calibration)
        interpreter = Interpreter(model_content=converter.convert(), num_threads=THREADS)
        (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
        interpreter.resize_tensor_input(given["index"], (1, *calibration.shape[1:]))
        interpreter.allocate_tensors()

        def run(image: np.ndarray) -> np.ndarray:
            interpreter.set_tensor(given["index"], image)
            interpreter.invoke()
            return interpreter.get_tensor(made["index"])

        return run

    yield "TensorFlow, float32", tensorflow
    yield "ONNX Runtime, float32", onnx_float
    yield "ONNX Runtime, int8 by its own tool", onnx_int8
    yield "OpenVINO, float32", lambda: openvino(False)
    yield "OpenVINO, int8", lambda: openvino(True)
    yield "LiteRT, float32", lambda: litert(False)
    yield "LiteRT, int8", lambda: litert(True)


def measured(run: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> tuple[float, float]:
    """Milliseconds and processor milliseconds a slice, each the least of several."""
    run(images)
    times = []
    for _ in range(REPEATS):
        began, worked = time.perf_counter(), time.process_time()
        run(images)
        times.append((time.perf_counter() - began, time.process_time() - worked))
    return tuple(min(column) / len(images) * 1000 for column in zip(*times, strict=True))


def rows(folder: Path) -> Iterator[tuple[str, ...]]:
    """One row a candidate."""
    weights = load_config()
    scans = islice(phantoms(), SCANS)
    slices = np.concatenate([slices_for("liver", *scan, weights.recipe) for scan in scans])
    images, calibration = slices[-8:], slices[:-8]
    model = load_network(weights, "liver")
    expected = np.asarray(model(images, training=False))

    def row(name: str, run: Callable[[np.ndarray], np.ndarray]) -> tuple[str, ...]:
        wall, processor = measured(run, images)
        return name, f"{wall:.0f}", f"{processor:.0f}", agreement(expected, run(images))

    for name, make in candidates(model, calibration, folder):
        print(name, file=sys.stderr)
        try:
            one = make()
        except ImportError as missing:
            yield name, *["–"] * 2, f"{missing.name} is not installed"
            continue
        yield row(name, lambda many, one=one: np.concatenate([one(k[None]) for k in many]))
    fast = OnnxEngine(weights)
    yield row(
        "**this package's int8**", lambda many: np.stack(fast.predict("liver", many))[..., None]
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SPEED)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        heads = ("runtime", "ms a slice", "processor ms", "against Keras")
        keep(out, "Candidates for the fast engine", heads, rows(Path(folder)))


if __name__ == "__main__":
    main()
