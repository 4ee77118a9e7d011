"""Training a model whose auxiliary classifiers are further outputs, by plain `compile` and `fit`."""

from collections.abc import Mapping

import keras

MAIN = "predictions"
"""Key of the main output, where there are others."""


class SideOutputs:
    """Mixed into `Architecture`: outputs beside the main one, which learn the same labels and have weights.

    With none, everything is as in any Keras model. With some, the model's output is a dict, and `compile` and `fit`
    take what they would take for the main output alone: one loss, one list of metrics, one array of labels.
    """

    @property
    def side_outputs(self) -> dict:
        """Name -> Keras tensor of each output beside the main one."""
        return {name: tensor for name, (tensor, _) in self._side_outputs.items()}

    def side_output(self, name, x, weight):
        """Notes `x` as a further output of the model, whose loss counts `weight` times, and returns it.

        The architecture must take an argument `auxiliary`, and note none where it is False.
        """
        self._side_outputs[name] = (x, weight)
        return x

    def with_side_outputs(self, outputs):
        """The model's outputs: the main one alone, or a dict of all."""
        return {MAIN: outputs, **self.side_outputs} if self._side_outputs else outputs

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None, **kwargs):
        """As in every Keras model; with auxiliary outputs, what is given for one output is meant so:

        Args:
            optimizer: as in Keras.
            loss: one loss is that of every output; a dict names the outputs.
            loss_weights: `None` for the published weight of each auxiliary loss, with 1 for the main one; a number
                for another; or a dict.
            metrics, weighted_metrics: one metric or a list of them are the main output's; a dict names the outputs.
            **kwargs: as in Keras.
        """
        if self._side_outputs and loss is not None:
            weights = {MAIN: 1.0, **{name: weight for name, (_, weight) in self._side_outputs.items()}}
            if isinstance(loss_weights, (int, float)):
                weights = {name: 1.0 if name == MAIN else float(loss_weights) for name in weights}
                loss_weights = None
            if isinstance(loss, (list, tuple)):
                raise ValueError(
                    f"`loss` must be one loss or a dict with keys among {list(weights)}; received {loss!r}."
                )
            if not isinstance(loss, Mapping):
                loss = dict.fromkeys(weights, loss)
            if loss_weights is None:
                loss_weights = {name: weights[name] for name in loss if name in weights}
        if self._side_outputs:
            metrics, weighted_metrics = _of_main(metrics), _of_main(weighted_metrics)
        super().compile(optimizer, loss, loss_weights, metrics, weighted_metrics, **kwargs)

    def compile_from_config(self, config):
        config = keras.saving.deserialize_keras_object(config)
        self.compile(**config)
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(x, self._for_all(y), y_pred, self._for_all(sample_weight), training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, self._for_all(y), y_pred, self._for_all(sample_weight))

    def _for_all(self, value):
        """Labels or weights that are given once, for every output."""
        if value is None or not self._side_outputs or isinstance(value, (Mapping, list, tuple)):
            return value
        return dict.fromkeys((MAIN, *self._side_outputs), value)


def main_only(config: dict) -> dict:
    """A compile config for the main output alone."""
    of_main = {key: (config[key] or {}).get(MAIN) for key in ("loss", "metrics", "weighted_metrics")}
    return {**config, **of_main, "loss_weights": None}


def _of_main(metrics):
    if metrics is None or isinstance(metrics, Mapping):
        return metrics
    return {MAIN: list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]}
