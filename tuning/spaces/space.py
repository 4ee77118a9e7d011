"""HyperSpace: what all search spaces have in common: images, and how models are trained."""

import keras_tuner

from keras_blocks.core import validation
from keras_blocks.core.registration import registered_name
from keras_blocks.costs.cost import Cost
from keras_blocks.tuning.spaces import table as tables
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.spaces.dimension import as_part, hp_range, part_from_config
from keras_blocks.tuning.training import fit as training
from keras_blocks.tuning.training.augmentation import STRENGTHS
from keras_blocks.tuning.training.hyperparameters import TrainingDiverged, checked

RATE = "learning_rate"


class HyperSpace(keras_tuner.HyperModel):
    """A search space: `metaparameters(hp)`, what a model is, and `hyperparameters(hp)`, how it is trained.

    Args:
        input_shape: (height, width, channels) of the images, which are channels_last.
        classes: number of classes.
        scale: what the pixels are multiplied by, inside the model.
        flips: whether augmentation may mirror images left to right.
        name: of the space.
        parts: name of a part -> what users gave for it.
    """

    learning_rates = {"adamw": (1e-3, 1e-2), "sgd": (2e-2, 2e-1)}
    batch_sizes = (32, 64)

    def __init__(self, input_shape, classes, *, scale, flips, name, parts):
        super().__init__(name=name)
        sizes = validation.sequence("input_shape", input_shape, of="height, width and channels")
        if len(sizes) != 3:
            raise ValueError(f"`input_shape` must be (height, width, channels); received {tuple(sizes)}.")
        self.input_shape = tuple(validation.integer("input_shape", size) for size in sizes)
        self.classes = validation.integer("classes", classes, least=2)
        self.scale = validation.number("scale", scale, least=1e-9, most=1e9)
        self.flips = validation.boolean("flips", flips)
        self.narrowed = {part: as_part(part, given) for part, given in parts.items()}
        self.training_parts = tables.merged(self._training_table(), self.narrowed)

    def metaparameters(self, hp) -> dict:
        """Draws what the model is: arguments for its architecture's constructor, plain data."""
        raise NotImplementedError

    def candidate(self, hp) -> Candidate:
        """What is drawn, as plain data."""
        raise NotImplementedError

    def hyperparameters(self, hp) -> dict:
        """Draws how the model is trained: see `training.compiled` and `training.fit`."""
        return self._hyperparameters(tables.draw(self.training_parts, hp))

    def declare_hyperparameters(self, hp) -> None:
        """Declares the whole space, with nothing built. The architecture comes last: a grid varies that first."""
        self.hyperparameters(hp)
        self.metaparameters(hp)

    def cost(self, hp) -> Cost:
        """What the drawn model costs, without building it."""
        return self.candidate(hp).cost()

    def build(self, hp):
        """A compiled model from one draw."""
        self.declare_hyperparameters(hp)
        return self.candidate(hp).compiled(scale=self.scale, flips=self.flips)

    def fit(self, hp, model, *args, **kwargs):
        """Trains as drawn, on arrays.

        Raises:
            keras_tuner.errors.FailedTrialError: where the loss became NaN or infinite, so that no tuner takes the
                trial for a good one.
        """
        try:
            return training.fit(model, self.hyperparameters(hp), *args, **kwargs)
        except TrainingDiverged as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error

    def images(self) -> dict:
        """What the space knows of the images, as arguments of a space's constructor."""
        return {
            "input_shape": list(self.input_shape),
            "classes": self.classes,
            "scale": self.scale,
            "flips": self.flips,
        }

    def get_config(self) -> dict:
        """The space as plain data, from which `space_from_config` makes it again, in another process too."""
        return {
            "space": registered_name(type(self)),
            "name": self.name,
            "parts": {name: part.get_config() for name, part in self.narrowed.items()},
        }

    @classmethod
    def from_config(cls, config: dict):
        """The space that `get_config` described."""
        config = {key: value for key, value in config.items() if key != "space"}
        parts = {name: part_from_config(part) for name, part in config.pop("parts").items()}
        return cls(**config, **parts)

    def _training_table(self) -> dict:
        rates = {RATE: None}
        if RATE not in self.narrowed:
            rates = {}
            for name, (low, high) in self.learning_rates.items():
                rate = hp_range(low, high, sampling="log", default=(low * high) ** 0.5)
                rates[f"{name}_{RATE}"] = rate.when("optimizer", name)
        return {
            "optimizer": list(self.learning_rates),
            **rates,
            "weight_decay": [0.0, 1e-4, 1e-3],
            "batch_size": list(self.batch_sizes),
            "augmentation": ["light", *(name for name in STRENGTHS if name != "light")],
            **training.DEFAULTS,
        }

    def _hyperparameters(self, drawn: dict) -> dict:
        """One learning rate, whichever optimizer it was drawn for."""
        optimizer = drawn.pop("optimizer")
        rates = {name: drawn.pop(name) for name in list(drawn) if name.endswith(RATE)}
        return {"optimizer": optimizer, RATE: rates.get(RATE, rates.get(f"{optimizer}_{RATE}")), **drawn}

    def _refuse_what_is_never_drawn(self, parts):
        for name in self.narrowed:
            for parent, labels in tables.scopes(parts[name], parts).items() if name in parts else ():
                if not labels:
                    raise ValueError(f"`{name}` is never drawn: not where `{parent}` is {parts[parent].values()}.")

    def _check_training(self, values: dict):
        """Refuses hyperparameters that no training takes."""
        checked(self._hyperparameters(tables.draw(tables.fixed(self.training_parts, values), None)))
