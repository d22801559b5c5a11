//! Great words: counts and lengths that are declared and not sent. Nothing is taken for what is declared.

use super::{memory, number, own_block, served};
use crate::client::Client;
use crate::server::{Engine, Server, wait_until};

on_every_engine![a_thousand_great_words];

const CROWD: usize = 1000;

/// Bytes of memory for a connection with a header that waits: see the ten thousand.
const EACH: usize = 1024;

fn a_thousand_great_words(engine: Engine) {
    let server = Server::with_flags(engine, &[]);
    let mut witness = server.connect();
    witness.ask(&["PING"], "+PONG\r\n");
    let count = served(engine, CROWD);
    for words in [
        "*1048576\r\n",
        "*1048576\r\n$1048576\r\n",
        "*1048576\r\n$4\r\nMGET\r\n$1048576\r\n",
        // Requests in parts may have any number of arguments, of which these have none.
        "*2147483647\r\n$7\r\nMINCRBY\r\n$1\r\nk\r\n$1048576\r\n",
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\nv",
    ] {
        let before = memory(&server);
        let received = number(&mut witness, "total_net_input_bytes");
        let mut crowd: Vec<Client> = (0..count).map(|_| server.connect()).collect();
        crowd.iter_mut().for_each(|client| client.send(words));
        wait_until("the server has heard all of them", || {
            number(&mut witness, "total_net_input_bytes") >= received + (count * words.len()) as u64
        });
        let grown = memory(&server).saturating_sub(before) * 1024;
        assert!(
            grown < (count * (EACH + own_block(engine) + 2 * words.len())) as u64,
            "{} bytes for each that said {words:?}",
            grown / count as u64
        );
        witness.ask(&["PING"], "+PONG\r\n");
        drop(crowd);
        wait_until("they are gone", || number(&mut witness, "connected_clients") == 1);
    }
}
