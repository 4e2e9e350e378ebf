"""What one upload may hold, in one place; the page and the README quote these numbers."""

from dataclasses import dataclass

from ..sentences import Sentence, say


@dataclass(frozen=True)
class Limits:
    """The bounds of one upload, counted after unpacking.

    Attributes:
        files: files and archive entries.
        file_bytes: one file.
        upload_bytes: everything together.
        voxels: voxels of the scan: 1500 slices of 512×512.
        side: rows or columns of one slice.
        header_bytes: what may come before a DICOM file's pixels.
        inner_archive_bytes: an archive in an archive.
        ratio: how far a big file may be compressed; CT reaches 10, masks as NIfTI reach 300.
        entries: of all archives together, folders too.
        directory_bytes: the list of one archive's entries.
        elements: DICOM elements of all headers together; a CT slice has 60 to 300.
        frames: of all multi-frame files together.
        decoded_bytes: unpacked and decoded, each pass counted.
        truth_voxels: of a ground truth's masks together; see `truth_voxels_for`.
        decoder_stops: images over which a decoder may crash or hang before none is tried any more.
        jpeg_scans: passes over a JPEG's pixels; progressive ones have about ten.
        cpu_seconds: of the process that reads what turns out to be no scan.
        cpu_seconds_per_mvoxel: more for each million voxels of a scan, or of masks: four times what
            JPEG 2000 takes, the slowest compression.
        memory_bytes, scan_memory_bytes: which that process may ask for, before it has found a scan
            and from then on.
    """

    files: int = 5_000
    file_bytes: int = 1_000_000_000
    upload_bytes: int = 2_000_000_000
    voxels: int = 400_000_000
    side: int = 4096
    header_bytes: int = 12_000_000
    inner_archive_bytes: int = 256_000_000
    ratio: int = 300
    entries: int = 10_000
    directory_bytes: int = 5_000_000
    elements: int = 1_200_000
    frames: int = 20_000
    decoded_bytes: int = 6_000_000_000
    truth_voxels: int = 800_000_000
    decoder_stops: int = 3
    jpeg_scans: int = 50
    cpu_seconds: float = 20
    cpu_seconds_per_mvoxel: float = 0.6
    memory_bytes: int = 1_000_000_000
    scan_memory_bytes: int = 3_000_000_000

    @property
    def sentence(self) -> Sentence:
        """For the page, the README and refusals."""
        return say(
            "limits",
            files=self.files,
            file_mb=self.file_bytes // 10**6,
            upload_mb=self.upload_bytes // 10**6,
            side=self.side,
            voxels_m=self.voxels // 10**6,
        )

    def truth_voxels_for(self, scan_voxels: int) -> int:
        """How many a ground truth may have: on a grid twice as fine, or 100 million for any."""
        return min(self.truth_voxels, max(100_000_000, 8 * scan_voxels))


LIMITS = Limits()
