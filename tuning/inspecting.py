"""What `keras-blocks inspect` shows: each block of a named model, or of one in a file, and its drawing on a page."""

from pathlib import Path
from typing import Any

from keras_blocks.tuning.saying import say


def inspected(name: str, input_shape: Any, page: Path | None) -> None:
    """Prints the rows of `keras_blocks.cost_rows`; with `page` also writes them there, with the drawing.

    Args:
        name: of a variant, or of a .keras file.
        input_shape: of the images, or `None` for the model's own.
        page: the file to write.

    Raises:
        ValueError: for a name that is neither.
    """
    from keras_blocks.look.rows import HEADINGS, cells, cost_rows, total
    from keras_blocks.look.rows import page as page_of
    from keras_blocks.look.table import lined

    target = _loaded(Path(name)) if name.endswith(".keras") else name
    rows = cost_rows(target, input_shape)
    for line in lined(HEADINGS, [cells(row) for row in rows], total(rows)):
        say(line)
    if page is not None:
        page.write_text(page_of(target, input_shape, title=Path(name).name), encoding="utf-8")
        say(f"page: {page}")


def _loaded(file: Path) -> Any:
    import keras

    if not file.is_file():
        raise ValueError(f"there is no file {file}.")
    return keras.saving.load_model(file, compile=False)
