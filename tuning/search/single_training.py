"""SingleTraining: a named model trained from random weights, kept in a run folder."""

from keras_blocks.core import validation
from keras_blocks.core.registration import registered_name
from keras_blocks.core.signature import arguments
from keras_blocks.costs.cost import cost
from keras_blocks.models.registry import classifier_of
from keras_blocks.tuning.data.load import load_dataset
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.progress import Quiet
from keras_blocks.tuning.spaces.candidate import Candidate
from keras_blocks.tuning.spaces.names import space_of_architecture
from keras_blocks.tuning.training import final_training as final
from keras_blocks.tuning.training.augmentation import STRENGTHS


class SingleTraining:
    """The training of a published architecture on a dataset. Creating it checks everything; `run` does the work.

    Args:
        name: one of `keras_blocks.list_models()`.
        data, image_size, seed: as in `load_dataset`; the seed is also the training's.
        epochs, learning_rate, batch_size, augmentation: of the training, by AdamW.
        batch_norm: whether a network that was published without BatchNormalization gets it: plain ones with ReLU
            hardly train from random weights without.
        run: path of the run folder.
        replace: remove the run that is there. Never removes anything else.

    Raises:
        TypeError, ValueError: for an argument out of range, and for data or a folder that cannot be used.

    Example:

    >>> result = SingleTraining("squeezenet_1.1", data="digits", epochs=1, run="runs/single").run()
    >>> result["epochs"]
    1
    """

    def __init__(
        self,
        name,
        *,
        data="digits",
        image_size=None,
        epochs=30,
        learning_rate=3e-3,
        batch_size=32,
        augmentation="light",
        batch_norm=True,
        seed=0,
        run,
        replace=False,
    ):
        self.architecture = classifier_of(name)
        self.epochs = validation.integer("epochs", epochs, most=100_000)
        self.seed = validation.integer("seed", seed, least=0, most=2**32 - 1)
        self.hyperparameters = {
            "optimizer": "adamw",
            "learning_rate": validation.number("learning_rate", learning_rate, least=1e-8, most=10),
            "weight_decay": 1e-4,
            "batch_size": validation.integer("batch_size", batch_size),
            "augmentation": validation.choice("augmentation", augmentation, tuple(STRENGTHS)),
        }
        self.folder = RunFolder(run)
        self.dataset = load_dataset(data, seed=seed, image_size=image_size)
        space = space_of_architecture(self.architecture).from_dataset(self.dataset)
        published = self.architecture.variants[name]
        fitted = space.adapted(published)
        self.changes = [
            f"{key} is {value!r}, for the images' size" for key, value in fitted.items() if value != published[key]
        ]
        self.metaparameters = {**fitted, **space.given()}
        normalizes = published.get("batch_norm", arguments(self.architecture)["batch_norm"])
        if validation.boolean("batch_norm", batch_norm) and not normalizes:
            self.metaparameters["batch_norm"] = space.batch_norm
            self.changes.append("with batch normalization (--no-batch-norm: without)")
        try:
            cost(self.architecture, **self.metaparameters)  # finds out with nothing built
        except ValueError as error:
            raise ValueError(f"`data`: images of {self.dataset.image_shape} do not fit {name!r}: {error}") from error
        self.candidate = Candidate(registered_name(self.architecture), self.metaparameters, self.hyperparameters)
        self.folder.create(
            {"kind": "train", "model": name, "data": data, "seed": seed, "epochs": epochs, **self.hyperparameters},
            replace=replace,
        )

    def run(self, progress=None) -> dict:
        """Trains, keeps the best epoch, evaluates it on the test images.

        Args:
            progress: told of each epoch, see `report.Progress`.

        Returns:
            What result.json holds.

        Raises:
            TrainingDiverged: where the loss became NaN or infinite.
        """
        from keras_blocks.tuning.report.run_report import write_run_report  # plotly takes a while

        progress = progress or Quiet()
        progress.training(self.epochs)
        result = final.train_and_keep(
            self.folder,
            self.dataset,
            self.candidate,
            epochs=self.epochs,
            seed=self.seed,
            watch=progress.epoch,
            note=progress.note,
        )
        write_run_report(self.folder)
        return result
