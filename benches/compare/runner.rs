//! Carries out the steps of a run: servers up, measured in turn, always taken down, the record written.
//!
//! Knows servers, loads and samples; judges nothing. A failure ends the run, and what was measured until then is
//! still recorded.

use std::process::ExitCode;

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use crate::load::harm::Kind;
use crate::load::population::Population;
use crate::load::report::Report;

use super::arena::Arena;
use super::contender::{self, Missing};
use super::counters::{self, Point};
use super::expiry;
use super::latencies;
use super::limits;
use super::machine::{self, Facts};
use super::measure::{Load, Measured, fill, measure};
use super::memory::{self, Cores};
use super::options::{Effort, Options};
use super::plan::{self, Step, Unable};
use super::progress::Progress;
use super::record::{Record, Sample};
use super::server::Server;
use super::snapshot;
use super::starting;
use super::statistics::median;
use super::summary;
use super::system_calls::Counter;
use super::verdict::{self, Group};
use super::work::{BULK_KEYS, Delivery, Due, HALF, Many, PIECE, Source, Work};

/// Runs a comparison and writes its record.
///
/// # Errors
/// What keeps it from starting or from being recorded. A run that fails under way exits with a failure code.
pub(super) fn run(options: &Options) -> Result<ExitCode, String> {
    let mut wanted: Vec<&str> = options.rows.iter().flat_map(|&row| plan::servers(row)).copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let (contenders, mut missing) = contender::gather(options, &wanted);
    // Only now: whatever builds should have all processors.
    pin(options.load_core)?;
    let machine = Facts::read(options.server_core, options.load_core);
    let arena = Arena::open(options, contenders, &mut missing);
    for Missing { name, why } in &missing {
        eprintln!("missing: {name}: {why}");
    }
    let present: Vec<&str> = arena.contenders().iter().map(|contender| contender.name).collect();
    let (steps, unmeasured) = plan::steps(options, &present, |name, command| arena.knows(name, command));
    let planned = plan::estimate(&steps, options.effort);
    eprintln!(
        "{} measurements, about {:.0} min {:02.0} s",
        steps.len(),
        (planned / 60.0).floor(),
        planned % 60.0
    );
    let counter = Counter::find(options.load_core);
    let mut run = Run { options, arena, samples: Vec::new(), counter };
    let failure = run.all(&steps).err();
    let record = run.record(machine, missing, unmeasured, failure);
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
    arena: Arena<'o>,
    samples: Vec<Sample>,
    counter: Option<Counter>,
}

