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
    """

    files: int = 5_000
    file_bytes: int = 1_000_000_000
    upload_bytes: int = 2_000_000_000
    voxels: int = 400_000_000
    side: int = 4096
    header_bytes: int = 12_000_000
    inner_archive_bytes: int = 256_000_000
    ratio: int = 300

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


LIMITS = Limits()
