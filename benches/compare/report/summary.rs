//! The report as Markdown, with its pictures beside it. Knows Markdown only.

use super::Report;
use super::escape::markdown as safe;
use super::losses::Loss;
use super::tables::{self, MISSED, Table};

/// Said where nobody has written why.
pub(super) const NO_REASON: &str = "No reason is written down.";

/// Said above what is lost.
pub(super) const LOSSES: &str = "Every target that was missed, and every figure in which a peer or another engine of ours did \
better than our default, the worst first: how many times worse than aimed at, or than the other. \"Within the spread\": the \
rounds differ more than that. Where two figures stand against each other, they are medians over all rounds, and the ratio is the \
median of rounds in pairs; where rounds spread the two may point in opposite directions.";

/// What the page is about.
pub(super) const ABOUT: &str = "All figures are ratios or medians of servers that were measured in turns within one run; \
compare within a row, not between records. Where several records hold the same row, the newest date is shown, of one date the \
record of a clean tree, then the one of full rounds, then the one of most rows.";

/// What rows and shapes are.
pub(super) const ROWS: &str = "n × d: n connections, d requests in flight on each; n alone: one request. T1 to T3: CPU of `INCR` at \
depth 64, 16 and 1; T4: ring against epoll; T5: 10^3 against 10^7 keys; T6: large requests; T7: requests that are not complete; T8: \
allocations; T9, T10: bytes per counter, alone and in rows; T11: idle connections; T12: durability; T13: snapshots; T14: starts; \
T15: expiry; T16: two workers; -everysec: with a journal that is synced every second; limits: beside clients that do harm. A bare \
loop answers without decoder or table.";

/// The text.
pub(super) fn markdown(report: &Report<'_>) -> String {
    let mut text = format!(
        "# The comparison\n\n{ABOUT} Made by `cargo bench --bench compare -- report`; the same as one page: `index.html`.\n\n{ROWS}\n"
    );
    for picture in &report.pictures {
        text.push_str(&format!(
            "\n## {}\n\n![{}]({})\n\n{}\n",
            safe(picture.title),
            safe(picture.title),
            picture.file,
            picture.note
        ));
    }
    text.push_str(&table("Targets", &tables::targets(&report.chosen)));
    text.push_str(&format!("\n## Where we lose\n\n{LOSSES}\n\n"));
    for loss in &report.losses {
        text.push_str(&line(report, loss));
    }
    if report.losses.is_empty() {
        text.push_str("Nowhere in these records.\n");
    }
    text.push_str(&table("Latencies", &tables::latencies(&report.chosen)));
    text.push_str(&table("Per operation", &tables::saturated(&report.chosen)));
    text.push_str(&format!("\n{}\n", tables::SOURCES));
    text.push_str(&table("Records", &tables::records(&report.chosen)));
    text
}

/// How much is lost, in words.
pub(super) fn how_much(loss: &Loss<'_>) -> String {
    if loss.factor <= 0.0 {
        return "not known".to_owned();
    }
    let than = if loss.missed { "missed" } else { "the other is better" };
    let spread = if loss.within_spread { ", within the spread" } else { "" };
    format!("{:.2} times, {than}{spread}", loss.factor)
}

fn line(report: &Report<'_>, loss: &Loss<'_>) -> String {
    format!(
        "- **{}** {}, {}: {} ({}; {}). {}\n",
        safe(loss.row),
        safe(loss.shape),
        safe(&loss.what),
        safe(&loss.figures),
        how_much(loss),
        safe(&loss.record.name),
        report.reasons.of(loss).unwrap_or(NO_REASON)
    )
}

fn table(heading: &str, table: &Table) -> String {
    if table.lines.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "\n## {heading}\n\n{}.\n\n| {} |\n|{}\n",
        table.caption,
        table.head.join(" | "),
        "---|".repeat(table.head.len())
    );
    for line in &table.lines {
        let cell = |cell: &String| if cell == MISSED { format!("**{MISSED}**") } else { safe(cell) };
        text.push_str(&format!("| {} |\n", line.iter().map(cell).collect::<Vec<String>>().join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::markdown;
    use crate::compare::report::Report;
    use crate::compare::report::choice::tests::record;
    use crate::compare::report::reasons::Reasons;

    #[test]
    fn a_small_record_gives_this_summary() {
        let mut records = [record("one|two", "2026-01-02", "bb", "--only T1", 0.75)];
        records[0].verdicts[0].what.push_str(" <i>");
        let reasons = Reasons::parse("## T1\nBecause of `x`.\n");
        let text = markdown(&Report::new(&records, &reasons));
        let from = text.find("\n## Targets").unwrap();
        let expected = "
## Targets

Targets: the median, with the 95 % interval of paired rounds (below five rounds: least to greatest) behind it.

| row | shape | what | figure | aimed at |  | record |
|---|---|---|---|---|---|---|
| T1 | 50 × 64 | CPU/op of tallyring-uring ÷ redis &lt;i> | 0.750 (0.750–0.750) | ≤ 0.50 | **missed** | one\\|two |
| T2 |  | in none of these records | — |  | no figures |  |
";
        assert!(text[from..].starts_with(expected), "{}", &text[from..]);
        let lost = "- **T1** 50 × 64, CPU/op of tallyring-uring ÷ redis &lt;i>: 0.750 (0.750–0.750), aimed at ≤ 0.50 \
                    (1.50 times, missed; one\\|two). Because of `x`.\n";
        assert!(text.contains(lost), "{text}");
        assert!(text.contains(
            "| one\\|two | 2026-01-02 | bb | --only T1 | A &lt;chip>, processors 0-1, virtual, 1 MiB |"
        ));
        assert!(text.contains(
            "![µs of CPU per INCR by depth of the pipeline, 50 connections, 10^6 keys](depth.svg)"
        ));
    }

    #[test]
    fn a_missing_reason_is_named() {
        let records = [record("one", "2026-01-02", "bb", "", 0.75)];
        let text = markdown(&Report::new(&records, &Reasons::parse("")));
        assert!(text.contains("(1.50 times, missed; one). No reason is written down."), "{text}");
    }
}
