r"""Following a training: numbers, pictures and codes, in the files that other programs open.

Each logger has three methods, :meth:`~Logger.record`, :meth:`~Logger.show` and
:meth:`~Logger.close`, and writes below a place of its own. None of them reaches the network unless
it is asked to, and none draws random numbers, so that a run with them is the run without.

Example:
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from swae import SWAE
    >>> from swae.loggers import Snapshot, TensorBoard
    >>> X = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)).numpy()
    >>> model = SWAE(max_epochs=2, device="cpu", batch_size=32)
    >>> with TemporaryDirectory() as folder:
    ...     with TensorBoard(Path(folder)) as logger:
    ...         for epoch in model.fit_epochs(X):
    ...             logger.record(epoch)
    ...         logger.show(Snapshot(model.n_epochs_, codes=model.transform(X), thumbnails=X))
    ...     sorted(path.name.split(".")[0] for path in Path(folder).iterdir())
    ['events', 'projector', 'projector_config']
"""

__all__ = ["JsonLines", "Logger", "Snapshot", "TensorBoard", "Together", "WeightsAndBiases"]

from .json_lines import JsonLines
from .logger import Logger, Snapshot
from .tensorboard import TensorBoard
from .together import Together
from .weights_and_biases import WeightsAndBiases
