#!/usr/bin/env python3
"""Seccomp profiles that allow io_uring.

    profile.py add DEFAULT       prints Docker's default profile with the three calls of io_uring, every other byte as it was
    profile.py check [DEFAULT]   seccomp.json beside this file keeps its promises; with a default profile of Docker's at hand,
                                 also that it allows nothing but these three beyond it
"""

import json
import re
import sys
from pathlib import Path

RING = ["io_uring_enter", "io_uring_register", "io_uring_setup"]
OURS = Path(__file__).with_name("seccomp.json")
ALLOW = "SCMP_ACT_ALLOW"


def added(text: str) -> str:
    """`text` with the three calls behind io_submit, which stands in the list of what is allowed to all."""
    if any(f'"{call}"' in text for call in RING):
        sys.exit("this profile names calls of io_uring already")
    place = re.search(r'^([ \t]*)"io_submit",(\r?\n)', text, re.MULTILINE)
    if place is None:
        sys.exit("there is no io_submit in this profile: it is not Docker's default")
    indent, end = place.groups()
    lines = "".join(f'{indent}"{call}",{end}' for call in RING)
    return text[: place.end()] + lines + text[place.end() :]


def removed(text: str) -> str:
    """`text` without them: what `added` undoes."""
    return re.sub(r'^[ \t]*"io_uring_(enter|register|setup)",\r?\n', "", text, flags=re.MULTILINE)


def allowed(profile: dict) -> dict[str, set[str]]:
    """The calls that a profile allows to a process without capabilities on x86-64, each with the arguments it may have."""
    calls: dict[str, set[str]] = {}
    for rule in profile["syscalls"]:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        here = "amd64" in (includes.get("arches") or ["amd64"]) and "amd64" not in (excludes.get("arches") or [])
        if rule["action"] != ALLOW or includes.get("caps") or not here:
            continue
        for name in rule["names"]:
            calls.setdefault(name, set()).add(json.dumps(rule.get("args") or [], sort_keys=True))
    return calls


def check_ours(profile: dict) -> list[str]:
    """What is wrong with our own profile."""
    wrong = []
    if profile["defaultAction"] != "SCMP_ACT_ERRNO" or profile["defaultErrnoRet"] != 1:
        wrong.append("what is not named is refused with EPERM")
    if profile["architectures"] != ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"]:
        wrong.append("calls by the 32-bit interfaces are refused")
    named: list[tuple[str, str]] = []
    for rule in profile["syscalls"]:
        # containerd and CRI-O ignore these two, and would apply the rule always.
        if "includes" in rule or "excludes" in rule:
            wrong.append(f"conditions are not understood everywhere: {rule['names']}")
        named += [(name, json.dumps(rule.get("args"))) for name in rule["names"]]
        if rule["names"] != sorted(rule["names"]):
            wrong.append(f"names in their order: {rule['names'][0]} and those behind it")
    wrong += [f"{name} is named twice" for name, args in sorted(set(named)) if named.count((name, args)) > 1]
    wrong += [f"{call} is missing" for call in RING if call not in allowed(profile)]
    return wrong


def check_against(profile: dict, default: str) -> list[str]:
    """What our profile allows beyond a default one of Docker's, but for the three; and whether `add` keeps its word."""
    default = removed(default)
    widened = added(default)
    theirs, with_ring = allowed(json.loads(default)), allowed(json.loads(widened))
    wrong = []
    if removed(widened) != default or sorted(with_ring.keys() - theirs.keys()) != RING:
        wrong.append("`add` changed more than the three calls")
    if {name: args for name, args in with_ring.items() if name not in RING} != theirs:
        wrong.append("`add` changed what is allowed otherwise")
    beyond = sorted(allowed(profile).keys() - theirs.keys())
    if beyond != RING:
        wrong.append(f"beyond Docker's default it allows {beyond}")
    for name, arguments in allowed(profile).items():
        if "[]" in arguments and name in theirs and "[]" not in theirs[name]:
            wrong.append(f"{name} is allowed with any arguments, in Docker's default it is not")
    return wrong


def main(words: list[str]) -> None:
    """Runs one of the two."""
    if len(words) == 2 and words[0] == "add":
        # Bytes as they are: no line end is translated.
        sys.stdout.buffer.write(added(Path(words[1]).read_bytes().decode()).encode())
        return
    if not words or words[0] != "check" or len(words) > 2:
        sys.exit(__doc__)
    ours = json.loads(OURS.read_text())
    wrong = check_ours(ours)
    if len(words) == 2:
        wrong += check_against(ours, Path(words[1]).read_bytes().decode())
    if wrong:
        sys.exit("\n".join(f"{OURS.name}: {line}" for line in wrong))
    print(f"{OURS.name}: {len(allowed(ours))} calls, {', '.join(RING)} among them")


if __name__ == "__main__":
    main(sys.argv[1:])
