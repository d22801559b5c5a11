//! What a worker and its engine say of themselves once in a turn or a second, to be shown.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::busiest::Busiest;

/// Resources of an engine as they stand between two turns. Written by its worker alone, read for display.
#[derive(Debug, Default)]
pub struct Readings {
    /// Receive blocks there are.
    pub blocks: AtomicU64,
    /// Receive blocks that hold nobody's bytes.
    pub blocks_free: AtomicU64,
    /// Fewest receive blocks that were free at one time.
    pub blocks_low_water: AtomicU64,
    /// Operations that the kernel was given and that are not over.
    pub in_flight: AtomicU64,
    /// Who sent most of the commands of the last second, its commands, and those of all clients.
    busiest: [AtomicU64; 3],
}

// Relaxed: for display, and there is one writer; who reads between two stores is off once.
impl Readings {
    /// A second is over, in which this client sent most commands.
    pub(super) fn set_busiest(&self, busiest: Busiest) {
        let values = [busiest.client, busiest.commands, busiest.of];
        self.busiest.iter().zip(values).for_each(|(reading, value)| reading.store(value, Ordering::Relaxed));
    }

    /// Who that is.
    pub fn busiest(&self) -> Busiest {
        let [client, commands, of] = self.busiest.each_ref().map(|reading| reading.load(Ordering::Relaxed));
        Busiest { client, commands, of }
    }
}
