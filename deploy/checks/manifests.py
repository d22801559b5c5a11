#!/usr/bin/env python3
"""Judges files of containers and clusters by their schemas, and that they fit each other.

    manifests.py files            all YAML and JSON in deploy/ can be read
    manifests.py compose          compose.yaml, by the Compose specification
    manifests.py kubernetes       all manifests, by Kubernetes' own schemas, and what they name of each other
    manifests.py dashboard        panels of the dashboard: numbers, places, data sources
    manifests.py configurations DIRECTORY    writes the configuration in the ConfigMap there
    manifests.py directives PROGRAM          the directives that the annotated configuration shows in comments
    manifests.py commands         arguments of the server in units, compose.yaml and manifests, a line each
    manifests.py health PORT      the image's health check with another admin port, a word each line
"""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import compose_spec
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CLUSTER = DEPLOY / "kubernetes"
COMPOSE = DEPLOY / "docker/compose.yaml"

# The oldest Kubernetes that these are written for, and the newest that the schemas know.
VERSIONS = ["1.27", "1.37"]

# Kinds of others, which Kubernetes has no schema for.
FOREIGN = ["ServiceMonitor", "Kustomization"]


def objects() -> list[dict]:
    """All objects of all manifests."""
    return [it for file in sorted(CLUSTER.glob("*.yaml")) for it in yaml.safe_load_all(file.read_text())]


def one(kind: str, name: str = "tallyring") -> dict:
    """The object of a kind and name."""
    found = [it for it in objects() if it["kind"] == kind and it.get("metadata", {}).get("name") == name]
    assert len(found) == 1, f"{len(found)} objects {kind} {name}"
    return found[0]


