"""How many training samples a second, beside a commit from before, and whether they are the same.

    python -m tests.benchmarks.samples --before dcb49d7
    python -m tests.benchmarks.samples --before dcb49d7 --data DIR     (on real scans)
    python -m tests.benchmarks.samples --statistics                    (for tests/test_samples.py)

Both draw the same batches on the same two cores, by turns, in processes of their own, through what
`train` calls. The rate is the best of several turns, since other work on the machine only takes
away; samples for a second of processor time say what other work changes least. The command fails
where the rate is below `WANTED`; statistics that differ are printed below, as those of pictures do
from before 9dbb6ba, which changed their noise.
"""

import argparse
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
STATISTICS = Path(__file__).with_suffix(".json")
CORES = 2
ARRAYS = ("hu", "labels", "z_mm")  # of a scan, in files that both open
WANTED = 3.0  # times the rate before
KINDS = {"liver": (128, 16), "tumor": (160, 16)}  # size and batch of `train`'s first stages
UNITS = {"rate": ", samples a second", "frugality": ", a processor second"}
LEVELS = np.linspace(0, 1, 21)  # of the histogram, in the network's window
LESION_PIXELS = (1, 10, 30, 100, 300, 1000, 3000, 10**6)  # bounds of the lesions' sizes
TOLERANCE = {  # absolute; the same choices are drawn, so that only rounding may differ
    "mean": 1e-4,
    "sd": 1e-4,
    "skewness": 1e-3,
    "neighbors": 1e-4,
    "histogram": 1e-4,
    "mask": 1e-5,
    "weight": 1e-5,
    "lesions": 0.0,
}


