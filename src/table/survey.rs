//! A look through the whole table for display: sums, and the templates with most counters.

use std::sync::Arc;

use super::template::{TEMPLATES, Template};
use super::{Figures, Table};

/// What a look through the table has seen.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Sums over all segments.
    pub figures: Figures,
    /// The templates with most counters, those first.
    pub popular: Vec<Popular>,
}

/// A template and what is kept by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Popular {
    /// Its text, with `{id}` where the number stands.
    pub text: String,
    /// Its counters.
    pub counters: usize,
    /// Their bytes.
    pub bytes: usize,
}

impl Table {
    /// Sums, and the `most` templates with most counters.
    ///
    /// Locks one segment after the other, each for about a microsecond: nothing is allocated meanwhile, and no key is
    /// looked at.
    pub fn survey(&self, most: usize) -> Survey {
        let mut figures = Figures::default();
        let mut templates: Vec<Option<(Arc<Template>, usize, usize)>> = vec![None; TEMPLATES];
        for segment in self.guards() {
            let store = segment.store();
            figures.keys += store.len();
            figures.timed += store.timed();
            figures.expired += segment.expired();
            figures.evicted += segment.evicted();
            figures.census = figures.census.and(store.census());
            for counters in store.numbered.iter().flatten() {
                let entry = &mut templates[counters.template.index];
                // Another template may have had the place in a segment before: each counts for the one seen first.
                let (_, count, bytes) = entry.get_or_insert_with(|| (Arc::clone(&counters.template), 0, 0));
                *count += counters.len();
                *bytes += counters.heap_bytes();
            }
        }
        let mut templates: Vec<_> =
            templates.into_iter().flatten().filter(|(_, count, _)| *count > 0).collect();
        templates.sort_by_key(|(template, count, _)| (std::cmp::Reverse(*count), template.index));
        let popular = templates
            .into_iter()
            .take(most)
            .map(|(template, counters, bytes)| Popular { text: template.shown(), counters, bytes })
            .collect();
        Survey { figures, popular }
    }
}

#[cfg(test)]
mod tests {
    use crate::table::effect::Discard;
    use crate::table::{Moment, Table};

    #[test]
    fn the_popular_templates_come_first_and_sums_agree() {
        let table = Table::with_seed(1);
        for (text, keys) in [("views:article:", 3000), ("likes:", 5000)] {
            for n in 0..keys {
                let key = format!("{text}{n}");
                let key = table.key(key.as_bytes());
                let mut at = Moment { now_ms: 1, effects: &mut Discard };
                table.lock(key.hash).add(key, 1, &mut at).unwrap();
            }
        }
        let survey = table.survey(1);
        assert_eq!(survey.figures.keys, 8000);
        assert_eq!(survey.figures.census, table.census());
        let [first] = survey.popular.as_slice() else { panic!("{survey:?}") };
        assert_eq!(first.text, "likes:{id}");
        assert!(first.counters > 4000 && first.bytes > 8 * first.counters, "{first:?}");
        let all = table.survey(10).popular;
        assert_eq!(all.len(), 2);
        assert!(all.iter().map(|one| one.counters).sum::<usize>() <= survey.figures.census.numbered);
    }
}
