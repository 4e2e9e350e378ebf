"""Uploads by handle: what arrives, who may use it, and what is given up."""

import asyncio
import shutil
from collections import namedtuple
from dataclasses import replace

import pytest

from liverseg.errors import BrokenFile, NoRoom, TooLarge, UploadGone
from liverseg.page import uploads
from liverseg.page.uploads import Uploads, safe_names
from liverseg.reading.archive import natural_key, natural_parts, open_upload
from liverseg.reading.limits import LIMITS

BOUNDARY = "frontier"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
ANN, BOB = "a" * 32, "b" * 32


def multipart(*files, whole=True):
    """The body of a request with (name, content) files."""
    body = b""
    for name, content in files:
        head = f'Content-Disposition: form-data; name="files"; filename="{name}"'
        body += f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode() + content + b"\r\n"
    return body + f"--{BOUNDARY}--\r\n".encode() if whole else body[:-5]


def receive(box, body, content_type=CONTENT_TYPE, length=None, owner=ANN, address="school"):
    async def stream():
        for k in range(0, len(body), 1000):
            yield body[k : k + 1000]

    return asyncio.run(box.receive(stream(), content_type, length, owner=owner, address=address))


@pytest.fixture
def box(tmp_path):
    folder = tmp_path / "arrived"
    folder.mkdir()
    return Uploads(folder)


def files_in(box):
    return [path for path in box._folder.rglob("*") if path.is_file()]


def moved(upload, folder):
    """What lies in a folder after an upload was moved there."""
    folder.mkdir()
    upload.move_to(folder)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_files_come_back_by_their_handles_under_their_names(box, tmp_path):
    handles = receive(box, multipart(("1.dcm", b"one"), ("empty", b""), ("big", bytes(3_000_000))))
    assert len(set(handles)) == 3 and all(len(handle) == 64 for handle in handles)
    names = ["PATIENT/1.dcm", "PATIENT/2", "../../../etc/passwd"]
    found = moved(box.take(handles, names, ANN), tmp_path / "reading")
    assert found["PATIENT/1.dcm"] == b"one" and found["PATIENT/2"] == b""
    assert len(found["etc/passwd"]) == 3_000_000
    assert len(box) == 0 and files_in(box) == []


def test_files_of_one_name_do_not_take_each_others_place(box, tmp_path):
    handles = receive(box, multipart(("liver.nii", b"one"), ("liver.nii", b"two")))
    found = moved(box.take(handles, None, ANN), tmp_path / "reading")
    assert sorted(found.values()) == [b"one", b"two"]


SCRIPTS = {
    "Latin": "patient-of-the-hospital_",
    "Cyrillic": "исследование_печени_",
    "Greek": "ηπατος_τομη_",
    "Arabic": "شريحة_الكبد_",
    "Hindi": "यकृत_चित्र_",
    "Chinese": "肝脏切片_",
    "emoji": "🫁🩻_",
    "digits": "1.2.840.113619.2.55.",
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_slices_keep_their_order_however_long_their_names_are(box, tmp_path, script, where):
    text = (SCRIPTS[script] * 30)[:196]
    at = {"first": 0, "middle": 98, "last": 196}[where]
    names = [f"{text[:at]}x{k}y{text[at:]}.png" for k in (2, 10, 1, 100)]
    handles = receive(box, multipart(*[(name, name.encode()) for name in names]))
    folder = tmp_path / "reading"
    found = moved(box.take(handles, None, ANN), folder)
    with open_upload(folder) as members:
        ordered = [member.read().decode() for member in sorted(members, key=natural_key)]
    assert len(found) == 4
    assert ordered == [names[2], names[0], names[1], names[3]]
    assert all(len(part.encode()) <= 255 for name in found for part in name.split("/"))


def test_the_letters_of_every_script_are_kept():
    names = ["肝脏/ट्यूमर_१.png", "опухоль печени (2).png"]
    assert list(map(str, safe_names(names))) == ["肝脏/ट्यूमर_१.png", "опухоль печени _2_.png"]


def test_digits_of_every_script_count_as_numbers():
    names = [f"शरीर {number}" for number in ("१०", "९", "०२")]
    assert sorted(names, key=lambda name: natural_parts([name])) == [names[2], names[1], names[0]]


@pytest.mark.parametrize("names", [["a", "a/b"], ["a/b", "a"], ["a", "a", "a~2"], ["..", "/", ""]])
def test_no_file_takes_the_place_of_another_or_of_a_folder(box, tmp_path, names):
    handles = receive(box, multipart(*[(f"{k}", b"%d" % k) for k in range(len(names))]))
    found = moved(box.take(handles, names, ANN), tmp_path / "reading")
    assert sorted(found.values()) == [b"%d" % k for k in range(len(names))]


def test_equal_files_are_two_uploads(box, tmp_path):
    first, second = (receive(box, multipart(("a", b"scan"))) for _ in range(2))
    assert first != second
    box.take(first, None, ANN)
    assert moved(box.take(second, None, ANN), tmp_path / "reading") == {"a": b"scan"}


@pytest.mark.parametrize(
    "name",
    ["folder", "path", "twice", "of_another", "unknown", None, 5, {"path": "/etc/passwd"}, ""],
)
def test_what_is_no_upload_of_this_visitor_is_refused_and_nothing_is_touched(box, name):
    (mine,) = receive(box, multipart(("a", b"mine")))
    (other,) = receive(box, multipart(("b", b"other")), owner=BOB)
    wanted = {
        "folder": [str(box._folder)],
        "path": [str(box._folder / mine)],
        "twice": [mine, mine],
        "of_another": [mine, other],
        "unknown": ["0" * 64],
    }.get(name if isinstance(name, str) else "", [name])
    with pytest.raises(UploadGone):
        box.take(wanted, None, ANN)
    assert len(box) == 2
    assert sorted(path.read_bytes() for path in files_in(box)) == [b"mine", b"other"]


def test_a_handle_is_good_for_one_use(box):
    handles = receive(box, multipart(("a", b"mine")))
    box.take(handles, None, ANN)
    with pytest.raises(UploadGone):
        box.take(handles, None, ANN)


def test_who_uploads_without_a_name_gives_the_handle_to_whom_they_like(box):
    handles = receive(box, multipart(("a", b"mine")), owner=None)
    assert box.take(handles, None, BOB).paths


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (multipart(("a", b"scan"), whole=False), CONTENT_TYPE),
        (b"", CONTENT_TYPE),
        (b"--no such thing", CONTENT_TYPE),
        (b"scan", "application/octet-stream"),
        (b"scan", "multipart/form-data"),
        (b"scan", ""),
    ],
)
def test_a_request_that_is_no_upload_or_was_cut_leaves_nothing(box, body, content_type):
    with pytest.raises(BrokenFile):
        receive(box, body, content_type)
    assert len(box) == 0
    assert files_in(box) == []


