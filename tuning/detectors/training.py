"""DetectorTraining: a named detector trained on a folder of images with boxes, kept in a run folder."""

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import keras

from keras_blocks.blocks.image_normalization import ImageNormalization
from keras_blocks.core.extras import require
from keras_blocks.detection.dataset import DetectionDataset
from keras_blocks.detection.drawing import draw_detections
from keras_blocks.models.faster_rcnn import PYRAMID_SIZES
from keras_blocks.models.registry import architecture_of
from keras_blocks.tuning.boxed_data import LAYOUTS, divided, objects_in, read_boxed, taken, usual_size
from keras_blocks.tuning.detectors.epochs import DetectorEpochs
from keras_blocks.tuning.files import replacing, write_json
from keras_blocks.tuning.run_folder import RunFolder
from keras_blocks.tuning.search.progress import NoProgress, Progress
from keras_blocks.tuning.search.settings_table import NamedSettings, check_settings, documented, setting
from keras_blocks.tuning.seeds import FINAL, derived_seed
from keras_blocks.tuning.training.detection import AT_A_TIME, check_detector, figures_on, plain_figures
from keras_blocks.tuning.training.fit import fit
from keras_blocks.tuning.training.hyperparameters import TrainingDiverged
from keras_blocks.weights.pretrained import check_path, load_weights

PICTURES = 4
"""Images of which the run keeps a picture with what was found."""

LEAST_ANCHOR = 4
"""Pixels of an anchor that is made smaller for small images, at least."""

OPTIMIZER = {"momentum": 0.9, "weight_decay": 5e-4, "global_clipnorm": 10.0}
"""Of SGD. Reference: Ren et al. 2015, section 3.1.3; clipped, as the first steps of a new head are wild."""

WARMUP = 0.05
"""Share of the epochs in which the learning rate rises."""

SHARE_OF_MODEL = "their most common size, at most the model's own"
DETECTOR_DATA_HELP = "A folder of images with boxes, of Pascal VOC's layout or COCO's."


@documented
@dataclasses.dataclass(frozen=True)
class DetectorSettings(NamedSettings):
    """The settings of a detector's training, checked. The optimizer is SGD with momentum.

    Args:

    Raises:
        TypeError, ValueError: for a value out of range, naming it and what is allowed.

    Example:

    >>> DetectorSettings(data="BCCD").batch_size
    2
    """

    data: str = setting("", DETECTOR_DATA_HELP)
    image_size: tuple[int, int] | None = setting(
        None, "Height x width that images are brought to, their aspect kept.", shown_default=SHARE_OF_MODEL
    )
    epochs: int = setting(20, "Of the training.", 1, 100_000)
    learning_rate: float = setting(2.5e-3, "At the beginning; it falls to 0 along half a cosine.", 1e-8, 10)
    batch_size: int = setting(2, "Images in a step.", 1, 2**10)
    augmentation: Literal["none", "light"] = setting("light", "{choices}: horizontal flips.")
    weights: str | None = setting(None, "File of the backbone's weights.\nIts normalization is then frozen.")
    normalization: Literal["torch", "caffe", "tf"] = setting("torch", "{choices}: pixels as the weights want them.")
    seed: int = setting(0, "Of everything that is drawn, from 0.", 0, 2**32 - 1)

    def __post_init__(self) -> None:
        if self.data == "":
            raise ValueError(f"`data` must be given: {LAYOUTS}.")
        check_settings(self)


