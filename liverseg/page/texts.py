"""The sentences of the page; those about an upload are its errors' and notices'."""

from ..reading.limits import LIMITS
from .visitors import SHARED_LIMIT

TITLE = "liverseg"
UNEXPECTED = "Something went wrong, and this step was stopped. Your scan is unchanged; try again."
NOT_READ = "This could not be read. Try again, or upload the files as a zip."
MAKING_CASE = "Making the synthetic case"

INTRODUCTION = """## liverseg
Finds the liver and its tumors in an abdominal CT.

**Teaching demo, not for diagnosis.**"""
SCAN_HINT = """DICOM, NIfTI, PNG or JPG: drop files, a folder or a zip here.
<strong>Do not upload identifiable patient data.</strong>"""
TRUTH_HINT = "Masks of the same scan: 3D-IRCADb folders, DICOM SEG, NIfTI or PNG."
TRUTH_READ = "The ground truth is on the scan."
TRUTH_WAITS = "Received. It will be used when you upload the scan."
CURVES_HINT = "The areas on each slice appear here, and with a ground truth, Dice."
SURFACES_HINT = "Liver and tumors appear here in 3-D if the voxel size is known."
HOUSE_RULES = f"""{LIMITS.sentence} {SHARED_LIMIT} Uploads are deleted as soon as they are read;
the scan stays in memory while this page is open, for an hour after its last use at most."""
BANNER = "<p><strong>liverseg</strong> <span>Teaching demo, not for diagnosis</span></p>"
ABOUT = f"""
**What it does.** Two small networks (ResUNets in Keras) look at every slice and its neighbors. The
first outlines the liver, the second the tumors inside it. Both make mistakes: that is what there is
to see here. **Do not use it for diagnosis, treatment or any decision about a patient.**

**Where the numbers come from.** Volumes are voxels times their size, which the files state; where
they do not, there are no millimeters. Dice and its relatives compare the networks' mask with the
ground truth that you give. Each number says where its definition comes from. What the networks were
trained on, and how well they do on patients they never saw, is in the README.

**What happens to a scan.** {HOUSE_RULES} What you take away carries no name, date or number of the
patient, but for the DICOM SEG, which must refer to its scan. Nobody else sees any of it, and no
other server is asked.

**From a program.**
```python
from gradio_client import Client, handle_file

report, labels = Client("ADDRESS OF THIS PAGE").predict(
    scan=[handle_file("scan.zip")], truth=None, series=None, api_name="/segment"
)
```
"""
