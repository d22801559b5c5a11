#!/usr/bin/env python3
"""Writes what runc(8) needs to run the image's root as compose.yaml would: bundle.py DIRECTORY ARGUMENT…

DIRECTORY has the root in `rootfs`; the arguments are the server's. It shares the machine's network, and nothing else.
"""

import json
import sys
from pathlib import Path

import yaml

DOCKER = Path(__file__).resolve().parents[1] / "docker"


def user() -> dict[str, int]:
    """Whom the image runs as."""
    line = next(it for it in (DOCKER / "Dockerfile").read_text().splitlines() if it.startswith("USER "))
    uid, gid = line.removeprefix("USER ").split(":")
    return {"uid": int(uid), "gid": int(gid)}


def bundle(directory: Path, arguments: list[str]) -> dict:
    """The runtime's configuration, as the OCI specification has it."""
    service = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["tallyring"]
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    options = dict(option.split(":", 1) for option in service["security_opt"])
    proc = {"destination": "/proc", "type": "proc", "source": "proc"}
    dev = {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]}
    data = {"destination": "/data", "type": "bind", "source": str(directory / "data"), "options": ["rbind", "rw"]}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "args": ["/usr/bin/tallyring", *arguments],
            "env": [],
            "cwd": "/data",
            "user": user(),
            "capabilities": {},
            "noNewPrivileges": options["no-new-privileges"] == "true",
        },
        "root": {"path": "rootfs", "readonly": service["read_only"]},
        "mounts": [proc, dev, data],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("mount", "pid", "ipc", "uts")],
            "seccomp": json.loads((DOCKER / options["seccomp"]).read_text()),
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
        },
    }


if __name__ == "__main__":
    where = Path(sys.argv[1]).resolve()
    (where / "config.json").write_text(json.dumps(bundle(where, sys.argv[2:])))
