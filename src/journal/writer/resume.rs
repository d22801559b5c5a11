//! What a new life of a log writes before it serves: what it read and nobody says to be durable, once more, and what only
//! the ring had.

use crate::journal::Identity;
use crate::journal::disk::{Disk, Failure};
use crate::journal::frame::{self, BOXED_BYTES, Header as FrameHeader, Key, mix};
use crate::journal::recovery::Recovered;
use crate::journal::segment::{Group, Header, name_of};
use crate::table::effect::Lsn;

/// What the groups of a segment begin with.
pub(super) fn mark_of(identity: &Identity, sequence: u64) -> u64 {
    // Not the secret of the ring, which is no secret any more where its tags are in a backup.
    mix(mix(identity.secret ^ u64::MAX).wrapping_add(sequence))
}

/// Writes once more what recovery read and no header says to be durable. A sync that failed in an earlier life has left
/// it open whether it is on the device, though reads show it; another sync alone would do nothing about it.
pub(super) fn rewrite_unproven<D: Disk>(disk: &D, recovered: &Recovered) -> Result<(), Failure> {
    let Some(before) = recovered.before else { return Ok(()) };
    let file = disk.open(&name_of(before.sequence))?;
    let mut at = recovered.proven_offset;
    let mut bytes = vec![0; 1024 * 1024];
    while at < before.offset {
        let part = usize::try_from(before.offset - at).map_or(bytes.len(), |left| left.min(bytes.len()));
        let read = disk.read_up_to(&file, &mut bytes[..part], at)?;
        disk.write_all_at(&file, &bytes[..read], at)?;
        at += read as u64;
        assert!(read > 0, "recovery has read it, and nobody else has the lock");
    }
    disk.sync(&file)?;
    disk.sync_names()
}

/// The frames that recovery found in the ring as groups behind `header`; where they end, and the last one's chain.
pub(super) fn carried_groups(
    recovered: &Recovered,
    identity: &Identity,
    header: &Header,
    group_bytes: u64,
) -> (Vec<u8>, Lsn, u32) {
    let (_, mut chain) = Header::parse(&header.encode()).expect("it was made this moment");
    let key = Key::new(identity.secret);
    let (mut groups, mut frames) = (Vec::new(), Vec::new());
    let mut first = header.first;
    let mut end = first;
    let mut carried = recovered.carried.iter().peekable();
    while let Some(records) = carried.next() {
        frame::put(&mut frames, key.tag(end), records);
        end += FrameHeader::of(records.len()).map_or(BOXED_BYTES, |header| header.bytes);
        if frames.len() as u64 >= group_bytes || carried.peek().is_none() {
            let bytes = u32::try_from(frames.len()).expect("a group is bounded");
            let checksum = crc32c::crc32c(&frames);
            let group = Group { first, end, durable: header.first, bytes, checksum, chain, closed: false };
            let (encoded, next) = group.encode(header.mark);
            groups.extend_from_slice(&encoded);
            groups.append(&mut frames);
            (first, chain) = (end, next);
        }
    }
    (groups, end, chain)
}
