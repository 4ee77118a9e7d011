"""Search spaces, searches and the command line.

Names are imported at first use, so that the command line starts without KerasTuner.
"""

import importlib

_HOMES = {
    "Budget": "spaces.budget",
    "Candidate": "spaces.candidate",
    "Dataset": "data.dataset",
    "HyperAny": "spaces.families",
    "HyperArchitecture": "spaces.architecture",
    "HyperDenseNet": "spaces.densenet",
    "HyperInception": "spaces.inception",
    "HyperResNeXt": "spaces.residual",
    "HyperResNet": "spaces.residual",
    "HyperSENet": "spaces.residual",
    "HyperSqueezeNet": "spaces.squeezenet",
    "HyperVGG": "spaces.vgg",
    "OptunaOracle": "oracle",
    "Search": "search.search",
    "SearchSettings": "search.settings",
    "hp_choice": "spaces.dimension",
    "hp_range": "spaces.dimension",
    "load_dataset": "data.load",
    "regnet_stages": "spaces.widths",
    "space_from_config": "spaces.families",
}

__all__ = list(_HOMES)


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return __all__
