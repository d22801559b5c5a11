//! The latency monitor: for each kind of event that may hold clients up, when it took too long and how long. Knows numbers
//! and Redis' names for the events, and no clock.

use std::sync::{Mutex, MutexGuard};

/// Samples that are kept of an event, one for a second, as in Redis.
pub const SAMPLES: usize = 160;

/// What may take long, by Redis' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A command.
    Command,
    /// A command that takes constant or logarithmic time.
    FastCommand,
    /// A step of the journal's thread that wrote and did not sync.
    AofWrite,
    /// A sync of the journal.
    AofFsync,
    /// A turn's share of removing keys whose deadline has passed.
    ExpireCycle,
    /// Making room for a command where `maxmemory` is reached.
    EvictionCycle,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Command,
        Self::FastCommand,
        Self::AofWrite,
        Self::AofFsync,
        Self::ExpireCycle,
        Self::EvictionCycle,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::FastCommand => "fast-command",
            Self::AofWrite => "aof-write",
            Self::AofFsync => "aof-fsync-always",
            Self::ExpireCycle => "expire-cycle",
            Self::EvictionCycle => "eviction-cycle",
        }
    }

    /// The event of this name, in lower case as it is shown.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name().as_bytes() == name)
    }
}

/// The longest that an event took in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The second, as Unix time.
    pub unix_s: u64,
    /// How long it took.
    pub ms: u64,
}

/// What is known of one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Series {
    /// The oldest first; at least one, at most [`SAMPLES`].
    pub samples: Vec<Sample>,
    /// The longest of all, those that were dropped included.
    pub max_ms: u64,
}

impl Series {
    fn add(&mut self, sample: Sample) {
        self.max_ms = self.max_ms.max(sample.ms);
        match self.samples.last_mut() {
            Some(last) if last.unix_s == sample.unix_s => last.ms = last.ms.max(sample.ms),
            Some(_) | None => {
                if self.samples.len() == SAMPLES {
                    self.samples.remove(0);
                }
                self.samples.push(sample);
            }
        }
    }
}

/// The series of all events: those of which none was seen are empty.
#[derive(Debug, Default)]
pub struct Events {
    series: Mutex<[Series; Event::ALL.len()]>,
}

impl Events {
    /// An event took so long. It is for the caller to judge whether that was too long.
    pub fn add(&self, event: Event, sample: Sample) {
        self.series()[event as usize].add(sample);
    }

    /// What is known of an event. `None`: none took too long.
    pub fn get(&self, event: Event) -> Option<Series> {
        let series = &self.series()[event as usize];
        (!series.samples.is_empty()).then(|| series.clone())
    }

    /// Forgets an event. True: there was something to forget.
    pub fn reset(&self, event: Event) -> bool {
        !std::mem::take(&mut self.series()[event as usize]).samples.is_empty()
    }

    fn series(&self) -> MutexGuard<'_, [Series; Event::ALL.len()]> {
        self.series.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, Events, SAMPLES, Sample};

    #[test]
    fn a_second_keeps_its_longest() {
        let events = Events::default();
        assert_eq!(events.get(Event::Command), None);
        for (unix_s, ms) in [(7, 30), (7, 50), (7, 40), (8, 20)] {
            events.add(Event::Command, Sample { unix_s, ms });
        }
        let series = events.get(Event::Command).expect("it was seen");
        assert_eq!(series.samples, [Sample { unix_s: 7, ms: 50 }, Sample { unix_s: 8, ms: 20 }]);
        assert_eq!((series.max_ms, events.get(Event::AofWrite)), (50, None));
        assert!(events.reset(Event::Command) && !events.reset(Event::Command));
        assert_eq!(events.get(Event::Command), None);
    }

    #[test]
    fn the_oldest_seconds_go_and_their_longest_stays_known() {
        let events = Events::default();
        (0..200).for_each(|unix_s| events.add(Event::ExpireCycle, Sample { unix_s, ms: 1000 - unix_s }));
        let series = events.get(Event::ExpireCycle).expect("it was seen");
        assert_eq!((series.samples.len(), series.samples[0].unix_s, series.max_ms), (SAMPLES, 40, 1000));
    }

    #[test]
    fn events_are_found_by_their_names() {
        for event in Event::ALL {
            assert_eq!(Event::named(event.name().as_bytes()), Some(event));
            assert_eq!(Event::ALL[event as usize], event, "a series stands at its event's number");
        }
        assert_eq!(Event::named(b"COMMAND"), None);
    }
}
