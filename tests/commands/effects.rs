//! What every writing command reports: done again in order on an empty table, it gives the same table.

use tallyring::command::Flags;
use tallyring::command::lookup::visible;
use tallyring::table::{Table, Used, Value};

use super::server::{Random, Server};

/// A request of a writing command, on few keys, with arguments that often fit and sometimes do not.
fn request(name: &str, random: &mut Random) -> String {
    let mut key = || ["k:1", "k:2", "k:3", "text", "row", "limit", "window"][random.below(7)].to_owned();
    let (a, b) = (key(), key());
    let mut pick = |choices: &[&str]| choices[random.below(choices.len())].to_owned();
    let number = pick(&["1", "-7", "300", "70000", "9223372036854775807", "5000000000"]);
    let field = pick(&["f", "g", "h", "views"]);
    let value = pick(&["12", "text", "007", "3.5", "", "a-longer-text-than-a-number-would-be"]);
    let soon = pick(&["1", "20", "500"]);
    match name {
        "incr" | "decr" | "getdel" | "persist" => format!("{name} {a}"),
        "incrby" | "decrby" => format!("{name} {a} {number}"),
        "incrbyfloat" => format!("{name} {a} 0.5"),
        "increx" => format!("{name} {a} BYINT {number} UBOUND 1000 SATURATE PX {soon}"),
        "incronce" => format!("{name} {a} {number} {field} PX {soon}"),
        "mincronce" => format!("{name} {field} {soon} {a} 1 {b} {number}"),
        "set" => format!("{name} {a} {value} PX {soon}"),
        "setnx" | "getset" | "append" => format!("{name} {a} {value}"),
        "setex" | "psetex" => format!("{name} {a} {soon} {value}"),
        "getex" => format!("{name} {a} PX {soon}"),
        "setrange" => format!("{name} {a} {soon} {value}"),
        "mset" | "msetnx" => format!("{name} {a} {value} {b} {number}"),
        "mincrby" => format!("{name} {a} {number} {b} 1 {a} 2"),
        "del" | "unlink" => format!("{name} {a} {b}"),
        "expire" => format!("{name} {a} 1"),
        "pexpire" => format!("{name} {a} {soon}"),
        "expireat" => format!("{name} {a} 1700000001"),
        "pexpireat" => format!("{name} {a} 1700000000500"),
        "rename" | "renamenx" => format!("{name} {a} {b}"),
        "copy" => format!("{name} {a} {b} REPLACE"),
        "hset" | "hmset" => format!("{name} {a} {field} {value} other {number}"),
        "hsetnx" | "hgetset" => format!("{name} {a} {field} {value}"),
        "hdel" => format!("{name} {a} {field} other"),
        "hgetdel" => format!("{name} {a} FIELDS 2 {field} other"),
        "hincrby" => format!("{name} {a} {field} {number}"),
        "hincrbyfloat" => format!("{name} {a} {field} 0.25"),
        "hmincrby" => format!("{name} {a} {field} {number} other 1"),
        "hincrex" => format!("{name} {a} {field} BYINT {number} UBOUND 500 SATURATE"),
        "cl.throttle" => format!("{name} {a} 5 10 1"),
        "wincrby" => format!("{name} {a} {number} WINDOW 100 BUCKETS 4"),
        "flushall" | "flushdb" => {
            if random.below(40) == 0 {
                name.to_owned()
            } else {
                format!("INCR {a}")
            }
        }
        other => panic!("{other}: a command that writes and has no request here"),
    }
}

/// All keys with their values as commands show them, and all tokens.
fn contents(table: &Table) -> (Vec<String>, Vec<String>) {
    let (mut keys, mut tokens) = (Vec::new(), Vec::new());
    table.for_each(&mut |key, value, deadline| {
        let key = String::from_utf8_lossy(key);
        let value = match value {
            Value::Hash(fields) => {
                let mut all = Vec::new();
                fields.for_each(&mut |field, value| all.push(format!("{field:?}={value:?}")));
                all.sort_unstable();
                format!("{all:?}")
            }
            Value::Window(window) => {
                format!("{:?} {:?}", window.shape(), window.entries().collect::<Vec<_>>())
            }
            other => format!("{other:?}"),
        };
        keys.push(format!("{key} {value} {deadline:?}"));
    });
    table.for_each_token(&mut |key, token, Used { fingerprint, value, deadline }| {
        tokens.push(format!("{key:?} {token:?} {fingerprint} {value} {deadline}"));
    });
    keys.sort_unstable();
    tokens.sort_unstable();
    (keys, tokens)
}

#[test]
fn effects_of_every_writing_command_give_the_same_table_again() {
    let seed = 0x7a11_0000_0003;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let mut server = Server::new();
    server.effects.mirror = Some(Table::with_seed(99));
    let same = |server: &Server, request: &str| {
        let mirror = server.effects.mirror.as_ref().expect("it was set above");
        assert_eq!(contents(&server.table), contents(mirror), "after {request}");
    };
    let writes: Vec<&str> =
        visible().filter(|command| command.flags.has(Flags::WRITE)).map(|command| command.name).collect();
    let mut changed: Vec<&str> = Vec::new();
    for step in 0..40_000 {
        let name = writes[random.below(writes.len())];
        let request = request(name, &mut random);
        let reply = server.ask(&request);
        if !reply.starts_with('-') && !changed.contains(&name) {
            changed.push(name);
        }
        server.now_ms += [0, 0, 0, 1, 30][random.below(5)];
        if step % 500 == 0 {
            same(&server, &request);
        }
    }
    same(&server, "all");
    changed.sort_unstable();
    let mut all = writes;
    all.sort_unstable();
    assert_eq!(changed, all, "each of them succeeded at least once");
}
