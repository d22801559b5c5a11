//! A turn of the core without a socket: bytes in, requests decoded and executed, replies taken out as if they had
//! left.
//!
//! What a server takes per command beyond this is its engine's and the kernel's. A million keys are used in an order
//! in which none comes again before all others have; the requests (34 MB) then come from memory too, where a real
//! receive has just put them into the cache.

use crate::core::Core;
use crate::shuffle::shuffled;
use crate::timing::Bench;

/// Commands of a full turn: what a receive block holds.
const COUNT: u32 = 64;

/// Runs the cases.
pub(crate) fn run(bench: &mut Bench) {
    for keys in [1_000, 1_000_000] {
        for count in [COUNT, 1] {
            let name = format!("turn::INCR, {keys} keys, {count} a turn");
            if bench.wants(&name) {
                let mut requests = requests(bench.scaled(keys), count);
                let mut core = Core::new();
                requests.iter_mut().for_each(|block| core.turn(block));
                let blocks = requests.len();
                let mut turn = 0;
                bench.case(&name, count, || {
                    core.turn(&mut requests[turn]);
                    turn = (turn + 1) % blocks;
                });
            }
        }
    }
    run_many(bench);
}

/// Keys of a request that names many: what a receive block holds, more or less.
const MANY: u32 = 200;

/// The first of their numbers: six digits.
const FIRST: u32 = 100_000;

/// A request of many keys, in one delivery.
fn run_many(bench: &mut Bench) {
    for (command, delta) in [("MGET", ""), ("MINCRBY", "$1\r\n1\r\n")] {
        let name = format!("turn::{command} of {MANY} keys, a key");
        if bench.wants(&name) {
            let arguments = MANY * if delta.is_empty() { 1 } else { 2 };
            let mut request =
                format!("*{}\r\n${}\r\n{command}\r\n", arguments + 1, command.len()).into_bytes();
            for key in shuffled(MANY) {
                let key = FIRST + key;
                request.extend(format!("$14\r\ncounter:{key}\r\n{delta}").into_bytes());
            }
            let mut core = Core::new();
            // Others first, so many that the table sees what the keys have in common before these come.
            for key in (FIRST..FIRST + 20 * MANY).rev() {
                core.turn(&mut format!("INCR counter:{key}\r\n").into_bytes());
            }
            bench.case(&name, MANY, || core.turn(&mut request));
        }
    }
}

/// Blocks of `count` requests, one for each of `keys` keys in random order but for a rest that fills no block.
fn requests(keys: u32, count: u32) -> Vec<Vec<u8>> {
    let request = |index: &u32| format!("*2\r\n$4\r\nINCR\r\n$14\r\ncounter:{index:06}\r\n").into_bytes();
    let order = shuffled(keys);
    order.chunks_exact(count as usize).map(|block| block.iter().flat_map(request).collect()).collect()
}
