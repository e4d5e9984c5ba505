r"""What the commands of :mod:`swae.cli` do: one family of them a file."""

__all__ = ["HOME"]

HOME = {
    "fit": "fit",
    "evaluate": "use",
    "reconstruct": "use",
    "sample": "use",
    "encode": "use",
    "decode": "use",
    "interpolate": "latent",
    "modes": "latent",
    "grid": "latent",
    "report": "reporting",
    "info": "use",
    "export": "export",
    "paper": "paper",
    "import-keras": "keras",
}
r"""The file that each command lives in, as a function of the command's name."""
