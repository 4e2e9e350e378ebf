"""The command line: `liverseg COMMAND`, or `python -m liverseg COMMAND`.

inspect, segment, compare, cohort and phantom are here; the developers' commands live in the module
that does the work, each with a `main(argv)` of its own, and are imported only when called.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .errors import ChoiceNeeded, DataError, UploadError, WeightsError

if TYPE_CHECKING:
    from .volume import Segmentation, Volume

Main = Callable[[list[str]], int | None]


DEVELOPER_COMMANDS = {
    "train": "Trains the liver or the tumor network on labelled scans.",
    "release": "Writes the networks that were trained into a weights folder.",
    "fingerprints": "Writes by what a scan is known whose patient the networks learned.",
    "quantize": "Writes the fast engine's 8-bit files of a weights folder.",
    "thresholds": "Chooses thresholds on patients that were never learned.",
    "evaluate": "Scores a weights folder on patients that were never learned.",
    "ablate": "Trains and scores networks with one choice changed at a time.",
    "publish": "Writes the measured numbers into the README and the model card.",
}

ACCEPTED, REFUSED = 0, 2


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code (0 done, 2 refused with a sentence)."""
    if argv is None:  # the process is this command's
        argv = sys.argv[1:]
        _prepare_process(argv)
    if argv and argv[0] in DEVELOPER_COMMANDS:
        try:
            return _developer_command(argv[0])(argv[1:]) or ACCEPTED
        except (DataError, WeightsError) as error:
            print(error, file=sys.stderr)
            return REFUSED
    args = _parser().parse_args(argv)
    return args.run(args)


def _developer_command(name: str) -> Main:
    """The `main` of a command's module, imported now: most need a network library."""
    main: Main
    match name:
        case "train":
            from .training.train import main
        case "release":
            from .training.release import main
        case "fingerprints":
            from .training.known_patients import main
        case "quantize":
            from .training.int8.quantize import main
        case "thresholds":
            from .evaluation.thresholds import main
        case "evaluate":
            from .evaluation.evaluate import main
        case "ablate":
            from .evaluation.ablation import main
        case "publish":
            from .evaluation.readme_tables import main
    return main


def inspect(args: argparse.Namespace) -> int:
    """Prints as JSON what was found in an upload, or why it is refused."""
    from .reading.choice import offered

    try:
        volume, truth = _read(args)
        report: dict[str, Any] = {
            "outcome": "accepted",
            "kind": volume.kind,
            "shape_zyx": list(volume.shape),
            "spacing_zyx_mm": list(volume.spacing) if volume.spacing else None,
            "hu_range": [int(volume.hu.min()), int(volume.hu.max())],
            "notices": list(volume.notices),
            "truth": None,
        }
        if truth is None and (choice := offered(volume)):
            report["choice"] = choice.as_json
        if truth is not None:
            report["truth"] = {
                "liver_voxels": int(truth.liver.sum()),
                "tumor_voxels": int(truth.tumor.sum()),
                "notices": list(truth.notices),
            }
    except ChoiceNeeded as needed:
        choice = needed.choice.as_json
        _print_json({"outcome": "refused", "message": str(needed), "choice": choice})
        return REFUSED
    except UploadError as error:
        _print_json({"outcome": "refused", "message": str(error)})
        return REFUSED
    _print_json(report)
    return ACCEPTED


def segment(args: argparse.Namespace) -> int:
    """Writes the segmentation in the scan's own geometry, and report.json beside it."""
    from .network.cascade import segment as run_networks
    from .network.engine import load_engine
    from .network.known_patients import known_patients
    from .scores.findings import find
    from .writing.labels import write_nifti, write_png
    from .writing.tables import to_json

    try:
        volume, truth = _read(args)
        engine = load_engine(args.engine)
        with _ProgressBar() as bar:
            prediction = run_networks(volume, progress=bar.update, engine=engine)
    except ChoiceNeeded as needed:
        print(needed.choice.with_answers, file=sys.stderr)
        return REFUSED
    except (UploadError, WeightsError) as error:
        print(error, file=sys.stderr)
        return REFUSED
    if volume.kind == "picture":
        write_png(prediction, args.out)
    else:
        write_nifti(prediction, volume, args.out / "segmentation.nii.gz")
    findings = find(volume, prediction, engine.identity, truth, known=known_patients())
    (args.out / "report.json").write_text(to_json(findings), encoding="utf-8")
    return ACCEPTED


def _read(args: argparse.Namespace) -> "tuple[Volume, Segmentation | None]":
    """The scan and the ground truth that a command names."""
    from .reading.choice import Answers, offered
    from .reading.upload import read_scan, read_truth

    how: dict[str, Any] = {"choose": args.choose, "follow_links": True}
    volume = read_scan(args.paths, **how)
    paths, choice = args.truth, offered(volume)
    if choice and not paths:
        answers = Answers(args.choose)
        is_wanted = answers.given(choice.question) is not None and answers.to(choice) == 0
        paths = args.paths if is_wanted else None
    return volume, read_truth(paths, volume, **how) if paths else None


def compare(args: argparse.Namespace) -> int:
    """Scores any masks against a ground truth, without the networks; prints or writes a report."""
    from .reading.given import read_prediction
    from .reading.workers import Readers
    from .scores.findings import find
    from .sentences import say
    from .writing.report import report
    from .writing.tables import to_csv, to_json

    readers = Readers(follow_links=True)
    try:
        volume = readers.read_scan(args.paths, args.choose)
        prediction = read_prediction(readers, args.prediction, volume, args.choose)
        truth = readers.read_truth(args.truth, volume, args.choose)
    except ChoiceNeeded as needed:
        print(needed.choice.with_answers, file=sys.stderr)
        return REFUSED
    except UploadError as error:
        print(error, file=sys.stderr)
        return REFUSED
    finally:
        readers.close()
    findings = find(volume, prediction, say("label.given"), truth)
    if args.out is None:
        print(to_json(findings), end="")
        return ACCEPTED
    for name, write in (
        ("report.json", to_json),
        ("measurements.csv", to_csv),
        ("report.html", report),
    ):
        (args.out / name).write_text(write(findings), encoding="utf-8")
    return ACCEPTED


