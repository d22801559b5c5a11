//! Connections as `CLIENT LIST` and `CLIENT KILL` see them: the facts of one, the filter that picks some, the
//! question that goes round all workers, and its answer. Knows no worker and no connection.

use std::io::Write;

use crate::resp::encode::{Encoder, Protocol};

/// What a line of `CLIENT LIST` tells of a connection. Fields of features that are not there have their idle
/// values in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFacts {
    /// The connection's number.
    pub id: u64,
    /// Address and port of the client.
    pub addr: String,
    /// Address and port it is connected to.
    pub laddr: String,
    /// Its file descriptor.
    pub fd: i32,
    /// `CLIENT SETNAME`
    pub name: Vec<u8>,
    /// Seconds since it was accepted.
    pub age_s: u64,
    /// Seconds since its last request.
    pub idle_s: u64,
    /// `CLIENT NO-EVICT ON`
    pub no_evict: bool,
    /// `CLIENT NO-TOUCH ON`
    pub no_touch: bool,
    /// It monitors.
    pub monitors: bool,
    /// Requests queued since `MULTI`, and their bytes.
    pub queued: Option<(usize, usize)>,
    /// It is closed as soon as its replies have left.
    pub closing: bool,
    /// Bytes received and not yet executed.
    pub query_bytes: u64,
    /// Bytes of its receive buffers that are free.
    pub query_free: u64,
    /// Bytes of its encoded replies that have not left.
    pub unsent_bytes: u64,
    /// Outgoing blocks that hold them.
    pub unsent_blocks: u64,
    /// Bytes of memory it takes in all.
    pub memory_bytes: u64,
    /// Whether it is read from.
    pub reads: bool,
    /// Whether replies wait to leave.
    pub writes: bool,
    /// Name of its last command, `container|subcommand` for a subcommand; empty before the first.
    pub command: String,
    /// Its user.
    pub user: String,
    /// Spoken version.
    pub protocol: Protocol,
    /// `CLIENT SETINFO LIB-NAME`
    pub lib_name: Vec<u8>,
    /// `CLIENT SETINFO LIB-VER`
    pub lib_version: Vec<u8>,
}

impl ClientFacts {
    /// Appends the line, with its line end.
    pub fn line(&self, out: &mut Vec<u8>) {
        let lossy = |bytes| String::from_utf8_lossy(bytes);
        let protocol = match self.protocol {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        };
        writeln!(
            out,
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={} db=0 sub=0 psub=0 ssub=0 multi={} \
             qbuf={} qbuf-free={} argv-mem=0 multi-mem={} rbs=0 rbp=0 obl={} oll={} omem={} tot-mem={} \
             events={}{} cmd={} user={} redir=-1 resp={protocol} lib-name={} lib-ver={}",
            self.id,
            self.addr,
            self.laddr,
            self.fd,
            lossy(&self.name),
            self.age_s,
            self.idle_s,
            self.flags(),
            self.queued.map_or_else(|| "-1".to_owned(), |(requests, _)| requests.to_string()),
            self.query_bytes,
            self.query_free,
            self.queued.map_or(0, |(_, bytes)| bytes),
            self.unsent_bytes,
            self.unsent_blocks,
            self.unsent_bytes,
            self.memory_bytes,
            if self.reads { "r" } else { "" },
            if self.writes { "w" } else { "" },
            if self.command.is_empty() { "NULL" } else { &self.command },
            self.user,
            lossy(&self.lib_name),
            lossy(&self.lib_version),
        )
        .expect("writing to memory does not fail");
    }

    /// Redis' letters: `O` monitors, `x` in a transaction, `c` closing, `e` not evicted, `T` not touching, `N` none of them.
    fn flags(&self) -> String {
        let letters = [
            (self.monitors, 'O'),
            (self.queued.is_some(), 'x'),
            (self.closing, 'c'),
            (self.no_evict, 'e'),
            (self.no_touch, 'T'),
        ];
        let set: String = letters.into_iter().filter_map(|(set, letter)| set.then_some(letter)).collect();
        if set.is_empty() { "N".to_owned() } else { set }
    }
}

/// Kinds of clients that Redis tells apart. Here all are normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Any client.
    Normal,
    /// The server that this one replicates from.
    Master,
    /// A server that replicates from this one.
    Replica,
    /// A subscriber.
    Pubsub,
}

impl ClientKind {
    /// The kind of this name, in whatever case it is written.
    pub fn named(name: &[u8]) -> Option<Self> {
        [
            ("normal", Self::Normal),
            ("master", Self::Master),
            ("slave", Self::Replica),
            ("replica", Self::Replica),
            ("pubsub", Self::Pubsub),
        ]
        .into_iter()
        .find_map(|(kind, value)| kind.as_bytes().eq_ignore_ascii_case(name).then_some(value))
    }
}

/// Which connections are meant: those that every given condition fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// One of these numbers; sorted.
    pub ids: Option<Vec<u64>>,
    /// Of this kind.
    pub kind: Option<ClientKind>,
    /// From this address.
    pub addr: Option<Vec<u8>>,
    /// To this address.
    pub laddr: Option<Vec<u8>>,
    /// Of this user.
    pub user: Option<Vec<u8>>,
    /// Not this number: the connection that asks.
    pub except: Option<u64>,
}

