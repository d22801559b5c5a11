//! The admin interface beside the port of clients: every path, who may read it, its bounds, and its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::client::request;
use crate::server::{Engine, PATIENCE, Server, free_port, wait_until};

on_every_engine!(
    every_path_answers,
    metrics_are_whole_and_count,
    figures_are_told_as_json,
    who_has_no_token_gets_no_figures,
    a_name_that_may_be_anybodys_gets_no_figures,
    readiness_follows_the_end_of_the_server,
);

/// Bounds do not depend on engines.
#[cfg(feature = "epoll")]
mod bounds {
    use crate::server::Engine;

    #[test]
    fn a_head_has_a_bound_in_bytes_and_in_time() {
        super::a_head_has_a_bound_in_bytes_and_in_time(Engine::Epoll);
    }

    #[test]
    fn a_crowd_is_served_one_after_the_other() {
        super::a_crowd_is_served_one_after_the_other(Engine::Epoll);
    }

    #[test]
    fn it_is_not_ready_while_it_loads() {
        super::it_is_not_ready_while_it_loads(Engine::Epoll);
    }

    #[test]
    fn a_port_that_was_asked_for_must_be_free() {
        super::a_port_that_was_asked_for_must_be_free(Engine::Epoll);
    }
}

/// A server and where it tells figures.
struct Stage {
    server: Server,
    admin: SocketAddr,
}

impl Stage {
    #[track_caller]
    fn new(engine: Engine, flags: &[&str]) -> Self {
        let port = free_port(&[]);
        let number = port.to_string();
        let all = [&["--admin-port", &number, "--admin-bind", "127.0.0.1"], flags].concat();
        let server = Server::with_flags(engine, &all);
        Self { server, admin: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) }
    }

    #[track_caller]
    fn get(&self, path: &str) -> Reply {
        fetch(self.admin, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
    }

    /// The value of a metric with these labels.
    #[track_caller]
    fn metric(&self, name: &str) -> f64 {
        let reply = self.get("/metrics");
        let value = reply.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("there is no {name} in:\n{}", reply.body));
        value.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
    }
}

/// A reply.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// Sends a request as it is and reads until the other side closes.
#[track_caller]
fn fetch(addr: SocketAddr, request: &str) -> Reply {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("the admin interface listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("the time is not zero");
    stream.write_all(request.as_bytes()).expect("a request fits into the socket");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("a reply comes, and the end of the connection");
    parse(&text)
}

#[track_caller]
fn parse(text: &str) -> Reply {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no reply of HTTP: {text}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Reply { status, headers, body: body.to_owned() }
}

fn every_path_answers(engine: Engine) {
    let stage = Stage::new(engine, &[]);
    for (path, status, kind) in [
        ("/", 200, "text/html; charset=utf-8"),
        ("/dashboard.css", 200, "text/css; charset=utf-8"),
        ("/dashboard.js", 200, "text/javascript; charset=utf-8"),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("/metrics?name=x", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("/stats.json", 200, "application/json"),
        ("/latency.json", 200, "application/json"),
        ("/healthz", 200, "text/plain; charset=utf-8"),
        ("/readyz", 200, "text/plain; charset=utf-8"),
        ("/nothing", 404, "text/plain; charset=utf-8"),
        ("/../etc/passwd", 404, "text/plain; charset=utf-8"),
    ] {
        let reply = stage.get(path);
        assert_eq!((reply.status, reply.header("content-type")), (status, kind), "{path}: {reply:?}");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("content-length"), reply.body.len().to_string(), "{path}");
    }
    assert_eq!(stage.get("/healthz").body, "alive\n");
    assert_eq!(stage.get("/readyz").body, "ready\n");
    let page = stage.get("/").body;
    assert!(
        !page.contains("http://") || page.matches("http://").count() == 1,
        "one name space, no other host"
    );

    let host = "Host: localhost\r\nConnection: close\r\n";
    let head = fetch(stage.admin, &format!("HEAD /metrics HTTP/1.1\r\n{host}\r\n"));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(head.header("content-length").parse::<usize>().is_ok_and(|bytes| bytes > 1000), "{head:?}");
    for (method, path) in
        [("POST", "/metrics"), ("DELETE", "/"), ("PUT", "/healthz"), ("OPTIONS", "/stats.json")]
    {
        let reply =
            fetch(stage.admin, &format!("{method} {path} HTTP/1.1\r\n{host}Content-Length: 0\r\n\r\n"));
        assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD"), "{method} {path}");
    }
    let reply = fetch(stage.admin, "GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert_eq!(reply.status, 400, "a request of HTTP/1.1 names its host: {reply:?}");
    assert_eq!(fetch(stage.admin, "GET /metrics HTTP/1.0\r\n\r\n").status, 200);
    assert_eq!(fetch(stage.admin, "*1\r\n$4\r\nPING\r\n").status, 400, "it speaks another protocol");
}

/// Every line of an exposition belongs to a family that says what it is, names and numbers are what they should be, and
/// nothing stands twice.
#[track_caller]
fn check_exposition(text: &str) -> BTreeSet<String> {
    let (mut kinds, mut helped) = (BTreeMap::new(), BTreeSet::new());
    let mut seen = BTreeSet::new();
    let is_name = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && (name.starts_with("tallyring_") || name.starts_with("process_"))
    };
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').expect("a help has words");
            assert!(words.ends_with('.') && helped.insert(name.to_owned()), "{line}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type is one word");
            assert!(is_name(name) && kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        assert!(value.parse::<f64>().is_ok_and(|value| value.is_finite() && value >= 0.0), "{line}");
        assert!(seen.insert(series.to_owned()), "twice: {line}");
        let name = series.split('{').next().unwrap_or_default();
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|suffix| name.strip_suffix(suffix))
            .find(|family| kinds.get(*family).is_some_and(|kind| kind == "histogram"))
            .unwrap_or(name);
        assert!(kinds.contains_key(family) && helped.contains(family), "no help or type: {line}");
    }
    kinds.into_keys().collect()
}

