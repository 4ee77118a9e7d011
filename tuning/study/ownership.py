"""Who runs a trial, and who did: the attribute "owner" of Optuna's trials."""

from keras_blocks.tuning.study.processes import is_gone


def is_left(trial) -> bool:
    """Whether nobody runs it any more, as far as this machine knows."""
    owner = trial.user_attrs.get("owner")
    return not owner or "token" not in owner or is_gone(owner)  # no token: killed while it drew, under the lock


def history(trial) -> dict:
    """What goes on from one owner to the next: how often it was given to a worker; of those that were lost, how many
    since an epoch was told, and after which."""
    owner = trial.user_attrs.get("owner", {})
    attempt = owner.get("attempt", owner.get("issued", 0))  # its name in studies of version 0.1.0
    return {"attempt": attempt, **{name: owner[name] for name in ("lost", "epoch") if name in owner}}


def lost_again(frozen) -> dict:
    """The history of a trial whose worker is gone."""
    past, epoch = history(frozen), max(frozen.intermediate_values, default=0)
    if "token" not in frozen.user_attrs.get("owner", {}):
        return past  # nobody had begun with it
    went_on = epoch > past.get("epoch", 0)
    return {**past, "lost": 1 if went_on else past.get("lost", 0) + 1, "epoch": epoch}
