//! A table through a file and back: every kind of value, and tokens.

use std::path::PathBuf;

use super::next_count;
use crate::journal::disk::RealDisk;
use crate::journal::record;
use crate::journal::snapshot::{Batch, Head, Reader, Writer};
use crate::limits;
use crate::table::effect::Discard;
use crate::table::{Moment, NewDeadline, Position, Table, Used, Value};

/// Everything in a table, in an order of its own.
fn contents(table: &Table) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut position = Some(Position::START);
    while let Some(here) = position {
        position = table.export(here, 100, &mut |effect| {
            let mut bytes = Vec::new();
            record::encode(effect, &mut bytes);
            all.push(bytes);
        });
    }
    all.sort_unstable();
    all
}

fn filled() -> Table {
    let table = Table::with_seed(1);
    let at = &mut Moment { now_ms: 1_000, effects: &mut Discard };
    for number in 0..30_000_u64 {
        let name = match number % 10 {
            0..=5 => format!("views:article:{number}"),
            6 => format!("user:{number}:likes"),
            _ => format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        };
        let key = table.key(name.as_bytes());
        let mut segment = table.lock(key.hash);
        let deadline = if number % 4 == 0 { Some(2_000 + number) } else { None };
        match number % 17 {
            0 => segment.put(key, Value::Throttle(number.cast_signed()), 5_000, at),
            1 => drop(
                segment.add_window(key, (1000, Some(10), 10), number.cast_signed(), at).expect("it is new"),
            ),
            2 => segment.set(key, name.repeat(3).as_bytes(), NewDeadline::Clear, at),
            3 | 4 => {
                let fields = if number % 170 == 3 { 300 } else { number % 9 + 1 };
                for field in 0..fields {
                    let field = format!("field:{field}");
                    let value = if number % 2 == 0 { "12" } else { "some text" };
                    segment.set_field(key, field.as_bytes(), value.as_bytes(), at).expect("it is a hash");
                }
            }
            5 => {
                let used = Used { fingerprint: number, value: -1, deadline: 9_000 };
                segment.use_token(Some(key.bytes), b"token", used, at);
            }
            _ => drop(segment.add(key, number.cast_signed() * if number % 3 == 0 { -1 } else { 1 }, at)),
        }
        segment.set_deadline(key, deadline, at);
        drop(segment);
        if number % 100 == 0 {
            let token = number.to_le_bytes();
            let used = Used { fingerprint: 1, value: 2, deadline: 9_000 };
            table.lock(table.token_hash(&token)).use_token(None, &token, used, at);
        }
    }
    table
}

#[test]
fn a_table_comes_back_from_its_snapshot() {
    let path = std::env::temp_dir().join(format!("tallyring-snapshot-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("there is a place for temporary files");
    let _removed = Removed(path.clone());
    let disk = RealDisk::take(&path).expect("nobody else has it");
    let (table, loaded) = (filled(), Table::with_seed(2));
    let head = Head { run: 1, start: 8, created_ms: 1 };
    let mut writer = Writer::begin(&disk, head).expect("there is space");
    let (mut batch, mut position) = (Batch::default(), Some(Position::START));
    while let Some(here) = position {
        position = table.export(here, 300, &mut |effect| batch.push(effect));
        writer.take(&mut batch).expect("there is space");
    }
    let written = writer.finish(8).expect("there is space").publish().expect("there is space");
    let reader = Reader::open(&disk, 8).expect("it is there");
    let read = reader.read_all(&mut loaded.replayer(), &mut |_, _| {}).expect("it is whole");
    assert_eq!(read, written);
    assert_eq!((read.totals.keys, read.totals.tokens), (table.len() as u64, table.tokens() as u64));
    assert_eq!((loaded.len(), loaded.tokens()), (table.len(), table.tokens()));
    assert_eq!(loaded.deadlines(), table.deadlines());
    assert!(table.tokens() > 2_000 && table.deadlines() > 5_000);
    assert!(contents(&loaded) == contents(&table), "another table came back");
}

/// A directory that goes away with the value.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _left_over = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn steps_are_as_large_as_keys_are_small() {
    let most = limits::SNAPSHOT_STEP_KEYS;
    assert_eq!(next_count(most, 100), most);
    assert_eq!(next_count(64, 100), 128);
    assert_eq!(next_count(64, limits::SNAPSHOT_STEP_BYTES / 2), 64);
    assert_eq!(next_count(64, 64 * limits::SNAPSHOT_STEP_BYTES), 1);
    assert_eq!(next_count(1, 64 * limits::SNAPSHOT_STEP_BYTES), 1);
}
