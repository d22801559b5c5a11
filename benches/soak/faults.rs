//! Clients that come and go, and those that do not behave: they vanish amid their requests, send what is no request, do
//! not read, or are killed.

use std::io::{self, BufRead, ErrorKind};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::ground::{Ground, add, expect_number, wrong};
use super::ledger::{Account, Name};
use super::peer::{Peer, Reply, request};
use super::random::Random;

const VISITED: usize = 2_000;
const TORN: usize = 2_000;
const VICTIMS: usize = 100;

/// Beginnings of keys that exist from the beginning on, and how many there are.
pub(super) const FILLED: [(&str, usize); 3] = [("visited:", VISITED), ("torn:", TORN), ("victim:", VICTIMS)];

/// What slow readers ask for.
pub(super) const LARGE: &str = "large";
pub(super) const LARGE_BYTES: usize = 16 * 1024;

/// Connections that come, count, and go: most in peace, some in the midst of it.
///
/// # Errors
/// What the system says, and wrong replies; so for all actors.
pub(crate) fn visit(ground: &Ground) -> io::Result<()> {
    let mut visited = Account::new(Name::Key("visited:"), VISITED);
    let mut torn = Account::new(Name::Key("torn:"), TORN);
    let mut random = Random::new(7);
    while ground.goes_on(Duration::from_millis(4)) {
        let mut peer = ground.connect()?;
        match random.below(6) {
            0..=2 => {
                for _ in 0..random.below(10) {
                    let number = random.index(VISITED);
                    let reply = ground.ask(&mut peer, &format!("INCR visited:{number}"))?;
                    expect_number(&reply, visited.count(number, 1), "INCR")?;
                }
                if random.below(2) == 0 {
                    peer.ask(&["QUIT"])?;
                }
                add(&ground.counts.visits, 1);
            }
            3 => tear(ground, peer, &mut torn, &mut random)?,
            // A request without its end.
            4 => {
                peer.send(b"*3\r\n$3\r\nSET\r\n$5\r\nnever\r\n$100\r\nhalf of it")?;
                peer.reset()?;
                add(&ground.counts.resets, 1);
            }
            _ => malformed(ground, peer, &mut random)?,
        }
    }
    ground.ledger.close(visited);
    ground.ledger.close(torn);
    Ok(())
}

/// Sends a pipeline, reads some of the replies, and resets the connection.
fn tear(ground: &Ground, mut peer: Peer, torn: &mut Account, random: &mut Random) -> io::Result<()> {
    let numbers: Vec<usize> = (0..64).map(|_| random.index(TORN)).collect();
    let pipeline: Vec<u8> =
        numbers.iter().flat_map(|number| request(&["INCR", &format!("torn:{number}")])).collect();
    for &number in &numbers {
        torn.sent[number] += 1;
    }
    peer.send(&pipeline)?;
    for &number in &numbers[..random.index(numbers.len())] {
        if peer.reply()?.number().is_none() {
            return Err(io::Error::other("INCR does not answer with a number"));
        }
        torn.acknowledged[number] += 1;
    }
    add(&ground.counts.resets, 1);
    peer.reset()
}

/// Sends what is no request, and awaits what Redis says to that.
fn malformed(ground: &Ground, mut peer: Peer, random: &mut Random) -> io::Result<()> {
    const BYTES: [&[u8]; 4] = [b"*x\r\n", b"*2\r\n:1\r\n", b"*1\r\n$-5\r\n", b"*99999999999\r\n"];
    peer.send(BYTES[random.index(BYTES.len())])?;
    match peer.reply()? {
        Reply::Error(text) if text.starts_with("ERR Protocol error") => {}
        other => return Err(wrong(&other, "what is no request")),
    }
    add(&ground.counts.malformed, 1);
    if peer.ends() { Ok(()) } else { Err(io::Error::other("a protocol error does not end the connection")) }
}

/// A client that asks and does not read, until it is cut off.
pub(crate) fn leave_unread(ground: &Ground) -> io::Result<()> {
    let pipeline = request(&["GET", LARGE]).repeat(100);
    while ground.goes_on(Duration::from_millis(500)) {
        let mut peer = ground.connect()?;
        peer.narrow(4096)?;
        peer.write_within(Duration::from_millis(500))?;
        let start = Instant::now();
        while ground.goes_on(Duration::from_millis(20)) {
            match peer.send(&pipeline) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => {
                    add(&ground.counts.cut, 1);
                    break;
                }
            }
            if start.elapsed() > Duration::from_secs(60) {
                return Err(io::Error::other("a client that reads nothing is not cut off"));
            }
        }
    }
    Ok(())
}

/// Processes of clients that are killed in the midst of it.
pub(crate) fn kill_clients(ground: &Ground) -> io::Result<()> {
    while ground.goes_on(Duration::from_millis(500)) {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["victim", "--port", &ground.address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = io::BufReader::new(child.stdout.take().expect("the output was asked to be a pipe"));
        let said = output.read_line(&mut String::new());
        for _ in 0..25 {
            if !ground.goes_on(Duration::from_millis(100)) {
                break;
            }
        }
        // SIGKILL: this one process, which was started here.
        child.kill()?;
        child.wait()?;
        if said? == 0 {
            return Err(io::Error::other("a client process did not begin"));
        }
        add(&ground.counts.kills, 1);
    }
    Ok(())
}

/// What such a process does: it counts on ten connections and says so, until it is killed.
///
/// # Errors
/// What the system says.
pub(crate) fn be_victim(address: SocketAddr) -> io::Result<()> {
    let mut peers: Vec<Peer> = (0..10).map(|_| Peer::connect(address)).collect::<io::Result<_>>()?;
    let mut random = Random::new(u64::from(std::process::id()));
    println!("counting");
    // Whoever started it may be killed itself: not for ever.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        for peer in &mut peers {
            let key = format!("victim:{}", random.index(VICTIMS));
            peer.send(&request(&["INCR", &key]).repeat(16))?;
        }
        for peer in &mut peers {
            for _ in 0..16 {
                peer.reply()?;
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
