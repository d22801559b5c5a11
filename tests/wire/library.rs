//! A client library of everyday use, with its own idea of framing and types: the `redis` crate.

use redis::{Commands, Connection, ErrorKind, ExistenceCheck, RedisResult, SetExpiry, SetOptions, Value};

use crate::server::{Engine, Server};

on_every_engine![typed_replies, pipelines, set_with_options, resp3_values, errors_have_kinds];

/// A connection of the library, in RESP2 or RESP3.
fn connect(server: &Server, protocol: &str) -> Connection {
    let url = format!("redis://{}/?protocol={protocol}", server.addr());
    let client = redis::Client::open(url).expect("the address is well formed");
    client.get_connection().expect("the library connects and introduces itself")
}

fn typed_replies(engine: Engine) {
    let server = Server::start(engine);
    for protocol in ["resp2", "resp3"] {
        let mut connection = connect(&server, protocol);
        let run = |connection: &mut Connection| -> RedisResult<()> {
            let () = redis::cmd("FLUSHALL").query(connection)?;
            assert_eq!(connection.incr::<_, _, i64>("n", 5)?, 5);
            assert_eq!(connection.decr::<_, _, i64>("n", 7)?, -2);
            assert_eq!(connection.get::<_, i64>("n")?, -2);
            assert_eq!(connection.get::<_, Option<String>>("nothing")?, None);
            let () = connection.mset(&[("a", "1"), ("b", "two")])?;
            assert_eq!(
                connection.mget::<_, Vec<Option<String>>>(&["a", "b", "c"])?,
                [Some("1".to_owned()), Some("two".to_owned()), None]
            );
            assert!(connection.exists::<_, bool>("a")?);
            assert_eq!(connection.del::<_, usize>(&["a", "b", "c"])?, 2);
            assert!(connection.expire::<_, bool>("n", 100)?);
            assert!((99..=100).contains(&connection.ttl::<_, i64>("n")?));
            assert!(connection.persist::<_, bool>("n")?);
            assert_eq!(redis::cmd("PING").query::<String>(connection)?, "PONG");
            Ok(())
        };
        run(&mut connection).unwrap_or_else(|error| panic!("{protocol}: {error}"));
    }
}

fn pipelines(engine: Engine) {
    let server = Server::start(engine);
    let mut connection = connect(&server, "resp3");
    let mut pipeline = redis::pipe();
    for n in 0..1000 {
        pipeline.incr("n", 1).set(format!("key:{n}"), n).ignore().get(format!("key:{n}"));
    }
    let replies: Vec<i64> =
        pipeline.query(&mut connection).expect("a pipeline of 3,000 commands is answered");
    let expected: Vec<i64> = (0..1000).flat_map(|n| [n + 1, n]).collect();
    assert_eq!(replies, expected);
}

fn set_with_options(engine: Engine) {
    let server = Server::start(engine);
    let mut connection = connect(&server, "resp2");
    let options = SetOptions::default()
        .conditional_set(ExistenceCheck::NX)
        .get(true)
        .with_expiration(SetExpiry::EX(100));
    let old: Option<String> =
        connection.set_options("k", "first", options.clone()).expect("SET NX GET EX is understood");
    assert_eq!(old, None);
    let old: Option<String> =
        connection.set_options("k", "second", options).expect("SET NX GET EX is understood");
    assert_eq!(old.as_deref(), Some("first"));
    let left: i64 = connection.ttl("k").expect("TTL is understood");
    assert!((99..=100).contains(&left));
}

fn resp3_values(engine: Engine) {
    let server = Server::start(engine);
    let mut connection = connect(&server, "resp3");
    let nothing: Value = redis::cmd("GET").arg("nothing").query(&mut connection).expect("GET is understood");
    assert_eq!(nothing, Value::Nil);
    let config: Value =
        redis::cmd("CONFIG").arg("GET").arg("appendfsync").query(&mut connection).expect("a map");
    let expected = (Value::BulkString(b"appendfsync".to_vec()), Value::BulkString(b"everysec".to_vec()));
    assert_eq!(config, Value::Map(vec![expected]));
    let info: String = redis::cmd("INFO").query(&mut connection).expect("INFO is text in RESP3 too");
    assert!(info.contains("redis_version:"));
}

fn errors_have_kinds(engine: Engine) {
    let server = Server::start(engine);
    let mut connection = connect(&server, "resp2");
    let () = connection.set("text", "abc").expect("SET is understood");
    let error = connection.incr::<_, _, i64>("text", 1).expect_err("text is not counted");
    assert_eq!(error.kind(), ErrorKind::Server(redis::ServerErrorKind::ResponseError));
    assert_eq!(connection.get::<_, String>("text").expect("the connection goes on"), "abc");
}
