r"""What a run was made with, as far as it decides numbers and speed."""

__all__ = ["made_with"]

import platform

import torch

from .. import __version__


def made_with(device: torch.device) -> dict[str, str | int]:
    r"""Returns versions, threads and device by name.

    Arguments:
        device: Where the model was trained.

    Example:
        >>> made_with(torch.device("cpu"))["device"]
        'cpu'
    """

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "swae": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": name,
        "threads": torch.get_num_threads(),
    }
