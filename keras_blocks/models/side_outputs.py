"""Training a model whose auxiliary classifiers are further outputs, by what `compile` and `fit` take for one."""

from collections.abc import Iterable, Mapping
from typing import Any

MAIN_OUTPUT = "predictions"
"""The key of the main output, where there are others."""


def compiled_for_all(
    side_weights: Mapping[str, float], loss: Any, loss_weights: Any, metrics: Any, weighted_metrics: Any
) -> dict[str, Any]:
    """Arguments of Keras' `compile` for all outputs, from those that are meant for one. See `Architecture.compile`."""
    weights = {MAIN_OUTPUT: 1.0, **side_weights}
    if loss is not None:
        if isinstance(loss_weights, (int, float)):
            weights = {name: 1.0 if name == MAIN_OUTPUT else float(loss_weights) for name in weights}
            loss_weights = None
        if isinstance(loss, (list, tuple)):
            raise ValueError(f"`loss` must be one loss or a dict with keys among {list(weights)}; received {loss!r}.")
        if not isinstance(loss, Mapping):
            loss = dict.fromkeys(weights, loss)
        if loss_weights is None:
            loss_weights = {name: weights[name] for name in loss if name in weights}
    return {
        "loss": loss,
        "loss_weights": loss_weights,
        "metrics": _of_main(metrics),
        "weighted_metrics": _of_main(weighted_metrics),
    }


def main_only(config: dict[str, Any]) -> dict[str, Any]:
    """A compile config for the main output alone."""
    of_main = {key: (config[key] or {}).get(MAIN_OUTPUT) for key in ("loss", "metrics", "weighted_metrics")}
    return {**config, **of_main, "loss_weights": None}


def repeated(value: Any, sides: Iterable[str]) -> Any:
    """Labels or weights that are given once, for every output."""
    if value is None or not sides or isinstance(value, (Mapping, list, tuple)):
        return value
    return dict.fromkeys((MAIN_OUTPUT, *sides), value)


def _of_main(metrics: Any) -> Any:
    if metrics is None or isinstance(metrics, Mapping):
        return metrics
    return {MAIN_OUTPUT: list(metrics) if isinstance(metrics, (list, tuple)) else [metrics]}
