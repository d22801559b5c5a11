//! The format of recorded cases: what to send, how, and what may come back. Sends nothing itself.

use std::collections::BTreeMap;

use serde_json::Value;

/// Inputs longer than this are cut at `LONG_CUTS` places instead of at every byte.
const EVERY_CUT: usize = 400;
const LONG_CUTS: usize = 40;

/// Inputs up to this length are also sent byte by byte.
const BYTE_BY_BYTE: usize = 400;

/// Every field of the format. Another one is refused: it would be left out of the test silently.
const FIELDS: [&str; 17] = [
    "id",
    "group",
    "title",
    "config",
    "setup",
    "hold",
    "send",
    "fin",
    "read",
    "match",
    "expect",
    "expect_any",
    "conn",
    "probe",
    "then",
    "rss_max_kb",
    "comment",
];

/// One recorded case.
pub(super) struct Case {
    pub(super) id: String,
    pub(super) title: String,
    /// Directives that its server needs.
    pub(super) config: BTreeMap<String, String>,
    /// Commands run first, behind a `FLUSHALL`.
    pub(super) setup: Option<Vec<Vec<String>>>,
    /// Connections that are open meanwhile.
    pub(super) hold: usize,
    pub(super) send: Vec<u8>,
    /// Whether the client ends its stream after that.
    pub(super) fin: bool,
    /// Whether the client reads at all.
    pub(super) read: bool,
    /// At least one; the first is what Redis does.
    pub(super) outcomes: Vec<Outcome>,
    pub(super) probe: Option<Vec<u8>>,
    pub(super) then: Option<(Vec<String>, Vec<u8>)>,
    pub(super) rss_max_kb: Option<u64>,
}

/// One acceptable outcome.
pub(super) struct Outcome {
    pub(super) reply: Vec<u8>,
    /// The reply may go on after `reply`.
    prefix: bool,
    pub(super) open: bool,
}

impl Outcome {
    fn read(value: &Value) -> Self {
        Self {
            reply: bytes(&value["expect"]),
            prefix: match value["match"].as_str() {
                Some("exact") => false,
                Some("prefix") => true,
                other => panic!("match is exact or prefix here, not {other:?}"),
            },
            open: match value["conn"].as_str() {
                Some("open") => true,
                Some("closed") => false,
                other => panic!("conn is open or closed, not {other:?}"),
            },
        }
    }

    pub(super) fn fits(&self, got: &[u8], open: bool) -> bool {
        self.open == open && if self.prefix { got.starts_with(&self.reply) } else { got == self.reply }
    }

    /// Whether nothing more needs to be waited for, since a probe will show what follows.
    pub(super) fn is_whole(&self, got: &[u8]) -> bool {
        self.open && !got.is_empty() && self.fits(got, true) && (!self.prefix || got.ends_with(b"\r\n"))
    }

    /// Whether more bytes, or the connection's close, could still make it fit.
    pub(super) fn may_follow(&self, got: &[u8]) -> bool {
        self.reply.starts_with(got) || (self.prefix && got.starts_with(&self.reply))
    }

    /// Whether it is that nothing comes.
    pub(super) fn is_silence(&self) -> bool {
        self.open && self.reply.is_empty()
    }
}

impl Case {
    pub(super) fn read(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).expect("each line is a JSON object");
        let fields = value.as_object().expect("each line is a JSON object");
        if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            panic!("this runner does not know the field {unknown} of {}", value["id"]);
        }
        let texts = |list: &Value| -> Vec<String> {
            let list = list.as_array().expect("a command is a list");
            list.iter().map(|text| text.as_str().expect("arguments are strings").to_owned()).collect()
        };
        let outcomes = match value.get("expect_any") {
            Some(any) => any.as_array().expect("expect_any is a list").iter().map(Outcome::read).collect(),
            None => vec![Outcome::read(&value)],
        };
        assert!(!outcomes.is_empty(), "{} expects something", value["id"]);
        let config = value.get("config").and_then(Value::as_object).into_iter().flatten();
        Self {
            id: value["id"].as_str().expect("a case has an id").to_owned(),
            title: value["title"].as_str().expect("a case has a title").to_owned(),
            config: config
                .map(|(name, to)| (name.clone(), to.as_str().expect("values are strings").to_owned()))
                .collect(),
            setup: value.get("setup").and_then(Value::as_array).map(|list| list.iter().map(texts).collect()),
            hold: value["hold"].as_u64().map_or(0, |count| usize::try_from(count).expect("it is small")),
            send: bytes(&value["send"]),
            fin: value["fin"] == true,
            read: value["read"] != false,
            outcomes,
            probe: match value.get("probe") {
                None => Some(b"+PONG\r\n".to_vec()),
                Some(Value::Null) => None,
                Some(reply) => Some(bytes(reply)),
            },
            then: value.get("then").map(|then| (texts(&then[0]), bytes(&then[1]))),
            rss_max_kb: value["rss_max_kb"].as_u64(),
        }
    }

    /// The ways in which the input is sent, each with the same outcome.
    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        let length = self.send.len();
        let mut all = vec![Delivery::Whole];
        if !self.read {
            return all;
        }
        let step = if length > EVERY_CUT { length.div_ceil(LONG_CUTS) } else { 1 };
        all.extend((1..length).step_by(step).map(Delivery::CutAt));
        if (2..=BYTE_BY_BYTE).contains(&length) {
            all.push(Delivery::ByteByByte);
        }
        all
    }

    /// Whether deliveries share nothing, so that all of them can be under way at once.
    pub(super) fn stands_alone(&self) -> bool {
        self.setup.is_none() && self.then.is_none() && self.hold == 0 && self.read
    }

    /// Whether a `PING` follows a reply after which the connection is open.
    pub(super) fn is_probed(&self) -> bool {
        self.probe.is_some() && !self.fin
    }

    /// The server's password.
    pub(super) fn password(&self) -> Option<&str> {
        self.config.get("requirepass").map(String::as_str)
    }

    /// The directives as flags.
    pub(super) fn flags(&self) -> Vec<String> {
        let flags = self.config.iter().flat_map(|(name, value)| {
            std::iter::once(format!("--{name}")).chain(value.split(' ').map(str::to_owned))
        });
        flags.collect()
    }
}

/// How the input of a case is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Delivery {
    Whole,
    CutAt(usize),
    ByteByByte,
}

/// Bytes of the format: a string of Latin-1 characters, or a list of such strings and of repeated ones.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text
            .chars()
            .map(|one| u8::try_from(u32::from(one)).expect("each character is one byte"))
            .collect(),
        Value::Array(pieces) => pieces.iter().flat_map(bytes).collect(),
        Value::Object(piece) => {
            let count = piece["repeat"][1].as_u64().expect("a repetition has a count");
            bytes(&piece["repeat"][0]).repeat(usize::try_from(count).expect("counts fit memory"))
        }
        other => panic!("{other} stands for no bytes"),
    }
}
