//! Carries out the steps of a run: servers up, measured in turn, always taken down, the record written.
//!
//! Knows servers, loads and samples; judges nothing. A failure ends the run, and what was measured until then is
//! still recorded.

use std::collections::BTreeMap;
use std::process::ExitCode;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::load::report::Report;

use super::contender::{self, Contender, Missing};
use super::machine::{self, Facts};
use super::measure::{Load, Measured, fill, measure};
use super::memory::{self, Cores};
use super::options::{Effort, Options};
use super::plan::{self, Step};
use super::progress::Progress;
use super::record::{Record, Sample};
use super::row::{RowName, Shape};
use super::server::Server;
use super::statistics::median;
use super::summary;
use super::system_calls::Counter;
use super::verdict;
use super::work::{BULK_KEYS, Delivery, Many, PIECE, Work};

/// Runs a comparison and writes its record.
///
/// # Errors
/// What keeps it from starting or from being recorded. A run that fails under way exits with a failure code.
pub(super) fn run(options: &Options) -> Result<ExitCode, String> {
    let mut wanted: Vec<&str> = options.rows.iter().flat_map(|&row| plan::servers(row)).copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let (mut contenders, mut missing) = contender::gather(options, &wanted);
    // Only now: whatever builds should have all processors.
    pin(options.load_core)?;
    let machine = Facts::read(options.server_core, options.load_core);
    let mut arena = BTreeMap::new();
    contenders.retain(|contender| match Server::start(contender, &[options.server_core]) {
        Ok(server) => arena.insert(contender.name, server).is_none(),
        Err(why) => {
            missing.push(Missing { name: contender.name, why });
            false
        }
    });
    for Missing { name, why } in &missing {
        eprintln!("missing: {name}: {why}");
    }
    let present: Vec<&str> = contenders.iter().map(|contender| contender.name).collect();
    let steps = plan::steps(options, &present);
    let counter = Counter::find(options.load_core);
    let mut run = Run { options, contenders, arena, samples: Vec::new(), counter };
    let failure = run.all(&steps).err();
    let record = run.record(machine, missing, failure);
    println!("{}", summary::markdown(&record));
    let directory = record.write(&record_parent(options)).map_err(|error| format!("no record: {error}"))?;
    println!("record: {}", directory.display());
    let ours_missing = record.missing.iter().any(|missing| is_required(missing, options));
    if let Some(failure) = &record.failure {
        eprintln!("failed: {failure}");
    }
    let good = record.failure.is_none() && !ours_missing && !record.samples.is_empty();
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Without our own server there is nothing to compare; a smoke run does without the separate build.
fn is_required(missing: &Missing, options: &Options) -> bool {
    let optional = options.effort == Effort::Smoke && missing.name == contender::OURS_EPOLL_BUILD;
    contender::is_ours(missing.name) && !optional
}

fn record_parent(options: &Options) -> std::path::PathBuf {
    let default = if options.effort == Effort::Smoke {
        contender::target_directory().join("bench-smoke")
    } else {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/record")
    };
    options.record.clone().unwrap_or(default)
}

pub(super) fn pin(core: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    let pinned = set.set(core).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    pinned.map_err(|errno| format!("cannot pin to processor {core}: {errno}; choose with --load-core"))
}

struct Run<'o> {
    options: &'o Options,
    contenders: Vec<Contender>,
    /// Servers of the loaded rows: they live for the whole run, with the same keys.
    arena: BTreeMap<&'static str, Server>,
    samples: Vec<Sample>,
    counter: Option<Counter>,
}

