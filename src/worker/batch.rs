//! A batch of requests: decoded together, their keys hashed and their cache lines on the way before the first
//! of them is executed.

use crate::command::resolve::resolve;
use crate::command::{Command, Flags};
use crate::limits;
use crate::resp::args::{Args, Span};
use crate::resp::decode::{Decoded, Framing, ProtocolError, Rules, decode};
use crate::table::{KeyHash, Memo, Table};

/// One decoded request of a batch. Offsets count from the start of the batch's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    start: u32,
    end: u32,
    first_span: u32,
    /// Spans kept, and arguments in all.
    spans: u32,
    count: u32,
    /// Absent where it has to be refused.
    pub(super) command: Option<&'static Command>,
    /// The first key's.
    pub(super) hash: Option<KeyHash>,
}

impl Request {
    /// Where the next request begins.
    pub(super) fn end(&self) -> usize {
        self.end as usize
    }

    /// Its arguments, the name included.
    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    /// Bytes of the request.
    pub(super) fn len(&self) -> u32 {
        self.end - self.start
    }
}

/// Why a batch is not longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// There may be more requests.
    Full,
    /// The bytes after it are no complete request.
    Incomplete,
    /// The bytes after it are no request at all.
    Malformed(ProtocolError),
}

/// Requests and the positions of their arguments; kept and reused from batch to batch.
#[derive(Debug)]
pub(super) struct Batch {
    spans: Vec<Span>,
    requests: Vec<Request>,
    /// Of the last key.
    memo: Memo,
    /// The inline request that the batch begins with, as it came: decoding it has changed its bytes.
    line: Vec<u8>,
    /// Bytes decoded, requests and what was skipped between them.
    pub(super) bytes: usize,
}

impl Batch {
    pub(super) fn new(table: &Table) -> Self {
        Self {
            spans: Vec::with_capacity(2 * limits::SPANS),
            requests: Vec::with_capacity(limits::BATCH),
            memo: table.memo(),
            line: Vec::new(),
            bytes: 0,
        }
    }

    /// The batch's memory for positions, empty: for a request that is decoded by itself.
    pub(super) fn scratch(&mut self) -> &mut Vec<Span> {
        self.requests.clear();
        self.spans.clear();
        &mut self.spans
    }

    /// Number of requests.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    pub(super) fn request(&self, index: usize) -> Request {
        self.requests[index]
    }

    /// The arguments of a request that was decoded from `input`.
    #[inline]
    pub(super) fn args<'a>(&'a self, request: &Request, input: &'a [u8]) -> Args<'a> {
        let spans = &self.spans[request.first_span as usize..][..request.spans as usize];
        Args::new(&input[request.start as usize..request.end as usize], spans, request.count as usize)
    }

    /// Decodes requests from the start of `input`, at most a batch and not many more than `budget` bytes.
    ///
    /// Before the client has authenticated a batch has one request, since its outcome decides what the next may
    /// be; and a request that may take that back (`RESET`) is its batch's last.
    pub(super) fn fill(
        &mut self,
        framing: &mut Framing,
        input: &mut [u8],
        rules: &Rules,
        budget: usize,
        table: &Table,
    ) -> Stop {
        self.requests.clear();
        self.spans.clear();
        // An inline request with thousands of words is rare, and its positions are not kept around.
        self.spans.shrink_to(2 * limits::SPANS);
        self.bytes = 0;
        let most = if rules.authenticated { limits::BATCH } else { 1 };
        while self.requests.len() < most && self.bytes < budget {
            let first_span = self.spans.len();
            if first_span == 0 {
                self.line.clear();
                self.line.extend_from_slice(framing.line(&input[self.bytes..]));
            }
            match decode(framing, &mut input[self.bytes..], &mut self.spans, rules) {
                Decoded::Request { bytes, count } => {
                    let command = self.push(bytes, count, first_span, input, table);
                    if command.is_some_and(|command| command.flags.has(Flags::NO_AUTH)) {
                        return Stop::Full;
                    }
                }
                Decoded::Nothing { bytes } => self.bytes += bytes,
                Decoded::Later => return Stop::Full,
                Decoded::Incomplete => return Stop::Incomplete,
                Decoded::Malformed(error) => return Stop::Malformed(error),
            }
        }
        Stop::Full
    }

    /// Where decoding goes on once a request is over, which was not executed if it `waits`: then it is decoded once more, and
    /// its bytes are made what they were.
    pub(super) fn leave(&self, request: &Request, input: &mut [u8], waits: bool) -> usize {
        if !waits {
            return request.end();
        }
        let start = request.start as usize;
        if request.first_span == 0 {
            input[start..][..self.line.len()].copy_from_slice(&self.line);
        }
        start
    }

    /// Adds a request; gives its command.
    #[inline]
    fn push(
        &mut self,
        bytes: usize,
        count: usize,
        first_span: usize,
        input: &[u8],
        table: &Table,
    ) -> Option<&'static Command> {
        let mut request = Request {
            start: narrow(self.bytes),
            end: narrow(self.bytes + bytes),
            first_span: narrow(first_span),
            spans: narrow(self.spans.len() - first_span),
            count: narrow(count),
            command: None,
            hash: None,
        };
        self.bytes += bytes;
        // As `Batch::args`, on the one field: the memo is changed meanwhile.
        let args =
            Args::new(&input[request.start as usize..request.end as usize], &self.spans[first_span..], count);
        if let Ok(command) = resolve(&args) {
            request.command = Some(command);
            let first = command.keys.first;
            if first > 0 && first < count {
                let hash = table.key_after(&mut self.memo, args.get(first)).hash;
                table.prefetch(hash);
                request.hash = Some(hash);
            }
        }
        self.requests.push(request);
        request.command
    }
}

fn narrow(offset: usize) -> u32 {
    u32::try_from(offset).expect("bytes of a batch are below 4 GiB")
}
