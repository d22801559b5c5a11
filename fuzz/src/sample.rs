//! Random inputs that are nearly right: what `cargo test` checks where there is no fuzzer.

use super::input::{Dials, Random};
use super::vocabulary::{Step, encoded, steps};

/// Pieces of the protocol, whole and broken.
const PIECES: &[&[u8]] = &[
    b"*0\r\n",
    b"*-1\r\n",
    b"*1\r\n",
    b"*2\r\n",
    b"*3\r\n",
    b"*12\r\n",
    b"*01\r\n",
    b"*1048576\r\n",
    b"*1048577\r\n",
    b"*2147483648\r\n",
    b"*9223372036854775808\r\n",
    b"*\r\n",
    b"*1\rX",
    b"$0\r\n\r\n",
    b"$1\r\na\r\n",
    b"$3\r\nGET\r\n",
    b"$4\r\nMGET\r\n",
    b"$7\r\nMINCRBY\r\n",
    b"$3\r\nDEL\r\n",
    b"$3\r\nbig\r\n",
    b"$-1\r\n",
    b"$01\r\n",
    b"$1048577\r\n",
    b"$16385\r\n",
    b":1\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"PING\r\n",
    b"AUTH pw\r\n",
    b"AUTH default pw\r\n",
    b"HELLO 3\r\n",
    b"HELLO 2 AUTH default pw\r\n",
    b"RESET\r\n",
    b"QUIT\r\n",
    b"GET big\r\n",
    b"MGET big big big big big big big big\r\n",
    b"SET k \"a b\\x41\\n\" \n",
    b"SET 'it\\'s' ''\r\n",
    b"GET \"abc\r\n",
    b"GET 'a'b\r\n",
    b"\xff\x80x",
    b"\xff\xff1",
];

/// Bytes as a client might send them, for the decoder and for connections.
pub fn wire(random: &mut Random) -> Vec<u8> {
    let dials = Dials { switches: random.byte(), seed: u16::from_le_bytes([random.byte(), random.byte()]) };
    // Expanding is dear; mostly it is off.
    let dials = if random.one_in(8) { dials } else { Dials { switches: dials.switches & 0x7f, ..dials } };
    let mut bytes = Vec::new();
    for _ in 0..random.below(8) {
        match random.below(6) {
            0 | 1 => bytes.extend_from_slice(PIECES[random.below(PIECES.len())]),
            2 | 3 => {
                let chosen: Vec<u8> = (0..random.below(12)).map(|_| random.byte()).collect();
                for step in steps(&chosen) {
                    if let Step::Request(request) = step {
                        bytes.extend(encoded(&request));
                    }
                }
            }
            4 => {
                let keys = (0..random.below(60)).map(|_| format!("k{}", random.below(9)));
                let name = ["MGET", "DEL", "MINCRBY", "EXISTS", "NOSUCH", "GET", "MSET"][bytes.len() % 7];
                let request: Vec<String> = std::iter::once(name.to_owned()).chain(keys).collect();
                bytes.extend(encoded(&request));
            }
            _ => bytes.extend((0..random.below(6)).map(|_| random.byte())),
        }
    }
    // Now and then something is missing, or something is different.
    if random.one_in(4) && !bytes.is_empty() {
        bytes.truncate(random.below(bytes.len()));
    }
    if random.one_in(6) && !bytes.is_empty() {
        let at = random.below(bytes.len());
        bytes[at] = random.byte();
    }
    dials.join(&bytes)
}

/// Bytes that choose requests.
pub fn stream(random: &mut Random) -> Vec<u8> {
    (0..random.below(300)).map(|_| random.byte()).collect()
}
