//! What the server says about itself: `TIME`, `COMMAND`, `CLIENT`, `CONFIG`, `INFO`.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::client::{Client, request};
use crate::server::{Engine, Server};

on_every_engine![
    time_is_the_systems_time,
    command_describes_commands,
    command_docs_describe_arguments,
    clients_have_numbers_and_names,
    client_list_shows_this_connection,
    client_kill_closes_another,
    config_is_read,
    config_is_set_all_or_nothing,
    info_has_the_fields_that_tools_read,
    info_counts_commands_and_keys,
];

fn time_is_the_systems_time(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs();
    let before = seconds();
    client.send(request(&["TIME"]));
    client.expect("*2\r\n");
    let told: u64 = client.text().parse().expect("seconds are an integer");
    let micros: u32 = client.text().parse().expect("microseconds are an integer");
    assert!((before..=seconds()).contains(&told), "TIME says {told}");
    assert!(micros < 1_000_000, "TIME says {micros} µs");
}

fn command_describes_commands(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.send(request(&["COMMAND", "COUNT"]));
    let count = client.integer();
    assert!(count >= 40, "COMMAND COUNT says {count}");
    client.send(request(&["COMMAND", "LIST"]));
    let header = client.line();
    let listed: usize =
        header.strip_prefix('*').and_then(|digits| digits.parse().ok()).expect("a list has a length");
    let names: Vec<String> = (0..listed).map(|_| client.text()).collect();
    for name in ["incr", "mget", "set", "command", "client", "client|id", "config|get"] {
        assert!(names.iter().any(|known| known == name), "COMMAND LIST names {name}");
    }
    let commands = names.iter().filter(|name| !name.contains('|')).count();
    assert_eq!(i64::try_from(commands), Ok(count), "COMMAND LIST and COMMAND COUNT agree on commands proper");
    client.send(request(&["COMMAND", "INFO", "get", "nosuch"]));
    client.expect("*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n");
    client.expect("*3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n*1\r\n");
    client.send(request(&["PING"]));
    while client.line() != "+PONG" {}
    client.talk(
        "> COMMAND GETKEYS MSET a 1 b 2
         < *2
         < $1
         < a
         < $1
         < b
         > COMMAND GETKEYS PING a
         < -ERR The command has no key arguments
         > COMMAND NOSUCH
         < -ERR unknown subcommand 'NOSUCH'. Try COMMAND HELP.",
    );
    client.send(request(&["COMMAND"]));
    assert_eq!(client.line(), format!("*{count}"), "COMMAND describes each command once");
}

fn command_docs_describe_arguments(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.send(request(&["COMMAND", "DOCS", "get", "nosuch"]));
    client.expect("*2\r\n$3\r\nget\r\n");
    let fields = client.line();
    assert!(fields.starts_with('*') && fields != "*0", "COMMAND DOCS get has fields, not {fields}");
    client.send(request(&["PING"]));
    let mut lines = Vec::new();
    while lines.last().is_none_or(|last| last != "+PONG") {
        lines.push(client.line());
    }
    for word in ["summary", "since", "group", "complexity", "arguments", "key"] {
        assert!(lines.iter().any(|line| line == word), "COMMAND DOCS get has {word}");
    }
}

fn clients_have_numbers_and_names(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let mut other = server.connect();
    let first = id(&mut client);
    assert_eq!(id(&mut client), first, "a connection keeps its number");
    assert_ne!(id(&mut other), first, "numbers are not shared");
    client.talk(
        "> CLIENT GETNAME
         < $-1
         > CLIENT SETNAME web:7
         < +OK
         > CLIENT GETNAME
         < $5
         < web:7
         > CLIENT SETNAME \"two words\"
         < -ERR Client names cannot contain spaces, newlines or special characters.
         > CLIENT SETNAME \"\"
         < +OK
         > CLIENT GETNAME
         < $-1",
    );
}

fn id(client: &mut Client) -> i64 {
    client.send(request(&["CLIENT", "ID"]));
    client.integer()
}

fn client_list_shows_this_connection(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk("> CLIENT SETNAME seeker\n< +OK");
    let number = id(&mut client);
    let own = client.tcp().local_addr().expect("a connected socket has an address");
    client.send(request(&["CLIENT", "LIST"]));
    let list = client.text();
    let line = list.lines().find(|line| line.contains(" name=seeker ")).expect("CLIENT LIST shows who asks");
    let fields: BTreeMap<&str, &str> = line.split(' ').filter_map(|field| field.split_once('=')).collect();
    assert_eq!(fields.get("id"), Some(&number.to_string().as_str()));
    assert_eq!(fields.get("addr"), Some(&own.to_string().as_str()));
    assert_eq!(fields.get("laddr"), Some(&server.addr().to_string().as_str()));
    assert_eq!(fields.get("cmd"), Some(&"client|list"));
    assert_eq!(fields.get("db"), Some(&"0"));
    assert_eq!(fields.get("user"), Some(&"default"));
    assert_eq!(fields.get("resp"), Some(&"2"));
    client.send(request(&["CLIENT", "INFO"]));
    assert!(client.text().contains(&format!("id={number} ")), "CLIENT INFO is this connection's line");
    client.send(request(&["CLIENT", "LIST", "ID", &number.to_string()]));
    assert_eq!(client.text().lines().count(), 1, "CLIENT LIST ID n is one line");
    client.send(request(&["CLIENT", "LIST", "TYPE", "normal"]));
    assert!(client.text().contains(" name=seeker "), "clients are of type normal");
    client.talk("> CLIENT LIST TYPE pubsub\n< $0\n<\n> CLIENT LIST FOO\n< -ERR syntax error");
}

