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

/// A script behind dials.
pub fn script(random: &mut Random) -> Vec<u8> {
    let dials = Dials { switches: random.byte(), seed: u16::from_le_bytes([random.byte(), random.byte()]) };
    // What is written rightly comes first: few bytes say that something is to be otherwise.
    let high = if random.one_in(2) { 0xff } else { 0xdf };
    let bytes: Vec<u8> = (0..random.below(200)).map(|_| random.byte() & high).collect();
    dials.join(&bytes)
}

/// Pieces of Redis' files, whole and broken.
const RDB_PIECES: &[&[u8]] = &[
    b"\xfa\x09redis-ver\x057.0.0",
    b"\xfe\x00",
    b"\xfe\x01",
    b"\xfb\x02\x01",
    b"\xfc\x7b\0\0\0\0\0\0\0",
    b"\xfd\xff\xff\xff\xff",
    b"\xf9\x05",
    b"\xf8\x05",
    b"\x00\x01k\x01v",
    b"\x00\x01i\xc0\x85",
    b"\x00\x01j\xc1\x39\x30",
    b"\x00\x01l\xc3\x04\x0a\x00a\xe0\x00",
    b"\x00\x01m\xc3\x03\x04\x01ab",
    b"\x04\x01h\x02\x01a\x011\x01b\x012",
    b"\x10\x01h\x0b\x0b\0\0\0\x02\0\x81f\x02\x05\x01\xff",
    b"\x0d\x01z\x0f\x0f\0\0\0\x0c\0\0\0\x02\0\x00\x01f\x03\xf2\xff",
    b"\x09\x01p\x0a\x01\x01f\x02\x01v.\xff",
    b"\x03\x01s\x02\x01m\xff\x01n\x011",
    b"\x01\x01q\x02\x01a\x01b",
    b"\x12\x01q\x01\x02\x05abcde",
    b"\x16\x01e\x01\x05\x01a\x01b",
    b"\x81\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x80\xff\xff\xff\xff",
    b"\xc3",
    b"\xff",
];

/// Bytes as Redis might have saved them.
pub fn rdb(random: &mut Random) -> Vec<u8> {
    let dials =
        Dials { switches: random.byte() & 3, seed: u16::from_le_bytes([random.byte(), random.byte()]) };
    let mut file = format!("REDIS{:04}", random.below(14)).into_bytes();
    for _ in 0..random.below(9) {
        file.extend_from_slice(RDB_PIECES[random.below(RDB_PIECES.len())]);
    }
    file.push(0xff);
    file.extend_from_slice(&[0; 8]);
    if random.one_in(3) {
        file.truncate(random.below(file.len()));
    }
    for _ in 0..random.below(3) {
        if !file.is_empty() {
            let at = random.below(file.len());
            file[at] = random.byte();
        }
    }
    dials.join(&file)
}