impl Run<'_> {
    fn all(&mut self, steps: &[Step]) -> Result<(), String> {
        let total: f64 = steps.iter().map(Step::estimate).sum();
        let bar = Progress::new(total);
        let mut filled = 0;
        let mut current = None;
        for step in steps {
            if current.is_some_and(|current| current != (step.row, step.shape, step.work)) {
                self.tell(current, &bar);
            }
            current = Some((step.row, step.shape, step.work));
            let keys = step.keys(self.options.effort);
            if keys > filled {
                self.fill(keys, &bar)?;
                filled = keys;
            }
            bar.say(&format!("{} {} {} {}", step.row.text(), step.shape, step.work, step.server));
            if let Some(sample) = self.one(step)? {
                self.samples.push(sample);
            }
            bar.advance(step.estimate());
        }
        self.tell(current, &bar);
        bar.finish();
        Ok(())
    }

    /// Creates so many keys in all servers that live for the whole run.
    fn fill(&self, keys: u64, bar: &Progress) -> Result<(), String> {
        for contender in self.contenders.iter().filter(|contender| contender.has_table()) {
            bar.say(&format!("{}: creating {keys} keys", contender.name));
            fill(&self.arena[contender.name], &[self.options.load_core], keys)?;
        }
        Ok(())
    }

    /// One line about what has just been measured, for whoever watches.
    fn tell(&self, what: Option<(RowName, Shape, Work)>, bar: &Progress) {
        let Some((row, shape, work)) = what else { return };
        let mut line = format!("{} {shape} {work}:", row.text());
        for server in plan::servers(row) {
            let figures = |pick: fn(&Sample) -> Option<f64>| {
                let same = |sample: &&Sample| (sample.row, sample.shape, sample.work) == (row, shape, work);
                let of = self.samples.iter().filter(same).filter(|sample| sample.server == *server);
                median(&of.filter_map(pick).collect::<Vec<f64>>())
            };
            let figure = match work {
                Work::Closed => figures(|sample| sample.cpu_us).map(|cpu| format!("{cpu:.3} µs")),
                Work::Calls => figures(|sample| sample.system_calls).map(|calls| format!("{calls:.3} calls")),
                Work::Open => figures(|sample| sample.report.as_ref().map(|report| report.latency.p99))
                    .map(|p99| format!("p99 {p99:.0} µs")),
                Work::Idle => figures(|sample| sample.per_connection).map(|bytes| format!("{bytes:.0} B")),
                Work::Keys(..) => figures(|sample| sample.per_key_ns).map(|cpu| format!("{cpu:.1} ns")),
                Work::Partial(..) => figures(|sample| sample.held).map(|held| format!("{held:.3} ×")),
            };
            if let Some(figure) = figure {
                line.push_str(&format!("  {server} {figure}"));
            }
        }
        bar.tell(&line);
    }

    /// Carries out a step; `None` = its figure cannot be had on this machine.
    fn one(&self, step: &Step) -> Result<Option<Sample>, String> {
        match step.work {
            Work::Closed | Work::Keys(..) => self.load(step, None).map(Some),
            Work::Open => match self.half_capacity(step) {
                Some(rate) => self.load(step, Some(rate)).map(Some),
                None => Ok(None),
            },
            Work::Calls => match &self.counter {
                Some(counter) => self.calls(step, counter).map(Some),
                None => Ok(None),
            },
            Work::Idle => self.idle(step).map(Some),
            Work::Partial(command, delivery) => self.partial(step, command, delivery).map(Some),
        }
    }

    fn load(&self, step: &Step, rate: Option<f64>) -> Result<Sample, String> {
        let server = &self.arena[step.server];
        let measured =
            measure(server, &[self.options.load_core], &self.ask(step, rate), || Ok(()), |(), _| Ok(()))?;
        Ok(sample(step, &measured))
    }

    fn calls(&self, step: &Step, counter: &Counter) -> Result<Sample, String> {
        let server = &self.arena[step.server];
        let core = self.options.load_core;
        let mut engine = server.info("engine");
        let (mut calls, mut operations) = (0, 0);
        let watch = || counter.attach(server.pid(), core);
        let unwatch = |counting: super::system_calls::Counting, report: &Report| {
            calls = counting.calls()?;
            operations = report.operations;
            Ok(())
        };
        let measured = measure(server, &[core], &self.ask(step, None), watch, unwatch)?;
        let after = server.info("engine");
        for (name, value) in &mut engine {
            *value = after.get(name).copied().unwrap_or(0) - *value;
        }
        let mut sample = sample(step, &measured);
        sample.system_calls = Some(calls as f64 / operations as f64);
        sample.engine = engine;
        Ok(sample)
    }

    fn ask(&self, step: &Step, rate: Option<f64>) -> Load {
        let mix = match step.work {
            Work::Keys(command, _) => command.mix_of_keys(BULK_KEYS),
            Work::Closed | Work::Calls | Work::Open | Work::Idle | Work::Partial(..) => "incr".to_owned(),
        };
        Load {
            mix,
            connections: step.shape.connections,
            depth: step.shape.depth,
            warm: step.warm,
            seconds: step.seconds,
            rate,
            keys: step.keys(self.options.effort),
            // The servers of a round are asked the same things.
            seed: self.options.seed.wrapping_mul(1000) + step.round as u64,
        }
    }

    /// Half of what the slower server of this row did under this shape when it was saturated.
    fn half_capacity(&self, step: &Step) -> Option<f64> {
        let of = |server: &&str| {
            let same = |sample: &&Sample| {
                (sample.row, sample.shape, sample.work) == (step.row, step.shape, Work::Closed)
            };
            let of = self.samples.iter().filter(same).filter(|sample| sample.server == *server);
            median(&of.filter_map(|sample| Some(sample.report.as_ref()?.rate)).collect::<Vec<f64>>())
        };
        let slower = plan::servers(step.row).iter().filter_map(of).min_by(f64::total_cmp)?;
        Some((slower / 2.0).round())
    }

    fn idle(&self, step: &Step) -> Result<Sample, String> {
        let connections = step.shape.connections;
        let grown = memory::idle(self.contender(step), self.cores(), connections)?;
        Ok(Sample {
            per_connection: Some(grown.per(connections as u64)),
            anonymous: grown.after,
            ..blank(step)
        })
    }

    fn partial(&self, step: &Step, command: Many, delivery: Delivery) -> Result<Sample, String> {
        let mix = command.mix(plan::partial_arguments(self.options.effort));
        let piece = match delivery {
            Delivery::Whole => None,
            Delivery::Pieces => Some(PIECE),
        };
        let connections = step.shape.connections;
        let (grown, sent) = memory::partial(self.contender(step), self.cores(), connections, &mix, piece)?;
        Ok(Sample {
            held: Some(grown.per(sent)),
            per_connection: Some(grown.per(connections as u64)),
            anonymous: grown.after,
            ..blank(step)
        })
    }

    fn contender(&self, step: &Step) -> &Contender {
        let contender = self.contenders.iter().find(|contender| contender.name == step.server);
        contender.expect("steps are made of contenders that are there")
    }

    fn cores(&self) -> Cores {
        Cores { server: self.options.server_core, load: self.options.load_core }
    }

    fn record(self, machine: Facts, missing: Vec<Missing>, failure: Option<String>) -> Record {
        Record {
            date: machine::today(),
            commit: machine::commit(),
            flags: self.options.shown(),
            machine,
            servers: self.contenders.iter().map(|contender| (contender.name, contender.version())).collect(),
            missing,
            counter: self.counter.as_ref().map(Counter::name),
            failure,
            verdicts: verdict::judge(&self.samples),
            samples: self.samples,
        }
    }
}