fn client_kill_closes_another(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let mut by_id = server.connect();
    let number = id(&mut by_id);
    client.ask(&["CLIENT", "KILL", "ID", &number.to_string()], ":1\r\n");
    by_id.expect_closed();
    client.ask(&["CLIENT", "KILL", "ID", &number.to_string()], ":0\r\n");
    let mut by_addr = server.connect();
    by_addr.talk("> PING\n< +PONG");
    let addr = by_addr.tcp().local_addr().expect("a connected socket has an address").to_string();
    client.ask(&["CLIENT", "KILL", &addr], "+OK\r\n");
    by_addr.expect_closed();
    client.ask(&["CLIENT", "KILL", &addr], "-ERR No such client\r\n");
    client.talk(
        "> CLIENT KILL ID abc
         < -ERR client-id should be greater than 0
         > CLIENT KILL FOO bar
         < -ERR syntax error
         > PING
         < +PONG",
    );
}

fn config_is_read(engine: Engine) {
    let server = Server::with_flags(engine, &["--maxclients", "321"]);
    let mut client = server.connect();
    client.talk(
        "> CONFIG GET maxclients
         < *2
         < $10
         < maxclients
         < $3
         < 321
         > CONFIG GET MaxClient?
         < *2
         < $10
         < maxclients
         < $3
         < 321
         > CONFIG GET save
         < *2
         < $4
         < save
         < $0
         <
         > CONFIG GET appendfsync
         < *2
         < $11
         < appendfsync
         < $8
         < everysec
         > CONFIG GET nosuch
         < *0",
    );
    client.send(request(&["CONFIG", "GET", "maxclients", "port"]));
    client.expect("*4\r\n");
    let found: Vec<String> = (0..4).map(|_| client.text()).collect();
    assert!(found.contains(&"port".to_owned()) && found.contains(&server.addr().port().to_string()));
}

fn config_is_set_all_or_nothing(engine: Engine) {
    let server = Server::with_flags(engine, &["--timeout", "0"]);
    server.connect().talk(
        "> CONFIG SET timeout 100
         < +OK
         > CONFIG GET timeout
         < *2
         < $7
         < timeout
         < $3
         < 100
         > CONFIG SET timeout 50 nosuch 1
         < -ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'
         > CONFIG SET timeout 50 maxclients abc
         < -ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument couldn't be parsed into an integer
         > CONFIG SET timeout 50 timeout 60
         < -ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter
         > CONFIG SET dir /tmp
         < -ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config
         > CONFIG SET databases 4
         < -ERR CONFIG SET failed (possibly related to argument 'databases') - can't set immutable config
         > CONFIG SET timeout
         < -ERR wrong number of arguments for 'config|set' command
         > CONFIG GET timeout
         < *2
         < $7
         < timeout
         < $3
         < 100
         > CONFIG RESETSTAT
         < +OK",
    );
}

/// The fields of `INFO` with these sections.
pub(crate) fn info(client: &mut Client, sections: &[&str]) -> BTreeMap<String, String> {
    let mut arguments = vec!["INFO"];
    arguments.extend_from_slice(sections);
    client.send(request(&arguments));
    let text = client.text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn info_has_the_fields_that_tools_read(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    let all = info(&mut client, &[]);
    for name in [
        "redis_version",
        "redis_mode",
        "process_id",
        "tcp_port",
        "uptime_in_seconds",
        "connected_clients",
        "maxclients",
        "used_memory",
        "used_memory_rss",
        "loading",
        "aof_enabled",
        "total_connections_received",
        "total_commands_processed",
        "instantaneous_ops_per_sec",
        "total_net_input_bytes",
        "total_net_output_bytes",
        "rejected_connections",
        "expired_keys",
        "keyspace_hits",
        "keyspace_misses",
        "role",
        "connected_slaves",
        "master_replid",
        "used_cpu_sys",
        "used_cpu_user",
        "cluster_enabled",
    ] {
        assert!(all.contains_key(name), "INFO has {name}");
    }
    assert_eq!(all.get("tcp_port"), Some(&server.addr().port().to_string()));
    assert_eq!(all.get("role").map(String::as_str), Some("master"));
    if let Some(pid) = server.pid() {
        assert_eq!(all.get("process_id"), Some(&pid.to_string()));
    }
    let clients = info(&mut client, &["clients"]);
    assert_eq!(clients.get("connected_clients").map(String::as_str), Some("1"));
    assert!(!clients.contains_key("redis_version"), "INFO clients is that section alone");
    let two = info(&mut client, &["SERVER", "replication"]);
    assert!(
        two.contains_key("redis_version") && two.contains_key("role") && !two.contains_key("used_memory")
    );
    assert!(info(&mut client, &["nosuch"]).is_empty());
    assert!(info(&mut client, &["everything"]).contains_key("redis_version"));
}

fn info_counts_commands_and_keys(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    client.talk("> CONFIG RESETSTAT\n< +OK\n> SET a 1 EX 1000\n< +OK\n> SET b 1\n< +OK");
    client.talk("> GET a\n< $1\n< 1\n> GET nothing\n< $-1\n> MGET a b c\n< *3\n< $1\n< 1\n< $1\n< 1\n< $-1");
    let all = info(&mut client, &[]);
    assert_eq!(all.get("keyspace_hits").map(String::as_str), Some("3"));
    assert_eq!(all.get("keyspace_misses").map(String::as_str), Some("2"));
    let keys = all.get("db0").expect("INFO has db0 when there are keys");
    assert!(keys.starts_with("keys=2,expires=1"), "db0 is {keys}");
    let commands: u64 = all["total_commands_processed"].parse().expect("it is a number");
    assert!(
        (5..=7).contains(&commands),
        "total_commands_processed is {commands} after CONFIG RESETSTAT and 5 commands"
    );
}
