//! What commands want of the world: connections that are listed and closed, pauses, the end of the server.

use tallyring::command::Outcome;
use tallyring::command::client_list::{Question, QuestionKind};
use tallyring::command::save::{Begun, Busy, Wish};
use tallyring::resp::encode::{Encoder, Protocol};

use super::server::{BLOCK, Collected, Server, arguments, client, shown};

#[test]
fn outcomes_end_connections() {
    let mut server = Server::new();
    assert!(matches!(server.run(&["PING"]).outcome, Some(Outcome::Done)));
    let quit = server.run(&["QUIT", "whatever"]);
    assert!(matches!(quit.outcome, Some(Outcome::Close)));
    assert_eq!(quit.reply, b"+OK\r\n");
    server.session.authenticated = false;
    for request in [vec!["POST", "/", "HTTP/1.1"], vec!["post"], vec!["Host:", "localhost"], vec!["HOST:"]] {
        let answer = server.run(&request);
        assert!(matches!(answer.outcome, Some(Outcome::Drop)) && answer.reply.is_empty(), "{request:?}");
    }
}

fn question(request: &str) -> Question {
    match Server::new().run(&arguments(request)).outcome {
        Some(Outcome::Pending(question)) => question,
        outcome => panic!("{request}: {outcome:?}"),
    }
}

fn answer(question: &Question, matched: u64, lines: &[u8], protocol: Protocol) -> String {
    let mut block = Vec::with_capacity(BLOCK);
    let mut spilled = Collected::default();
    question.answer(matched, lines, &mut Encoder::new(&mut block, &mut spilled, protocol));
    spilled.0.append(&mut block);
    shown(&spilled.0)
}

#[test]
fn client_list_asks_all_workers() {
    // The session is connection 7; connection n comes from port 50000 + n.
    for (request, ids) in [
        ("CLIENT LIST", &[6, 7, 8][..]),
        ("CLIENT LIST TYPE normal", &[6, 7, 8]),
        ("CLIENT LIST TYPE PUBSUB", &[]),
        ("CLIENT LIST TYPE slave", &[]),
        ("CLIENT LIST ID 8 6 99 -1", &[6, 8]),
    ] {
        let question = question(request);
        assert_eq!(question.kind, QuestionKind::List);
        let matched: Vec<u64> = (6..9).filter(|&id| question.filter.matches(&client(id, b""))).collect();
        assert_eq!(matched, ids, "{request}");
    }
    let list = question("CLIENT LIST");
    assert_eq!(answer(&list, 2, b"id=1\nid=2\n", Protocol::Resp2), "$10\\r\\nid=1\\nid=2\\n\\r\\n");
    assert_eq!(answer(&list, 2, b"id=1\nid=2\n", Protocol::Resp3), "=14\\r\\ntxt:id=1\\nid=2\\n\\r\\n");
    assert_eq!(answer(&list, 0, b"", Protocol::Resp2), "$0\\r\\n\\r\\n");
}

#[test]
fn client_kill_asks_all_workers() {
    for (request, old_form, ids) in [
        ("CLIENT KILL 127.0.0.1:50007", true, &[7][..]),
        ("CLIENT KILL 127.0.0.1:1", true, &[]),
        ("CLIENT KILL ID", true, &[]),
        ("CLIENT KILL ID 8", false, &[8]),
        ("CLIENT KILL ID 7", false, &[]),
        ("CLIENT KILL ID 7 SKIPME no", false, &[7]),
        ("CLIENT KILL TYPE normal", false, &[6, 8]),
        ("CLIENT KILL TYPE normal SKIPME NO", false, &[6, 7, 8]),
        ("CLIENT KILL TYPE pubsub SKIPME no", false, &[]),
        ("CLIENT KILL ADDR 127.0.0.1:50006", false, &[6]),
        ("CLIENT KILL LADDR 127.0.0.1:6379 skipme yes", false, &[6, 8]),
        ("CLIENT KILL USER default ID 6", false, &[6]),
    ] {
        let question = question(request);
        assert_eq!(question.kind, QuestionKind::Kill { old_form }, "{request}");
        let matched: Vec<u64> = (6..9).filter(|&id| question.filter.matches(&client(id, b""))).collect();
        assert_eq!(matched, ids, "{request}");
    }
    let (old, new) = (question("CLIENT KILL 127.0.0.1:50007"), question("CLIENT KILL ID 8"));
    assert_eq!(answer(&old, 1, b"", Protocol::Resp2), "+OK\\r\\n");
    assert_eq!(answer(&old, 0, b"", Protocol::Resp2), "-ERR No such client\\r\\n");
    assert_eq!(answer(&new, 2, b"", Protocol::Resp2), ":2\\r\\n");
    assert_eq!(answer(&new, 0, b"", Protocol::Resp2), ":0\\r\\n");
}

#[test]
fn hosts_are_asked() {
    let mut server = Server::new();
    assert_eq!(server.ask("CLIENT PAUSE 1500"), "+OK\\r\\n");
    assert_eq!(server.host.pause, Some((1500, true)));
    server.ask("CLIENT PAUSE 9223372036854775807 write");
    assert_eq!(server.host.pause, Some((u64::MAX >> 1, false)));
    server.ask("CLIENT UNPAUSE");
    assert_eq!(server.host.pause, None);
    server.host.may_debug = true;
    assert_eq!(server.ask("DEBUG SLEEP 0.25"), "+OK\\r\\n");
    assert_eq!(server.host.slept, 0.25);
    for request in ["DEBUG SLEEP x", "DEBUG SLEEP -1", "DEBUG SLEEP 1e9", "DEBUG SLEEP nan", "DEBUG JMAP"] {
        assert!(server.ask(request).starts_with("-ERR "), "{request}");
    }
    assert_eq!(server.host.slept, 0.25);
    assert_eq!((server.ask("SHUTDOWN NOSAVE now force"), server.host.ended), (String::new(), true));
    assert_eq!(server.host.save_at_end, Some(Some(false)));
    assert_eq!(server.ask("LASTSAVE"), ":0\\r\\n");
    assert_eq!(server.ask("BGSAVE"), "+Background saving started\\r\\n");
    assert_eq!(server.ask("BGREWRITEAOF"), "+Background append only file rewriting started\\r\\n");
    server.host.saves = Ok(Begun::Scheduled);
    assert_eq!(server.ask("BGSAVE schedule"), "+Background saving scheduled\\r\\n");
    assert_eq!(server.ask("BGSAVE x"), "-ERR syntax error\\r\\n");
    server.host.saves = Err(Busy::Saving);
    assert_eq!(server.ask("BGSAVE"), "-ERR Background save already in progress\\r\\n");
    assert_eq!(server.host.wishes, [Wish::Begin, Wish::Rewrite, Wish::BeginOrLater, Wish::Begin]);
    server.host.saves = Ok(Begun::Number(3));
    assert!(matches!(server.run(&["SAVE"]).outcome, Some(Outcome::Saved(3))));
    assert_eq!(server.ask("CONFIG RESETSTAT"), "+OK\\r\\n");
    assert_eq!(server.host.resets, 1);
    server.ask("CLIENT SETNAME web");
    let line = server.ask("CLIENT INFO");
    assert!(line.contains("id=7 addr=127.0.0.1:50007") && line.contains(" name=web "), "{line}");
}
