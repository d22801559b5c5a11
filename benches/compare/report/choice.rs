//! Which record each row is from, where several hold it: that of the newest date, of one date the one of a clean tree, then
//! the one of full rounds, then the one of most rows, then the one named last.
//!
//! Runs that ended early and smoke runs come after all others, whatever their date.

use super::reading::{Record, Sample, Verdict};

/// What is shown, row by row.
pub(super) struct Chosen<'r> {
    /// Records that something is shown of, the best first.
    pub(super) records: Vec<&'r Record>,
    /// Targets.
    pub(super) verdicts: Vec<(&'r Record, &'r Verdict)>,
    /// Targets that these say are met, and that another record of the same day says are missed.
    pub(super) denied: Vec<(&'r Record, &'r Verdict)>,
    /// What servers did in turns.
    pub(super) groups: Vec<Group<'r>>,
}

/// Measurements of one record that are compared with each other.
pub(super) struct Group<'r> {
    pub(super) record: &'r Record,
    pub(super) row: &'r str,
    pub(super) shape: &'r str,
    pub(super) work: &'r str,
    pub(super) samples: Vec<&'r Sample>,
}

impl<'r> Chosen<'r> {
    /// Chooses.
    pub(super) fn of(records: &'r [Record]) -> Self {
        let mut ranked: Vec<(usize, &Record)> = records.iter().enumerate().collect();
        ranked.sort_by_key(|(place, record)| std::cmp::Reverse((rank(record), *place)));
        let ranked: Vec<&Record> = ranked.into_iter().map(|(_, record)| record).collect();
        let (verdicts, groups) = (verdicts(&ranked), groups(&ranked));
        let denied = denied(&ranked, &verdicts);
        let shown = |record: &&&Record| {
            let same = |other: &Record| std::ptr::eq(other, **record);
            verdicts.iter().chain(&denied).any(|(of, _)| same(of))
                || groups.iter().any(|group| same(group.record))
        };
        Self { records: ranked.iter().filter(shown).copied().collect(), verdicts, denied, groups }
    }
}

/// The better the greater. Rows of one run go together better than those of several.
fn rank(record: &Record) -> (bool, &str, bool, bool, usize) {
    let has = |flag: &str| record.flags.split(' ').any(|word| word == flag);
    let sound = record.failure.is_none() && !has("--smoke");
    let mut rows: Vec<&str> = record.samples.iter().map(|sample| sample.row.as_str()).collect();
    rows.sort_unstable();
    rows.dedup();
    (sound, &record.date, !record.commit.ends_with("-dirty"), !has("--quick"), rows.len())
}

/// Of each subject, the targets of the best record that has figures for it; if none has, of the best.
fn verdicts<'r>(ranked: &[&'r Record]) -> Vec<(&'r Record, &'r Verdict)> {
    let mut subjects: Vec<(&str, &str, String)> = Vec::new();
    let mut found = Vec::new();
    for verdict in ranked.iter().flat_map(|record| &record.verdicts) {
        let subject = subject(verdict);
        if subjects.contains(&subject) {
            continue;
        }
        let of = |record: &'r Record| {
            let same = record.verdicts.iter().filter(|other| self::subject(other) == subject);
            same.map(|verdict| (record, verdict)).collect::<Vec<_>>()
        };
        let each: Vec<_> = ranked.iter().map(|record| of(record)).filter(|of| !of.is_empty()).collect();
        let has = |of: &&Vec<(&Record, &Verdict)>| of.iter().any(|(_, verdict)| verdict.value.is_some());
        found.extend(each.iter().find(has).or_else(|| each.first()).into_iter().flatten().copied());
        subjects.push(subject);
    }
    found.sort_by_key(|(_, verdict)| order(&verdict.row));
    found
}

/// What is missed in a record of the same day as the one in which it is met: not to be hidden by the choice.
fn denied<'r>(
    ranked: &[&'r Record],
    verdicts: &[(&'r Record, &'r Verdict)],
) -> Vec<(&'r Record, &'r Verdict)> {
    let missed = |of: &(&Record, &Verdict)| of.1.met == Some(false);
    let all = ranked.iter().flat_map(|&record| record.verdicts.iter().map(move |verdict| (record, verdict)));
    all.filter(missed)
        .filter(|(record, verdict)| {
            let mut met = verdicts.iter().filter(|(_, other)| other.met == Some(true));
            met.any(|(of, other)| {
                of.date == record.date && rank(record).0 && subject(other) == subject(verdict)
            })
        })
        .filter(|of| !verdicts.iter().any(|other| std::ptr::eq(other.1, of.1)))
        .collect()
}

/// Records of the same day that deny a target.
pub(super) fn deniers<'c>(chosen: &'c Chosen<'_>, verdict: &Verdict) -> Vec<&'c str> {
    let same = chosen.denied.iter().filter(|(_, other)| subject(other) == subject(verdict));
    same.filter(|_| verdict.met == Some(true)).map(|(record, _)| record.name.as_str()).collect()
}

/// What a target is about: whom it is compared with and how many keys there are differ from record to record.
fn subject(verdict: &Verdict) -> (&str, &str, String) {
    let what = verdict.what.split(" ÷ tallyring").next().unwrap_or_default();
    let what = [" ÷ redis", " ÷ valkey", " ÷ bare"]
        .iter()
        .fold(what, |what, peer| what.split(peer).next().unwrap_or_default());
    let number = |word: &&str| !word.bytes().all(|byte| byte.is_ascii_digit());
    (&verdict.row, &verdict.shape, what.split(' ').filter(number).collect::<Vec<&str>>().join(" "))
}

