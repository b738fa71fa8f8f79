"""Models in the hub's cache on this machine."""

from pathlib import Path


def cached_snapshot(repository: str, revision: str | None) -> Path | None:
    """Folder of a repository's commit in the cache, named as the commit; None where it is not there.

    revision: a commit, branch or tag; None is `main`. Nothing is downloaded.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repository, "config.json", revision=revision)
    except HFValidationError:
        return None
    return Path(found).parent if isinstance(found, str) else None
