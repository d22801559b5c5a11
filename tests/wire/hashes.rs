//! Hashes: fields set, counted and removed over the wire.

use crate::server::{Engine, Server};

on_every_engine![fields_are_counted, hashes_and_strings_do_not_mix, hashes_are_maps_in_the_third_version,];

fn fields_are_counted(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> HINCRBY page views 1
         < :1
         > HINCRBY page views 41
         < :42
         > HSET page title home views 43
         < :1
         > HGET page views
         < $2
         < 43
         > HINCRBY page title 1
         < -ERR hash value is not an integer
         > HINCRBYFLOAT page load 0.25
         < $4
         < 0.25
         > HMGET page title nothing
         < *2
         < $4
         < home
         < $-1
         > HDEL page views title load
         < :3
         > EXISTS page
         < :0",
    );
}

fn hashes_and_strings_do_not_mix(engine: Engine) {
    let server = Server::start(engine);
    server.connect().talk(
        "> HSET h f 1
         < :1
         > SET s 1
         < +OK
         > INCR h
         < -WRONGTYPE Operation against a key holding the wrong kind of value
         > HGET s f
         < -WRONGTYPE Operation against a key holding the wrong kind of value
         > MGET h s
         < *2
         < $-1
         < $1
         < 1
         > TYPE h
         < +hash
         > SET h 1
         < +OK
         > TYPE h
         < +string",
    );
}

fn hashes_are_maps_in_the_third_version(engine: Engine) {
    let server = Server::start(engine);
    let mut client = server.connect();
    crate::session::hello(&mut client, &["HELLO", "3"]);
    client.talk(
        "> HSET h f 1
         < :1
         > HGETALL h
         < %1
         < $1
         < f
         < $1
         < 1
         > HGETALL nothing
         < %0
         > HGET h nothing
         < _
         > HRANDFIELD h 1 WITHVALUES
         < *1
         < *2
         < $1
         < f
         < $1
         < 1",
    );
}