fn sample(step: &Step, measured: &Measured) -> Sample {
    let Measured { report, usage, anonymous } = measured;
    let operations = report.operations as f64;
    let cpu_us = usage.run_ns as f64 / 1000.0 / operations;
    let ticks = usage.user_ticks + usage.system_ticks;
    let user = (ticks > 0).then(|| usage.user_ticks as f64 / ticks as f64);
    Sample {
        cpu_us: Some(cpu_us),
        per_key_ns: matches!(step.work, Work::Keys(..))
            .then(|| usage.run_ns as f64 / report.keys_named as f64),
        user_us: user.map(|share| share * cpu_us),
        voluntary: Some(usage.voluntary as f64 / operations),
        involuntary: Some(usage.involuntary as f64 / operations),
        server_load: Some(usage.run_ns as f64 / 1e9 / report.seconds),
        anonymous: *anonymous,
        report: Some(report.clone()),
        ..blank(step)
    }
}

fn blank(step: &Step) -> Sample {
    Sample {
        row: step.row,
        shape: step.shape,
        work: step.work,
        server: step.server,
        round: step.round,
        cpu_us: None,
        per_key_ns: None,
        held: None,
        user_us: None,
        voluntary: None,
        involuntary: None,
        server_load: None,
        system_calls: None,
        engine: BTreeMap::new(),
        anonymous: 0,
        per_connection: None,
        report: None,
    }
}
