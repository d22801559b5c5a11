//! What a device or an operator does to files: bits, sectors and ends of them. Too little of it, and too coarse, to make
//! something else that has its checksums.

use tallyring::journal::disk::Disk as _;

use super::directory::Directory;
use super::script::Script;

/// Changes that one input makes at most.
const MOST: usize = 3;

const SECTOR: usize = 512;

/// Damages some of the files whose names are wanted. Returns what was done.
pub fn damage(files: &Directory, script: &mut Script<'_>, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut done = Vec::new();
    while done.len() < MOST && !script.is_over() {
        let names = files.names().expect("nothing fails there");
        let names: Vec<String> = names.into_iter().filter(|name| wanted(name)).collect();
        if names.is_empty() {
            break;
        }
        let name = &names[script.below(names.len())];
        let other = files.bytes(&names[script.below(names.len())]);
        let mut bytes = files.bytes(name);
        let at = usize::from(u16::from_le_bytes([script.byte(), script.byte()])) % (bytes.len() + 1);
        let what = one(&mut bytes, &other, at, script);
        files.put(name, bytes);
        done.push(format!("{name}: {what}"));
    }
    done
}

fn one(bytes: &mut Vec<u8>, other: &[u8], at: usize, script: &mut Script<'_>) -> String {
    let sector = at / SECTOR * SECTOR;
    let whole = (sector + SECTOR).min(bytes.len());
    match script.below(7) {
        0 if at < bytes.len() => {
            let bit = script.byte() & 7;
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        1 => {
            bytes.truncate(at);
            format!("cut at {at}")
        }
        2 => {
            bytes[sector..whole].fill(0);
            format!("zeros from {sector} to {whole}")
        }
        3 => {
            let from = script.below(256) * SECTOR;
            let source = other.get(from..from + whole - sector).unwrap_or_default();
            bytes[sector..][..source.len()].copy_from_slice(source);
            format!("sector at {sector} from {from} of a file")
        }
        4 => {
            bytes[at..].fill(0);
            format!("zeros from {at} on")
        }
        5 => {
            let byte = script.byte();
            bytes.extend(std::iter::repeat_n(byte, script.below(256)));
            format!("{} bytes long, with {byte} at its end", bytes.len())
        }
        _ => {
            let end = (at + 8).min(bytes.len());
            bytes[at..end].reverse();
            format!("bytes from {at} to {end} turned round")
        }
    }
}
