"""Writes the figures of docs/looking_inside.md: `python tests/make_drawings.py`. A test holds them to `draw`."""

import pathlib

import keras_blocks

FOLDER = pathlib.Path(__file__).parents[1] / "docs" / "drawings"
FIGURES = {
    "inception": lambda: keras_blocks.draw(keras_blocks.InceptionBlock((64, 96, 128, 16, 32, 32)), (28, 28, 192)),
    "fire": lambda: keras_blocks.draw(keras_blocks.FireBlock(16), (55, 55, 96)),
    "bottleneck": lambda: keras_blocks.draw(keras_blocks.ResidualBlock(64), (56, 56, 256)),
    "squeeze_excite": lambda: keras_blocks.draw(keras_blocks.SqueezeExciteBlock(16), (56, 56, 256)),
    "dense": lambda: keras_blocks.draw(keras_blocks.DenseBlock(32, layers=6), (56, 56, 64)),
    "resnet50": lambda: keras_blocks.draw("resnet50"),
}

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, figure in FIGURES.items():
        figure().save(FOLDER / f"{name}.svg")
