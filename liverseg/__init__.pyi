from .errors import UploadError as UploadError
from .errors import WeightsError as WeightsError
from .network.cascade import segment as segment
from .phantom import make_phantom as make_phantom
from .reading.upload import read_scan as read_scan
from .reading.upload import read_truth as read_truth
from .scores.measurements import measure as measure
from .scores.metrics import compare as compare
from .volume import Segmentation as Segmentation
from .volume import Spacing as Spacing
from .volume import Volume as Volume

__version__: str
