#!/usr/bin/env python3
"""Prints what a unit's SystemCallFilter= lets through, as a seccomp profile: filter.py UNIT

Sets are those of the systemd that is installed (`systemd-analyze syscall-filter`).
"""

import json
import subprocess
import sys
from pathlib import Path


def calls(word: str) -> set[str]:
    """The calls of a set, of the sets in it too, or the call of that name."""
    if not word.startswith("@"):
        return {word}
    told = subprocess.run(["systemd-analyze", "syscall-filter", word], check=True, capture_output=True, text=True)
    # The name of the set, and below it, indented, what is in it; `#` begins remarks.
    lines = (line.strip() for line in told.stdout.splitlines() if line.startswith(" "))
    names = [line for line in lines if line and not line.startswith("#")]
    assert names, f"the set {word} is empty"
    return set().union(*(calls(name) for name in names))


def allowed(unit: str) -> set[str]:
    """What the lines of the unit let through, one after the other; the first must be a list of what is allowed."""
    passing: set[str] = set()
    for line in unit.splitlines():
        key, _, value = line.partition("=")
        if key.strip() != "SystemCallFilter":
            continue
        value = value.strip()
        named = set().union(*(calls(word) for word in value.lstrip("~").split()))
        if value.startswith("~"):
            assert passing, "a list of what is refused comes first: all else would be allowed"
            passing -= named
        else:
            passing |= named
    assert passing, "the unit has no SystemCallFilter="
    # systemd lets these through whatever is written.
    return passing | calls("@default")


if __name__ == "__main__":
    rule = {"names": sorted(allowed(Path(sys.argv[1]).read_text())), "action": "SCMP_ACT_ALLOW"}
    json.dump({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": [rule]}, sys.stdout)
