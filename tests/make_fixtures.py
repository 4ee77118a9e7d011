"""Writes tests/fixtures/<version>/: a small saved model of each row of the catalog, with inputs and outputs.

Run once for each released version, `python tests/make_fixtures.py`; what is there already is never written again.
"""

import functools
import pathlib
import sys

import keras

import keras_blocks

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from catalog import OTHER_MODELS, ROWS, inputs_for, small_model
from checks import randomize
from reload import save

folder = pathlib.Path(__file__).parent / "fixtures" / keras_blocks.__version__
folder.mkdir(parents=True, exist_ok=True)
makers = {**{row.name: functools.partial(small_model, row) for row in ROWS}, **OTHER_MODELS}
for name, make in makers.items():
    file = folder / f"{name}.keras"
    if file.exists():
        continue
    keras.utils.set_random_seed(0)
    model = make()
    randomize(model)
    save(model, folder, name, inputs_for(model))
    print("wrote", file)
