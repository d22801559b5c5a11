//! `tallyring dump`.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use crate::stage::{Place, Server, ask, dumped, run};

/// Fills a server with a key of every kind.
fn fill(server: &Server) {
    let connection = &mut server.connect();
    for words in [
        "SET n 42",
        "SET text some\ttext",
        "SET empty ",
        "HSET h a 1 b x",
        "PEXPIREAT h 4102444800000",
        "SET gone 1",
        "PEXPIREAT gone 4102444800001",
        "CL.THROTTLE limit 15 30 60",
        "WINCRBY window 5 WINDOW 60000 BUCKETS 60",
        "INCRONCE once 3 token EX 1000",
    ] {
        ask::<redis::Value>(connection, words);
    }
    for field in 0..1000 {
        ask::<i64>(connection, &format!("HSET large f{field} {field}"));
    }
}

#[test]
fn a_line_for_every_key() {
    let place = Place::new();
    let dir = place.at("data");
    let server = Server::on(&dir, &[]);
    fill(&server);
    server.end();
    let lines = dumped(&dir);
    for line in [
        "\"n\"\tstring\t42\t-",
        "\"text\"\tstring\t\"some\\ttext\"\t-",
        "\"empty\"\tstring\t\"\"\t-",
        "\"h\"\thash\t\"a\" 1 \"b\" \"x\"\t4102444800000",
        "\"gone\"\tstring\t1\t4102444800001",
        "\"once\"\tstring\t3\t-",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} is missing in {lines:#?}");
    }
    for start in ["\"limit\"\tthrottle\t1", "\"window\"\twindow\t60000/60 ", "\"once\"\ttoken\t\"token\" 3\t"]
    {
        assert!(lines.iter().any(|found| found.starts_with(start)), "{start} is missing in {lines:#?}");
    }
    assert_eq!(lines.len(), 10);
}

#[test]
fn requests_make_another_server_the_same() {
    let place = Place::new();
    let (dir, copy) = (place.at("data"), place.at("copy"));
    let server = Server::on(&dir, &[]);
    fill(&server);
    server.end();
    let piped = run(["dump", "--pipe", &dir]);
    assert_eq!(piped.code, Some(0));
    assert_eq!(piped.err, "tallyring: left out, as no command sets them: 1 throttles, 1 windows, 1 tokens\n");
    let other = Server::on(&copy, &[]);
    let mut stream = TcpStream::connect(("127.0.0.1", other.port())).unwrap();
    stream.write_all(piped.out.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    assert!(!replies.contains('-'), "{replies}");
    other.end();
    let mut lines = dumped(&dir);
    lines.retain(|line| !["\tthrottle\t", "\twindow\t", "\ttoken\t"].iter().any(|kind| line.contains(kind)));
    assert_eq!(dumped(&copy), lines);
}
