"""Run a command and wait for every process that comes of it: `python reaper.py COMMAND ...`.

A server that forks workers leaves its parent before these end, and what they cost is then counted nowhere. Here all of
them become children of this process, so that whoever waits for it sees the processor time of the whole family.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36  # of <sys/prctl.h>, Linux


def main() -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    code = subprocess.run(sys.argv[1:], check=False).returncode
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()
    raise SystemExit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
