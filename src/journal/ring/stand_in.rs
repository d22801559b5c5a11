//! A ring for tests of those who append, and what the journal's thread would do, on a disk in memory.

use super::{Memory, Ring};
use crate::journal::Identity;
use crate::journal::disk::sim::SimDisk;
use crate::journal::recovery::{Extent, recover};
use crate::journal::writer::{Settings, SyncMode, Writer};
use crate::table::effect::Effect;

/// A ring, and what writes and syncs all that was appended to it.
pub(crate) fn stand_in() -> (Ring, impl FnMut(&Ring)) {
    let disk = SimDisk::default();
    let recovered =
        recover(&disk, Extent::default(), None, 0, &mut |_: &Effect<'_>| {}).expect("there is nothing yet");
    let identity = Identity { run: 1, boot: 0, secret: 1 };
    let settings = Settings { sync: SyncMode::Always, ..Settings::default() };
    let memory = Memory::anonymous(1 << 16).expect("there is memory");
    let (mut writer, ring) = Writer::begin(disk, &recovered, identity, settings, memory).expect("it is new");
    let write = move |ring: &Ring| {
        writer.step(ring, 0, true).expect("nothing fails here");
    };
    (ring, write)
}
