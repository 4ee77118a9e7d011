"""HyperArchitecture: what the search spaces of all architectures have in common."""

import keras_tuner

from keras_blocks import validation
from keras_blocks.costs import Cost, cost
from keras_blocks.tuning import training
from keras_blocks.tuning.augmentation import STRENGTHS


class HyperArchitecture(keras_tuner.HyperModel):
    """The search space of an architecture. It holds no model code: what it draws are the constructor's arguments.

    A subclass names its `architecture` and draws that class' own arguments in `own(hp)`. Every draw must be valid.
    Two functions can each be used alone: `metaparameters(hp)`, what the model is, and `hyperparameters(hp)`, how it is
    trained. Any KerasTuner tuner takes an instance.

    A hyperparameter drawn in a `conditional_scope` must be drawn there whether the scope is active or not (KerasTuner
    runs the code either way), so that a single draw declares the whole space.

    Args:
        input_shape: (height, width, channels) of the images, which are channels_last.
        classes: number of classes.
        scale: what the pixels are multiplied by, inside the model.
        flips: whether augmentation may mirror images left to right.
        tune_batch_norm: whether BatchNormalization is drawn, too. Otherwise all models have it: without it, plain
            architectures with ReLU often stay at chance when they train for few steps.
        name: of the space; the architecture's by default.

    Raises:
        TypeError, ValueError: for an argument out of range, naming it, its value and what is allowed.

    Example: the whole space of a new architecture.

    >>> class HyperWideNet(HyperArchitecture):
    ...     architecture = keras_blocks.SqueezeNet
    ...
    ...     def own(self, hp):
    ...         return {"groups": [{"filters": [hp.Choice("filters", [16, 32])]}], "stem": "tiny"}
    >>> import keras_tuner
    >>> HyperWideNet((8, 8, 1), classes=10).metaparameters(keras_tuner.HyperParameters())["groups"]
    [{'filters': [16]}]
    """

    architecture: type

    activations = ("relu", "elu", "gelu", "silu")
    learning_rates = {"adamw": (1e-3, 1e-2), "sgd": (2e-2, 2e-1)}
    batch_sizes = (32, 64)
    batch_norm = {"momentum": 0.9}
    """Keras' default of 0.99 averages over 300 steps and more, which on small data are all that there are."""

    def __init__(self, input_shape, classes, *, scale=1.0, flips=False, tune_batch_norm=False, name=None):
        super().__init__(name=name or self.architecture.__name__.lower())
        sizes = validation.sequence("input_shape", input_shape, of="height, width and channels")
        if len(sizes) != 3:
            raise ValueError(f"`input_shape` must be (height, width, channels); received {tuple(sizes)}.")
        self.input_shape = tuple(validation.integer("input_shape", size) for size in sizes)
        self.classes = validation.integer("classes", classes, least=2)
        self.scale = validation.number("scale", scale, least=1e-9, most=1e9)
        self.flips = validation.boolean("flips", flips)
        self.tune_batch_norm = validation.boolean("tune_batch_norm", tune_batch_norm)

    @classmethod
    def from_dataset(cls, dataset, **kwargs):
        """The space for the images of a `Dataset`."""
        return cls(dataset.image_shape, dataset.classes, scale=dataset.scale, flips=dataset.flips, **kwargs)

    def own(self, hp) -> dict:
        """Draws the architecture's own arguments. The one thing to declare."""
        raise NotImplementedError(f"{type(self).__name__} must draw its metaparameters in `own(self, hp)`.")

    def adapted(self, metaparameters: dict) -> dict:
        """A published variant's metaparameters with what must differ for images of this size. By default nothing."""
        return metaparameters

    def metaparameters(self, hp) -> dict:
        """Draws what the model is: arguments for `architecture(**metaparameters)`, plain data."""
        drawn = {**self.own(hp), "activation": hp.Choice("activation", list(self.activations))}
        drawn["batch_norm"] = self.batch_norm
        if self.tune_batch_norm and not hp.Boolean("batch_norm", default=True):
            drawn["batch_norm"] = False
        return {**drawn, **self.given()}

    def hyperparameters(self, hp) -> dict:
        """Draws how the model is trained: optimizer, learning_rate, weight_decay, batch_size and augmentation."""
        optimizer = hp.Choice("optimizer", list(self.learning_rates))
        rates = {}
        for name, (least, most) in self.learning_rates.items():
            with hp.conditional_scope("optimizer", [name]):
                rates[name] = hp.Float(
                    f"{name}_learning_rate", least, most, sampling="log", default=(least * most) ** 0.5
                )
        return {
            "optimizer": optimizer,
            "learning_rate": rates[optimizer],
            "weight_decay": hp.Choice("weight_decay", [0.0, 1e-4, 1e-3]),
            "batch_size": hp.Choice("batch_size", list(self.batch_sizes)),
            "augmentation": hp.Choice("augmentation", list(STRENGTHS), default="light"),
        }

    def declare_hyperparameters(self, hp) -> None:
        """Declares the whole space, with nothing built. The architecture comes last: a grid varies that first."""
        self.hyperparameters(hp)
        self.metaparameters(hp)

    def cost(self, hp) -> Cost:
        """What the drawn model costs, without building it."""
        return cost(self.architecture, **self.metaparameters(hp))

    def build(self, hp):
        """A compiled model from one draw."""
        self.declare_hyperparameters(hp)
        return training.compiled(
            self.architecture, self.metaparameters(hp), self.hyperparameters(hp), scale=self.scale, flips=self.flips
        )

    def fit(self, hp, model, *args, **kwargs):
        """Trains with the batch size drawn, on arrays.

        Raises:
            keras_tuner.errors.FailedTrialError: where the loss became NaN or infinite, so that no tuner takes the
                trial for a good one.
        """
        try:
            return training.fit(model, self.hyperparameters(hp), *args, **kwargs)
        except training.TrainingDiverged as error:
            raise keras_tuner.errors.FailedTrialError(str(error)) from error

    def given(self) -> dict:
        """The metaparameters that the data decide."""
        return {"input_shape": self.input_shape, "classes": self.classes, "data_format": "channels_last"}
