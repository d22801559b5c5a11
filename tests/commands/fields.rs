//! Hashes: their effects, their bounds, and what they hold against a plain map.

use std::collections::BTreeMap;

use tallyring::limits::KEY_BYTES;

use super::server::{Random, Server, shown};

#[test]
fn several_fields_are_one_group_of_effects() {
    let mut server = Server::new();
    server.ask("HSET h a 1");
    assert_eq!(server.effects.groups, []);
    assert_eq!(server.run(&["HSET", "h", "a", "2", "b", "3"]).wait, 3);
    assert_eq!(server.run(&["HMINCRBY", "h", "a", "1", "b", "1"]).wait, 5);
    assert_eq!(server.run(&["HDEL", "h", "a", "b"]).wait, 7);
    assert_eq!(server.effects.groups, [(1, 3), (3, 5), (5, 7)]);
    for request in ["MULTI", "HMSET h a 1 b 2", "HGETDEL h FIELDS 2 a b"] {
        server.ask(request);
    }
    assert_eq!(server.run(&["EXEC"]).wait, 11);
    assert_eq!(server.effects.groups.last(), Some(&(7, 11)), "they are part of the transaction's");
}

#[test]
fn long_fields_are_refused_before_anything_changes() {
    let longer = vec![b'f'; KEY_BYTES + 1];
    let refused = format!("-ERR field is too long ({} bytes, at most {KEY_BYTES})\\r\\n", KEY_BYTES + 1);
    let mut server = Server::new();
    let requests: &[&[&[u8]]] = &[
        &[b"HSET", b"h", b"f", b"1", &longer, b"2"],
        &[b"HSETNX", b"h", &longer, b"2"],
        &[b"HINCRBY", b"h", &longer, b"2"],
        &[b"HINCRBYFLOAT", b"h", &longer, b"2"],
        &[b"HMINCRBY", b"h", b"f", b"1", &longer, b"2"],
        &[b"HINCREX", b"h", &longer],
        &[b"HGETSET", b"h", &longer, b"2"],
    ];
    for request in requests {
        assert_eq!(shown(&server.run(request).reply), refused);
    }
    assert_eq!(server.ask("EXISTS h"), ":0\\r\\n");
    assert_eq!(
        server.run(&[&b"HSET"[..], b"h", &longer[1..], &longer]).reply,
        b":1\r\n",
        "values may be longer"
    );
    assert_eq!(server.run(&[&b"HGET"[..], b"h", &longer]).reply, b"$-1\r\n");
}

/// Hashes of all sizes, through rows, maps and large ones, against a plain map.
#[test]
fn hashes_agree_with_a_model() {
    let mut random = Random(0x5eed_0003);
    let mut server = Server::new();
    for size in [1, 3, 20, 127, 128, 129, 600, 3000] {
        let mut model: BTreeMap<String, String> = BTreeMap::new();
        server.ask("DEL h");
        for _ in 0..size * 2 {
            let field = format!("f{}", random.below(size));
            let number = random.below(1000).to_string();
            match random.below(8) {
                0 => {
                    let removed = usize::from(model.remove(&field).is_some());
                    assert_eq!(server.ask(&format!("HDEL h {field}")), format!(":{removed}\\r\\n"));
                }
                1 => {
                    let text = "t".repeat(random.below(if size < 100 { 60 } else { 80 }) + 1);
                    server.ask(&format!("HSET h {field} {text}"));
                    model.insert(field, text);
                }
                2 => {
                    let new = usize::from(model.insert(field.clone(), number.clone()).is_none());
                    assert_eq!(server.ask(&format!("HSET h {field} {number}")), format!(":{new}\\r\\n"));
                }
                _ => {
                    let before = model.get(&field).map_or(Ok(0), |text| text.parse::<i64>());
                    let expected = match before {
                        Ok(before) => {
                            let sum = before + number.parse::<i64>().unwrap();
                            model.insert(field.clone(), sum.to_string());
                            format!(":{sum}\\r\\n")
                        }
                        Err(_) => "-ERR hash value is not an integer\\r\\n".to_owned(),
                    };
                    assert_eq!(server.ask(&format!("HINCRBY h {field} {number}")), expected);
                }
            }
        }
        assert_eq!(server.ask("HLEN h"), format!(":{}\\r\\n", model.len()));
        let pairs = |reply: &[u8]| -> BTreeMap<String, String> {
            let text = String::from_utf8(reply.to_vec()).unwrap();
            let words: Vec<&str> =
                text.split("\r\n").filter(|w| !w.starts_with(['$', '*']) && !w.is_empty()).collect();
            assert!(words.len().is_multiple_of(2));
            words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect()
        };
        assert_eq!(pairs(&server.run(&["HGETALL", "h"]).reply), model);
        // Part by part, all of them; and as many different ones as there are, or fewer.
        let (mut cursor, mut scanned) = ("0".to_owned(), BTreeMap::new());
        loop {
            let reply = String::from_utf8(server.run(&["HSCAN", "h", &cursor, "COUNT", "7"]).reply).unwrap();
            let (head, rest) = reply.split_at(reply.match_indices("\r\n").nth(2).unwrap().0 + 2);
            cursor = head.split("\r\n").nth(2).unwrap().to_owned();
            scanned.extend(pairs(rest.as_bytes()));
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(scanned, model);
        for count in [1, 2, model.len() / 3, model.len() / 2, model.len(), model.len() + 5] {
            let reply = server.run(&["HRANDFIELD", "h", &count.to_string(), "WITHVALUES"]).reply;
            let chosen = pairs(&reply);
            assert_eq!(chosen.len(), count.min(model.len()), "different ones");
            assert!(chosen.iter().all(|(field, value)| model.get(field) == Some(value)));
        }
        let reply = server.run(&["HRANDFIELD", "h", "-50"]).reply;
        assert!(model.is_empty() || reply.starts_with(b"*50\r\n"));
    }
}
