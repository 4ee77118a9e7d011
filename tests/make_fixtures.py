"""Writes tests/fixtures/<version>/: a small saved model of each row of the catalog, with an input and its output.

Run once for each released version, `python tests/make_fixtures.py`; what is there already is never written again.
"""

import pathlib
import sys

import keras
import numpy as np

import keras_blocks

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from catalog import ROWS, image_shape, small_model
from checks import randomize
from reload import as_array

folder = pathlib.Path(__file__).parent / "fixtures" / keras_blocks.__version__
folder.mkdir(parents=True, exist_ok=True)
for row in ROWS:
    file = folder / f"{row.name}.keras"
    if file.exists():
        continue
    keras.utils.set_random_seed(0)
    model = small_model(row)
    randomize(model)
    images = np.random.default_rng(0).uniform(0, 1, (2, *image_shape(row))).astype("float32")
    model.save(file)
    np.savez(file.with_suffix(".npz"), images=images, outputs=as_array(model(images)))
    print("wrote", file)
