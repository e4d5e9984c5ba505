r"""The model card: what a model is, for whoever finds its folder.

Markdown with a head in YAML, as the Hugging Face hub reads it. What comes from the user's data,
names of columns and classes, is text and never markup.
"""

__all__ = ["model_card"]

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 12
r"""The names of columns or classes that are told."""

FIGURES = {
    "bce": "cross-entropy (nats a value)",
    "l1": "mean absolute error",
    "mse": "mean squared error",
    "psnr": "peak signal-to-noise ratio (dB)",
}

MATCH = {
    "sw2": "along random directions",
    "sw2_axes": "along the coordinate axes",
    "sw2_principal": "along the codes' principal directions",
}


def model_card(config: Mapping[str, Any], name: str = "path/to/this/folder") -> str:
    r"""Writes the card of a stored model.

    Arguments:
        config: The model's configuration, as ``config.json`` holds it.
        name: The folder, or the name on the hub, that the example loads.

    Returns:
        The card, in Markdown.

    Example:
        >>> params = {"prior": "ring", "latent_dim": 2}
        >>> card = model_card({"params": params, "shape": [1, 28, 28], "epochs": 20})
        >>> card.splitlines()[11]
        '# Sliced-Wasserstein autoencoder: 1 x 28 x 28 to 2, prior ring'
    """

    params, shape = config["params"], config["shape"]
    sizes, d = " x ".join(map(str, shape)), params["latent_dim"]
    prior = in_words(config.get("given", {}).get("prior") or params["prior"])
    parts = [
        head(shape),
        f"# Sliced-Wasserstein autoencoder: {sizes} to {d}, prior {prior}",
        "![Samples of the model](preview.png)",
        f"An autoencoder of samples of shape {sizes}, whose {d}-dimensional codes were pulled to "
        f"the prior by the sliced-Wasserstein distance ([Kolouri et al., 2018]"
        "(https://arxiv.org/abs/1804.01947)). Trained for "
        f"{config['epochs']} epochs with swae {config.get('swae', '')}.".replace(" .", "."),
        usage(name, own_parts(params), config.get("classes")),
        data_of(config),
        quality(config.get("evaluation")),
        settings(params),
        "## Files\n\n`model.safetensors` holds the weights and `config.json` the settings; both "
        "are checked by the sums in `manifest.json` before they are used, and nothing in them is "
        "ever run. This page may be edited.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def head(shape: Sequence[int]) -> str:
    r"""Returns what the hub reads."""

    tags = ["swae", "autoencoder", "sliced-wasserstein", "optimal-transport", "generative"]
    lines = ["---", "library_name: swae", "tags:", *(f"- {tag}" for tag in tags)]
    if len(shape) == 3:  # an image
        lines.append("pipeline_tag: unconditional-image-generation")
    return "\n".join([*lines, "---"])


def usage(name: str, own: Sequence[str], classes: Sequence[Any] | None) -> str:
    r"""Shows how the model is used, with what has to be passed again."""

    passed = "".join(f", {part}=..." for part in own)
    lines = [
        "from swae import SWAE",
        "",
        f'model = SWAE.from_pretrained("{name}"{passed})',
        "Z = model.transform(X)  # embed",
        "X_hat = model.inverse_transform(Z)  # go back",
        "X_new = model.sample(16)  # generate",
    ]
    if classes:
        lines.append("X_new = model.sample(16, label=model.classes_[0])  # of one label")
    return "## Use\n\n```python\n" + "\n".join(lines) + "\n```"


def own_parts(params: Mapping[str, Any]) -> list[str]:
    r"""Returns the parameters that no file can hold, which whoever loads has to pass."""

    return [k for k, value in params.items() if isinstance(value, dict) and "given" in value]


def data_of(config: Mapping[str, Any]) -> str:
    r"""Tells what the model was fitted to, as far as it knows."""

    lines = [
        f"- {what}: {listed(names)}"
        for what, names in (("columns", config.get("columns")), ("labels", config.get("classes")))
        if names
    ]
    if config["params"].get("standardize"):
        lines.append("- standardised within the model, and undone: give data in their own units")
    elif config["params"].get("output") == "sigmoid":
        lines.append("- values in [0, 1], or bytes")
    return "## Data\n\n" + "\n".join(lines) if lines else ""


def listed(names: Sequence[Any]) -> str:
    more = len(names) - SHOWN
    return ", ".join(map(as_text, names[:SHOWN])) + (f" and {more:,} more" if more > 0 else "")


def quality(evaluation: Mapping[str, Any] | None) -> str:
    r"""Tells how good the model was on data that it was not trained on."""

    if not evaluation:
        return ""
    rows = ["| | value | null | ratio |", "|---|---|---|---|"]
    for key, what in FIGURES.items():
        if evaluation.get(key) is not None:
            rows.append(f"| {what} | {evaluation[key]:.5g} | | |")
    for key, what in MATCH.items():
        value, null = evaluation.get(key), evaluation.get(f"{key}_null")
        if value is not None and null:
            rows.append(f"| SW2 {what} | {value:.4g} | {null:.4g} | {value / null:.1f} |")
    return (
        f"## How good it is\n\nOn {evaluation.get('n', 0):,} samples that it was not trained on. "
        "SW2 is the squared sliced 2-Wasserstein distance between codes and prior; beside it "
        "stands the same between two samples of the prior, so that a ratio of 1 is a perfect "
        "match.\n\n" + "\n".join(rows)
    )


def settings(params: Mapping[str, Any]) -> str:
    rows = [
        f"| `{name}` | {as_text(in_words(value))} |"
        for name, value in sorted(params.items())
        if value is not None
    ]
    return "## Settings\n\n| | |\n|---|---|\n" + "\n".join(rows)


def in_words(value: Any) -> str:  # noqa: ANN401 - what JSON holds
    r"""Returns a parameter as it would be spelt, or what stands for one that a file can't hold."""

    if isinstance(value, dict):
        return f"your own {value['given']}" if "given" in value else f"its own {value['stored']}"
    return value if isinstance(value, str) else json.dumps(value)


def as_text(value: Any) -> str:  # noqa: ANN401 - a name or a number
    r"""Returns what Markdown shows as it is, on one line.

    Example:
        >>> as_text("<b>a|b</b>")
        '&lt;b&gt;a\\|b&lt;/b&gt;'
    """

    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#!])", r"\\\1", " ".join(text.split()))
