"""Files of weights on the Hugging Face hub: fetched by its library, checked by its digest, safetensors alone."""

import dataclasses
import hashlib
import os
import re
import warnings
from typing import Any, Self

from keras_blocks.core.extras import require
from keras_blocks.weights.files import PICKLES, way_round

SCHEME = "hf://"
SUFFIX = ".safetensors"
USUAL = "model.safetensors"
"""Under which timm and others publish."""

FORM = "hf://owner/name, hf://owner/name@revision, or with a file: hf://owner/name/file.safetensors"


@dataclasses.dataclass(frozen=True)
class HubFile:
    """What a text such as `hf://timm/resnet18.tv_in1k` names: a repository, its revision, a file or the usual one."""

    repository: str
    revision: str | None = None
    file: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises a ValueError for a text of another form, or a file that is no safetensors."""
        match = re.fullmatch(r"hf://(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/@\s]+))?(?:/(?P<file>\S+))?", text)
        if match is None:
            raise ValueError(f"`weights` on the hub must be {FORM}; received {text!r}.")
        file = match["file"]
        if file is not None and not file.endswith(SUFFIX):
            raise ValueError(f"`weights` on the hub must be a {SUFFIX} file; received {text!r}.{_way_round(file)}")
        if file is not None and ".." in file.split("/"):
            raise ValueError(f"`weights` on the hub must be {FORM}; received {text!r}.")
        return cls(match["id"], match["revision"], file)

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{SCHEME}{self.repository}{revision}" + (f"/{self.file}" if self.file else "")


def is_on_hub(weights: Any) -> bool:
    return isinstance(weights, str) and weights.startswith(SCHEME)


def check_hub(text: str) -> None:
    """Refuses a text that names no file of the hub, and an environment without its library, before anything is fetched.

    Raises:
        ImportError: without `huggingface_hub` or `safetensors`.
        ValueError: for a text of another form.
    """
    HubFile.parse(text)
    for module in ("huggingface_hub", "safetensors"):
        require(module, "hub")


def fetch(text: str) -> str:
    """The path of a file of the hub in its cache, fetched where it is not there, with the contents that the hub names.

    Its library's settings hold: `HF_HOME` and `HF_HUB_CACHE` for where files are kept, `HF_ENDPOINT` for another hub,
    `HF_TOKEN` for what is not public, `HF_HUB_OFFLINE` for none of the network.

    Raises:
        OSError: where it cannot be fetched, or is not what the hub says that it is.
        ValueError: where the repository has no safetensors, or several.
    """
    wanted = HubFile.parse(text)
    name = wanted.file or USUAL
    try:
        path = _download(wanted, name)
    except _no_such_file() as error:
        if wanted.file is not None:
            raise OSError(f"`weights`: {text} has no such file: {_first_line(error)}") from error
        name = _only_file(wanted)
        path = _download(wanted, name)
    _check_digest(path, wanted, name)
    return path


def _download(wanted: HubFile, name: str) -> str:
    import huggingface_hub

    try:
        return str(huggingface_hub.hf_hub_download(wanted.repository, name, revision=wanted.revision))
    except _no_such_file():
        raise
    except Exception as error:  # of HTTP's library, which is another by version, and of the hub's own
        raise OSError(
            f"`weights`: {wanted} could not be fetched: {type(error).__name__}: {_first_line(error)} (HF_TOKEN is for "
            "what is not public; HF_HUB_OFFLINE=1 goes by what is in the cache alone)"
        ) from error


def _no_such_file() -> Any:
    """The hub's exception for a repository that lacks a file; not the one for a file that is not in the cache."""
    from huggingface_hub.errors import RemoteEntryNotFoundError

    return RemoteEntryNotFoundError


def _only_file(wanted: HubFile) -> str:
    """The one file of weights of a repository that calls it otherwise."""
    import huggingface_hub

    try:
        files = huggingface_hub.HfApi().list_repo_files(wanted.repository, revision=wanted.revision)
    except Exception as error:
        raise OSError(f"`weights`: the files of {wanted} could not be listed: {_first_line(error)}") from error
    found = sorted(name for name in files if name.endswith(SUFFIX))
    if len(found) == 1:
        return str(found[0])
    if found:
        raise ValueError(f"`weights`: {wanted} has several files: {found}. Name one: {wanted}/{found[0]}.")
    if "config.json" in files and "model.weights.h5" in files:
        raise ValueError(
            f"`weights`: {wanted} has no {SUFFIX} file, but a model that Keras saved: "
            f"`keras.saving.load_model('{SCHEME}{wanted.repository}')`."
        )
    pickles = sorted(name for name in files if name.endswith(PICKLES))
    others = _way_round(pickles[0]) if pickles else f" Its files are {sorted(files)[:8]}."
    raise ValueError(f"`weights`: {wanted} has no {SUFFIX} file.{others}")


def _way_round(file: str) -> str:
    """What to do with a pickle; "" for another file."""
    if not file.endswith(PICKLES):
        return ""
    return f" {file} is a pickle, which can run any code when it is read. {way_round(os.path.basename(file))}."


def _check_digest(path: str, wanted: HubFile, name: str) -> None:
    """Compares the file with the digest that the hub gives for it: SHA-256 of a large file, git's SHA-1 of a small one.

    The hub's library calls the file in its cache so, and links to it.
    """
    digest: str | None = os.path.basename(os.readlink(path)) if os.path.islink(path) else ""
    if not re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", digest or ""):  # a cache of copies
        digest = _asked(path, wanted, name)
    if digest is None:
        warnings.warn(f"{path} is used unchecked: the hub gives no digest of it now.", stacklevel=2)
    elif digest != _digest(path, "sha256" if len(digest) == 64 else "sha1"):
        raise OSError(
            f"`weights`: {path} is not what the hub has as {wanted}, whose digest is {digest}: it is damaged or was "
            "changed. Remove it, to fetch it again."
        )


def _asked(path: str, wanted: HubFile, name: str) -> str | None:
    """The digest from the hub, where the cache has copies in place of links."""
    import huggingface_hub

    commit = os.path.basename(path.removesuffix(os.path.normpath(name)).rstrip(os.sep))  # .../snapshots/COMMIT/NAME
    try:
        url = huggingface_hub.hf_hub_url(wanted.repository, name, revision=commit)
        etag: str | None = huggingface_hub.get_hf_file_metadata(url).etag
        return etag
    except Exception:  # no network: what the caller then says
        return None


def _digest(path: str, kind: str) -> str:
    digest = hashlib.new(kind)
    if kind == "sha1":  # git's
        digest.update(b"blob %d\0" % os.path.getsize(path))
    with open(path, "rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
