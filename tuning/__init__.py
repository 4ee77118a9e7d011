"""Search spaces, searches and the command line.

Names are imported at first use, so that the command line starts without KerasTuner.
"""

import importlib

_HOMES = {
    "Budget": "budget",
    "Candidate": "candidate",
    "Dataset": "dataset",
    "HyperAny": "any_space",
    "HyperArchitecture": "hyper_model",
    "HyperDenseNet": "densenet_space",
    "HyperInception": "inception_space",
    "HyperResNeXt": "resnext_space",
    "HyperResNet": "resnet_space",
    "HyperSENet": "senet_space",
    "HyperSqueezeNet": "squeezenet_space",
    "HyperVGG": "vgg_space",
    "OptunaOracle": "optuna_oracle",
    "Search": "search",
    "SearchSettings": "settings",
    "hp_choice": "ranges",
    "hp_range": "ranges",
    "load_dataset": "data",
    "regnet_stages": "widths",
    "space_from_config": "spaces",
}

__all__ = list(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return __all__
