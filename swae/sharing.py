r"""Models to and from the Hugging Face hub.

Of a repository only a model's own files are fetched (:data:`swae.storage.FILES`), and what is
fetched is judged as any other folder is: nothing in it is run.
"""

__all__ = ["download", "upload"]

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .optional import optional
from .storage import CARD, CONFIG, FILES


def hub() -> Any:  # noqa: ANN401 - a module that is optional
    return optional("huggingface_hub", "hub", "Models of the Hugging Face hub want")


def download(name: str, *, revision: str | None = None, token: str | None = None) -> Path:
    r"""Fetches a model, unless it lies in the hub's cache.

    Arguments:
        name: The repository, ``owner/name``.
        revision: A branch, tag or commit; the main branch if :py:`None`.
        token: The token of an account; the one that is logged in if :py:`None`.

    Returns:
        The folder.

    Raises:
        ValueError: If there is no such repository, or it holds no model of ours.
        OSError: If the hub can't be reached and the cache does not hold the model.
    """

    library = hub()
    with reaching(name):
        folder = library.snapshot_download(
            name, revision=revision, token=token, allow_patterns=list(FILES)
        )
    if not (Path(folder) / CONFIG).is_file():
        raise ValueError(f"{name} on the hub holds no {CONFIG}, so it is no model of swae.")
    return Path(folder)


def upload(
    folder: Path, name: str, *, private: bool = False, token: str | None = None, message: str
) -> str:
    r"""Puts a model's files into a repository, which is made where it is missing.

    A card that is there is kept.

    Arguments:
        folder: The model's folder.
        name: The repository, ``owner/name``.
        private: Whether a repository that is made is private.
        token: The token of an account; the one that is logged in if :py:`None`.
        message: The message of the commit.

    Returns:
        The address of the commit.

    Raises:
        ValueError: If the repository is refused.
        OSError: If the hub can't be reached.
    """

    library = hub()
    with reaching(name):
        api = library.HfApi(token=token)
        api.create_repo(name, private=private, exist_ok=True)
        kept = {CARD} if api.file_exists(name, CARD) else set()
        commit = api.upload_folder(
            repo_id=name,
            folder_path=folder,
            allow_patterns=[file for file in FILES if file not in kept],
            commit_message=message,
        )
    return str(commit.commit_url)


@contextmanager
def reaching(name: str) -> Iterator[None]:
    r"""Turns what the hub says into a sentence."""

    from huggingface_hub import errors

    # Without a network the error is that of the library below, which has changed before.
    transport: Any = errors.HfHubHTTPError.__bases__[0]
    try:
        yield
    except errors.HFValidationError as error:
        raise ValueError(
            f"{name!r} is neither a folder that is there nor a name of the hub, owner/name."
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise ValueError(
            f"The hub has no {name!r} or no such revision of it, or does not show it to you; "
            "`hf auth login` tells it who you are."
        ) from error
    except (OSError, transport) as error:
        said, _, _ = str(error).partition("\n")
        raise OSError(f"The hub did not give or take {name!r}: {said or repr(error)}") from error