impl ClientFilter {
    /// Whether this connection is meant.
    pub fn matches(&self, client: &ClientFacts) -> bool {
        fn fits<T: ?Sized + PartialEq>(wanted: Option<&T>, there: &T) -> bool {
            wanted.is_none_or(|wanted| wanted == there)
        }
        self.ids.as_ref().is_none_or(|ids| ids.binary_search(&client.id).is_ok())
            && fits(self.kind.as_ref(), &ClientKind::Normal)
            && fits(self.addr.as_deref(), client.addr.as_bytes())
            && fits(self.laddr.as_deref(), client.laddr.as_bytes())
            && fits(self.user.as_deref(), client.user.as_bytes())
            && self.except != Some(client.id)
    }
}

/// What is asked about connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionKind {
    /// `CLIENT LIST`: their lines.
    List,
    /// `MONITOR`: nothing of the connections; each worker says from now on what it executes.
    Monitor,
    /// `CLIENT KILL`: close them.
    Kill {
        /// In the form with one address: the reply says whether there was one, not how many.
        old_form: bool,
    },
}

/// What one connection asks of all workers. Each worker looks at its connections that the filter matches:
/// `List` wants their lines, `Kill` wants them closed, the asking one only after its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What to do with the connections.
    pub kind: QuestionKind,
    /// Which connections.
    pub filter: ClientFilter,
}

impl Question {
    /// Encodes the reply, once all workers have answered: how many connections matched in all, and their lines
    /// one after another (empty unless asked for).
    pub fn answer(&self, matched: u64, lines: &[u8], reply: &mut Encoder<'_>) {
        match self.kind {
            QuestionKind::List => reply.verbatim(*b"txt", lines),
            QuestionKind::Monitor => reply.ok(),
            QuestionKind::Kill { old_form: true } if matched == 0 => reply.error("ERR No such client"),
            QuestionKind::Kill { old_form: true } => reply.ok(),
            QuestionKind::Kill { old_form: false } => {
                reply.integer(i64::try_from(matched).unwrap_or(i64::MAX));
            }
        }
    }
}

const _: () = {
    const fn travels<T: Clone + Send>() {}
    travels::<Question>();
};

#[cfg(test)]
mod tests {
    use super::{ClientFacts, ClientFilter, ClientKind};
    use crate::resp::encode::Protocol;

    fn client() -> ClientFacts {
        ClientFacts {
            id: 7,
            addr: "127.0.0.1:50000".to_owned(),
            laddr: "127.0.0.1:6379".to_owned(),
            fd: 8,
            name: b"web".to_vec(),
            age_s: 3,
            idle_s: 1,
            no_evict: false,
            no_touch: false,
            monitors: false,
            queued: None,
            closing: false,
            query_bytes: 26,
            query_free: 20_448,
            unsent_bytes: 0,
            unsent_blocks: 0,
            memory_bytes: 4096,
            reads: true,
            writes: false,
            command: "client|list".to_owned(),
            user: "default".to_owned(),
            protocol: Protocol::Resp3,
            lib_name: b"redis-py".to_vec(),
            lib_version: b"5.0".to_vec(),
        }
    }

    #[test]
    fn a_line_reads_as_in_redis() {
        let mut line = Vec::new();
        client().line(&mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "id=7 addr=127.0.0.1:50000 laddr=127.0.0.1:6379 fd=8 name=web age=3 idle=1 flags=N db=0 sub=0 \
             psub=0 ssub=0 multi=-1 qbuf=26 qbuf-free=20448 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 \
             omem=0 tot-mem=4096 events=r cmd=client|list user=default redir=-1 resp=3 lib-name=redis-py \
             lib-ver=5.0\n"
        );
    }

    #[test]
    fn flags_are_letters() {
        let mut line = Vec::new();
        ClientFacts { no_evict: true, no_touch: true, command: String::new(), ..client() }.line(&mut line);
        let line = String::from_utf8(line).unwrap();
        assert!(line.contains(" flags=eT ") && line.contains(" cmd=NULL "), "{line}");
        let mut line = Vec::new();
        ClientFacts { monitors: true, queued: Some((1, 1)), ..client() }.line(&mut line);
        assert!(String::from_utf8(line).unwrap().contains(" flags=Ox "));
        let mut line = Vec::new();
        ClientFacts { queued: Some((3, 99)), ..client() }.line(&mut line);
        let line = String::from_utf8(line).unwrap();
        let shown = [" flags=x ", " multi=3 ", " multi-mem=99 "];
        assert!(shown.iter().all(|field| line.contains(field)), "{line}");
    }

    #[test]
    fn every_condition_must_fit() {
        let client = client();
        let all = ClientFilter {
            ids: Some(vec![1, 7, 9]),
            kind: Some(ClientKind::Normal),
            addr: Some(b"127.0.0.1:50000".to_vec()),
            laddr: Some(b"127.0.0.1:6379".to_vec()),
            user: Some(b"default".to_vec()),
            except: Some(8),
        };
        assert!(all.matches(&client) && ClientFilter::default().matches(&client));
        for miss in [
            ClientFilter { ids: Some(vec![1, 8]), ..all.clone() },
            ClientFilter { kind: Some(ClientKind::Pubsub), ..all.clone() },
            ClientFilter { addr: Some(b"127.0.0.1:50001".to_vec()), ..all.clone() },
            ClientFilter { laddr: Some(b"127.0.0.1:6380".to_vec()), ..all.clone() },
            ClientFilter { user: Some(b"other".to_vec()), ..all.clone() },
            ClientFilter { except: Some(7), ..all.clone() },
        ] {
            assert!(!miss.matches(&client), "{miss:?}");
        }
    }
}
