//! The exposition of a source that is made up.

use hdrhistogram::Histogram;

use super::{BOUNDS, text};
use crate::admin::access::Access;
use crate::admin::source::{CommandReading, Persistence, Reading, Source, Standing, WorkerReading};
use crate::metrics::meters;

/// One command, one worker, a journal.
struct Double;

impl Source for Double {
    fn access(&self) -> Access {
        Access::default()
    }

    fn standstill(&self) -> Option<String> {
        None
    }

    fn standing(&self) -> Standing {
        Standing::Loading
    }

    fn reading(&self) -> Reading {
        let mut syncs = Histogram::new(3).unwrap();
        syncs.record(3_000_000).unwrap();
        Reading {
            version: "1.2.3",
            engine: "epoll",
            workers: vec![WorkerReading { requests: 7, ..WorkerReading::default() }],
            refusals: vec![("arity", 3)],
            persistence: Some(Persistence { syncs: Some(syncs), ..Persistence::default() }),
            certificates: vec![("server", 1_900_000_000)],
            ..Reading::default()
        }
    }

    fn commands(&self) -> Vec<CommandReading> {
        let mut service = Histogram::new(3).unwrap();
        service.record_n(900, 10).unwrap();
        service.record_n(3_000, 5).unwrap();
        service.record(20_000_000_000).unwrap();
        let reply = service.clone();
        let name = "config|get".to_owned();
        let of = meters::Reading {
            number: 0,
            calls: 16,
            rejected: 1,
            failed: 2,
            nanos: 20_000_024_000,
            service,
            reply,
        };
        vec![CommandReading { name, of }]
    }
}

/// The exposition, and a look for a line in it.
fn shown() -> String {
    String::from_utf8(text(&Double)).unwrap()
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|one| one == line), "{line} is not in:\n{text}");
}

#[test]
fn bounds_go_from_a_microsecond_to_ten_seconds() {
    assert_eq!((BOUNDS[0], BOUNDS[1], BOUNDS[2], BOUNDS[3]), (1_000, 2_500, 5_000, 10_000));
    assert_eq!(BOUNDS[21], 10_000_000_000);
    assert!(BOUNDS.is_sorted());
}

#[test]
fn buckets_add_up() {
    let text = shown();
    let bucket = |le: &str, count: u64| {
        let name = "tallyring_command_duration_seconds_bucket";
        has(&text, &format!("{name}{{command=\"config|get\",le=\"{le}\"}} {count}"));
    };
    bucket("0.000001", 10);
    bucket("0.0000025", 10);
    bucket("0.000005", 15);
    bucket("10", 15);
    bucket("+Inf", 16);
    has(&text, "tallyring_command_duration_seconds_count{command=\"config|get\"} 16");
    has(&text, "tallyring_command_duration_seconds_sum{command=\"config|get\"} 20.000024");
    has(&text, "tallyring_reply_duration_seconds_count{command=\"config|get\"} 16");
    has(&text, "tallyring_journal_sync_duration_seconds_bucket{le=\"0.005\"} 1");
}

#[test]
fn families_say_what_they_are() {
    let text = shown();
    has(&text, "# TYPE tallyring_command_duration_seconds histogram");
    has(&text, "# TYPE tallyring_commands_failed_total counter");
    has(&text, "tallyring_commands_failed_total{command=\"config|get\"} 2");
    has(&text, "tallyring_refusals_total{reason=\"arity\"} 3");
    has(&text, "tallyring_worker_requests_total{worker=\"0\"} 7");
    has(&text, "tallyring_tls_certificate_expiry_timestamp_seconds{certificate=\"server\"} 1900000000");
    has(&text, "tallyring_loading 1");
    has(&text, "tallyring_ready 0");
    assert!(text.contains("tallyring_build_info{version=\"1.2.3\",engine=\"epoll\""));
}
