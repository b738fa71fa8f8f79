"""The hub's listing: commits, and the files of a repository with their sizes and checksums."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from workflow_scripts.hub.names import clean
from workflow_scripts.settings import InputError

Type = Literal["dataset", "model"]


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository at a commit. sha256: of its bytes, where the hub knows it; blob_id: git's."""

    path: str
    size: int
    url: str
    sha256: str | None
    blob_id: str | None
    where: str = field(compare=False, default="")  # for messages


class Hub:
    """One hub. The token of a user who has logged in is sent along; it opens gated repositories, no more."""

    def __init__(self, endpoint: str) -> None:
        from huggingface_hub import HfApi

        self.endpoint = endpoint
        self._api = HfApi(endpoint=endpoint)
        self._away = ""  # why the hub could not be reached, once it could not

    def commit(self, type: Type, repository: str, reference: str) -> str:
        """The commit that a branch, a tag or a commit names now."""
        info = self._ask(f"{repository} at {reference}", self._api.repo_info, repository, reference, type)
        return str(info.sha)

    def files(self, type: Type, repository: str, revision: str, allow: Sequence[str] = ("*",)) -> dict[str, RemoteFile]:
        """Files of a repository at a commit, by path, in order of their paths."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.hf_api import RepoFile

        where = f"{repository} at {revision}"

        def tree(repo_id: str, revision: str, repo_type: str) -> list[Any]:
            return list(self._api.list_repo_tree(repo_id, recursive=True, revision=revision, repo_type=repo_type))

        entries = self._ask(where, tree, repository, revision, type)
        found = {}
        for entry in sorted((entry for entry in entries if isinstance(entry, RepoFile)), key=lambda entry: entry.path):
            try:
                clean(entry.path)
            except ValueError as error:
                raise InputError(f"repository {where} lists {entry.path!r}: {error}") from None
            if any(fnmatch.fnmatchcase(entry.path, pattern) for pattern in allow):
                url = hf_hub_url(repository, entry.path, repo_type=type, revision=revision, endpoint=self.endpoint)
                found[entry.path] = RemoteFile(
                    entry.path,
                    entry.lfs.size if entry.lfs else entry.size,
                    url,
                    entry.lfs.sha256 if entry.lfs else None,
                    entry.blob_id,
                    f"{entry.path} of {where}",
                )
        return found

    def _ask(self, where: str, call: Any, repository: str, revision: str, type: Type) -> Any:
        from huggingface_hub.errors import (
            GatedRepoError,
            OfflineModeIsEnabled,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
        from huggingface_hub.utils import HfHubHTTPError

        if self._away:
            raise InputError(self._away)
        try:
            return call(repository, revision=revision, repo_type=type)
        except GatedRepoError:
            raise InputError(
                f"repository {where} is gated on {self.endpoint}; accept its terms there, then `hf auth login`"
            ) from None
        except RepositoryNotFoundError:
            raise InputError(f"repository {where} is not on {self.endpoint}, or not open to this user") from None
        except RevisionNotFoundError:
            raise InputError(f"repository {where}: there is no such revision on {self.endpoint}") from None
        except OfflineModeIsEnabled:
            raise InputError("HF_HUB_OFFLINE is set; unset it to fetch from the hub") from None
        except (HfHubHTTPError, OSError) as error:
            raise InputError(f"repository {where}: {_line(error)}") from None
        except Exception as error:
            if _transport(error):
                self._away = f"{self.endpoint} cannot be reached: {_line(error)}"
                raise InputError(self._away) from None
            raise


def _transport(error: Exception) -> bool:
    from httpx2 import TransportError

    return isinstance(error, TransportError)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
