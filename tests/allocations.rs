//! A server at work takes no memory: a worker that has seen its keys and clients serves on without one allocation.
//!
//! The server runs in this process, so that `counting` can stand in for its allocator; `traffic` makes the
//! requests. Each test has the process for itself. What stores new memory by its nature belongs into the warm-up:
//! new keys, strings longer than before, strings where a number was.

#[path = "allocations/counting.rs"]
mod counting;
#[path = "allocations/traffic.rs"]
mod traffic;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tallyring::config::{AdminPort, Config, EngineChoice, ReceiveMode};
use tallyring::resp::decode::{Decoded, Framing, Rules, decode};
use tallyring::server::Server;
use traffic::{Client, Pipeline, Traffic};

/// Clients at a time.
const CLIENTS: usize = 8;

/// Commands of the part in which no memory may be taken.
const MEASURED: usize = 1_000_000;

/// Commands of the same kinds before it.
const REHEARSED: usize = 200_000;

/// Ports tried before a test gives up: between choosing one and binding it somebody else may take it.
const PORTS_TRIED: u32 = 20;

/// Held by the test that runs: counts are of the whole process.
static TURN: Mutex<()> = Mutex::new(());

fn take_turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(feature = "uring")]
#[test]
fn a_worker_on_the_ring_takes_no_memory() {
    if std::env::var_os("TALLYRING_NO_RING").is_some_and(|set| set == "1") {
        eprintln!("NOT RUN on the uring engine: TALLYRING_NO_RING=1 says that this kernel gives no ring");
        return;
    }
    for recv in [ReceiveMode::Multishot, ReceiveMode::Fixed] {
        serve_without_allocating(EngineChoice::Uring, recv);
    }
}

#[cfg(feature = "tokio-uring")]
#[test]
fn a_worker_of_tasks_takes_no_memory() {
    if std::env::var_os("TALLYRING_NO_RING").is_some_and(|set| set == "1") {
        eprintln!(
            "NOT RUN on the tokio-uring engine: TALLYRING_NO_RING=1 says that this kernel gives no ring"
        );
        return;
    }
    serve_without_allocating(EngineChoice::TokioUring, ReceiveMode::Fixed);
}

#[cfg(feature = "epoll")]
#[test]
fn a_worker_on_epoll_takes_no_memory() {
    serve_without_allocating(EngineChoice::Epoll, ReceiveMode::Multishot);
}

#[test]
fn decoding_takes_no_memory() {
    let _turn = take_turn();
    let rules = Rules { max_bulk: 1024, authenticated: true };
    let mut request = *b"*2\r\n$3\r\nGET\r\n$3\r\nKEY\r\n";
    let mut spans = Vec::with_capacity(2);
    counting::count_this_thread();
    let counted = counting::during(|| {
        for _ in 0..10_000 {
            spans.clear();
            let decoded = decode(&mut Framing::default(), &mut request, &mut spans, &rules);
            assert_eq!(decoded, Decoded::Request { bytes: 22, count: 2 });
        }
    });
    assert_eq!(counted.calls(), 0, "decoding 10,000 requests took memory:\n{counted}");
}

#[test]
fn the_counting_counts() {
    let _turn = take_turn();
    let counted = counting::during(|| {
        let work = || {
            let mut grown: Vec<u64> = Vec::with_capacity(1);
            grown.extend(std::hint::black_box([1, 2, 3]));
            grown.len()
        };
        let thread = std::thread::Builder::new().name("worker-7".to_owned()).spawn(work);
        thread.expect("a thread can be started").join().expect("it does not panic");
        std::hint::black_box(Box::new(1));
    });
    assert!(counted.allocations >= 1 && counted.reallocations == 1, "a worker's are counted: {counted:?}");
    let elsewhere = counting::during(|| drop(std::hint::black_box(Box::new(1))));
    assert_eq!(elsewhere.calls(), 0, "other threads' are not");
}

