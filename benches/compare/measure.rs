//! One measurement: a load process against one server, the server's clocks read before and after.
//!
//! The load says `ready` when nothing is outstanding and reports when nothing is outstanding again, so that the
//! operations counted are exactly those the processor time was spent on.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};

use crate::load::report::Report;
use crate::procfs::{self, Usage};

use super::launch;
use super::server::Server;

/// What the load is asked to do.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// The requests, as the load reads them.
    pub(super) mix: String,
    /// Connections.
    pub(super) connections: usize,
    /// Requests in a pipeline.
    pub(super) depth: usize,
    /// Seconds before measuring.
    pub(super) warm: f64,
    /// Seconds of measuring.
    pub(super) seconds: f64,
    /// Requests a second; none = as many as the server takes.
    pub(super) rate: Option<f64>,
    /// Different keys.
    pub(super) keys: u64,
    /// Of the keys.
    pub(super) seed: u64,
}

impl Load {
    fn arguments(&self) -> Vec<String> {
        let Self { mix, connections, depth, warm, seconds, rate, keys, seed } = self;
        let mut arguments = format!(
            "--mix {mix} --connections {connections} --depth {depth} --warm {warm} --seconds {seconds} --keys {keys} --seed {seed}"
        );
        if let Some(rate) = rate {
            arguments.push_str(&format!(" --rate {rate}"));
        }
        arguments.split(' ').map(str::to_owned).collect()
    }
}

/// A role of this program on the load's processors, spoken to line by line.
#[derive(Debug)]
pub(super) struct Helper {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Helper {
    /// Runs `role` with arguments in one text, from its start to its end. Returns the line it says.
    ///
    /// # Errors
    /// A sentence with what the role said on standard error.
    pub(super) fn told(cores: &[usize], role: &str, port: u16, arguments: &str) -> Result<String, String> {
        let arguments: Vec<String> = arguments.split(' ').map(str::to_owned).collect();
        let mut helper = Self::start(cores, role, port, &arguments)?;
        helper.go()?;
        let line = helper.line()?;
        helper.finish()?;
        Ok(line)
    }

    /// Starts `role` against a server and waits until it is ready.
    ///
    /// # Errors
    /// A sentence with what the role said on standard error.
    pub(super) fn start(
        cores: &[usize],
        role: &str,
        port: u16,
        arguments: &[String],
    ) -> Result<Self, String> {
        let spawn = || {
            launch::on_cores(cores, &std::env::current_exe()?)?
                .args([role, "--port", &port.to_string()])
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
        };
        let mut child = spawn().map_err(|error| format!("cannot start {role}: {error}"))?;
        let output = BufReader::new(child.stdout.take().expect("the output was asked to be a pipe"));
        let mut helper = Self { child, output };
        match helper.line()?.as_str() {
            "ready" => Ok(helper),
            other => Err(format!("{role} said '{other}' instead of ready")),
        }
    }

    /// Lets it go on.
    pub(super) fn go(&mut self) -> Result<(), String> {
        let input = self.child.stdin.as_mut().expect("the input was asked to be a pipe");
        input.write_all(b"\n").and_then(|()| input.flush()).map_err(|error| error.to_string())
    }

    /// Its next line.
    ///
    /// # Errors
    /// If it ended instead: what it said on standard error.
    pub(super) fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => Err(format!("the load failed: {}", self.complaint())),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// If it did not end well.
    pub(super) fn finish(mut self) -> Result<(), String> {
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the load ended with {status}: {}", self.complaint()))
        }
    }

    /// What it said on standard error until its end.
    fn complaint(&mut self) -> String {
        let mut why = String::new();
        if let Some(stderr) = self.child.stderr.as_mut() {
            // What it managed to say is all there is.
            let _ = stderr.read_to_string(&mut why);
        }
        why.trim().to_owned()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Ends it if it still runs; a child that has ended and was waited for is left alone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one run of load cost the server.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// As the load saw it.
    pub(super) report: Report,
    /// As the kernel saw the server.
    pub(super) usage: Usage,
    /// The server's own memory afterwards, in bytes.
    pub(super) anonymous: u64,
}

/// Measures one run of load. `watch` is called when the server is warm and idle, and what it returned is dropped
/// into `unwatch` after the last reply.
///
/// # Errors
/// A sentence about the load or the server.
pub(super) fn measure<W>(
    server: &Server,
    cores: &[usize],
    load: &Load,
    watch: impl FnOnce() -> Result<W, String>,
    unwatch: impl FnOnce(W, &Report) -> Result<(), String>,
) -> Result<Measured, String> {
    let mut arguments = load.arguments();
    arguments.extend(["--json", "--handshake"].map(str::to_owned));
    let gone = |error: std::io::Error| {
        format!("{} is gone ({error}); its log ends: {}", server.name, server.log_end())
    };
    let of = |what: String| format!("{}: {what}; its log ends: {}", server.name, server.log_end());
    let mut helper = Helper::start(cores, "load", server.port, &arguments).map_err(of)?;
    let watched = watch()?;
    let before = procfs::settled_usage(server.pid()).map_err(gone)?;
    helper.go().map_err(of)?;
    let line = helper.line().map_err(of)?;
    let after = procfs::settled_usage(server.pid()).map_err(gone)?;
    let report: Report = serde_json::from_str(&line).map_err(|error| format!("no report: {error}"))?;
    unwatch(watched, &report)?;
    helper.finish()?;
    let anonymous = procfs::anonymous_bytes(server.pid()).map_err(gone)?;
    Ok(Measured { report, usage: after.since(before), anonymous })
}

/// Creates the keys 0 to `keys` - 1, or counts those that exist one up.
///
/// # Errors
/// A sentence about the load or the server, or that there are not so many keys then.
pub(super) fn fill(server: &Server, cores: &[usize], keys: u64) -> Result<(), String> {
    let text =
        format!("--sequential --handshake --json --warm 0 --depth 64 --keys {keys} --operations {keys}");
    Helper::told(cores, "load", server.port, &text)?;
    match server.keys() {
        Some(found) if found == keys => Ok(()),
        found => Err(format!("{} has {found:?} keys after {keys} were created", server.name)),
    }
}
