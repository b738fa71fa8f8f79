"""Names of files that come from elsewhere."""

from __future__ import annotations

LONGEST_NAME, LONGEST_PART = 1024, 255


def clean(name: str) -> str:
    """The name as a relative path without `.` parts. Raises ValueError saying what is wrong with it."""
    if not name or len(name) > LONGEST_NAME:
        raise ValueError("no name" if not name else "a name too long")
    if any(ord(character) < 32 or ord(character) == 127 for character in name) or "\\" in name:
        raise ValueError("a control character or a backslash in its name")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a name that is not UTF-8") from None
    if name.startswith("/"):
        raise ValueError("an absolute path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError("a path out of the folder")
    if not parts or any(len(part.encode()) > LONGEST_PART for part in parts):
        raise ValueError("no name" if not parts else "a name too long")
    return "/".join(parts)
