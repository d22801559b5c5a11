//! Where we lose: every target that is missed, and every figure in which a peer or another engine of ours is better than
//! our default, by how much.

use crate::compare::contender::is_ours;
use crate::compare::statistics::Spread;
use crate::compare::summary::{digits, shown};

use super::choice::{Chosen, Group};
use super::figures::{FIGURES, defaults, is_rival, middle, ratio, servers};
use super::reading::{Record, Verdict};

/// One of them.
pub(super) struct Loss<'r> {
    pub(super) record: &'r Record,
    pub(super) row: &'r str,
    pub(super) shape: &'r str,
    /// What is compared with what.
    pub(super) what: String,
    /// The figures, and how far they spread.
    pub(super) figures: String,
    /// How many times worse than aimed at, or than the other: above 1, or 0 = not known.
    pub(super) factor: f64,
    /// Whether a target was missed, not just another better.
    pub(super) missed: bool,
    /// Whether the rounds differ more than the two do.
    pub(super) within_spread: bool,
}

/// All of them, the worst first.
pub(super) fn of<'r>(chosen: &Chosen<'r>) -> Vec<Loss<'r>> {
    let told = chosen.verdicts.iter().chain(&chosen.denied);
    let mut losses: Vec<Loss<'r>> = told.filter_map(|&(record, verdict)| missed(record, verdict)).collect();
    losses.extend(chosen.groups.iter().flat_map(beaten));
    losses.sort_by(|one, other| other.factor.total_cmp(&one.factor));
    losses
}

fn missed<'r>(record: &'r Record, verdict: &'r Verdict) -> Option<Loss<'r>> {
    if verdict.met == Some(true) {
        return None;
    }
    let Some(value) = verdict.value else { return Some(unknown(record, verdict)) };
    let (factor, nearest) = if verdict.least {
        (verdict.bound / value.median, verdict.bound / value.high)
    } else {
        let interval = verdict.upper.map_or(0.0, |upper| value.high / upper);
        ((value.median / verdict.bound).max(interval), value.low / verdict.bound)
    };
    Some(Loss {
        record,
        row: &verdict.row,
        shape: &verdict.shape,
        what: verdict.what.clone(),
        figures: format!("{}, aimed at {}", shown(value, digits(value.median)), bound(verdict)),
        factor,
        missed: true,
        within_spread: nearest <= 1.0,
    })
}

/// A target of a row that was measured, without a figure that counts: nothing is won there.
fn unknown<'r>(record: &'r Record, verdict: &'r Verdict) -> Loss<'r> {
    Loss {
        record,
        row: &verdict.row,
        shape: &verdict.shape,
        what: verdict.what.clone(),
        figures: format!("no figure that counts, aimed at {}", bound(verdict)),
        factor: 0.0,
        missed: true,
        within_spread: false,
    }
}

/// A target's bound, in words and signs.
pub(super) fn bound(verdict: &Verdict) -> String {
    let sign = if verdict.least { "≥" } else { "≤" };
    let upper = verdict.upper.map(|upper| format!(", interval ≤ {upper:.2}")).unwrap_or_default();
    let digits = if verdict.bound < 10.0 { 2 } else { 0 };
    format!("{sign} {:.digits$}{upper}", verdict.bound)
}

/// Figures of a group in which the best of the others is better than our default.
fn beaten<'r>(group: &Group<'r>) -> Vec<Loss<'r>> {
    let mut losses = Vec::new();
    for ours in defaults(group) {
        for figure in FIGURES {
            // Peers first: another engine of ours is a different remark.
            for kin in [false, true] {
                let rivals = servers(group)
                    .into_iter()
                    .filter(|other| is_rival(group.row, ours, other) && is_ours(other) == kin);
                let rated = rivals.filter_map(|other| {
                    let ratio = ratio(group, ours, other, figure)?;
                    Some((other, if figure.more { inverse(ratio) } else { ratio }))
                });
                let worst = rated.max_by(|(_, one), (_, other)| one.median.total_cmp(&other.median));
                let Some((other, ratio)) = worst.filter(|(_, ratio)| ratio.median > 1.0) else { continue };
                let figures = [ours, other].map(|name| {
                    middle(group, name, figure.of).map_or_else(String::new, |value| {
                        format!("{:.*}", digits(value.median), value.median)
                    })
                });
                let work = if group.work == "closed" { "" } else { group.work };
                let comma = if work.is_empty() { "" } else { ", " };
                losses.push(Loss {
                    record: group.record,
                    row: group.row,
                    shape: group.shape,
                    what: format!("{}{comma}{work}: {ours} against {other}", figure.name),
                    figures: format!("{} against {}; ratio {}", figures[0], figures[1], shown(ratio, 2)),
                    factor: ratio.median,
                    missed: false,
                    within_spread: ratio.low <= 1.0,
                });
            }
        }
    }
    losses
}

fn inverse(ratio: Spread) -> Spread {
    Spread { median: 1.0 / ratio.median, low: 1.0 / ratio.high, high: 1.0 / ratio.low }
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::compare::report::choice::Chosen;
    use crate::compare::report::choice::tests::record;

    #[test]
    fn a_missed_target_and_a_better_peer_are_both_told_the_worst_first() {
        let records = [record("one", "2026-01-02", "bb", "", 1.25)];
        let losses = of(&Chosen::of(&records));
        let told: Vec<(bool, String)> =
            losses.iter().map(|loss| (loss.missed, format!("{:.2} {}", loss.factor, loss.what))).collect();
        assert_eq!(
            told,
            [
                (true, "2.50 CPU/op of tallyring-uring ÷ redis".to_owned()),
                (false, "1.25 CPU/op, µs: tallyring-uring against redis".to_owned())
            ]
        );
        assert!(
            losses[1].figures.starts_with("1.250 against 1.000; ratio 1.25 (1.25–1.25)"),
            "{}",
            losses[1].figures
        );
    }

    #[test]
    fn what_is_won_is_not_told() {
        let records = [record("one", "2026-01-02", "bb", "", 0.25)];
        assert!(of(&Chosen::of(&records)).is_empty());
    }
}
