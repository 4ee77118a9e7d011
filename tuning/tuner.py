"""RecordedTuner: runs the trials that an oracle chooses, records each, and takes a recorded one for run."""

import time

import keras
import keras_tuner

from keras_blocks.tuning.seeds import TRIAL, derived_seed
from keras_blocks.tuning.trials import COMPLETED, FAILED, Trial


class RecordedTuner(keras_tuner.Tuner):
    """A KerasTuner tuner whose memory is a `TrialRecord`.

    An oracle with a seed chooses the same candidates again if it is told the same results. So a search is resumed by
    running it from its beginning: trials that are recorded return their result at once, the first that is not is
    trained. No KerasTuner state has to survive, and an interrupted trial is simply run again.

    No weights are kept for a trial, as the best candidate is trained again, for longer. A candidate that Hyperband
    promotes therefore starts from the beginning, with more epochs.

    Args:
        oracle: that chooses.
        hypermodel: a `HyperArchitecture`.
        record: a `TrialRecord`.
        seed: from which each trial's is derived.
        epochs: of a trial.
        progress: told of each trial and epoch, see `report.Progress`.
        directory, project_name: of KerasTuner's own files.
    """

    def __init__(self, oracle, hypermodel, *, record, seed, epochs, progress, directory, project_name):
        self._record = record
        self._seed = seed
        self._epochs = epochs
        self._progress = progress
        super().__init__(oracle, hypermodel, directory=str(directory), project_name=project_name)

    def run_trial(self, trial, *args, **kwargs):
        """Trains a candidate, or finds it in the record; `args` and `kwargs` are those of `model.fit`."""
        values = dict(trial.hyperparameters.values)
        number = int(trial.trial_id)
        found = self._record.find(number, values)
        if found is None:
            self._record.add(self._trained(number, values, trial.hyperparameters, args, kwargs))
            found = self._record.find(number, values)
        self._progress.ended(found, self._record)
        if not found.completed:
            raise keras_tuner.errors.FailedTrialError(found.error)
        return {"val_accuracy": found.val_accuracy, "val_loss": found.val_loss}

    def _trained(self, number, values, hp, args, kwargs) -> Trial:
        began = time.perf_counter()
        epochs = values.get("tuner/epochs", self._epochs)
        self._progress.started(number, epochs)
        cost = self.hypermodel.cost(hp)
        about = {
            "number": number,
            "values": values,
            "metaparameters": self.hypermodel.metaparameters(hp),
            "hyperparameters": self.hypermodel.hyperparameters(hp),
            "params": cost.params,
            "macs": cost.macs,
            "epochs": epochs,
        }
        keras.utils.clear_session()
        keras.utils.set_random_seed(derived_seed(self._seed, TRIAL, number))
        try:
            model = self.hypermodel.build(hp)
            watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: self._progress.epoch())
            history = self.hypermodel.fit(hp, model, *args, epochs=epochs, callbacks=[watch], **kwargs).history
        except Exception as error:  # out of memory and the like: another candidate may do
            return Trial(**about, status=FAILED, error=_line(error), seconds=_since(began))
        best = max(range(len(history["val_accuracy"])), key=lambda epoch: history["val_accuracy"][epoch])
        scores = {name: float(history[name][best]) for name in ("val_accuracy", "val_loss")}
        return Trial(**about, status=COMPLETED, **scores, seconds=_since(began))

    def _try_run_and_update_trial(self, trial, *args, **kwargs):
        """KerasTuner's own prints a traceback for each failed trial."""
        try:
            self._run_and_update_trial(trial, *args, **kwargs)
            trial.status = "COMPLETED"
        except keras_tuner.errors.FailedTrialError as error:
            trial.status, trial.message = "FAILED", str(error)

    def _populate_initial_space(self):
        """Declares the space by drawing once. KerasTuner's own way builds a model for each condition."""
        hp = self.oracle.get_space()
        self.hypermodel.declare_hyperparameters(hp)
        self.oracle.update_space(hp)


def _since(began) -> float:
    return round(time.perf_counter() - began, 3)


def _line(error) -> str:
    """The error in one line of text."""
    text = " ".join(str(error).split())[:500]
    return text if isinstance(error, keras_tuner.errors.FailedTrialError) else f"{type(error).__name__}: {text}"