@pytest.mark.parametrize("bound", [{"upload_bytes": 2000}, {"files": 1}, {"file_bytes": 2000}])
@pytest.mark.parametrize("announced", [True, False])
def test_too_much_is_refused_whatever_was_announced(box, monkeypatch, bound, announced):
    monkeypatch.setattr(uploads, "LIMITS", replace(LIMITS, **bound))
    body = multipart(("a", bytes(1500)), ("b", bytes(2500)), ("c", b""), ("d", bytes(3000)))
    with pytest.raises(TooLarge):
        receive(box, body, length=len(body) if announced else None)
    assert files_in(box) == []


def full(free):
    usage = namedtuple("usage", "total used free")
    return lambda path: usage(10**12, 10**12, uploads.SPARE_BYTES + free)


def test_a_full_disk_is_said_and_uploads_that_nobody_asks_for_go_first(box, monkeypatch):
    (left,) = receive(box, multipart(("a", bytes(5000))), address="attacker")
    (mine,) = receive(box, multipart(("b", bytes(100))), address="school")
    room = iter([1000, 6000, 1000, 1000, 1000])
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full(next(room))(path))
    body = multipart(("c", bytes(3000)))
    receive(box, body, length=len(body), address="school")
    assert left not in box._waiting and mine in box._waiting
    with pytest.raises(NoRoom):
        receive(box, body, length=len(body), address="other")


def test_who_sends_most_loses_first(tmp_path):
    box = Uploads(tmp_path, max_bytes=10_000)
    (honest,) = receive(box, multipart(("a", bytes(2000))), address="school", length=2100)
    for _ in range(20):
        receive(box, multipart(("b", bytes(3000))), address="attacker", length=3100)
    assert honest in box._waiting
    assert sum(one.nbytes for one in box._waiting.values()) <= 10_000


def test_what_nobody_will_read_is_swept(box, monkeypatch):
    (of_ann,) = receive(box, multipart(("a", b"ann")), owner=ANN)
    (of_bob,) = receive(box, multipart(("b", b"bob")), owner=BOB)
    (of_program,) = receive(box, multipart(("c", b"program")), owner=None)
    monkeypatch.setattr(uploads, "GRACE_S", -1)
    box.sweep(lambda visitor: visitor == ANN)
    assert set(box._waiting) == {of_ann, of_program}
    monkeypatch.setattr(uploads, "IDLE_S", -1)
    box.sweep(lambda visitor: True)
    assert files_in(box) == [] and of_bob not in box._waiting


def test_a_folder_that_somebody_removed_is_made_anew(box):
    box._folder.rmdir()
    assert receive(box, multipart(("a", b"scan")))