fn metrics_are_whole_and_count(engine: Engine) {
    let stage = Stage::new(engine, &["--threads", "2"]);
    let families = check_exposition(&stage.get("/metrics").body);
    for name in [
        "tallyring_build_info",
        "tallyring_requests_total",
        "tallyring_refusals_total",
        "tallyring_keys",
        "tallyring_memory_used_bytes",
        "tallyring_engine_turns_total",
        "tallyring_engine_system_calls_total",
        "tallyring_worker_blocks_low_water",
        "tallyring_journal_unsynced_bytes",
        "tallyring_snapshots_total",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(families.contains(name), "{name} is missing in {families:?}");
    }
    let before = stage.metric("tallyring_requests_total");
    let mut client = stage.server.connect();
    for n in 1..=1000 {
        client.send(request(&["INCR", &format!("views:article:{n}")]));
        client.expect(":1\r\n");
    }
    client.send(request(&["NONSENSE"]));
    client.expect("-ERR unknown command 'NONSENSE', with args beginning with: \r\n");
    // Workers publish what they counted at the end of a turn, the reply leaves before.
    wait_until("a thousand requests are counted", || {
        stage.metric("tallyring_requests_total") >= before + 1001.0
            && stage.metric("tallyring_refusals_total{reason=\"unknown_command\"}") == 1.0
    });
    wait_until("so are their latencies", || {
        let of = |name: &str| stage.metric(&format!("{name}{{command=\"incr\"}}"));
        of("tallyring_commands_total") == 1000.0
            && of("tallyring_command_duration_seconds_count") == 1000.0
            && of("tallyring_reply_duration_seconds_count") == 1000.0
    });
    assert_eq!(stage.metric("tallyring_connected_clients"), 1.0);
    assert!(stage.metric("tallyring_changes_total") >= 1000.0);
    assert!(stage.metric("tallyring_journal_appended_bytes_total") > 1000.0);
    // The table is looked through twice a second at most.
    wait_until("the keys are counted", || {
        let kept = |how| stage.metric(&format!("tallyring_keys{{kept=\"{how}\"}}"));
        kept("numbered") + kept("packed") == 1000.0
    });
    // Resetting what INFO shows does not make a sum go back.
    client.ask(&["CONFIG", "RESETSTAT"], "+OK\r\n");
    assert!(stage.metric("tallyring_requests_total") >= before + 1001.0);
    check_exposition(&stage.get("/metrics").body);
}

fn figures_are_told_as_json(engine: Engine) {
    let stage = Stage::new(engine, &[]);
    let mut client = stage.server.connect();
    let keys: Vec<String> = (0..5000).map(|n| format!("user:{n}:likes")).collect();
    let pairs = keys.iter().flat_map(|key| [key.as_str(), "1"]);
    client.send(request(&["MSET"].into_iter().chain(pairs).collect::<Vec<_>>()));
    client.expect("+OK\r\n");
    let read =
        || serde_json::from_str::<serde_json::Value>(&stage.get("/stats.json").body).expect("this is JSON");
    wait_until("the template is shown", || {
        let document = read();
        let first = &document["keys"]["top_templates"][0];
        document["keys"]["count"] == 5000
            && first["text"] == "user:{id}:likes"
            && first["counters"].as_u64().is_some_and(|counters| counters > 2000)
    });
    let document = read();
    assert_eq!((&document["standing"], &document["engine"]), (&"ready".into(), &engine.name().into()));
    assert_eq!(document["run_id"].as_str().map(str::len), Some(40));
    assert_eq!(document["persistence"]["policy"], "everysec");
    assert_eq!(document["workers"].as_array().map(Vec::len), Some(1));
    let latency: serde_json::Value =
        serde_json::from_str(&stage.get("/latency.json").body).expect("this is JSON");
    assert_eq!((&latency["unit"], &latency["commands"][0]["name"]), (&"ns".into(), &"mset".into()));
    assert!(latency["commands"][0]["service"]["percentiles"]["p99"].as_u64().is_some_and(|nanos| nanos > 0));
    assert!(latency["commands"][0]["reply"]["hdr"].as_str().is_some_and(|text| text.starts_with("HISTFAAA")));
    assert_eq!(latency["run_id"], document["run_id"]);
}

