//! Requests that are sent again: what was applied, and what was answered, against a model that remembers every token.

use std::collections::BTreeMap;

use super::server::{Random, Server};

/// A counter or a text.
#[derive(Clone, Debug)]
enum Held {
    Number(i64),
    Text,
}

/// When a token is forgotten, the arguments with which it was used, what the first use answered.
type Use = (u64, String, i64);

#[derive(Debug, Default)]
struct Model {
    keys: BTreeMap<String, (Held, Option<u64>)>,
    /// By key, `None` for those of the server, and token.
    tokens: BTreeMap<(Option<String>, String), Use>,
}

impl Model {
    fn add(&mut self, key: &str, delta: i64, now: u64) -> Result<i64, &'static str> {
        self.keys.retain(|_, (_, deadline)| deadline.is_none_or(|at| at > now));
        let (held, _) = self.keys.entry(key.to_owned()).or_insert((Held::Number(0), None));
        match held {
            Held::Text => Err("-ERR value is not an integer or out of range\\r\\n"),
            Held::Number(number) => {
                *number =
                    number.checked_add(delta).ok_or("-ERR increment or decrement would overflow\\r\\n")?;
                Ok(*number)
            }
        }
    }

    /// The reply to a request with a token: its first use's answer, or what `first` says, which is remembered.
    fn once(
        &mut self,
        (key, token): (Option<&str>, &str),
        (arguments, window, now): (String, u64, u64),
        first: impl FnOnce(&mut Self) -> Result<i64, &'static str>,
    ) -> Result<(i64, bool), &'static str> {
        let name = (key.map(str::to_owned), token.to_owned());
        if let Some((deadline, used, value)) = self.tokens.get(&name)
            && *deadline > now
        {
            let same = *used == arguments;
            return if same {
                Ok((*value, false))
            } else {
                Err("-ERR the token was used with other arguments\\r\\n")
            };
        }
        let value = first(self)?;
        self.tokens.insert(name, (now + window, arguments, value));
        Ok((value, true))
    }
}

fn shown(done: Result<(i64, bool), &'static str>) -> String {
    match done {
        Ok((value, applied)) => format!("*2\\r\\n:{value}\\r\\n:{}\\r\\n", i64::from(applied)),
        Err(text) => text.to_owned(),
    }
}

/// One increment under a token of its key.
fn increment(server: &mut Server, model: &mut Model, random: &mut Random) {
    let (key, token) = (format!("n:{}", random.below(3)), format!("t{}", random.below(4)));
    let delta = if random.below(30) == 0 { i64::MAX } else { [1, 2][random.below(2)] };
    let (option, window) = [("", 600_000), (" PX 50", 50), (" EX 1", 1000)][random.below(3)];
    let now = server.now_ms;
    let reply = server.ask(&format!("INCRONCE {key} {delta} {token}{option}"));
    let expected = model.once((Some(&key), &token), (format!("{delta} {window}"), window, now), |model| {
        model.add(&key, delta, now)
    });
    assert_eq!(reply, shown(expected), "INCRONCE {key} {delta} {token}{option}");
}

/// A batch under a token of the server.
fn batch(server: &mut Server, model: &mut Model, random: &mut Random) {
    let (token, window) = (format!("t{}", random.below(4)), [50, 1000][random.below(2)]);
    let pairs: Vec<(String, i64)> = (0..1 + random.below(4))
        .map(|_| (format!("n:{}", random.below(3)), [-4, -1, 0, 2, 3][random.below(5)]))
        .collect();
    let arguments: String = pairs.iter().map(|(key, delta)| format!(" {key} {delta}")).collect();
    let now = server.now_ms;
    let reply = server.ask(&format!("MINCRONCE {token} {window}{arguments}"));
    let mut values = Vec::new();
    let done = model.once((None, &token), (format!("{window}{arguments}"), window, now), |model| {
        // On a copy: all of them, or none.
        let mut tried = model.keys.clone();
        std::mem::swap(&mut tried, &mut model.keys);
        for (key, delta) in &pairs {
            match model.add(key, *delta, now) {
                Ok(value) => values.push(format!(":{value}\\r\\n")),
                Err(text) => {
                    model.keys = tried;
                    return Err(text);
                }
            }
        }
        Ok(0)
    });
    let expected = match done {
        Err(text) => text.to_owned(),
        Ok((_, applied)) => {
            if !applied {
                model.keys.retain(|_, (_, deadline)| deadline.is_none_or(|at| at > now));
                values = pairs
                    .iter()
                    .map(|(key, _)| match model.keys.get(key) {
                        Some((Held::Number(number), _)) => format!(":{number}\\r\\n"),
                        Some((Held::Text, _)) | None => "$-1\\r\\n".to_owned(),
                    })
                    .collect();
            }
            let applied = i64::from(applied);
            format!("*2\\r\\n:{applied}\\r\\n*{}\\r\\n{}", pairs.len(), values.concat())
        }
    };
    assert_eq!(reply, expected, "MINCRONCE {token} {window}{arguments}");
}

/// Something else happens to a key.
fn disturb(server: &mut Server, model: &mut Model, random: &mut Random) {
    let (key, other) = (format!("n:{}", random.below(3)), format!("n:{}", random.below(3)));
    let now = server.now_ms;
    model.keys.retain(|_, (_, deadline)| deadline.is_none_or(|at| at > now));
    match random.below(6) {
        0 => {
            server.ask(&format!("DEL {key}"));
            model.keys.remove(&key);
        }
        1 => {
            server.ask(&format!("SET {key} text"));
            model.keys.insert(key, (Held::Text, None));
        }
        2 => {
            server.ask(&format!("PEXPIRE {key} 20"));
            model.keys.entry(key).and_modify(|(_, deadline)| *deadline = Some(now + 20));
        }
        3 => {
            server.ask(&format!("RENAME {key} {other}"));
            if let Some(held) = model.keys.remove(&key) {
                model.keys.insert(other, held);
            }
        }
        4 if random.below(20) == 0 => {
            server.ask("FLUSHALL");
            *model = Model::default();
        }
        _ => server.now_ms += random.below(30) as u64,
    }
}

#[test]
fn tokens_agree_with_a_model() {
    let seed = 0x7a11_0000_0002;
    println!("seed {seed:#x}");
    let mut random = Random(seed);
    let mut server = Server::new();
    let mut model = Model::default();
    for step in 0..30_000 {
        // Now and then a few of them in a transaction, whose replies are looked at one by one.
        match random.below(8) {
            0..4 => increment(&mut server, &mut model, &mut random),
            4..6 => batch(&mut server, &mut model, &mut random),
            _ => disturb(&mut server, &mut model, &mut random),
        }
        if step % 100 == 0 {
            let now = server.now_ms;
            model.keys.retain(|_, (_, deadline)| deadline.is_none_or(|at| at > now));
            for n in 0..3 {
                let expected = match model.keys.get(&format!("n:{n}")) {
                    None => "$-1\\r\\n".to_owned(),
                    Some((Held::Text, _)) => "$4\\r\\ntext\\r\\n".to_owned(),
                    Some((Held::Number(number), _)) => {
                        let digits = number.to_string();
                        format!("${}\\r\\n{digits}\\r\\n", digits.len())
                    }
                };
                assert_eq!(server.ask(&format!("GET n:{n}")), expected);
            }
        }
    }
}
