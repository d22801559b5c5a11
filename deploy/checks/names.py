#!/usr/bin/env python3
"""Names that must fit each other: metrics of the alerts and of the dashboard are those of the server, each alert has its
section of the runbook, links between documents lead somewhere.

    names.py metrics | runbook | links
    names.py expressions      the dashboard's expressions as rules, for promtool to parse
"""

import json
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
DASHBOARD = ROOT / "deploy/grafana/tallyring.json"
RUNBOOK = ROOT / "docs/runbook.md"
METRIC = r"\b(?:tallyring|process)_[a-z0-9_]+\b"


def rules() -> list[dict]:
    """All alerts."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def expressions() -> list[tuple[str, str]]:
    """What the dashboard asks for, each with the title of its panel."""
    board = json.loads(DASHBOARD.read_text())
    asked = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])]
    asked += [(it["name"], it["expr"]) for it in board["annotations"]["list"]]
    asked += [(it["name"], it["query"]["query"]) for it in board["templating"]["list"] if it["type"] == "query"]
    assert len(asked) > 50, f"only {len(asked)} expressions were found in the dashboard"
    return asked


def exposed() -> set[str]:
    """The names that the server gives to metrics, as its source has them, with those that make up its histograms."""
    source = (ROOT / "src/admin/exposition/families.rs").read_text()
    names = set(re.findall(rf'"({METRIC})"', source))
    assert len(names) > 50, f"only {len(names)} names were found in the source"
    parts = {f"{name}_{part}" for name in names if name.endswith("_duration_seconds") for part in ("bucket", "sum", "count")}
    return names | parts


def metrics() -> list[str]:
    """Names that the server does not have."""
    known = exposed()
    asked = [(rule["alert"], rule["expr"]) for rule in rules()] + expressions()
    return [
        f"{title}: the server has no {name}"
        for title, text in asked
        # A label may have such a name: what stands in braces is no metric.
        for name in re.findall(METRIC, re.sub(r"\{[^}]*\}", "", text))
        if name not in known
    ]


def anchors(document: Path) -> list[str]:
    """Of the headings of a document, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def runbook() -> list[str]:
    """Alerts without a section, and sections without an alert."""
    headings = re.findall(r"^### (Tallyring\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    names = [rule["alert"] for rule in rules()]
    wrong = [f"the runbook has no section {name}" for name in names if name not in headings]
    wrong += [f"the runbook's {name} is no alert" for name in headings if name not in names]
    for rule in rules():
        aim = f"docs/runbook.md#{rule['alert'].lower()}"
        if rule["annotations"].get("runbook") != aim:
            wrong.append(f"{rule['alert']}: its runbook is {aim}")
        if rule["labels"].get("severity") not in ("page", "ticket", "info"):
            wrong.append(f"{rule['alert']}: page, ticket or info?")
        if "summary" not in rule["annotations"]:
            wrong.append(f"{rule['alert']}: no summary")
    tests = yaml.safe_load((ROOT / "deploy/prometheus/alerts_test.yaml").read_text())["tests"]
    tested = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    return wrong + [f"no test makes {name} fire" for name in names if name not in tested]


def links() -> list[str]:
    """Links of the documents to files and headings that are not there."""
    wrong = []
    for document in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for aim in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            if re.match(r"[a-z]+:", aim):
                continue
            path, _, anchor = aim.partition("#")
            target = (document.parent / path).resolve() if path else document
            if not target.exists():
                wrong.append(f"{document.name}: there is no {aim}")
            elif anchor and anchor not in anchors(target):
                wrong.append(f"{document.name}: {target.name} has no heading #{anchor}")
    return wrong


def as_rules() -> str:
    """The dashboard's expressions as recording rules, Grafana's variables filled in."""
    texts = [text for _, text in expressions() if not text.startswith("label_values(")]
    texts = [text.replace("$__rate_interval", "1m").replace("$job", "j").replace("$instance", "i") for text in texts]
    made = [{"record": f"dashboard:{number}", "expr": text} for number, text in enumerate(texts)]
    return yaml.safe_dump({"groups": [{"name": "dashboard", "rules": made}]})


if __name__ == "__main__":
    what = sys.argv[1] if len(sys.argv) == 2 else ""
    if what == "expressions":
        print(as_rules())
        sys.exit()
    found = {"metrics": metrics, "runbook": runbook, "links": links}[what]()
    sys.exit("\n".join(found) if found else 0)