def main() -> int:
    """Prints the table as Markdown; 1 where it is not what is wanted."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.samples",
        description="Measures how fast training samples are drawn, and whether they are the same.",
    )
    parser.add_argument("--before", help="a commit")
    parser.add_argument("--data", type=Path, help="labelled scans; synthetic ones by default")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--batches", type=int, default=80, help="in a turn")
    parser.add_argument("--statistics", action="store_true", help="of phantoms, for the tests")
    parser.add_argument("--draw", help=argparse.SUPPRESS)  # one turn: network, as a process
    parser.add_argument("--scans", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.draw:
        print(json.dumps(draw(args.draw, args.scans, args.batches)))
        return 0
    if args.statistics:
        STATISTICS.write_text(json.dumps(phantom_statistics(), indent=1) + "\n", encoding="utf-8")
        return 0
    if not args.before:
        parser.error("--before names the commit to compare with")
    with tempfile.TemporaryDirectory() as folder:
        return compare(Path(folder), args.before, args.data, args.turns, args.batches)


def compare(folder: Path, commit: str, data: Path | None, turns: int, batches: int) -> int:
    """Both by turns."""
    from liverseg.training.datasets import cases_of_side, read_phantoms

    archive = subprocess.run(
        ["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder / "before", filter="data")
    for number, case in enumerate(cases_of_side(data, "train") if data else read_phantoms(4)):
        place = folder / "scans" / f"{number:04d}"
        place.mkdir(parents=True)
        for name in ARRAYS:
            np.save(place / f"{name}.npy", getattr(case, name))
        about = {name: getattr(case, name) for name in ("name", "patient", "pixel_mm")}
        (place / "about.json").write_text(json.dumps(about), encoding="utf-8")
    trees = {"before": folder / "before", "now": ROOT}
    print(f"| network | {' | '.join(f'{commit}{u} | now{u} | ratio' for u in UNITS.values())} |")
    print("|---" * 7 + "|")
    failed = False
    for network in KINDS:
        found: dict[str, list[dict]] = {name: [] for name in trees}
        for _ in range(turns):
            for name, tree in trees.items():
                found[name].append(_turn(tree, network, folder / "scans", batches))
        cells, ratios = [], {}
        for unit in UNITS:
            before, now = (max(turn[unit] for turn in found[name]) for name in trees)
            ratios[unit] = now / before
            cells += [f"{before:.0f}", f"{now:.0f}", f"{ratios[unit]:.2f}"]
        print(f"| {network} | {' | '.join(cells)} |", flush=True)
        different = differences(found["now"][0]["statistics"], found["before"][0]["statistics"])
        print(*different, sep="\n", end="\n" if different else "", file=sys.stderr)
        failed |= ratios["rate"] < WANTED
    return int(failed)


def _turn(tree: Path, network: str, scans: Path, batches: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--draw", network, "--scans", scans]
    process = subprocess.run(
        [*command, "--batches", str(batches)],
        env=os.environ | {"PYTHONPATH": str(tree), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        check=True,
    )
    turn: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return turn


def draw(network: str, scans: Path, batches: int) -> dict[str, Any]:
    """Samples a second and their statistics, of whichever liverseg is on the path."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    from liverseg.network.recipe import Recipe
    from liverseg.training.labelled_scan import LabelledScan
    from liverseg.training.train import SAMPLES, Stage, make_batches

    size, batch = KINDS[network]
    cases = []
    for place in sorted(scans.iterdir()):
        arrays = {name: np.load(place / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
        about = json.loads((place / "about.json").read_text(encoding="utf-8"))
        cases.append(LabelledScan(**about, **arrays))
    samples = SAMPLES[network](cases, Recipe())
    warm = CORES * 4  # batches until all run, and as many before the first of them has ended
    stage = Stage(size, batch, batches + 2 * warm, 1e-3)
    drawn = []
    for number, made in enumerate(make_batches(samples, stage)):
        drawn.append(made)
        if number == warm - 1:
            began, worked = time.perf_counter(), _processor_s()
        elif number == warm - 1 + batches:
            took, work = time.perf_counter() - began, _processor_s() - worked
    count = batches * batch
    return {"rate": count / took, "frugality": count / work, "statistics": statistics(drawn)}


def _processor_s() -> float:
    """Of this process and of those that it has started."""
    ticks = 0
    for child in multiprocessing.active_children():
        fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime, stime: see man proc_pid_stat
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def statistics(batches: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """What tells one distribution of samples from another.

    Args:
        batches: image (n, y, x, 3) in [0, 1] and target (n, y, x, 2).

    Returns:
        Mean, standard deviation and skewness of the gray values, the mean difference of the
        neighbor slices, the histogram of the gray values, the part of the mask, the mean weight,
        and how many lesions, or livers, there are a sample by `LESION_PIXELS`.
    """
    image = np.concatenate([image for image, _ in batches]).astype(np.float64)
    target = np.concatenate([target for _, target in batches])
    mean, sd = image.mean(), image.std()
    pixels = [
        sizes
        for mask in target[..., 0].astype(np.uint8)
        for sizes in cv2.connectedComponentsWithStats(mask)[2][1:, cv2.CC_STAT_AREA]
    ]
    return {
        "mean": mean,
        "sd": sd,
        "skewness": (((image - mean) / sd) ** 3).mean(),
        "neighbors": np.abs(image[..., 0] - image[..., 2]).mean(),
        "histogram": (np.histogram(image, LEVELS)[0] / image.size).tolist(),
        "mask": float(target[..., 0].mean()),
        "weight": float(target[..., 1].mean()),
        "lesions": (np.histogram(pixels, LESION_PIXELS)[0] / len(target)).tolist(),
    }


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """A line for each of the statistics that differ by more than `TOLERANCE`."""
    lines = []
    for name, tolerance in TOLERANCE.items():
        most = float(np.max(np.abs(np.subtract(found[name], wanted[name]))))
        if most > tolerance:
            lines.append(f"{name} differs by {most:.2g}: {found[name]}, before {wanted[name]}")
    return lines


def phantom_statistics() -> dict[str, dict]:
    """Of small samples of phantoms, as `STATISTICS` keeps them."""
    from liverseg.network.recipe import Recipe
    from liverseg.training.datasets import read_phantoms
    from liverseg.training.labelled_scan import APART_MM, UNANNOTATED
    from liverseg.training.samples import LiverSamples, TumorSamples

    recipe = Recipe(size=96, filters=(4, 8))
    scan, partly, picture = read_phantoms(3, shape=(12, 96, 96))
    labels = partly.labels.copy()
    labels[..., :40][labels[..., :40] > 0] = UNANNOTATED
    alone = replace(picture, z_mm=np.arange(12) * APART_MM)
    cases = [scan, replace(partly, labels=labels), alone]
    found = {}
    for network, kind in (("liver", LiverSamples), ("tumor", TumorSamples)):
        samples = kind(cases, recipe)
        drawn = [samples.draw(np.random.default_rng((7, k)), 64) for k in range(100)]
        image = np.stack([sample.image for sample in drawn])
        target = np.stack([np.stack([sample.mask, sample.weight], -1) for sample in drawn])
        found[network] = statistics([(image, target)])
    return found


if __name__ == "__main__":
    sys.exit(main())