impl Run<'_> {
    fn all(&mut self, steps: &[Step]) -> Result<(), String> {
        let bar = Progress::new(steps.iter().map(Step::estimate).sum());
        let mut began = Vec::new();
        for (done, step) in steps.iter().enumerate() {
            if !began.contains(&step.group()) {
                began.push(step.group());
                self.prepare(step, steps, &bar)?;
            }
            bar.say(&format!("{} {} {} {}", step.row.text(), step.shape, step.work, step.server));
            let samples = self.one(step)?;
            self.samples.extend(samples);
            bar.advance(step.estimate());
            if steps[done + 1..].iter().all(|later| later.group() != step.group()) {
                self.tell(step.group(), &bar);
            }
        }
        bar.finish();
        Ok(())
    }

    /// Readies the servers that the group of `first` asks, each before any of them is measured.
    fn prepare(&mut self, first: &Step, steps: &[Step], bar: &Progress) -> Result<(), String> {
        let asked = |step: &Step| Some((step.server, step.instance()?));
        let row: Vec<_> = steps.iter().filter(|step| step.row == first.row).filter_map(asked).collect();
        self.arena.keep(&row);
        let keys = first.keys(self.options.effort);
        for step in steps.iter().filter(|step| step.group() == first.group() && step.round == 0) {
            if let Some(which) = asked(step) {
                bar.say(&format!("{}: starting, creating {keys} keys", step.server));
                self.arena.prepare(which, keys)?;
            }
        }
        Ok(())
    }

    /// One line about what has just been measured, for whoever watches.
    fn tell(&self, (row, shape, work): Group, bar: &Progress) {
        let mut line = format!("{} {shape} {work}:", row.text());
        for server in plan::servers(row) {
            let figures = |pick: fn(&Sample) -> Option<f64>| {
                let same = |sample: &&Sample| (sample.row, sample.shape, sample.work) == (row, shape, work);
                let of = self.samples.iter().filter(same).filter(|sample| sample.server == *server);
                median(&of.filter_map(pick).collect::<Vec<f64>>())
            };
            let figure = match work {
                Work::Closed | Work::Among(_) => {
                    figures(|sample| sample.cpu_us).map(|cpu| format!("{cpu:.3} µs"))
                }
                Work::Calls => figures(|sample| sample.system_calls).map(|calls| format!("{calls:.3} calls")),
                Work::Open(_) => figures(|sample| sample.report.as_ref().map(|report| report.latency.p99))
                    .map(|p99| format!("p99 {p99:.0} µs")),
                Work::Idle => figures(|sample| sample.per_connection).map(|bytes| format!("{bytes:.0} B")),
                Work::Keys(..) => figures(|sample| sample.per_key_ns).map(|cpu| format!("{cpu:.1} ns")),
                Work::Partial(..) => figures(|sample| sample.held).map(|held| format!("{held:.3} ×")),
                Work::Holding(..) | Work::Growing(_) => {
                    figures(|sample| Some(sample.point?.per_counter)).map(|bytes| format!("{bytes:.1} B"))
                }
                Work::Snapshot(_) => figures(|sample| Some(sample.snapshot.as_ref()?.saving.p999))
                    .map(|p999| format!("p99.9 {p999:.0} µs")),
                Work::Starting(..) => {
                    figures(|sample| Some(sample.start?.seconds)).map(|seconds| format!("{seconds:.2} s"))
                }
                Work::Beside(_) => figures(|sample| Some(sample.limits.as_ref()?.disturbance.ratio()))
                    .map(|ratio| format!("p99 {ratio:.2} ×")),
                Work::Each => figures(|sample| Some(sample.commands.first()?.latency.p50))
                    .map(|p50| format!("{p50:.1} µs")),
                Work::Expiry(..) => figures(|sample| Some(sample.expiry.as_ref()?.gone_s))
                    .map(|seconds| format!("{seconds:.2} s")),
            };
            if let Some(figure) = figure {
                line.push_str(&format!("  {server} {figure}"));
            }
        }
        bar.tell(&line);
    }

    /// Carries out a step; no sample = its figure cannot be had on this machine.
    fn one(&self, step: &Step) -> Result<Vec<Sample>, String> {
        let sample = match step.work {
            Work::Closed | Work::Keys(..) | Work::Among(_) => Some(self.load(step, None)?),
            Work::Open(percent) => {
                self.capacity(step, percent).map(|rate| self.load(step, Some(rate))).transpose()?
            }
            Work::Calls => self.counter.as_ref().map(|counter| self.calls(step, counter)).transpose()?,
            Work::Idle => Some(self.idle(step)?),
            Work::Partial(command, delivery) => Some(self.partial(step, command, delivery)?),
            Work::Holding(population, keys) => return self.grow(step, population, &[keys]),
            Work::Growing(most) => {
                let points = plan::points(self.options.effort, most);
                return self.grow(step, Population::Articles, &points);
            }
            Work::Snapshot(keys) => Some(self.snapshot(step, keys)?),
            Work::Starting(source, keys) => Some(self.start(step, source, keys)?),
            Work::Beside(harm) => Some(self.beside(step, harm)?),
            Work::Each => Some(self.each(step)?),
            Work::Expiry(due, keys) => {
                self.capacity(step, HALF).map(|rate| self.expiry(step, due, keys, rate)).transpose()?
            }
        };
        Ok(sample.into_iter().collect())
    }

    fn load(&self, step: &Step, rate: Option<f64>) -> Result<Sample, String> {
        let measured = if step.row.is_durable() {
            let Cores { server, load } = self.cores();
            let server = Server::start(self.arena.contender(step.server), &[server])?;
            fill(&server, &[load], step.keys(self.options.effort))?;
            measure(&server, &[load], &self.ask(step, rate), || Ok(()), |(), _| Ok(()))?
        } else {
            let (server, cores) = self.asked(step);
            measure(server, &cores, &self.ask(step, rate), || Ok(()), |(), _| Ok(()))?
        };
        Ok(sample(step, &measured))
    }

    /// The server that a step asks, and the processors of the load meanwhile.
    fn asked(&self, step: &Step) -> (&Server, Vec<usize>) {
        let instance = step.instance().expect("a step with a load asks a server that lives on");
        (self.arena.server((step.server, instance)), self.arena.load_cores(instance))
    }

    fn calls(&self, step: &Step, counter: &Counter) -> Result<Sample, String> {
        let (server, cores) = self.asked(step);
        let mut engine = server.info("engine");
        let (mut calls, mut operations) = (0, 0);
        let watch = || counter.attach(server.pid(), self.options.load_core);
        let unwatch = |counting: super::system_calls::Counting, report: &Report| {
            calls = counting.calls()?;
            operations = report.operations;
            Ok(())
        };
        let measured = measure(server, &cores, &self.ask(step, None), watch, unwatch)?;
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
            Work::Closed | Work::Calls | Work::Open(_) | Work::Among(_) => "incr".to_owned(),
            Work::Idle
            | Work::Partial(..)
            | Work::Holding(..)
            | Work::Growing(_)
            | Work::Expiry(..)
            | Work::Snapshot(_)
            | Work::Starting(..)
            | Work::Beside(_)
            | Work::Each => {
                unreachable!("{}: these bring their own load", step.work)
            }
        };
        Load {
            mix,
            connections: step.shape.connections,
            depth: step.shape.depth,
            warm: step.warm,
            seconds: step.seconds,
            rate,
            keys: step.keys(self.options.effort),
            seed: self.seed(step),
        }
    }

    /// The servers of a round are asked the same things.
    fn seed(&self, step: &Step) -> u64 {
        self.options.seed.wrapping_mul(1000) + step.round as u64
    }

    /// So much of what the slowest server of this row did under this shape when it was saturated.
    fn capacity(&self, step: &Step, percent: u8) -> Option<f64> {
        let of = |server: &&str| {
            let same = |sample: &&Sample| {
                (sample.row, sample.shape, sample.work) == (step.row, step.shape, Work::Closed)
            };
            let of = self.samples.iter().filter(same).filter(|sample| sample.server == *server);
            median(&of.filter_map(|sample| Some(sample.report.as_ref()?.rate)).collect::<Vec<f64>>())
        };
        let slowest = plan::servers(step.row).iter().filter_map(of).min_by(f64::total_cmp)?;
        Some((slowest * f64::from(percent) / 100.0).round())
    }

    fn idle(&self, step: &Step) -> Result<Sample, String> {
        let connections = step.shape.connections;
        let grown = memory::idle(self.arena.contender(step.server), self.cores(), connections)?;
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
        let contender = self.arena.contender(step.server);
        let (grown, sent) = memory::partial(contender, self.cores(), connections, &mix, piece)?;
        Ok(Sample {
            held: Some(grown.per(sent)),
            per_connection: Some(grown.per(connections as u64)),
            anonymous: grown.after,
            ..blank(step)
        })
    }

    fn grow(&self, step: &Step, population: Population, points: &[u64]) -> Result<Vec<Sample>, String> {
        let contender = self.arena.contender(step.server);
        let connections = step.shape.connections;
        let points =
            counters::grow(contender, self.cores(), population, connections, points, self.seed(step))?;
        let sample = |point: Point| Sample { point: Some(point), anonymous: point.bytes, ..blank(step) };
        Ok(points.into_iter().map(sample).collect())
    }

    fn expiry(&self, step: &Step, due: Due, keys: u64, rate: f64) -> Result<Sample, String> {
        let contender = self.arena.contender(step.server);
        let (connections, seed) = (step.shape.connections, self.seed(step));
        let asked = expiry::Asked { due, keys, connections, rate, seed };
        let seen = expiry::watch(contender, self.cores(), self.options.effort, asked)?;
        Ok(Sample { expiry: Some(Box::new(seen)), ..blank(step) })
    }

    fn start(&self, step: &Step, source: Source, keys: u64) -> Result<Sample, String> {
        let contender = self.arena.contender(step.server);
        let start = starting::time(contender, self.cores(), source, keys)?;
        Ok(Sample { start: Some(start), ..blank(step) })
    }

    fn snapshot(&self, step: &Step, keys: u64) -> Result<Sample, String> {
        let contender = self.arena.contender(step.server);
        let asked = snapshot::Asked { keys, connections: step.shape.connections, seed: self.seed(step) };
        let seen = snapshot::watch(contender, self.cores(), self.options.effort, asked)?;
        Ok(Sample { snapshot: Some(Box::new(seen)), ..blank(step) })
    }

    fn beside(&self, step: &Step, harm: Kind) -> Result<Sample, String> {
        let contender = self.arena.contender(step.server);
        let keys = step.keys(self.options.effort);
        let asked = limits::Asked { harm, keys, connections: step.shape.connections, seed: self.seed(step) };
        let seen = limits::watch(contender, self.cores(), self.options.effort, asked)?;
        Ok(Sample { limits: Some(Box::new(seen)), ..blank(step) })
    }

    fn each(&self, step: &Step) -> Result<Sample, String> {
        let contender = self.arena.contender(step.server);
        let commands = latencies::time(contender, self.cores(), self.options.effort, self.seed(step))?;
        Ok(Sample { commands, ..blank(step) })
    }

    fn cores(&self) -> Cores {
        Cores { server: self.options.server_core, load: self.options.load_core }
    }

    fn record(
        self,
        machine: Facts,
        missing: Vec<Missing>,
        unmeasured: Vec<Unable>,
        failure: Option<String>,
    ) -> Record {
        let contenders = self.arena.contenders().iter();
        let modes = contenders.clone().map(|contender| (contender.name, contender.mode())).collect();
        Record {
            date: machine::today(),
            commit: machine::commit(),
            flags: self.options.shown(),
            machine,
            servers: contenders.map(|contender| (contender.name, contender.version())).collect(),
            modes,
            missing,
            unmeasured,
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
    Sample::blank(step.group(), step.server, step.round)
}
