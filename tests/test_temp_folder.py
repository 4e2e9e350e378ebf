import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from liverseg.page.temp_folder import TempFolder

ROOT = Path(__file__).resolve().parent.parent


def test_the_folder_is_private_and_gone_at_the_end(tmp_path):
    with TempFolder(tmp_path) as scratch:
        assert scratch.folder.parent == tmp_path
        assert scratch.folder.stat().st_mode & 0o777 == 0o700
        (scratch.served / "upload").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_at_the_next_start(tmp_path):
    program = (
        "import os, sys; from pathlib import Path\n"
        "from liverseg.page.temp_folder import TempFolder\n"
        "scratch = TempFolder(Path(sys.argv[1])); (scratch.served / 'scan').write_text('x')\n"
        "os._exit(1)"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=False)
    (left,) = tmp_path.iterdir()
    with TempFolder(tmp_path) as scratch:
        assert not left.exists()
        assert scratch.folder.exists()


def test_a_living_process_keeps_its_folder(tmp_path):
    program = (
        "import sys; from pathlib import Path; from liverseg.page.temp_folder import TempFolder\n"
        "TempFolder(Path(sys.argv[1])).__exit__()"
    )
    with TempFolder(tmp_path) as scratch:
        subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=True)
        assert scratch.served.is_dir()


def test_a_folder_of_that_name_which_is_not_ours_stays(tmp_path):
    stranger = tmp_path / "liverseg-notes"
    stranger.mkdir()
    with TempFolder(tmp_path):
        assert stranger.is_dir()


def test_old_files_are_swept_and_the_folders_of_open_studies_kept(tmp_path):
    with TempFolder(tmp_path) as scratch:
        for name in ("old", "new", "kept"):
            (scratch.served / name).mkdir()
            (scratch.served / name / "file").write_text("x")
        an_hour_ago = time.time() - 3600
        for name in ("old", "kept"):
            os.utime(scratch.served / name, (an_hour_ago, an_hour_ago))
        scratch.sweep(60, keep={scratch.served / "kept"})
        assert {path.name for path in scratch.served.iterdir()} == {"new", "kept"}


def test_what_goes_away_during_a_sweep_does_not_stop_it(tmp_path, monkeypatch):
    with TempFolder(tmp_path) as scratch:
        for name in ("taken", "old"):
            (scratch.served / name).mkdir()
            (scratch.served / name / "file").write_text("x")
            os.utime(scratch.served / name, (0, 0))
        listed = list(scratch.served.iterdir())
        monkeypatch.setattr(Path, "iterdir", lambda path: iter([*listed, path / "gone"]))
        shutil.rmtree(scratch.served / "taken")
        scratch.sweep(60, keep=set())
        monkeypatch.undo()
        assert list(scratch.served.iterdir()) == []


def test_over_the_limit_of_bytes_the_oldest_goes_first(tmp_path):
    with TempFolder(tmp_path) as scratch:
        for age, name in enumerate(("newest", "newer", "oldest")):
            (scratch.served / name).write_bytes(bytes(100))
            os.utime(scratch.served / name, (time.time() - age, time.time() - age))
        scratch.sweep(3600, keep=set(), max_bytes=200)
        assert {path.name for path in scratch.served.iterdir()} == {"newest", "newer"}