def files() -> None:
    """Reads them all; a key that stands twice is a mistake that YAML's reader lets pass."""

    class Strict(yaml.SafeLoader):
        """Refuses such keys."""

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict:
        keys = [loader.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"a key stands twice: {node.start_mark}"
        return yaml.SafeLoader.construct_mapping(loader, node, deep=True)

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    count = 0
    for file in sorted(DEPLOY.rglob("*")):
        if file.suffix == ".json":
            json.loads(file.read_text())
        elif file.suffix == ".yaml":
            list(yaml.load_all(file.read_text(), Loader=Strict))
        else:
            continue
        count += 1
    print(f"{count} files")
    assert count >= 14, "some were not found"


def kubernetes() -> None:
    """Schemas, then names."""
    for it in objects():
        for version in VERSIONS if it["kind"] not in FOREIGN else []:
            kubernetes_validate.validate(it, version, strict=True)
    stateful = one("StatefulSet")
    template = stateful["spec"]["template"]
    pod, labels = template["spec"], template["metadata"]["labels"]
    container = pod["containers"][0]

    def selects(selector: dict, what: str) -> None:
        assert selector and selector.items() <= labels.items(), f"{what} does not select the pod"

    selects(stateful["spec"]["selector"]["matchLabels"], "the StatefulSet")
    services = [it for it in objects() if it["kind"] == "Service"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for service in services:
        selects(service["spec"]["selector"], "a Service")
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports.keys(), "a Service names another port"
    headless = one("Service", stateful["spec"]["serviceName"])
    assert headless["spec"]["clusterIP"] == "None"
    selects(one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"], "the PodDisruptionBudget")
    policy = one("NetworkPolicy")["spec"]
    selects(policy["podSelector"]["matchLabels"], "the NetworkPolicy")
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == ports.keys()
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports

    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    claims = {claim["metadata"]["name"] for claim in stateful["spec"]["volumeClaimTemplates"]}
    assert mounts.keys() == volumes.keys() | claims, "each volume is mounted"
    config = one("ConfigMap", volumes["config"]["configMap"]["name"])["data"]["tallyring.conf"]
    assert container["args"][0] == f"{mounts['config']}/tallyring.conf"
    said = dict(line.split(None, 1) for line in config.splitlines() if line and not line.startswith("#"))
    assert said["dir"] == mounts["data"]
    assert (int(said["port"]), int(said["admin-port"])) == (ports["redis"], ports["admin"])
    secret = one("Secret", volumes["secrets"]["secret"]["secretName"])["stringData"]
    for directive in ("requirepass-file", "admin-token-file"):
        directory, _, key = said[directive].rpartition("/")
        assert directory == mounts["secrets"] and key in secret, directive

    monitor = one("ServiceMonitor")["spec"]
    assert monitor["selector"]["matchLabels"].items() <= headless["metadata"]["labels"].items()
    assert not monitor["selector"]["matchLabels"].items() <= one("Service")["metadata"]["labels"].items(), "scraped twice"
    endpoint = monitor["endpoints"][0]
    assert endpoint["port"] in {port["name"] for port in headless["spec"]["ports"]}
    assert endpoint["authorization"]["credentials"]["key"] in secret

    profile = Path(pod["securityContext"]["seccompProfile"]["localhostProfile"])
    installer = one("DaemonSet", "tallyring-seccomp")["spec"]["template"]["spec"]
    paths = [volume["hostPath"]["path"] for volume in installer["volumes"] if "hostPath" in volume]
    assert paths == [f"/var/lib/kubelet/seccomp/{profile.parent}"]
    assert profile.name in installer["initContainers"][0]["command"][-1]
    hardened(pod, container)
    listed = yaml.safe_load((CLUSTER / "kustomization.yaml").read_text())["resources"]
    assert all((CLUSTER / name).exists() for name in listed)


def hardened(pod: dict, container: dict) -> None:
    """What Kubernetes calls the restricted profile, which the namespace enforces, and a root that is not written to."""
    both = pod["securityContext"] | container["securityContext"]
    assert both["runAsNonRoot"] and both["runAsUser"] > 0
    assert both["allowPrivilegeEscalation"] is False and both["readOnlyRootFilesystem"] is True
    assert both["capabilities"] == {"drop": ["ALL"]}
    assert pod["automountServiceAccountToken"] is False


def compose() -> None:
    """The schema, then what is meant to be so."""
    text = COMPOSE.read_text()
    validate_compose(text)
    file = yaml.safe_load(text)
    service = file["services"]["tallyring"]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and "privileged" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["ulimits"]["memlock"] >= 8 << 20
    assert service["healthcheck"]["test"] == ["CMD", *health_check()], "as in the image"
    for option in service["security_opt"]:
        if option.startswith("seccomp:"):
            assert (COMPOSE.parent / option.removeprefix("seccomp:")).exists()
    assert set(service["secrets"]) == file["secrets"].keys()
    assert {mount.split(":")[0] for mount in service["volumes"]} == file["volumes"].keys()
    build = service["build"]
    assert ((COMPOSE.parent / build["context"]).resolve() / build["dockerfile"]).exists()


def health_check() -> list[str]:
    """What the image asks whether it is well: the command of HEALTHCHECK, which stands on a line of its own."""
    found = re.search(r"^HEALTHCHECK .*\\\n +CMD (\[.*\])$", (DEPLOY / "docker/Dockerfile").read_text(), re.MULTILINE)
    return json.loads(found[1])


def health(port: str) -> None:
    """The same, where the admin interface has another port."""
    words = health_check()
    assert any(":9121/" in word for word in words), "it asks at another port"
    print("\n".join(word.replace(":9121/", f":{port}/") for word in words))


def validate_compose(text: str) -> None:
    """By the Compose specification."""
    compose = compose_spec.PyCompose.from_yaml(text)
    compose.validate()
    compose.to_spec()


def dashboard() -> None:
    """Panels have numbers of their own and do not cover each other; each asks the chosen data source."""
    panels = json.loads((DEPLOY / "grafana/tallyring.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels), "numbers stand twice"
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, f"{panel['title']} is beyond the edge"
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, f"{panel['title']} covers another"
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"] and panel["targets"], panel["title"]
            for target in panel["targets"]:
                assert target["datasource"]["uid"] == "${datasource}", panel["title"]
                assert 'job="$job"' in target["expr"], f"{panel['title']}: of which job?"
    print(f"{len(panels)} panels")


def configurations(directory: str) -> None:
    """The files in the ConfigMap."""
    Path(directory).mkdir(exist_ok=True)
    for name, text in one("ConfigMap")["data"].items():
        (Path(directory) / f"configmap-{name}").write_text(text)


def directives(program: str) -> None:
    """Lines of comments that begin with one of the program's directives and are no prose, which ends in a full stop."""
    told = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
    names = set(re.findall(r"^ +--([a-z0-9-]+) <VALUE>", told, re.MULTILINE)) - {"include"}
    lines = re.findall(r"^# ([a-z][a-z0-9-]*)( .*[^.:,;])$", (DEPLOY / "tallyring.conf").read_text(), re.MULTILINE)
    shown = [name + rest for name, rest in lines if name in names and ". " not in rest]
    assert len(shown) > 40, f"only {len(shown)} directives stand in comments"
    print("\n".join(shown))


def commands() -> None:
    """The arguments behind the program's name, or those that the image's entry point is given."""
    for file in [DEPLOY / "systemd/tallyring.service", *sorted((DEPLOY / "systemd/tallyring.service.d").glob("*.conf"))]:
        text = file.read_text().replace("\\\n", " ")
        for line in re.findall(r"^ExecStart=/usr/bin/tallyring (.*)$", text, re.MULTILINE):
            print(shlex.join(shlex.split(line)).replace("/etc/tallyring/tallyring.conf", "deploy/systemd/tallyring.conf"))
    started = [
        *yaml.safe_load(COMPOSE.read_text())["services"]["tallyring"]["command"],
    ]
    print(" ".join(started).replace("/etc/tallyring/tallyring.conf", "deploy/docker/tallyring.conf"))
    last = re.search(r"^CMD (\[.*\])$", (DEPLOY / "docker/Dockerfile").read_text(), re.MULTILINE)
    print(" ".join(json.loads(last[1])).replace("/etc/tallyring/tallyring.conf", "deploy/docker/tallyring.conf"))


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    {
        "files": files,
        "compose": compose,
        "kubernetes": kubernetes,
        "dashboard": dashboard,
        "configurations": configurations,
        "directives": directives,
        "commands": commands,
        "health": health,
    }[what](*rest)
