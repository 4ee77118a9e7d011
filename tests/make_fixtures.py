"""Writes tests/fixtures/<version>/: small saved models with inputs and outputs, and all classes' configs (released.py).

Run once for each released version, and again when a class was added: `python tests/make_fixtures.py`; what is there
already is never written again.
"""

import pathlib
import sys
import zipfile

import keras

import keras_blocks

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from catalog import inputs_for
from checks import randomize
from released import FIXTURES, MAKERS, models_of, read_configs, said_of, write_configs
from reload import save


def packed(file):
    """Keras leaves its archive's parts as they are; HDF5's are mostly gaps."""
    with zipfile.ZipFile(file) as archive:
        parts = [(item, archive.read(item)) for item in archive.infolist()]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for item, content in parts:
            archive.writestr(item.filename, content)


version = keras_blocks.__version__
folder = FIXTURES / version
folder.mkdir(parents=True, exist_ok=True)
for name, make in models_of(version).items():
    file = folder / f"{name}.keras"
    if file.exists():
        continue
    keras.utils.set_random_seed(0)
    model = make()
    randomize(model)
    save(model, folder, name, inputs_for(model))
    packed(file)
    print("wrote", file)
configs = read_configs(version)
if version != "0.1.0":
    write_configs(version, {name: said_of(make()) for name, make in MAKERS.items() if name not in configs} | configs)