fn who_has_no_token_gets_no_figures(engine: Engine) {
    let file = std::env::temp_dir().join(format!("tallyring-token-{}-{engine:?}", std::process::id()));
    fs::write(&file, "s3cret-of-this-test\n").expect("a file can be written");
    let path = file.to_str().expect("the path is text");
    for flags in [["--admin-token", "s3cret-of-this-test"], ["--admin-token-file", path]] {
        let stage = Stage::new(engine, &flags);
        let with = |authorization: &str| {
            let head = "GET /metrics HTTP/1.1\r\nHost: metrics.example\r\nConnection: close\r\n";
            fetch(stage.admin, &format!("{head}{authorization}\r\n"))
        };
        for path in ["/metrics", "/stats.json", "/latency.json"] {
            let reply = stage.get(path);
            assert_eq!((reply.status, reply.header("www-authenticate")), (401, "Bearer"), "{path}");
            assert!(!reply.body.contains("tallyring_"), "{path}");
        }
        for path in ["/", "/dashboard.js", "/healthz", "/readyz"] {
            assert_eq!(stage.get(path).status, 200, "{path} tells no figures");
        }
        assert_eq!(with("Authorization: Bearer s3cret-of-this-tes\r\n").status, 401);
        assert_eq!(with("Authorization: Basic s3cret-of-this-test\r\n").status, 401);
        // Who has the token is nobody's page, whatever name it was reached by.
        assert_eq!(with("Authorization: Bearer s3cret-of-this-test\r\n").status, 200);
        let mut client = stage.server.connect();
        let shown = if flags[0] == "--admin-token" { "$5\r\n(set)" } else { "$0\r\n" };
        client.ask(&["CONFIG", "GET", "admin-token"], format!("*2\r\n$11\r\nadmin-token\r\n{shown}\r\n"));
        assert!(!stage.server.output().contains("s3cret"), "the log has it");
    }
    fs::remove_file(&file).expect("it is still there");
}

