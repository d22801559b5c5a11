//! Transactions: groups of effects, watched keys, bounds.

use super::server::{Server, shown};

#[test]
fn transactions_are_groups_of_effects_and_wait_for_all_of_them() {
    let mut server = Server::new();
    for request in ["SET a 1", "MULTI", "INCR a", "MSET b 1 c 2", "GET nothing"] {
        server.ask(request);
    }
    assert_eq!(server.effects.groups, []);
    let answer = server.run(&["EXEC"]);
    assert_eq!((answer.wait, &server.effects.groups[..]), (4, &[(1, 4)][..]));
    assert_eq!(server.run(&["MSETNX", "x", "1", "y", "2"]).wait, 6);
    assert_eq!(server.effects.groups, [(1, 4), (4, 6)]);
    // What was looked at and had changed is waited for too.
    server.ask("WATCH a");
    server.ask("SET a 2");
    server.ask("MULTI");
    let answer = server.run(&["EXEC"]);
    assert_eq!((shown(&answer.reply).as_str(), answer.wait), ("*-1\\r\\n", 7));
}

#[test]
fn watched_keys_may_run_out_of_time() {
    let mut server = Server::new();
    for request in ["SET a 1 PX 10", "WATCH a", "MULTI", "PING"] {
        server.ask(request);
    }
    server.now_ms += 10;
    assert_eq!(server.ask("EXEC"), "*-1\\r\\n", "its time was up in between");
    for request in ["SET a 1 PX 10", "GET a"] {
        server.ask(request);
    }
    server.now_ms += 10;
    for request in ["WATCH a", "MULTI", "SET b 1", "TTL a"] {
        server.ask(request);
    }
    assert_eq!(server.ask("EXEC"), "*2\\r\\n+OK\\r\\n:-2\\r\\n", "its time was up before");
}

#[test]
fn transactions_and_watches_are_bounded() {
    let mut server = Server::new();
    server.host.limits.query_buffer = 1000;
    let keys: Vec<String> = (0..20).map(|n| format!("key:{n}")).collect();
    let mut watch = vec!["WATCH".to_owned()];
    watch.extend(keys);
    assert_eq!(shown(&server.run(&watch).reply), "-ERR watched keys exceed client-query-buffer-limit\\r\\n");
    assert_eq!(server.ask("UNWATCH"), "+OK\\r\\n");
    assert_eq!(shown(&server.run(&watch[..5]).reply), "+OK\\r\\n");
}
