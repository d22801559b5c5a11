//! Death at a named step, for tests of what is left then: a debug build kills itself where it is told to, a release has
//! none of this.
//!
//! ```text
//! TALLYRING_DIE_AT=after-rename-spare:2    the second time that this step is reached, SIGKILL
//! TALLYRING_DIE_IF=path                    steps count from when this file exists; not set: from the start
//! ```
//!
//! A step is named by its moment, its action and the kind of file ([`Step::all`]). Halfway through a write, the first half
//! is in the file.

use std::env;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Action, RealFile};
use crate::journal::life::RING;
use crate::journal::segment::{SPARE, sequence_of};
use crate::journal::snapshot::{TEMPORARY, start_of};

/// The variable with the step.
pub const STEP: &str = "TALLYRING_DIE_AT";

/// The variable with the file that has to exist.
pub const CONDITION: &str = "TALLYRING_DIE_IF";

/// What the process dies in relation to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of it was done.
    Before,
    /// A half of it was.
    Halfway,
    /// All of it was.
    After,
}

/// What an action is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A segment of the journal.
    Journal,
    /// The file that the journal goes on in next; what is written there are zeros.
    Spare,
    /// The first bytes of that file: its header, and at a start what only the log ring had.
    Front,
    /// A snapshot that has no name yet.
    Part,
    /// A snapshot that has its name.
    Snapshot,
    /// The file of the log ring, or of the next one.
    Ring,
    /// The names in the directory.
    Names,
}

/// All that is done to files, in the order of a file's life.
pub const DEEDS: &[(Action, Kind)] = &[
    (Action::Create, Kind::Ring),
    (Action::Rename, Kind::Ring),
    (Action::Remove, Kind::Ring),
    (Action::Create, Kind::Spare),
    (Action::Allocate, Kind::Spare),
    (Action::Write, Kind::Spare),
    (Action::Write, Kind::Front),
    (Action::Sync, Kind::Spare),
    (Action::Rename, Kind::Spare),
    (Action::SyncNames, Kind::Names),
    (Action::Write, Kind::Journal),
    (Action::Sync, Kind::Journal),
    (Action::Remove, Kind::Journal),
    (Action::Create, Kind::Part),
    (Action::Write, Kind::Part),
    (Action::Sync, Kind::Part),
    (Action::Rename, Kind::Part),
    (Action::Remove, Kind::Part),
    (Action::Remove, Kind::Snapshot),
];

/// Where a process may be told to die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub moment: Moment,
    /// What is being done.
    pub action: Action,
    /// To what.
    pub kind: Kind,
}

impl Step {
    /// All there are: of each deed its beginning and its end, of a write also its middle.
    pub fn all() -> impl Iterator<Item = Self> {
        DEEDS.iter().flat_map(|&(action, kind)| {
            [Moment::Before, Moment::Halfway, Moment::After]
                .into_iter()
                .filter(move |moment| action == Action::Write || *moment != Moment::Halfway)
                .map(move |moment| Self { moment, action, kind })
        })
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let moment = match self.moment {
            Moment::Before => "before",
            Moment::Halfway => "halfway",
            Moment::After => "after",
        };
        let action = if self.action == Action::Allocate { "allocate" } else { self.action.verb() };
        let kind = match self.kind {
            Kind::Journal => "journal",
            Kind::Spare => "spare",
            Kind::Front => "front",
            Kind::Part => "part",
            Kind::Snapshot => "snapshot",
            Kind::Ring => "ring",
            Kind::Names => "names",
        };
        write!(f, "{moment}-{action}-{kind}")
    }
}

/// Where this process is to die.
struct Order {
    step: Step,
    /// Times that the step is still to be reached, the last one included.
    left: AtomicU64,
    condition: Option<PathBuf>,
}

impl Order {
    /// What the environment says, which is read once.
    fn given() -> Option<&'static Self> {
        static ORDER: OnceLock<Option<Order>> = OnceLock::new();
        ORDER.get_or_init(|| env::var(STEP).ok().map(|words| Self::of(&words))).as_ref()
    }

    fn of(words: &str) -> Self {
        let (name, nth) = words.split_once(':').unwrap_or((words, "1"));
        let step = Step::all().find(|step| step.to_string() == name);
        let step = step.unwrap_or_else(|| panic!("{STEP}={words} names no step"));
        let nth = nth.parse().unwrap_or_else(|_| panic!("{STEP}={words} has no number behind the colon"));
        Self { step, left: AtomicU64::new(nth), condition: env::var_os(CONDITION).map(Into::into) }
    }

    /// Whether the process is to die now.
    fn is_due(&self, moment: Moment, action: Action, kind: Option<Kind>) -> bool {
        // Relaxed: a count, with which nothing else is handed over.
        kind.map(|kind| Step { moment, action, kind }) == Some(self.step)
            && self.condition.as_ref().is_none_or(|path| path.exists())
            && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// Dies.
    fn carry_out(&self) -> ! {
        log::warn!("dying {}, as {STEP} says", self.step);
        loop {
            // It cannot be refused, and is there before this thread is back from the system, or soon after.
            let _sent = kill(Pid::this(), Signal::SIGKILL);
            thread::yield_now();
        }
    }
}

