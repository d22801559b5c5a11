//! A disk in memory that loses power, for tests: what was not synced survives by sectors, each as chance has it.
//!
//! ```text
//! file     cache: what reads see      device: what a sync brought there      dirty: sectors that differ
//! names    now                        on the device                          pending: changes since, one by one
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Action, Disk, Failure};
use crate::journal::frame::mix;

const SECTOR: usize = 512;

/// Numbers that a seed determines.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn of(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0) % bound
    }

    /// An index of something that has so many.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("it is below a usize")
    }
}

#[derive(Clone, Debug, Default)]
struct Inode {
    cache: Vec<u8>,
    device: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Inode {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        self.cache.resize(self.cache.len().max(end), 0);
        self.cache[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
    }

    fn sync(&mut self) {
        self.device.resize(self.cache.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let start = (sector * SECTOR).min(self.cache.len());
            let end = (start + SECTOR).min(self.cache.len());
            self.device[start..end].copy_from_slice(&self.cache[start..end]);
        }
    }

    /// What the device has after a loss of power.
    fn lose_power(&mut self, chance: &mut Chance) {
        if self.dirty.is_empty() {
            self.cache.clone_from(&self.device);
            return;
        }
        if chance.below(2) == 0 {
            self.device.resize(self.cache.len().max(self.device.len()), 0);
        }
        // Sometimes most of it survives, sometimes hardly anything.
        let survive = chance.below(5);
        for sector in std::mem::take(&mut self.dirty) {
            let start = sector * SECTOR;
            let end = (start + SECTOR).min(self.cache.len()).min(self.device.len());
            if start >= end {
                continue;
            }
            let whole = start..end;
            let part = match chance.below(5) {
                fate if fate >= survive => start..start,
                0 => start..start + (end - start) / 2,
                1 => start + (end - start) / 2..end,
                _ => whole,
            };
            self.device[part.clone()].copy_from_slice(&self.cache[part]);
        }
        self.cache.clone_from(&self.device);
    }
}

#[derive(Clone, Debug)]
enum Pending {
    Create(String, usize),
    Rename(String, String, usize),
    Remove(String),
}

fn apply(names: &mut BTreeMap<String, usize>, pending: Pending) {
    match pending {
        Pending::Create(name, inode) => drop(names.insert(name, inode)),
        Pending::Rename(from, to, inode) => {
            if names.get(&from) == Some(&inode) {
                names.remove(&from);
            }
            names.insert(to, inode);
        }
        Pending::Remove(name) => drop(names.remove(&name)),
    }
}

/// What goes wrong, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Writes until one fails, and how.
    pub(crate) write: Option<(u64, i32)>,
    /// Syncs, of files and of names, until one fails, and how.
    pub(crate) sync: Option<(u64, i32)>,
    /// Operations that change something until the power goes: that one and all after it fail.
    pub(crate) power: Option<u64>,
    /// Bytes that all files together may have.
    pub(crate) space: Option<usize>,
    /// Writes are cut short, as this chance has it.
    pub(crate) short: Option<Chance>,
    /// Syncs do nothing and say that they did.
    pub(crate) lazy: bool,
}

#[derive(Clone, Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    on_device: BTreeMap<String, usize>,
    pending: Vec<Pending>,
    faults: Faults,
    /// Operations so far.
    changes: u64,
    writes: u64,
    syncs: u64,
    /// The power is gone.
    dark: bool,
}

/// The disk. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

/// A file of it.
#[derive(Clone, Debug)]
pub(crate) struct SimFile {
    inode: usize,
    name: String,
}

/// Counts down; true: it is this one's turn.
fn is_due(count: &mut Option<(u64, i32)>) -> Option<i32> {
    match count {
        Some((0, errno)) => {
            let errno = *errno;
            *count = None;
            Some(errno)
        }
        Some((left, _)) => {
            *left -= 1;
            None
        }
        None => None,
    }
}

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("a test that panics ends")
    }

    /// Says what goes wrong from here on.
    pub(crate) fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Changes, writes and syncs so far.
    pub(crate) fn counts(&self) -> [u64; 3] {
        let state = self.state();
        [state.changes, state.writes, state.syncs]
    }

    /// The disk as it is after a loss of power at this moment.
    pub(crate) fn after_power_loss(&self, seed: u64) -> Self {
        let mut chance = Chance::of(seed);
        let mut state = self.state().clone();
        for pending in std::mem::take(&mut state.pending) {
            if chance.below(2) == 0 {
                apply(&mut state.on_device, pending);
            }
        }
        state.inodes.iter_mut().for_each(|inode| inode.lose_power(&mut chance));
        state.names.clone_from(&state.on_device);
        Self::lit(state)
    }

    /// The disk as it is after a mere death of the process at this moment.
    pub(crate) fn after_death(&self) -> Self {
        Self::lit(self.state().clone())
    }

    fn lit(mut state: State) -> Self {
        state.faults = Faults::default();
        state.dark = false;
        [state.changes, state.writes, state.syncs] = [0; 3];
        Self(Arc::new(Mutex::new(state)))
    }

    /// The content of a file.
    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.inodes[state.names[name]].cache.clone()
    }

    /// Puts a durable file in place.
    pub(crate) fn put(&self, name: &str, content: Vec<u8>) {
        let mut state = self.state();
        let inode = state.inodes.len();
        state.inodes.push(Inode { device: content.clone(), cache: content, dirty: BTreeSet::new() });
        state.names.insert(name.to_owned(), inode);
        state.on_device.insert(name.to_owned(), inode);
    }

    /// A change begins: fails if the power is gone, or goes.
    fn change(&self, action: Action, name: &str) -> Result<MutexGuard<'_, State>, Failure> {
        let mut state = self.state();
        state.changes += 1;
        match &mut state.faults.power {
            Some(0) => state.dark = true,
            Some(left) => *left -= 1,
            None => {}
        }
        if state.dark { Err(self.failure(action, name, 0, libc::EIO)) } else { Ok(state) }
    }

    fn failure(&self, action: Action, name: &str, offset: u64, errno: i32) -> Failure {
        Failure { action, path: self.path(name), offset, errno }
    }
}

