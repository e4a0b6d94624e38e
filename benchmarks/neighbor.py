"""A neighbor: a process that keeps every core busy with a thread of its own, as long as it is wanted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Hashing lets go of Python's lock and touches no memory: what it takes is the core, and that wholly.
# It ends with its input, so also when the benchmark is killed.
_PROGRAM = """
import hashlib, os, sys, threading
def spin(core):
    os.sched_setaffinity(threading.get_native_id(), {core})
    while True:
        hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000)
for core in map(int, sys.argv[1:]):
    threading.Thread(target=spin, args=(core,), daemon=True).start()
print("busy", flush=True)
sys.stdin.read()
os._exit(0)
"""


@contextmanager
def neighbor(*, wanted: bool = True) -> Iterator[None]:
    """Loads each core that this process may use with one spinning thread of another process."""
    if not wanted:
        yield
        return
    cores = map(str, sorted(os.sched_getaffinity(0)))
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *cores],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            yield
        finally:
            other.kill()
