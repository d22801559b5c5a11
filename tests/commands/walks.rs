//! All keys together: walked over, listed, renamed.

use super::server::{Server, arguments};

/// Every key that stays is listed by a scan, whatever comes and goes meanwhile, and none twice.
#[test]
fn scans_list_every_key_that_stays() {
    let mut server = Server::new();
    for n in 0..3000 {
        server.ask(&if n % 3 == 0 { format!("HSET hash:{n} f 1") } else { format!("SET key:{n} {n}") });
    }
    for (count, kind, all) in [(1, "", 3000), (10, "", 3000), (1000, "", 3000), (50, " TYPE hash", 1000)] {
        let (mut cursor, mut listed) = ("0".to_owned(), Vec::new());
        let mut comes = 0;
        loop {
            let request = format!("SCAN {cursor} MATCH *:* COUNT {count}{kind}");
            let reply = String::from_utf8(server.run(&arguments(&request)).reply).unwrap();
            let lines: Vec<&str> = reply.split("\r\n").collect();
            cursor = lines[2].to_owned();
            listed.extend(lines[4..].iter().skip(1).step_by(2).map(|&line| line.to_owned()));
            comes += 1;
            server.ask(&format!("SET coming{comes} 1"));
            server.ask(&format!("DEL coming{}", comes / 2));
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(listed.len(), all, "COUNT {count}{kind}");
        listed.sort_unstable();
        listed.dedup();
        assert_eq!(listed.len(), all, "none twice");
    }
    assert!(server.run(&["SCAN", "0", "COUNT", "1000000"]).wait > 0, "it waits for the changes it shows");
}

#[test]
fn listings_are_bounded_by_what_a_client_may_be_owed() {
    let mut server = Server::new();
    server.host.limits.output_buffer = 1000;
    for n in 0..100 {
        server.ask(&format!("SET key:{n} {n}"));
    }
    server.ask("HSET h f 1");
    let refused = "-ERR the reply exceeds client-output-buffer-limit\\r\\n";
    assert_eq!(server.ask("KEYS *"), refused);
    assert_eq!(server.ask("KEYS key:99"), "*1\\r\\n$6\\r\\nkey:99\\r\\n");
    assert_eq!(server.ask("HRANDFIELD h -9223372036854775807"), refused);
    assert!(server.ask("HRANDFIELD h -100").starts_with("*100\\r\\n"));
}

/// Every kind of value and every size keeps all it holds under its new name.
#[test]
fn names_change_and_contents_do_not() {
    let mut server = Server::new();
    let mut large = vec!["HSET".to_owned(), "large".to_owned()];
    large.extend((0..500).flat_map(|n| [format!("f{n}"), n.to_string()]));
    server.run(&large);
    server.ask("HSET row a 1 b 2");
    server.ask("HSET map a text b 2");
    server.ask("SET count:1 5");
    server.ask("SET text some");
    for (key, look) in
        [("large", "HGETALL"), ("row", "HGETALL"), ("map", "HGETALL"), ("count:1", "GET"), ("text", "GET")]
    {
        server.ask(&format!("PEXPIRE {key} 5000"));
        let before = server.ask(&format!("{look} {key}"));
        let groups = server.effects.groups.len();
        assert_eq!(server.ask(&format!("COPY {key} copy")), ":1\\r\\n");
        assert_eq!(server.ask(&format!("RENAME {key} to")), "+OK\\r\\n");
        assert_eq!(server.effects.groups.len(), groups + 2, "each is one change");
        for name in ["copy", "to"] {
            assert_eq!(server.ask(&format!("{look} {name}")).len(), before.len());
            assert_eq!(server.ask(&format!("PTTL {name}")), ":5000\\r\\n");
        }
        assert_eq!(server.ask(&format!("EXISTS {key}")), ":0\\r\\n");
        server.ask("DEL copy");
    }
    let usage = server.ask("MEMORY USAGE to");
    assert!(usage.starts_with(':'), "{usage}");
    assert!(server.ask("MEMORY STATS").starts_with("*38"));
    assert!(server.ask("MEMORY DOCTOR").starts_with('$'));
}