/// Starts a server on `engine`, lets it get to know everything that will be asked of it, and then counts.
fn serve_without_allocating(engine: EngineChoice, recv: ReceiveMode) {
    let _turn = take_turn();
    let (server, addr) = start(engine, recv);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(addr)).collect();
    let mut control = Client::connect(addr);

    control.talk(&traffic::all_keys());
    for pipeline in traffic::heaviest() {
        crowd(&server, &mut control, &mut clients, &pipeline);
    }
    let seed = 0x7a11_0000_0002;
    println!("seed {seed:#x}");
    let mut traffic = Traffic::new(seed);
    drive(&mut traffic, &mut clients, REHEARSED);
    let counted = counting::during(|| drive(&mut traffic, &mut clients, MEASURED));

    drop((clients, control));
    server.stop();
    assert_eq!(
        counted.calls(),
        0,
        "the worker took memory while serving what it knew, with recv {recv:?}:\n{counted}"
    );
}

/// Makes every client's `pipeline` wait for the worker at the same time, whole and then cut inside a request: no later
/// moment has more replies or more incomplete requests at once.
fn crowd(server: &Server, control: &mut Client, clients: &mut [Client], pipeline: &Pipeline) {
    let table = &server.shared().table;
    let occupied = table.key(traffic::CONTROL_KEY.as_bytes());
    for cut in [0, pipeline.bytes.len() - 1, 1] {
        if cut > 0 {
            clients.iter_mut().for_each(|client| client.write(&pipeline.bytes[..cut]));
            // Twice: what arrived before the first was received in the same turn at the latest.
            control.talk(&traffic::control());
            control.talk(&traffic::control());
        }
        let held = table.lock(occupied.hash);
        control.write(&traffic::control().bytes);
        clients.iter_mut().for_each(|client| client.write(&pipeline.bytes[cut..]));
        drop(held);
        control.read(&traffic::control().replies);
        clients.iter_mut().for_each(|client| client.read(&pipeline.replies));
    }
}

/// Sends at least `commands` commands, every client a pipeline before the replies are read; some in two deliveries.
fn drive(traffic: &mut Traffic, clients: &mut [Client], commands: usize) {
    let mut pipelines: Vec<Pipeline> = clients.iter().map(|_| Pipeline::default()).collect();
    let mut done = 0;
    while done < commands {
        for (client, pipeline) in clients.iter_mut().zip(&mut pipelines) {
            traffic.fill(pipeline);
            let cut = traffic.cut(pipeline);
            client.write(&pipeline.bytes[..cut]);
        }
        for (client, pipeline) in clients.iter_mut().zip(&pipelines) {
            client.write(&pipeline.bytes[pipeline.cut..]);
            client.read(&pipeline.replies);
            done += pipeline.replies.len();
        }
    }
}

/// A server with one worker on `engine`, and its address.
fn start(engine: EngineChoice, recv: ReceiveMode) -> (Server, SocketAddr) {
    for _ in 0..PORTS_TRIED {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let addr = probe.local_addr().expect("a bound socket has an address");
        drop(probe);
        let port = addr.port();
        let config = Config {
            port,
            admin_port: AdminPort::NONE,
            threads: 1,
            engine,
            recv,
            // An entry of the slow log takes memory, and on a busy machine any request may be slow.
            slowlog_log_slower_than: -1,
            ..Config::default()
        };
        match Server::start(config) {
            Ok(server) => return (server, addr),
            Err(error) if error.to_string().to_lowercase().contains("in use") => {}
            Err(error) => panic!(
                "the server did not start on {engine:?}: {error}\nWhere the kernel gives no ring, allow it, or set \
                 TALLYRING_NO_RING=1 to leave that engine out."
            ),
        }
    }
    panic!("{PORTS_TRIED} free ports in turn were taken before the server could bind them")
}

impl Client {
    /// A connection on which pieces of requests leave as they are written.
    fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket takes the option");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("the time is not zero");
        Self::over(stream)
    }
}