fn a_name_that_may_be_anybodys_gets_no_figures(engine: Engine) {
    let stage = Stage::new(engine, &[]);
    let as_host = |path: &str, host: &str| {
        fetch(stage.admin, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    let port = stage.admin.port();
    for host in ["localhost", "127.0.0.1", &format!("127.0.0.1:{port}"), &format!("[::1]:{port}")] {
        assert_eq!(as_host("/metrics", host).status, 200, "{host}");
    }
    for host in ["evil.example", &format!("evil.example:{port}"), "localhost.evil.example"] {
        let reply = as_host("/metrics", host);
        assert_eq!(reply.status, 403, "{host}");
        assert!(reply.body.contains("set admin-token"), "{}", reply.body);
        assert_eq!(as_host("/healthz", host).status, 200, "{host}");
    }
}

fn readiness_follows_the_end_of_the_server(engine: Engine) {
    let mut stage = Stage::new(engine, &[]);
    // Who takes no replies holds the end up.
    let mut client = stage.server.connect();
    client.ask(&["SET", "big", &"v".repeat(500_000)], "+OK\r\n");
    client.send(request(&["GET", "big"]).repeat(60));
    // So long that it is certainly under way.
    let mut other = stage.server.connect();
    other.ask(&["PING"], "+PONG\r\n");
    stage.server.terminate();
    let mut ending = None;
    wait_until("the server says that it ends", || {
        let reply = stage.get("/readyz");
        let ends = reply.status == 503;
        ending = ends.then_some(reply);
        ends
    });
    assert_eq!(ending.map(|reply| reply.body), Some("ending: the server has been told to stop\n".to_owned()));
    assert_eq!(stage.get("/healthz").status, 200, "it lives until it has ended");
    drop((client, other));
    wait_until("the server exits", || stage.server.exited().is_some());
    assert_eq!(stage.server.exited().and_then(|status| status.code()), Some(0), "{}", stage.server.output());
    assert!(TcpStream::connect(stage.admin).is_err(), "nobody listens any more");
}

#[cfg(feature = "epoll")]
fn a_head_has_a_bound_in_bytes_and_in_time(engine: Engine) {
    let stage = Stage::new(engine, &[]);
    let mut slow = TcpStream::connect(stage.admin).expect("it listens");
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: loc").expect("a few bytes fit");
    let cookie = "c".repeat(20_000);
    let reply = fetch(stage.admin, &format!("GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n"));
    assert_eq!(reply.status, 431, "{reply:?}");
    let many: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let reply = fetch(stage.admin, &format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"));
    assert_eq!(reply.status, 431, "{reply:?}");
    // A body is nobody's business, and is not waited for.
    let reply = fetch(
        stage.admin,
        "POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1000000000\r\n\r\n",
    );
    assert_eq!(reply.status, 405, "{reply:?}");
    slow.set_read_timeout(Some(Duration::from_secs(30))).expect("the time is not zero");
    let mut rest = Vec::new();
    // Reset or closed, with a word about it or without.
    let _ = slow.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", rest.escape_ascii());
}

#[cfg(feature = "epoll")]
fn a_crowd_is_served_one_after_the_other(engine: Engine) {
    let stage = Stage::new(engine, &[]);
    let connect = || {
        let stream = TcpStream::connect(stage.admin).expect("the backlog takes it");
        stream.set_read_timeout(Some(PATIENCE)).expect("the time is not zero");
        stream
    };
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answered = |stream: &mut TcpStream| {
        let mut first = [0];
        stream.read_exact(&mut first).is_ok()
    };
    let mut crowd: Vec<TcpStream> = (0..tallyring::limits::ADMIN_CONNECTIONS).map(|_| connect()).collect();
    for stream in &mut crowd {
        stream.write_all(request).expect("a request fits");
        assert!(answered(stream), "each of them has a place");
    }
    let mut late = connect();
    late.write_all(request).expect("a request fits");
    late.set_read_timeout(Some(Duration::from_millis(200))).expect("the time is not zero");
    assert!(!answered(&mut late), "there is no place for one more");
    late.set_read_timeout(Some(PATIENCE)).expect("the time is not zero");
    crowd.pop();
    assert!(answered(&mut late), "a place is free again");
    // Clients of the other port never noticed.
    stage.server.connect().ask(&["PING"], "+PONG\r\n");
}

#[cfg(feature = "epoll")]
fn it_is_not_ready_while_it_loads(engine: Engine) {
    let data = std::env::temp_dir().join(format!("tallyring-loading-{}", std::process::id()));
    let dir = data.to_str().expect("the path is text").to_owned();
    let mut first = Stage::new(engine, &["--dir", &dir, "--appendfsync", "no"]);
    let mut client = first.server.connect();
    for part in 0..40 {
        let keys: Vec<String> = (0..10_000).map(|n| format!("key of part {part} and number {n}")).collect();
        let pairs = keys.iter().flat_map(|key| [key.as_str(), "value"]);
        client.send(request(&["MSET"].into_iter().chain(pairs).collect::<Vec<_>>()));
        client.expect("+OK\r\n");
    }
    first.server.terminate();
    wait_until("the first server exits", || first.server.exited().is_some());
    drop(first);

    let admin = free_port(&[]);
    let flags = ["--dir", &dir, "--admin-port", &admin.to_string(), "--admin-bind", "127.0.0.1"];
    let server = Server::spawn(engine, free_port(&[]), &flags);
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, admin));
    let head = "HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut loading = None;
    wait_until("the server is ready", || {
        if TcpStream::connect(addr).is_err() {
            return false;
        }
        let reply = fetch(addr, &format!("GET /readyz {head}"));
        if reply.status == 503 && loading.is_none() {
            assert_eq!(fetch(addr, &format!("GET /healthz {head}")).status, 200);
            check_exposition(&fetch(addr, &format!("GET /metrics {head}")).body);
            loading = Some(reply.body.clone());
        }
        reply.status == 200
    });
    assert_eq!(loading.as_deref(), Some("loading: what was saved is being read\n"));
    server.connect().ask(&["DBSIZE"], ":400000\r\n");
    drop(server);
    fs::remove_dir_all(&data).expect("it is still there");
}

#[cfg(feature = "epoll")]
fn a_port_that_was_asked_for_must_be_free(engine: Engine) {
    let stage = Stage::new(engine, &[]);
    let port = stage.admin.port().to_string();
    let flags = ["--admin-port", &port, "--admin-bind", "127.0.0.1"];
    let mut second = Server::spawn(engine, free_port(&[]), &flags);
    wait_until("the second server gives up", || second.exited().is_some());
    assert_eq!(second.exited().and_then(|status| status.code()), Some(1));
    let said = second.output();
    assert!(
        said.contains(&format!("cannot listen on {}", stage.admin)) && said.contains("--admin-port"),
        "{said}"
    );
}
