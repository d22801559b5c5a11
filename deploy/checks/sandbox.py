#!/usr/bin/env python3
"""Runs a program under a seccomp profile in Docker's form: sandbox.py PROFILE PROGRAM [ARGUMENT…]

By libseccomp, as container runtimes do it. Rules with conditions are refused: what they depend on is not known here.
"""

import ctypes
import json
import os
import sys

# seccomp.h of libseccomp.
ALLOW = 0x7FFF0000
ERRNO = 0x00050000
OPERATORS = {"SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}
UNKNOWN = -1
PR_SET_NO_NEW_PRIVS = 38


class Argument(ctypes.Structure):
    """`struct scmp_arg_cmp`."""

    _fields_ = [("index", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def action_of(name: str, errno: int) -> int:
    """The number of an action."""
    return {"SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_ERRNO": ERRNO | errno}[name]


def load(profile: dict) -> None:
    """Puts this process, and whatever it becomes, under the profile."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    default = action_of(profile["defaultAction"], profile.get("defaultErrnoRet", 1))
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(default)))
    for rule in profile["syscalls"]:
        assert "includes" not in rule and "excludes" not in rule, f"conditions in {rule['names']}"
        action = action_of(rule["action"], rule.get("errnoRet", 1))
        arguments = [
            Argument(it["index"], OPERATORS[it["op"]], it["value"], it.get("valueTwo", 0)) for it in rule.get("args", [])
        ]
        array = (Argument * len(arguments))(*arguments)
        for name in rule["names"]:
            number = library.seccomp_syscall_resolve_name(name.encode())
            # A later library knows it, or another architecture has it.
            if number <= UNKNOWN:
                continue
            failed = library.seccomp_rule_add_array(
                context, ctypes.c_uint32(action), ctypes.c_int(number), ctypes.c_uint(len(arguments)), array
            )
            assert failed == 0, f"{name}: {os.strerror(-failed)}"
    assert ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    failed = library.seccomp_load(context)
    assert failed == 0, os.strerror(-failed)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        load(json.load(file))
    os.execv(sys.argv[2], sys.argv[2:])