fn kind_of(action: Action, name: &str) -> Option<Kind> {
    let is_part = |name: &str| name.strip_suffix(TEMPORARY).is_some_and(|name| start_of(name).is_some());
    match name {
        _ if action == Action::SyncNames => Some(Kind::Names),
        SPARE => Some(Kind::Spare),
        _ if name.starts_with(RING) => Some(Kind::Ring),
        _ if sequence_of(name).is_some() => Some(Kind::Journal),
        _ if start_of(name).is_some() => Some(Kind::Snapshot),
        _ if is_part(name) => Some(Kind::Part),
        _ => None,
    }
}

fn kind_of_write(file: &RealFile, bytes: &[u8]) -> Option<Kind> {
    let kind = kind_of(Action::Write, file.name());
    let is_front = kind == Some(Kind::Spare) && bytes.iter().any(|byte| *byte != 0);
    if is_front { Some(Kind::Front) } else { kind }
}

fn reach(moment: Moment, action: Action, name: &str) {
    if let Some(order) = Order::given()
        && order.is_due(moment, action, kind_of(action, name))
    {
        order.carry_out();
    }
}

/// Something is about to be done to the file of this name.
pub(crate) fn before(action: Action, name: &str) {
    reach(Moment::Before, action, name);
}

/// It was done.
pub(crate) fn after(action: Action, name: &str) {
    reach(Moment::After, action, name);
}

/// Bytes are about to be written.
pub(super) fn before_write(file: &RealFile, bytes: &[u8], offset: u64) {
    let Some(order) = Order::given() else { return };
    let kind = kind_of_write(file, bytes);
    if order.is_due(Moment::Before, Action::Write, kind) {
        order.carry_out();
    }
    if order.is_due(Moment::Halfway, Action::Write, kind) {
        // Where it cannot be written, it is as if the process had died a moment before.
        let _written = file.file.write_all_at(&bytes[..bytes.len() / 2], offset);
        order.carry_out();
    }
}

/// Bytes were written.
pub(super) fn after_write(file: &RealFile, bytes: &[u8]) {
    if let Some(order) = Order::given()
        && order.is_due(Moment::After, Action::Write, kind_of_write(file, bytes))
    {
        order.carry_out();
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Order, Step, kind_of};
    use crate::journal::disk::Action;

    #[test]
    fn steps_have_names_of_their_own() {
        let names: std::collections::BTreeSet<String> = Step::all().map(|step| step.to_string()).collect();
        assert_eq!(names.len(), Step::all().count());
        for step in Step::all() {
            let order = Order::of(&format!("{step}:3"));
            assert_eq!((order.step, order.left.into_inner()), (step, 3));
        }
        assert!(names.contains("halfway-write-front") && names.contains("before-sync-names"), "{names:?}");
    }

    #[test]
    fn names_tell_kinds() {
        for (name, kind) in [
            ("journal-0000000000000007", Some(Kind::Journal)),
            ("journal-spare", Some(Kind::Spare)),
            ("journal.ring-next", Some(Kind::Ring)),
            ("snapshot-0000000000000008", Some(Kind::Snapshot)),
            ("snapshot-0000000000000008.part", Some(Kind::Part)),
            ("journal.lock", None),
        ] {
            assert_eq!(kind_of(Action::Create, name), kind, "{name}");
        }
    }

    #[test]
    fn a_step_is_due_at_its_turn_alone() {
        let step = Step::all().find(|step| step.to_string() == "after-rename-part").unwrap();
        let order = Order::of(&format!("{step}:2"));
        let reach = |kind| order.is_due(step.moment, step.action, kind);
        assert!(!reach(Some(Kind::Spare)) && !reach(None));
        assert!(!reach(Some(Kind::Part)) && reach(Some(Kind::Part)) && !reach(Some(Kind::Part)));
    }
}