impl State {
    fn used(&self) -> usize {
        self.names.values().map(|inode| self.inodes[*inode].cache.len()).sum()
    }

    fn lacks(&self, inode: usize, end: usize) -> bool {
        let more = end.saturating_sub(self.inodes[inode].cache.len());
        more > 0 && self.faults.space.is_some_and(|space| self.used() + more > space)
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("64 bits")
}

impl Disk for SimDisk {
    type File = SimFile;

    fn names(&self) -> Result<Vec<String>, Failure> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> Result<SimFile, Failure> {
        let mut state = self.change(Action::Create, name)?;
        if let Some(&inode) = state.names.get(name) {
            // The same file, of no bytes: on the device they are there until a sync.
            state.inodes[inode].cache.clear();
            return Ok(SimFile { inode, name: name.to_owned() });
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        let pending = Pending::Create(name.to_owned(), inode);
        apply(&mut state.names, pending.clone());
        state.pending.push(pending);
        Ok(SimFile { inode, name: name.to_owned() })
    }

    fn open(&self, name: &str) -> Result<SimFile, Failure> {
        let inode = self.state().names.get(name).copied();
        let file = inode.map(|inode| SimFile { inode, name: name.to_owned() });
        file.ok_or_else(|| self.failure(Action::Open, name, 0, libc::ENOENT))
    }

    fn len(&self, file: &SimFile) -> Result<u64, Failure> {
        Ok(self.state().inodes[file.inode].cache.len() as u64)
    }

    fn read_at(&self, file: &SimFile, out: &mut [u8], offset: u64) -> Result<usize, Failure> {
        let state = self.state();
        let rest = state.inodes[file.inode].cache.get(place(offset)..).unwrap_or_default();
        let read = rest.len().min(out.len());
        out[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, file: &SimFile, bytes: &[u8], offset: u64) -> Result<usize, Failure> {
        let mut state = self.change(Action::Write, &file.name)?;
        state.writes += 1;
        let mut errno = is_due(&mut state.faults.write);
        let mut len = bytes.len();
        if let Some(chance) = &mut state.faults.short {
            len = 1 + chance.index(len);
            if chance.below(8) == 0 {
                errno = errno.or(Some(libc::EINTR));
            }
        }
        if state.lacks(file.inode, place(offset) + len) {
            errno = errno.or(Some(libc::ENOSPC));
        }
        if let Some(errno) = errno {
            return Err(self.failure(Action::Write, &file.name, offset, errno));
        }
        state.inodes[file.inode].write(&bytes[..len], place(offset));
        Ok(len)
    }

    fn allocate(&self, file: &SimFile, offset: u64, bytes: u64) -> Result<(), Failure> {
        let mut state = self.change(Action::Allocate, &file.name)?;
        let end = place(offset + bytes);
        if state.lacks(file.inode, end) {
            return Err(self.failure(Action::Allocate, &file.name, offset, libc::ENOSPC));
        }
        let inode = &mut state.inodes[file.inode];
        if inode.cache.len() < end {
            let start = inode.cache.len();
            inode.write(&vec![0; end - start], start);
        }
        Ok(())
    }

    fn shorten(&self, file: &SimFile, bytes: u64) -> Result<(), Failure> {
        let mut state = self.change(Action::Shorten, &file.name)?;
        let inode = &mut state.inodes[file.inode];
        inode.cache.truncate(place(bytes));
        inode.dirty.split_off(&place(bytes).div_ceil(SECTOR));
        Ok(())
    }

    fn sync(&self, file: &SimFile) -> Result<(), Failure> {
        let mut state = self.change(Action::Sync, &file.name)?;
        state.syncs += 1;
        if let Some(errno) = is_due(&mut state.faults.sync) {
            // The pages count as clean: a later sync has nothing to do, and reads show what is not on the device.
            state.inodes[file.inode].dirty.clear();
            return Err(self.failure(Action::Sync, &file.name, 0, errno));
        }
        if !state.faults.lazy {
            state.inodes[file.inode].sync();
        }
        Ok(())
    }

    fn sync_names(&self) -> Result<(), Failure> {
        let mut state = self.change(Action::SyncNames, "")?;
        state.syncs += 1;
        if let Some(errno) = is_due(&mut state.faults.sync) {
            state.pending.clear();
            return Err(self.failure(Action::SyncNames, "", 0, errno));
        }
        if !state.faults.lazy {
            state.pending.clear();
            state.on_device = state.names.clone();
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), Failure> {
        let mut state = self.change(Action::Rename, from)?;
        let Some(&inode) = state.names.get(from) else {
            return Err(self.failure(Action::Rename, from, 0, libc::ENOENT));
        };
        let pending = Pending::Rename(from.to_owned(), to.to_owned(), inode);
        apply(&mut state.names, pending.clone());
        state.pending.push(pending);
        Ok(())
    }

    fn set_name(&self, file: &mut SimFile, name: &str) {
        name.clone_into(&mut file.name);
    }

    fn remove(&self, name: &str) -> Result<(), Failure> {
        let mut state = self.change(Action::Remove, name)?;
        let pending = Pending::Remove(name.to_owned());
        apply(&mut state.names, pending.clone());
        state.pending.push(pending);
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/sim").join(name)
    }
}
