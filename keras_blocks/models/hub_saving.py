"""Models saved to the Hugging Face hub: `model.save("hf://user/name")`, with a card that says what they are."""

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_blocks.core.extras import require
from keras_blocks.costs.cost import cost
from keras_blocks.weights.hub import SCHEME

SHOWN_LABELS = 100


def save_to_hub(model: Any, path: str, save: Callable[[str], None]) -> None:
    """Makes a repository of a model, or a new commit to it: what Keras saves there, and a card.

    Args:
        model: a `Network`.
        path: "hf://user/name".
        save: writes the model into a folder.

    Raises:
        ImportError: without the extra `hub`.
        OSError: where the hub refuses it, or cannot be reached.
        ValueError: for a path of another form.
    """
    if re.fullmatch(r"hf://[\w.-]+/[\w.-]+", path) is None:
        raise ValueError(f"`filepath` on the hub must be hf://user/name; received {path!r}.")
    require("huggingface_hub", "hub")
    import huggingface_hub

    repository = path.removeprefix(SCHEME)
    with tempfile.TemporaryDirectory() as folder:
        save(folder)
        with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as file:
            file.write(model_card(model, repository))
        api = huggingface_hub.HfApi(library_name="keras-blocks")
        try:
            api.create_repo(repository, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message=f"Save {model.name}")
        except Exception as error:  # of the hub's library, and of HTTP's
            raise OSError(f"`filepath`: {path} could not be saved: {type(error).__name__}: {error}") from error


def model_card(model: Any, repository: str) -> str:
    """The README.md of a repository that holds a model: its metaparameters, counts, labels, and how it is loaded.

    Example:

    >>> import keras_blocks
    >>> card = model_card(keras_blocks.create_model("resnet20_cifar", labels=[*"abcdefghij"]), "someone/digits")
    >>> print(card.partition("## Counts")[2].partition("## Metaparameters")[0].strip())
    | | |
    |---|---|
    | parameters | 271,098 |
    | of these trained | 269,722 |
    | multiply-adds for an image | 40,551,040 |
    """
    task = "image-classification" if model.metaparameters.get("include_top") else "image-feature-extraction"
    parts = [
        f"---\nlibrary_name: keras\npipeline_tag: {task}\ntags:\n- keras-blocks\n---",
        f"# {model.name}",
        f"A `{type(model).__name__}` of [keras-blocks](https://pypi.org/project/keras-blocks/), whose import registers "
        f"it. Images: `{_plain(model.metaparameters.input_shape)}`, in {model.data_format}.",
        f'```python\nimport keras\nimport keras_blocks\n\nmodel = keras.saving.load_model("{SCHEME}{repository}")\n```',
        f"## Counts\n\n{_table(_counts(model))}",
        f"## Metaparameters\n\n{_table(_metaparameters(model))}",
        *_labels(model),
    ]
    return "\n\n".join(parts) + "\n"


def _counts(model: Any) -> dict[str, str]:
    trained = sum(int(keras.ops.size(weight.value)) for weight in model.trainable_weights)
    found = {"parameters": f"{model.count_params():,}", "of these trained": f"{trained:,}"}
    with contextlib.suppress(TypeError, ValueError):  # images of any size
        found["multiply-adds for an image"] = f"{cost(model).macs:,}"
    return found


def _metaparameters(model: Any) -> dict[str, str]:
    given = {name: value for name, value in model.metaparameters.items() if name != "labels"}
    return {name: f"`{_plain(value)!r}`" for name, value in given.items()}


def _plain(value: Any) -> Any:
    """A metaparameter as Python's own types; layers by the names of their classes."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else type(value).__name__


def _labels(model: Any) -> list[str]:
    labels = model.metaparameters.get("labels")
    if labels is None:
        return []
    shown = {str(i): label for i, label in enumerate(labels[:SHOWN_LABELS])}
    more = f"\n\n... and {len(labels) - SHOWN_LABELS} more, in config.json" if len(labels) > SHOWN_LABELS else ""
    return [f"## Labels\n\n{_table(shown)}{more}"]


def _table(rows: Mapping[str, str]) -> str:
    """A table of names and values, none of which can break out of its cell."""
    cells = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join(["| | |", "|---|---|", *cells])


def _cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").replace("<", "&lt;").split())