def cohort(args: argparse.Namespace) -> int:
    """Segments or takes the masks of many studies, scores them, and reports on all."""
    from .cohort.run import Options, run_cohort

    options = Options(
        prediction=args.prediction,
        engine=args.engine,
        workers=args.workers,
        threads=args.threads,
        scheduler=args.scheduler,
        time_limit_s=args.time_limit,
        memory_mb=args.memory_mb,
        html=args.html,
        show_paths=args.show_paths,
    )
    try:
        return run_cohort(args.root, args.out, options)
    except (DataError, WeightsError) as error:
        print(error, file=sys.stderr)
        return REFUSED


def phantom(args: argparse.Namespace) -> int:
    """Writes a synthetic abdomen as files a person could upload: DICOM, masks, NIfTI."""
    from .phantom import make_phantom
    from .phantom.files import placed, write_dicom, write_ircadb_masks
    from .writing.labels import write_nifti

    volume, truth = make_phantom(args.seed)
    write_dicom(volume, args.out / "PATIENT_DICOM")
    write_ircadb_masks(truth, volume, args.out)
    for image, name in ((volume, "scan.nii.gz"), (truth, "truth.nii.gz")):
        write_nifti(image, placed(volume), args.out / name)
    print(f"Wrote {volume.shape[0]} slices with their ground truth.", file=sys.stderr)
    return ACCEPTED


class _ProgressBar:
    """One tqdm bar on stderr per stage of the work."""

    def __enter__(self) -> "_ProgressBar":
        self._bar: Any = None
        self._stage: str | None = None
        return self

    def update(self, stage: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if stage != self._stage:
            self.__exit__()
            self._bar, self._stage = tqdm(total=total, desc=stage, file=sys.stderr), stage
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m liverseg", description=__doc__.split("\n")[0])
    parser.add_argument("--version", action="version", version=f"liverseg {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run in (inspect, segment, compare):
        command = commands.add_parser(run.__name__, help=run.__doc__)
        command.add_argument("paths", nargs="+", type=_existing, metavar="PATH")
        command.add_argument(
            "--truth", nargs="+", type=_existing, required=run is compare, metavar="PATH"
        )
        command.add_argument(
            "--choose",
            nargs="+",
            action="extend",
            default=[],
            metavar="ANSWER",
            help='where files can be read in several ways: "scan=1" and the like, as inspect lists',
        )
        command.set_defaults(run=run)
        if run is segment:
            command.add_argument("--out", type=_folder, required=True, metavar="DIR")
            command.add_argument("--engine", choices=("auto", "reference", "fast"), default="auto")
        elif run is compare:
            command.add_argument(
                "--prediction", nargs="+", type=_existing, required=True, metavar="PATH"
            )
            command.add_argument("--out", type=_folder, metavar="DIR", help="else JSON is printed")
    _add_cohort(commands.add_parser("cohort", help=cohort.__doc__))
    command = commands.add_parser("phantom", help=phantom.__doc__)
    command.add_argument("--out", type=_folder, required=True, metavar="DIR")
    command.add_argument("--seed", type=_seed, default=0)
    command.set_defaults(run=phantom)
    for name, words in DEVELOPER_COMMANDS.items():
        commands.add_parser(name, help=words)
    return parser


def _add_cohort(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "root", type=_existing, metavar="ROOT", help="a folder, or a CSV: scan, prediction, truth"
    )
    command.add_argument("--out", type=_folder, required=True, metavar="DIR")
    command.add_argument(
        "--prediction",
        type=_existing,
        metavar="FOLDER",
        help="masks named as the scans, instead of the networks'",
    )
    command.add_argument("--engine", choices=("auto", "reference", "fast"), default="auto")
    command.add_argument("--workers", type=_count, default=1, help="studies at once")
    command.add_argument("--threads", type=_count, help="of a study; else cores by workers")
    command.add_argument("--scheduler", metavar="tcp://HOST:PORT", help="of dask.distributed")
    command.add_argument("--time-limit", type=_count, default=600, help="seconds for a study")
    command.add_argument("--memory-mb", type=_count, default=6000, help="for a study")
    command.add_argument("--html", action="store_true", help="a report of each study too")
    command.add_argument("--show-paths", action="store_true", help="in the report and the table")
    command.set_defaults(run=cohort)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"a number from 1 is needed, not {text}")
    return int(text)


def _existing(text: str) -> Path:
    if not Path(text).exists():
        raise argparse.ArgumentTypeError(f"there is no {text}; name a file or a folder")
    return Path(text)


def _folder(text: str) -> Path:
    """A folder to write to, made before the work begins."""
    try:
        Path(text).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(
            f"{text} is no folder that can be written to ({error.strerror}); name another"
        ) from None
    return Path(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"a seed is a number from 0, not {text}")
    return int(text)


def _print_json(report: dict) -> None:
    print(json.dumps(report, indent=2, ensure_ascii=False))


def _prepare_process(argv: list[str]) -> None:
    """Settings that libraries read when they are imported."""
    if argv[:1] == ["ablate"]:
        # Its networks are narrow, and TensorFlow 2.21's oneDNN writes past its memory where strided
        # 1 × 1 convolutions of fewer than 16 channels learn.
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")


if __name__ == "__main__":
    sys.exit(main())