class DetectorTraining:
    """The training of a published detector on images with boxes. Creating it checks everything; `run` does the work.

    Args:
        name: one of `keras_blocks.list_models()` that detects.
        settings: `DetectorSettings`.
        run: path of the run folder.
        replace: remove the run that is there. Never removes anything else. Without it, a training that was interrupted,
            with the same settings, goes on after its last epoch.

    Raises:
        TypeError, ValueError: for a name that is unknown or of no such detector, and for data, weights or a folder that
            cannot be used, another process training in it among them.
        ImportError: where pycocotools or Pillow is missing.

    Example:

    >>> DetectorTraining("faster_rcnn_squeezenet", DetectorSettings(data="nowhere"), "runs/cells")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: `data` must be a folder; nowhere is none. It takes a folder of Pascal VOC's layout (...
    """

    def __init__(self, name: str, settings: DetectorSettings, run: str | Path, *, replace: bool = False) -> None:
        self.name, self.settings = name, settings
        self.architecture = architecture_of(name)
        check_detector("name", self.architecture, name)
        require("pycocotools", "detection")
        self.folder = RunFolder(run)
        description = {"kind": "detector", "model": name, **dataclasses.asdict(settings)}
        goes_on = not replace and self._was_interrupted(description)
        if goes_on or replace:
            self.folder.refuse_held()
        if not goes_on:
            self.folder.replaceable(replace=replace)
        if settings.weights is not None:
            _check_weights(settings.weights)
        self.images = read_boxed(settings.data)
        if "train" not in self.images.parts:
            raise ValueError(
                f"`data`: {settings.data} must have images to train on; it has parts for {list(self.images.parts)}."
            )
        self.notes = list(self.images.notes)
        self._set_sizes()
        self.train, self.val, self.test = self._parts()
        self.model = self._model()
        self.epochs = self._epochs(description)
        if goes_on:
            self.epochs.take_up(self.model)
            self.notes += self.epochs.notes
        else:
            self.folder.create(description, replace=replace)

    def _was_interrupted(self, description: dict[str, Any]) -> bool:
        """Whether the folder holds a run that was begun by the same command, and has no result."""
        if not self.folder.is_run():
            return False
        said = self.folder.describe()
        same = all(said.get(key) == value for key, value in json.loads(json.dumps(description)).items())
        return same and self.folder.results() is None

    def _epochs(self, description: dict[str, Any]) -> DetectorEpochs:
        images = [Path(file).name for dataset in (self.train, self.val) for file in dataset.files]
        told = [description, self.metaparameters, self.images.labels, self.image_size, images]
        signature = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        return DetectorEpochs(self.val, self.folder.final, signature, self.folder.save_model, self._watch)

    def _watch(self, done: int, logs: Mapping[str, float]) -> None:
        self._progress.epoch(done, dict(logs))

    def _set_sizes(self) -> None:
        """The images' size, and the anchors that go with it."""
        published = self.architecture.variants[self.name]
        own = tuple(published["image_size"])
        usual = usual_size(self.images.parts["train"])
        smaller = all(mine <= most for mine, most in zip(usual, own))
        self.image_size = self.settings.image_size or (usual if smaller else own)
        self.metaparameters: dict[str, Any] = {}
        ratio = max(mine / most for mine, most in zip(self.image_size, own))
        if ratio < 1:
            sizes = published.get("anchor_sizes", PYRAMID_SIZES)
            anchors = [[max(LEAST_ANCHOR, round(size * ratio)) for size in level] for level in sizes]
            self.metaparameters["anchor_sizes"] = anchors
            self.notes.append(f"unlike the published model: anchor_sizes is {anchors}, for the images' size")

    def _parts(self) -> tuple[DetectionDataset, DetectionDataset, DetectionDataset | None]:
        """The images to train on, to validate on and to test on."""
        parts, seed = self.images.parts, derived_seed(self.settings.seed, FINAL)
        train = parts["train"]
        places = self._all("train")
        validated, held = parts.get("val"), self._all("val")
        if validated is None:
            validated = train
            places, held = divided(train, self.settings.seed)
            self.notes.append(f"{len(held)} of the images to train are validated on, as there is no part for that")
        flip = keras.layers.RandomFlip("horizontal", bounding_box_format="xyxy")
        options: dict[str, Any] = {"image_size": self.image_size, "labels": self.images.labels}
        made = taken(
            train,
            places,
            batch_size=self.settings.batch_size,
            shuffle=True,
            seed=seed,
            augmentation=flip if self.settings.augmentation == "light" else None,
            **options,
        )
        judged = [
            taken(dataset, those, batch_size=AT_A_TIME, **options) if dataset is not None else None
            for dataset, those in ((validated, held), (parts.get("test"), self._all("test")))
        ]
        for part, dataset in (("train", made), ("validate", judged[0])):
            if dataset is None or not any(map(objects_in, dataset.ground_truth())):
                raise ValueError(f"`data`: of the images to {part} one at least must have an object; none has.")
        assert judged[0] is not None
        return made, judged[0], judged[1]

    def _all(self, part: str) -> Sequence[int]:
        return range(len(self.images.parts[part].files)) if part in self.images.parts else range(0)

    def _model(self) -> Any:
        """The detector, compiled."""
        keras.utils.clear_session()
        keras.utils.set_random_seed(derived_seed(self.settings.seed, FINAL))
        labels = self.images.labels
        model: Any = self.architecture.from_variant(
            self.name,
            classes=len(labels),
            labels=labels,
            image_size=self.image_size,
            preprocess=ImageNormalization(self.settings.normalization),
            **self.metaparameters,
        )
        if self.settings.weights is None:
            self.notes.append("the backbone begins with random weights; --weights FILE gives it those of a classifier")
        else:
            load_weights(model.backbone, self.settings.weights)
            model.freeze_normalization()  # its statistics are worth more than those of a few images
        model.compile(keras.optimizers.SGD(self.settings.learning_rate, **OPTIMIZER))
        model.optimizer.build(model.trainable_variables)
        return model

    def describe(self) -> str:
        """What is trained on what, in one line."""
        height, width = self.image_size
        tested = len(self.test.files) if self.test else 0
        return (
            f"{self.name} on {self.images.name}: {len(self.train.files)} images to train, {len(self.val.files)} to "
            f"validate, {tested} held out, brought to {height}x{width}, {len(self.images.labels)} classes"
        )

    def run(self, progress: Progress | None = None) -> dict[str, Any]:
        """Trains, keeps the epoch with the highest mAP on the validation images, and evaluates it on the test images.

        A training that was interrupted goes on after its last epoch.

        Args:
            progress: told of each epoch, see `report.terminal.Progress`.

        Returns:
            What result.json holds.

        Raises:
            TrainingDiverged: where a loss became NaN or infinite.
            RunIsHeld: where another process trains in the run's folder.
        """
        from keras_blocks.tuning.report.run_report import write_run_report  # plotly takes a while

        with self.folder.held():
            result = self._run(progress)
            write_run_report(self.folder)
        return result

    def _run(self, progress: Progress | None) -> dict[str, Any]:
        self._progress, began = progress or NoProgress(), time.perf_counter()
        self._progress.training(self.settings.epochs)
        done, epochs = self.epochs.done, self.settings.epochs
        if done < epochs:
            self.train.epoch = done  # whose order and flips follow from it
            how = {"learning_rate": self.settings.learning_rate, "batch_size": None, "warmup": WARMUP}
            more = {"epochs": epochs, "initial_epoch": done, "callbacks": [self.epochs]}
            fit(self.model, how, self.train, shuffle=False, verbose=0, **more)
        if not self.epochs.weights:
            raise TrainingDiverged("the training diverged in its first epoch.")
        self.model.set_weights(self.epochs.weights)
        result = {
            "model": self.name,
            "data": self.images.name,
            "class_names": self.images.labels,
            "image_size": self.image_size,
            "train_images": len(self.train.files),
            "val_images": len(self.val.files),
            "test_images": len(self.test.files) if self.test else 0,
            "val": plain_figures(self.epochs.figures),
            "test": figures_on(self.model, self.test) if self.test else None,
            "kept_epoch": self.epochs.epoch + 1,
            "epochs": self.settings.epochs,
            "params": self.model.count_params(),
            "seconds": round(time.perf_counter() - began, 3),
            "metaparameters": self.metaparameters,
            "history": self.epochs.history,
            "pictures": self._draw(self.test or self.val),
        }
        written: dict[str, Any] = write_json(self.folder.result, result)
        self.folder.final.unlink(missing_ok=True)
        return written

    def _draw(self, dataset: DetectionDataset) -> list[str]:
        """Draws pictures of the first images with what was found in them; their names."""
        few = taken(dataset, range(min(PICTURES, len(dataset.files))), image_size=self.image_size, batch_size=1)
        found = self.model.predict(few, verbose=0)
        for i in range(len(few.files)):
            one = {name: value[i] for name, value in found.items()}
            one["boxes"] = few.to_original(i, one["boxes"])
            picture = draw_detections(few.original(i), one, few.labels)
            with replacing(self.folder.picture(i)) as part:
                picture.save(part)
        return [Path(file).name for file in few.files]


def _check_weights(path: str) -> None:
    try:
        check_path(path)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