fn groups<'r>(ranked: &[&'r Record]) -> Vec<Group<'r>> {
    let mut found: Vec<Group<'r>> = Vec::new();
    for &record in ranked {
        for sample in &record.samples {
            let same = |group: &&mut Group<'_>| {
                (group.row, group.shape, group.work) == (&sample.row, &sample.shape, &sample.work)
            };
            match found.iter_mut().find(same) {
                Some(group) if std::ptr::eq(group.record, record) => group.samples.push(sample),
                Some(_) => {}
                None => found.push(Group {
                    record,
                    row: &sample.row,
                    shape: &sample.shape,
                    work: &sample.work,
                    samples: vec![sample],
                }),
            }
        }
    }
    found.sort_by_key(|group| order(group.row));
    found
}

/// T2 before T10, and T1 before T1-everysec; what has no number comes last.
pub(super) fn order(row: &str) -> (u32, &str) {
    let digits = row.strip_prefix('T').map(|rest| rest.split('-').next().unwrap_or_default());
    (digits.and_then(|digits| digits.parse().ok()).unwrap_or(u32::MAX), row)
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Chosen, deniers, order};
    use crate::compare::report::reading::Record;

    /// A record with one target, whose figure is `value`.
    pub(in crate::compare::report) fn record(
        name: &str,
        date: &str,
        commit: &str,
        flags: &str,
        value: f64,
    ) -> Record {
        let text = format!(
            r#"{{"date": "{date}", "commit": "{commit}", "flags": "{flags}",
            "machine": {{"processor": "A <chip>", "cores": "0-1", "virtualized": true, "kernel": "6.18", "memory_mib": 1,
            "load_average": "0.1"}}, "servers": {{"redis": "7"}},
            "verdicts": [{{"row": "T1", "shape": "50 × 64", "what": "CPU/op of tallyring-uring ÷ redis",
            "value": {{"median": {value}, "low": {value}, "high": {value}}}, "bound": 0.5, "upper": null, "met": {}}}],
            "samples": [
            {{"row": "T1", "shape": "50 × 64", "work": "closed", "server": "tallyring-uring", "round": 0, "cpu_us": {value}}},
            {{"row": "T1", "shape": "50 × 64", "work": "closed", "server": "redis", "round": 0, "cpu_us": 1.0}}]}}"#,
            value <= 0.5
        );
        let record: Record = serde_json::from_str(&text).unwrap();
        Record { name: name.to_owned(), ..record }
    }

    fn winner(records: &[Record]) -> String {
        let chosen = Chosen::of(records);
        assert_eq!((chosen.verdicts.len(), chosen.groups.len(), chosen.records.len()), (1, 1, 1));
        assert_eq!(chosen.verdicts[0].0.name, chosen.groups[0].record.name);
        chosen.verdicts[0].0.name.clone()
    }

    #[test]
    fn the_newest_clean_record_wins() {
        let old = record("old", "2026-01-01", "aa", "", 0.1);
        let dirty = record("dirty", "2026-01-02", "bb-dirty", "", 0.2);
        let quick = record("quick", "2026-01-02", "bb", "--quick", 0.3);
        let clean = record("clean", "2026-01-02", "bb", "", 0.4);
        let smoke = record("smoke", "2026-01-03", "cc", "--smoke", 0.5);
        assert_eq!(
            winner(&[smoke.clone(), clean.clone(), quick.clone(), dirty.clone(), old.clone()]),
            "clean"
        );
        assert_eq!(winner(&[smoke.clone(), quick, dirty.clone(), old.clone()]), "quick");
        assert_eq!(winner(&[dirty, old.clone()]), "dirty");
        assert_eq!(winner(&[smoke, old]), "old");
    }

    #[test]
    fn of_two_runs_of_a_day_the_one_of_more_rows_wins() {
        let mut whole = record("a", "2026-01-02", "aa", "", 0.2);
        let mut other = whole.samples[0].clone();
        other.row = "T3".to_owned();
        whole.samples.push(other);
        let part = record("b", "2026-01-02", "bb", "", 0.3);
        assert_eq!(Chosen::of(&[whole, part]).verdicts[0].0.name, "a");
    }

    #[test]
    fn a_record_without_the_figure_does_not_hide_one_that_has_it() {
        let mut blind = record("blind", "2026-01-02", "bb", "", 0.2);
        blind.verdicts[0].value = None;
        let old = record("old", "2026-01-01", "aa", "", 0.3);
        let records = [blind, old];
        assert_eq!(Chosen::of(&records).verdicts[0].0.name, "old");
    }

    #[test]
    fn what_another_record_of_the_day_denies_is_not_hidden() {
        let day = [
            record("quick", "2026-01-02", "bb", "--quick", 0.4),
            record("full", "2026-01-02", "bb-dirty", "", 0.6),
        ];
        let chosen = Chosen::of(&day);
        assert_eq!(chosen.verdicts[0].0.name, "quick");
        assert_eq!(deniers(&chosen, chosen.verdicts[0].1), ["full"]);
        let days = [record("new", "2026-01-02", "bb", "", 0.4), record("old", "2026-01-01", "aa", "", 0.6)];
        assert!(Chosen::of(&days).denied.is_empty());
    }

    #[test]
    fn rows_are_in_the_order_of_their_numbers() {
        let mut rows = ["commands", "T10", "T2", "T1-everysec", "T1"];
        rows.sort_by_key(|row| order(row));
        assert_eq!(rows, ["T1", "T1-everysec", "T2", "T10", "commands"]);
    }
}
